-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.show.curve - curves as text: braille dots, two across and four down in a character, with
-- the scale on the left and a coloured name for each series below.

local curve = {}

local dots = { [0] = { [0] = 0x01, 0x02, 0x04, 0x40 }, { [0] = 0x08, 0x10, 0x20, 0x80 } }
local colours = { 34, 33, 32, 35, 36, 31 }

local function braille(bits)
  local code = 0x2800 + bits
  return string.char(0xE2, 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local function is_number(x) return x == x and math.abs(x) < math.huge end

local function range(lists)
  local low, high = math.huge, -math.huge
  for _, list in ipairs(lists) do
    for _, v in ipairs(list) do
      if is_number(v) then low, high = math.min(low, v), math.max(high, v) end
    end
  end
  if low > high then return 0, 1 end
  if low == high then return low - 0.5, high + 0.5 end
  return low, high
end

--- A line of dots from one place to another, whole numbers from 0.
local function line(set, x0, y0, x1, y1)
  local steps = math.max(math.abs(x1 - x0), math.abs(y1 - y0), 1)
  for k = 0, steps do
    set(math.floor(x0 + (x1 - x0) * k / steps + 0.5), math.floor(y0 + (y1 - y0) * k / steps + 0.5))
  end
end

local function draw(series, cells, owner, low, high, width, height)
  local most = 2
  for _, s in ipairs(series) do most = math.max(most, #s.values) end
  for number, s in ipairs(series) do
    local function set(x, y)
      local cx, cy = math.floor(x / 2), math.floor(y / 4)
      cells[cy][cx] = bit.bor(cells[cy][cx] or 0, dots[x % 2][y % 4])
      owner[cy][cx] = number
    end
    local px, py
    for i, v in ipairs(s.values) do
      if is_number(v) then
        local x = math.floor((i - 1) / (most - 1) * (2 * width - 1) + 0.5)
        local y = math.floor((high - v) / (high - low) * (4 * height - 1) + 0.5)
        line(set, px or x, py or y, x, y)
        px, py = x, y
      else
        px, py = nil, nil
      end
    end
  end
  return most
end

--- Text of curves. series: list of { name = (optional), values = list of numbers }, NaN leaves a
-- gap; width and height in characters, without the scale; plain: no colours.
function curve.text(series, width, height, plain)
  local lists, cells, owner = {}, {}, {}
  for i, s in ipairs(series) do lists[i] = s.values end
  for y = 0, height - 1 do cells[y], owner[y] = {}, {} end
  local low, high = range(lists)
  local most = draw(series, cells, owner, low, high, width, height)
  local function paint(number, text)
    if plain or #series < 2 then return text end
    return ("\27[%dm%s\27[0m"):format(colours[(number - 1) % #colours + 1], text)
  end
  local out = {}
  for y = 0, height - 1 do
    local label = ""
    if y == 0 then label = ("%.4g"):format(high)
    elseif y == height - 1 then label = ("%.4g"):format(low) end
    local row = {}
    for x = 0, width - 1 do
      local bits = cells[y][x]
      row[#row + 1] = bits and paint(owner[y][x], braille(bits)) or " "
    end
    out[#out + 1] = ("%10s ┤%s"):format(label, table.concat(row):gsub(" +$", ""))
  end
  local last = tostring(most)
  out[#out + 1] = (" "):rep(11) .. "└" .. ("─"):rep(width)
  out[#out + 1] = (" "):rep(12) .. "1" .. (" "):rep(math.max(1, width - 1 - #last)) .. last
  local names = {}
  for i, s in ipairs(series) do
    if s.name then names[#names + 1] = paint(i, "■ " .. s.name) end
  end
  if #names > 0 then out[#out + 1] = (" "):rep(12) .. table.concat(names, "  ") end
  return table.concat(out, "\n") .. "\n"
end

return curve
