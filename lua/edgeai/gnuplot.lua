-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.gnuplot - runs gnuplot scripts: quoting, data blocks, colours, and PNG files that appear
-- whole or not at all. ea.plot and ea.draw write the scripts.

local F = require "edgeai.ffi"
local text = require "edgeai.text"

local gnuplot = { program = "gnuplot", font = "DejaVu Sans" }

-- Okabe & Ito's colours for colour-blind readers without yellow and black, then Tol's muted ones.
gnuplot.colours = { "0072B2", "D55E00", "009E73", "E69F00", "CC79A7", "56B4E9", "882255", "999933",
  "332288", "44AA99", "AA4499", "6B4C2A" }
gnuplot.ink, gnuplot.soft, gnuplot.thin = "#333333", "#767676", "#E4E4E4"
gnuplot.glyph = 8.8 -- about how many pixels a letter takes

--- The i-th colour, "#RRGGBB"; they repeat after twelve.
function gnuplot.colour(i)
  return "#" .. gnuplot.colours[(i - 1) % #gnuplot.colours + 1]
end

--- A text as gnuplot reads it, within single quotes; control characters become blanks.
function gnuplot.quote(s)
  return "'" .. tostring(s):gsub("%c", " "):gsub("'", "''") .. "'"
end

--- A tic's text, which gnuplot takes for a number format.
function gnuplot.tic(s) return gnuplot.quote((tostring(s):gsub("%%", "%%%%"))) end

--- A text as a field of a data block.
function gnuplot.field(s)
  return '"' .. tostring(s):gsub("%c", " "):gsub("\\", "\\\\"):gsub('"', '\\"') .. '"'
end

--- A number as data; what cannot be drawn becomes a gap.
function gnuplot.number(x)
  if type(x) ~= "number" or x ~= x or math.abs(x) == math.huge then return "NaN" end
  return ("%.9g"):format(x)
end

--- A tensor or a list as a list; raises with the place named otherwise.
function gnuplot.list(x, where)
  if F.is_tensor(x) then return x:tolist() end
  if type(x) ~= "table" then
    F.raise("%s: expected a list or a tensor, got a %s", where, type(x))
  end
  return x
end

--- Lines of a named data block.
function gnuplot.block(name, rows)
  return ("$%s << EOD\n%s\nEOD\n"):format(name, table.concat(rows, "\n"))
end

local function header(width, height, path)
  return ([[
set encoding utf8
set terminal pngcairo noenhanced size %d,%d font "%s,14" background rgb "white" linewidth 1.5
set output %s
]]):format(width, height, gnuplot.font, gnuplot.quote(path))
end

local function installed()
  local pipe = io.popen(("command -v %s 2>/dev/null"):format(text.shell(gnuplot.program)))
  local found = pipe and pipe:read("*l")
  if pipe then pipe:close() end
  return found ~= nil
end

-- What gnuplot said, if it failed: its last line with a message.
local function complaint(script)
  local pipe = io.popen(("%s %s 2>&1; echo status $?"):format(text.shell(gnuplot.program),
    text.shell(script)))
  local said = pipe:read("*a")
  pipe:close()
  if said:match("status (%d+)%s*$") == "0" then return nil end
  local last
  for line in said:gsub("status %d+%s*$", ""):gmatch("[^\n]+") do
    if line:find("%a") then last = line:gsub("^%s+", "") end
  end
  return last or "no reason given"
end

--- Draws a script into `path` (PNG, width x height pixels). Returns true; or nil and a sentence
-- where there is no gnuplot or it failed, so that a run can go on without its picture.
function gnuplot.draw(path, width, height, script)
  if type(path) ~= "string" then
    F.raise("plot: expected the path of a PNG file, got a %s", type(path))
  end
  if not installed() then
    return nil, ("%s was not drawn: gnuplot is not installed (Debian package gnuplot-nox)")
      :format(path)
  end
  local name, half = os.tmpname(), path .. ".tmp"
  local file, message = io.open(name, "w")
  if not file then return nil, ("%s was not drawn: %s"):format(path, message) end
  file:write(header(width, height, half), script, "\nunset output\n")
  file:close()
  local trouble = complaint(name)
  os.remove(name)
  if not trouble then
    local ok, why = os.rename(half, path)
    if ok then return true end
    trouble = why
  end
  os.remove(half)
  return nil, ("%s was not drawn: gnuplot says: %s"):format(path, trouble)
end

return gnuplot
