-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.show.sixel - a picture as DEC's sixels: rows of six pixels, a bit for each, colour by
-- colour. Levels are percent. A picture of at most 256 colours keeps them (to a percent); others
-- get the 6 x 7 x 6 nearest ones, with an ordered dither of 4 x 4 pixels against bands.

local sixel = {}

local order = { [0] = 0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5 } -- Bayer's, 4 x 4

local function percent(byte) return math.floor(byte * 100 / 255 + 0.5) end

--- Numbers (from 0) of each pixel's colour, and the colours as { r, g, b } in percent; nil where
-- there are more than 256.
local function exact(p, pixels)
  local number, colours, index = {}, {}, {}
  for i = 0, pixels - 1 do
    local r, g, b = percent(p[3 * i]), percent(p[3 * i + 1]), percent(p[3 * i + 2])
    local key = (r * 101 + g) * 101 + b
    if not number[key] then
      if #colours == 256 then return nil end
      colours[#colours + 1] = { r, g, b }
      number[key] = #colours - 1
    end
    index[i] = number[key]
  end
  return index, colours
end

local function cube(p, width, pixels)
  local index, colours = {}, {}
  for r = 0, 5 do
    for g = 0, 6 do
      for b = 0, 5 do
        colours[#colours + 1] = { percent(r * 51), percent(g * 42.5), percent(b * 51) }
      end
    end
  end
  for i = 0, pixels - 1 do
    local x, y = i % width, math.floor(i / width)
    local part = (order[x % 4 + 4 * (y % 4)] + 0.5) / 16
    local r = math.floor(p[3 * i] / 255 * 5 + part)
    local g = math.floor(p[3 * i + 1] / 255 * 6 + part)
    local b = math.floor(p[3 * i + 2] / 255 * 5 + part)
    index[i] = (r * 7 + g) * 6 + b
  end
  return index, colours
end

--- A run of n equal sixels.
local function run(bits, n)
  local c = string.char(63 + bits)
  if n > 3 then return ("!%d%s"):format(n, c) end
  return c:rep(n)
end

--- The sixels of one colour in a band, without empty ones at the end.
local function band_line(bits, width)
  local parts, x = {}, 0
  local last = width - 1
  while last >= 0 and not bits[last] do last = last - 1 end
  while x <= last do
    local value, from = bits[x] or 0, x
    while x <= last and (bits[x] or 0) == value do x = x + 1 end
    parts[#parts + 1] = run(value, x - from)
  end
  return table.concat(parts)
end

--- The sequence that draws a picture: p points at width * height pixels of 3 bytes.
function sixel.encode(p, width, height)
  local index, colours = exact(p, width * height)
  if not index then index, colours = cube(p, width, width * height) end
  local out = { ('\27P0;1;0q"1;1;%d;%d'):format(width, height) }
  for i, c in ipairs(colours) do
    out[#out + 1] = ("#%d;2;%d;%d;%d"):format(i - 1, c[1], c[2], c[3])
  end
  for top = 0, height - 1, 6 do
    local bands, used = {}, {}
    for y = top, math.min(top + 5, height - 1) do
      local bit = 2 ^ (y - top)
      for x = 0, width - 1 do
        local c = index[y * width + x]
        if not bands[c] then
          bands[c] = {}
          used[#used + 1] = c
        end
        bands[c][x] = (bands[c][x] or 0) + bit
      end
    end
    table.sort(used)
    for i, c in ipairs(used) do
      out[#out + 1] = ("#%d%s%s"):format(c, band_line(bands[c], width), i < #used and "$" or "")
    end
    out[#out + 1] = "-"
  end
  out[#out + 1] = "\27\\"
  return table.concat(out)
end

return sixel
