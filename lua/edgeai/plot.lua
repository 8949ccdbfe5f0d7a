-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.plot - pictures of numbers, as PNG files through gnuplot.
--
--   ea.plot.lines(path, { title =, x = "epoch", y = "accuracy [%]", series = {
--     { name = "teacher", x = {...}, y = {...} }, { name = "NoNN", y = {...}, dashed = true } } })
--   ea.plot.bars(path, { categories = names, series = { { name =, values = {...} } } })
--   ea.plot.scatter(path, { series = { { name =, x = {...}, y = {...}, labels = {...} } } })
--   ea.plot.heatmap(path, { values = {{...}}, rows = names, columns = names })
--   ea.plot.confusion(path, { counts = {{...}}, classes = names }) -- [true][predicted]
--   ea.plot.pictures(path, { picture = "GRID.png", rows = names }) -- names beside rows of pictures
--   ea.plot.panels(path, { title =, { kind = "lines", ... }, { kind = "bars", ... } })
--
-- Values are lists or tensors; NaN leaves a gap. Common options: title, x and y (axis labels),
-- x_range and y_range ({ low, high }, either may be nil), log_y, width and height (pixels). Every
-- function returns true, or nil and a sentence if the picture could not be drawn; wrong options
-- raise.

local F = require "edgeai.ffi"
local G = require "edgeai.gnuplot"
local doc = require "edgeai.doc"
local image = require "edgeai.image"
local text = require "edgeai.text"

local plot = {}
local kinds = {} -- name -> function(o, p): the script of one panel; p prefixes its data blocks

local none = F.none
local common = { title = none, x = none, y = none, x_range = none, y_range = none, log_y = false,
  width = none, height = none, kind = none }

local sizes = { lines = { 1100, 700 }, scatter = { 1000, 800 }, bars = { 1300, 650 },
  heatmap = { 1000, 900 }, confusion = { 1050, 950 }, pictures = { 1000, 800 } }

local function options(given, own, where)
  local allowed = {}
  for key, value in pairs(common) do allowed[key] = value end
  for key, value in pairs(own) do allowed[key] = value end
  local o = F.options(given, allowed, "plot." .. where)
  o.width, o.height = o.width or sizes[where][1], o.height or sizes[where][2]
  return o
end

-- ---- what all panels share ---------------------------------------------------------------------

local function range(axis, limits)
  if limits == nil then return "" end
  return ("set %srange [%s:%s]\n"):format(axis, limits[1] and G.number(limits[1]) or "*",
    limits[2] and G.number(limits[2]) or "*")
end

local function label(axis, words)
  if not words then return ("unset %slabel\n"):format(axis) end
  return ("set %slabel %s textcolor rgb %s\n"):format(axis, G.quote(words), G.quote(G.ink))
end

local KEY = 12.5 -- pixels that gnuplot allows for a character of the legend

-- The title on the left, above the legend's rows, above the plot.
local function head(o)
  local names, widest = 0, 0
  for _, item in ipairs(o.series or {}) do
    if item.name and #o.series > 1 then
      names, widest = names + 1, math.max(widest, #item.name)
    end
  end
  -- as gnuplot reckons: 14 characters beside the plot, 5 of line and gaps beside a name
  local columns = math.max(1, math.floor((o.width - 14 * KEY) / ((widest + 5) * KEY)))
  local rows = math.ceil(names / columns)
  local above = 1 + rows * 1.35
  return table.concat {
    ("set tmargin %g\n"):format(above + (o.title and 2 or 0.5)),
    ("set key at graph 0, graph %g left bottom horizontal reverse Left samplen 2 width 1 "
      .. "maxcols %d textcolor rgb %s\n"):format(1 + 11 / o.height, columns, G.quote(G.ink)),
    o.title and ("set label 1 %s at graph 0, graph 1 left offset 0,%g font \"%s:Bold,16\" "
      .. "textcolor rgb %s\n"):format(G.quote(o.title), above, G.font, G.quote(G.ink)) or "",
  }
end

local function frame(o)
  return table.concat {
    "reset\n",
    ("set border 3 lc rgb %s lw 0.8\n"):format(G.quote(G.soft)),
    ("set tics nomirror out scale 0.6 textcolor rgb %s\n"):format(G.quote(G.ink)),
    ("set grid ytics lt 1 lc rgb %s lw 0.7\n"):format(G.quote(G.thin)),
    "set autoscale xfix\nset lmargin 10\nset rmargin 4\n",
    ("set offsets 0, 0, %s, 0\n"):format(o.log_y and "0" or "graph 0.03"),
    head(o), label("x", o.x), label("y", o.y), range("x", o.x_range), range("y", o.y_range),
    o.log_y and "set logscale y\n" or "",
  }
end

local function need_series(o, where)
  if type(o.series) ~= "table" or #o.series == 0 then
    F.raise("plot.%s: expected series = { { name =, ... }, ... }", where)
  end
  return o.series
end

local function legend(series, item)
  return #series > 1 and item.name and ("title %s"):format(G.quote(item.name)) or "notitle"
end

-- Rows "x y" of a series; without x, positions count from 1.
local function points(item, where)
  local y = G.list(item.y, where .. " (y)")
  local x = item.x and G.list(item.x, where .. " (x)")
  if x and #x ~= #y then
    F.raise("%s: series '%s' has %d x and %d y values", where, tostring(item.name), #x, #y)
  end
  if #y == 0 then F.raise("%s: series '%s' is empty", where, tostring(item.name)) end
  local rows = {}
  for i = 1, #y do
    rows[i] = G.number(x and x[i] or i) .. " " .. G.number(y[i])
    if item.labels then rows[i] = rows[i] .. " " .. G.field(item.labels[i] or "") end
  end
  return rows
end

-- Where all x are whole numbers (epochs, steps), so are the tics: every 1, 2, 5, 10, ... of them.
local function whole_tics(series)
  local low, high = math.huge, -math.huge
  for _, item in ipairs(series) do
    local y = G.list(item.y, "plot.lines (y)")
    for _, x in ipairs(item.x and G.list(item.x, "plot.lines (x)") or { 1, #y }) do
      if type(x) ~= "number" or x % 1 ~= 0 then return "" end
      low, high = math.min(low, x), math.max(high, x)
    end
  end
  local step, factors = 1, { 2, 2.5, 2 }
  for k = 0, math.huge do
    if (high - low) / step <= 12 then return ("set xtics %.0f\n"):format(step) end
    step = step * factors[k % 3 + 1]
  end
end

-- ---- kinds -------------------------------------------------------------------------------------

--- Curves. A series: name, y, x (1, 2, ... if left out), dashed, colour ("#RRGGBB"), faint (thin
-- and pale, for raw values behind a smoothed curve).
function kinds.lines(given, p)
  local o = options(given, { series = none }, "lines")
  local series = need_series(o, "lines")
  local script, curves = { frame(o), whole_tics(series) }, {}
  for i, item in ipairs(series) do
    local rows = points(item, "plot.lines")
    local name = ("%sline%d"):format(p, i)
    script[#script + 1] = G.block(name, rows)
    local colour = item.colour or G.colour(i)
    local style = #rows <= 30 and not item.faint and "linespoints pt 7 ps 0.8" or "lines"
    if item.faint then colour = "#B0" .. colour:sub(2) end
    curves[i] = ("$%s using 1:2 with %s lc rgb %s lw %s dt %s %s"):format(name, style,
      G.quote(colour), item.faint and "1" or "2", item.dashed and "(8,5)" or "1",
      legend(series, item))
  end
  script[#script + 1] = "plot " .. table.concat(curves, ", \\\n  ") .. "\n"
  return table.concat(script), o
end

--- Points. A series: name, x, y, colour, labels (texts beside the points), size (1; of its dots,
-- 2: twice as wide). Else all dots are alike: small and pale where a series has many.
function kinds.scatter(given, p)
  local o = options(given, { series = none }, "scatter")
  local script, clouds = { frame(o) }, {}
  script[2] = ("set grid xtics ytics lt 1 lc rgb %s lw 0.7\nset offsets graph 0.04, graph 0.08, "
    .. "graph %g, graph %g\n"):format(G.quote(G.thin), o.log_y and 0 or 0.06, o.log_y and 0 or 0.04)
  local series, most, rows_of = need_series(o, "scatter"), 0, {}
  for i, item in ipairs(series) do
    rows_of[i] = points(item, "plot.scatter")
    most = math.max(most, #rows_of[i])
  end
  for i, item in ipairs(series) do
    local name, size = ("%scloud%d"):format(p, i), item.size or 1
    script[#script + 1] = G.block(name, rows_of[i])
    local colour = item.colour or G.colour(i)
    if most > 100 and size <= 1 then colour = "#60" .. colour:sub(2) end
    clouds[#clouds + 1] = ("$%s using 1:2 with points pt 7 ps %g lc rgb %s %s"):format(name,
      (most > 1000 and 0.7 or most > 100 and 0.9 or 1.4) * size, G.quote(colour),
      legend(series, item))
    if item.labels then
      clouds[#clouds + 1] = ("$%s using 1:2:3 with labels left offset 0.9,0.1 textcolor rgb %s "
        .. "notitle"):format(name, G.quote(G.ink))
    end
  end
  script[#script + 1] = "plot " .. table.concat(clouds, ", \\\n  ") .. "\n"
  return table.concat(script), o
end

-- Names at 0, 1, 2, ... of an axis that is so many pixels long; turned where they are too wide, and
-- only every so many where even that is too narrow.
local function name_tics(names, axis, pixels)
  local widest, tics = 0, {}
  for _, name in ipairs(names) do widest = math.max(widest, #tostring(name)) end
  local turned = axis == "x" and (widest + 1) * G.glyph > pixels / #names
  local step = math.ceil(#names * (turned and 34 or 20) / pixels)
  for i = 1, #names, step do
    tics[#tics + 1] = ("%s %d"):format(G.tic(names[i]), i - 1)
  end
  return ("set %stics (%s) scale 0 %s\n"):format(axis, table.concat(tics, ", "),
    turned and "rotate by 40 right" or "norotate")
end

--- Grouped bars. categories: names; a series: name, values, colour. numbers: write the value over
-- each bar, as this format ("%.1f"). Starts at 0 unless y_range says otherwise.
function kinds.bars(given, p)
  local o = options(given, { series = none, categories = none, numbers = none }, "bars")
  local series, categories = need_series(o, "bars"), G.list(o.categories, "plot.bars: categories")
  o.y_range = o.y_range or { 0 }
  local script, bars = { frame(o) }, {}
  local width = 0.8 / #series
  script[2] = ("set autoscale yfixmax\nset offsets 0, 0, graph %g, 0\n"):format(
      o.numbers and 0.07 or 0.03)
    .. ("set xrange [-0.6:%g]\nset style fill solid 1 noborder\n"):format(#categories - 0.4)
    .. name_tics(categories, "x", o.width - 140)
  for i, item in ipairs(series) do
    local values, rows = G.list(item.values, "plot.bars: values"), {}
    if #values ~= #categories then
      F.raise("plot.bars: series '%s' has %d values for %d categories", tostring(item.name),
        #values, #categories)
    end
    for c, value in ipairs(values) do
      rows[c] = ("%g %s"):format(c - 1 + (i - (#series + 1) / 2) * width, G.number(value))
      if o.numbers then rows[c] = rows[c] .. " " .. G.field(o.numbers:format(value)) end
    end
    local name = ("%sbar%d"):format(p, i)
    script[#script + 1] = G.block(name, rows)
    bars[#bars + 1] = ("$%s using 1:2:(%g) with boxes lc rgb %s %s"):format(name, width * 0.92,
      G.quote(item.colour or G.colour(i)), legend(series, item))
    if o.numbers then
      bars[#bars + 1] = ("$%s using 1:2:3 with labels offset 0,0.6 font \",11\" textcolor rgb %s "
        .. "notitle"):format(name, G.quote(G.ink))
    end
  end
  script[#script + 1] = "plot " .. table.concat(bars, ", \\\n  ") .. "\n"
  return table.concat(script), o
end

local shades = "set palette defined (0 '#FFFFFF', 0.08 '#EAF2FA', 0.3 '#A9CCE6', 0.6 '#4C97C9', "
  .. "1 '#08457E')\n"

-- A grid of coloured cells, first row on top. cells[r][c] = { shade 0..1, text or nil }; scale: the
-- colour bar's { { name, shade }, ... }.
local function grid(o, p, cells, rows, columns, scale)
  local height, width = #cells, #cells[1]
  local colours, words = {}, {}
  for r, row in ipairs(cells) do
    for c, cell in ipairs(row) do
      colours[#colours + 1] = ("%d %d %s"):format(c - 1, r - 1, G.number(cell[1]))
      if cell[2] then
        words[#words + 1] = ("%d %d %s %d"):format(c - 1, r - 1, G.field(cell[2]),
          cell[1] > 0.55 and 0xFFFFFF or 0x333333)
      end
    end
  end
  local name, written, marks = p .. "cells", p .. "words", {}
  for i, mark in ipairs(scale) do marks[i] = ("%s %g"):format(G.tic(mark[1]), mark[2]) end
  return table.concat {
    frame(o), G.block(name, colours), #words > 0 and G.block(written, words) or "",
    "set border 0\nunset grid\nunset key\nset offsets 0,0,0,0\nunset lmargin\nunset rmargin\n",
    "set cbrange [0:1]\nset colorbox noborder\n", shades,
    ("set cbtics (%s) scale 0\n"):format(table.concat(marks, ", ")),
    ("set xrange [-0.5:%g]\nset yrange [%g:-0.5]\n"):format(width - 0.5, height - 0.5),
    name_tics(columns, "x", o.width - 250), name_tics(rows, "y", o.height - 200),
    ("plot $%s using 1:2:3 with image pixels notitle"):format(name),
    #words > 0 and (", \\\n  $%s using 1:2:3:4 with labels font \",%d\" textcolor rgb variable "
      .. "notitle"):format(written, width > 14 and 9 or 12) or "",
    "\n",
  }
end

--- A PNG file of rows of pictures of one height, as ea.image.grid makes them, with a name beside
-- each: picture (the file; it may be the very one that is written), rows (names).
function kinds.pictures(given, p) -- luacheck: no unused
  local o = options(given, { picture = none, rows = none }, "pictures")
  local size = image.load(o.picture, 3).shape
  local height, width, rows = size[1], size[2], G.list(o.rows, "plot.pictures: rows")
  local widest, tics = 0, {}
  for i, name in ipairs(rows) do
    widest = math.max(widest, #tostring(name))
    tics[i] = ("%s %g"):format(G.tic(name), height * (1 - (i - 0.5) / #rows))
  end
  local left, top = (1.25 * widest + 2) * G.glyph, o.title and 50 or 10 -- of larger letters
  if not given.width then o.width, o.height = math.ceil(left + width + 10), top + height + 10 end
  return table.concat {
    frame(o), "set border 0\nunset grid\nunset key\nset offsets 0,0,0,0\nunset xtics\n",
    o.title and ("set label 1 %s at graph 0, graph 1 left offset 0,1.2 font \"%s:Bold,16\" "
      .. "textcolor rgb %s\n"):format(G.quote(o.title), G.font, G.quote(G.ink)) or "",
    ("set lmargin at screen %g\nset rmargin at screen %g\n"):format(left / o.width,
      (left + width) / o.width),
    ("set tmargin at screen %g\nset bmargin at screen %g\n"):format(1 - top / o.height,
      1 - (top + height) / o.height),
    ("set xrange [0:%d]\nset yrange [0:%d]\nset ytics (%s) scale 0\n"):format(width, height,
      table.concat(tics, ", ")),
    ("plot %s binary filetype=png dx=1 dy=1 origin=(0.5,0.5) with rgbimage notitle\n"):format(
      G.quote(o.picture)),
  }, o
end

local function numbered(names, n)
  if names then return G.list(names, "plot: names") end
  local list = {}
  for i = 1, n do list[i] = tostring(i) end
  return list
end

local function matrix(values, where)
  local m = G.list(values, where)
  if type(m[1]) ~= "table" or #m[1] == 0 then
    F.raise("%s: expected a matrix (a list of rows, or a tensor {rows, columns})", where)
  end
  return m
end

--- A matrix as shades. rows, columns: names; format: how to write each cell (none: not written);
-- low, high: the values of white and dark (the extremes if left out).
function kinds.heatmap(given, p)
  local o = options(given, { values = none, rows = none, columns = none, format = none, low = none,
    high = none }, "heatmap")
  local m, low, high = matrix(o.values, "plot.heatmap"), math.huge, -math.huge
  for _, row in ipairs(m) do
    for _, x in ipairs(row) do
      if x == x then low, high = math.min(low, x), math.max(high, x) end
    end
  end
  low, high = o.low or low, o.high or high
  local span = high > low and high - low or 1
  local cells = {}
  for r, row in ipairs(m) do
    cells[r] = {}
    for c, x in ipairs(row) do
      cells[r][c] = { math.max(0, math.min(1, (x - low) / span)), o.format and o.format:format(x) }
    end
  end
  local scale = {}
  for i = 0, 4 do scale[i + 1] = { ("%.3g"):format(low + span * i / 4), i / 4 } end
  return grid(o, p, cells, numbered(o.rows, #m), numbered(o.columns, #m[1]), scale), o
end

local shares = {}
for i, percent in ipairs { 0, 1, 10, 50, 100 } do
  shares[i] = { percent .. " %", math.sqrt(percent / 100) }
end

--- A confusion matrix: counts[true][predicted]. Shades are shares of the true class (square-root
-- scale, so that rare confusions show); counts are written in up to 25 classes.
function kinds.confusion(given, p)
  local o = options(given, { counts = none, classes = none }, "confusion")
  local m = matrix(o.counts, "plot.confusion")
  if #m ~= #m[1] then
    F.raise("plot.confusion: expected a square matrix of counts, got %d x %d", #m, #m[1])
  end
  o.x, o.y = o.x or "predicted class", o.y or "true class"
  local names, cells = numbered(o.classes, #m), {}
  for r, row in ipairs(m) do
    local sum = 0
    for _, x in ipairs(row) do sum = sum + x end
    cells[r] = {}
    for c, x in ipairs(row) do
      cells[r][c] = { math.sqrt(x / math.max(sum, 1)),
        #m <= 25 and x > 0 and ("%d"):format(x) or nil }
    end
  end
  return grid(o, p, cells, names, names, shares), o
end

-- ---- files -------------------------------------------------------------------------------------

for kind, script_of in pairs(kinds) do
  plot[kind] = function(path, o)
    local script, used = script_of(o, "a")
    return G.draw(path, used.width, used.height, script)
  end
  doc.link(plot[kind], script_of)
end

--- Several plots in one picture: { title =, columns = 2, width =, height =, panel, panel, ... },
-- each panel the options of one plot with its `kind`.
function plot.panels(path, o)
  local panels, total = {}, {}
  for key, value in pairs(o) do
    if type(key) ~= "number" then total[key] = value end
  end
  total = F.options(total, { title = none, columns = 2, width = none, height = none },
    "plot.panels")
  if #o == 0 then F.raise("plot.panels: expected one panel or more") end
  local columns = math.min(total.columns, #o)
  local rows = math.ceil(#o / columns)
  local width, height = total.width or 850 * columns, total.height or 620 * rows
  for i, panel in ipairs(o) do
    if not kinds[panel.kind] then
      F.raise("plot.panels: panel %d: there is no kind '%s'%s", i, tostring(panel.kind),
        text.suggest(tostring(panel.kind), text.keys(kinds)))
    end
    local sized = { width = width / columns, height = height / rows }
    for key, value in pairs(panel) do sized[key] = value end
    panels[i] = kinds[panel.kind](sized, "p" .. i)
  end
  local title = total.title
    and ("title %s font \"%s:Bold,18\" "):format(G.quote(total.title), G.font) or ""
  return G.draw(path, width, height,
    ("set multiplot layout %d,%d %s\n"):format(rows, columns, title) .. table.concat(panels)
    .. "unset multiplot\n")
end

return plot
