-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.gnuplot - runs gnuplot scripts: quoting, data blocks, colours, and PNG files that appear
-- whole or not at all. ea.plot and ea.draw write the scripts.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local machine = require "edgeai.machine"
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

-- A name beside `path` as the core's writers give to what is not whole yet (core/base/file.c): what
-- a killed process leaves is removed by the next one, see ea.run.
local function temporary(path, k)
  local folder, name = path:match("^(.*/)([^/]*)$")
  local pid = (machine.read "/proc/self/stat" or "0"):match("^%d+")
  return ("%s.%s.%s-%d.tmp"):format(folder or "", (name or path):sub(1, 180), pid, k)
end

-- Draws by way of two files beside `path`; what went wrong, or nil.
local function draw_by(script_path, half, path, script)
  if F.C.ea_file_write(script_path, script, #script) < 0 then return ffi.string(F.C.ea_error()) end
  local trouble = complaint(script_path)
  if trouble then return "gnuplot says: " .. trouble end
  local picture = machine.read(half) or ""
  -- gnuplot is content with a full disk.
  if picture:sub(-8) ~= "IEND\174B`\130" then
    return "gnuplot could not write it; is the disk full?"
  end
  if F.C.ea_file_write(path, picture, #picture) < 0 then return ffi.string(F.C.ea_error()) end
end

--- Draws a script into `path` (PNG, width x height pixels). Returns true; or nil and a sentence
-- where there is no gnuplot or it failed, so that a run can go on without its picture.
function gnuplot.draw(path, width, height, script)
  if type(path) ~= "string" then
    F.raise("plot: expected the path of a PNG file, got a %s", type(path))
  end
  if not machine.program(gnuplot.program) then
    return nil, ("%s was not drawn: gnuplot is not installed (Debian package gnuplot-nox)")
      :format(path)
  end
  local script_path, half = temporary(path, 100), temporary(path, 101)
  local trouble = draw_by(script_path, half, path,
    header(width, height, half) .. script .. "\nunset output\n")
  os.remove(script_path)
  os.remove(half)
  if not trouble then return true end
  return nil, ("%s was not drawn: %s"):format(path, trouble)
end

return gnuplot
