-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.show(x) - draws x in the terminal; at the prompt also as show(x).
--
--   a tensor {h, w}, {h, w, c}      a picture (c: 1, 3 or 4)
--   {n, h, w, c}, a list of those   a grid of pictures
--   {out, in, kh, kw}, small k      the filters of a convolution as a grid
--   {n}, a list of numbers          a curve
--   { a = curve, b = curve, ... }   curves in one frame
--   a list of records               curves of its fields: fit's history
--   { weights = {n, n}, membership = {n} }   the graph, by ea.draw.network
--   a network                       its layers
--   a path of a .png or .jpg        that picture
--
-- Pictures come as pixels where the terminal can (kitty, iTerm2, sixels; $EDGEAI_GRAPHICS chooses
-- one of kitty, iterm2, sixel, blocks, none), else as half blocks; floats between 0 and 1 as they
-- are, others from the least (black) to the greatest (white). Where standard output is no terminal,
-- nothing happens.

local F = require "edgeai.ffi"
local curve = require "edgeai.show.curve"
local image = require "edgeai.image"
local terminal = require "edgeai.show.terminal"
local text = require "edgeai.text"

local show = {}

local MOST = 256 -- pictures of a grid

-- ---- pictures ----------------------------------------------------------------------------------

local function as_bytes(t)
  t = t:detach()
  if t.dtype == "u8" then return t end
  t = t:to("f32")
  if t:count_nonfinite() > 0 then
    local finite = t:clone()
    local p = F.data(finite)
    for i = 0, t:numel() - 1 do
      if not (math.abs(p[i]) < math.huge) then p[i] = 0 end
    end
    t = finite
  end
  local inside = t:numel() > 0 and t:min():item() >= 0 and t:max():item() <= 1
  return image.to_u8(t, { auto = not inside })
end

local function is_colour(c) return c == 1 or c == 3 or c == 4 end

--- Pictures {n, h, w, c} as one, and how many of them it shows.
local function grid(t)
  local n = math.min(t:size(1), MOST)
  if n < t:size(1) then
    print(("the first %d of %s"):format(n, text.count(t:size(1), "picture")))
  end
  t = as_bytes(t:narrow(1, 1, n))
  local across = math.max(1, math.min(n, math.ceil(math.sqrt(n * 2 * t:size(2) / t:size(3)))))
  return image.grid(t, { columns = across, color = 128 })
end

--- The picture {h, w, c} u8 of a tensor.
local function picture_of(t)
  local s = t.shape
  if t:numel() == 0 then F.raise("show: %s has no elements", F.describe(t)) end
  if #s == 2 then return as_bytes(t):reshape(s[1], s[2], 1) end
  if #s == 3 and is_colour(s[3]) then return as_bytes(t):contiguous() end
  if #s == 3 then return grid(t:detach():reshape(s[1], s[2], s[3], 1)) end
  if #s == 4 and is_colour(s[4]) and not (s[3] == s[4] and s[1] >= 8) then return grid(t) end
  if #s == 4 and s[3] <= 11 and s[4] <= 11 then
    if s[2] == 3 then return grid(t:detach():permute(1, 3, 4, 2):contiguous()) end
    return grid(t:detach():reshape(s[1] * s[2], s[3], s[4], 1))
  end
  if #s == 4 then -- feature maps: the channels of the first image
    return grid(t:detach():select(1, 1):permute(3, 1, 2):contiguous():reshape(s[4], s[2], s[3], 1))
  end
  F.raise("show: %s is no picture; show {h, w}, {h, w, c} or {n, h, w, c}, c = 1, 3 or 4",
    F.describe(t))
end

--- Averages of k x k pixels.
local function shrink(picture, k)
  local h, w, c = unpack(picture.shape)
  local rows, columns = math.floor(h / k), math.floor(w / k)
  local cut = picture:narrow(1, 1, rows * k):narrow(2, 1, columns * k):to("f32"):contiguous()
  local mean = cut:reshape(rows, k, columns, k, c):mean { 2, 4 }
  return mean:reshape(rows, columns, c):to("u8")
end

--- A picture in a size that fits into the terminal and can be seen.
local function fit(picture, mode)
  local columns, rows, char_width, char_height = terminal.size()
  local width, height, good = columns - 1, 2 * math.max(4, rows - 2), 32
  if mode ~= "blocks" then
    width, height = width * char_width, math.max(4, rows - 2) * char_height
    good = math.min(width, 480)
  end
  local h, w = picture:size(1), picture:size(2)
  local too_large = math.max(w / width, h / height)
  if mode == "blocks" and too_large > 1 then return shrink(picture, math.ceil(too_large)) end
  local factor = math.floor(math.min(good / w, width / w, height / h))
  return factor > 1 and image.upscale(picture, factor) or picture
end

local function draw_picture(picture, mode)
  io.stdout:write(terminal.encode(mode, fit(picture, mode)))
  io.stdout:flush()
end

-- ---- curves and graphs -------------------------------------------------------------------------

local function draw_curves(series)
  local columns, rows = terminal.size()
  io.stdout:write(curve.text(series, math.max(20, math.min(columns - 14, 100)),
    math.max(5, math.min(15, rows - 5)), os.getenv("NO_COLOR") ~= nil))
end

local function numbers(x)
  if F.is_tensor(x) then return x.ndim == 1 and x:detach():tolist() or nil end
  if type(x) ~= "table" or #x == 0 then return nil end
  for _, v in ipairs(x) do
    if type(v) ~= "number" then return nil end
  end
  return x
end

local counters = { epoch = true, seconds = true, lr = true }

--- Series of the fields of a list of records, those of one size in one frame.
local function draw_records(list)
  local fields, frames = {}, {}
  for _, record in ipairs(list) do
    for key, value in pairs(record) do
      if type(value) == "number" and not counters[key] then fields[key] = true end
    end
  end
  for _, name in ipairs(text.keys(fields)) do
    local values = {}
    for i, record in ipairs(list) do values[i] = tonumber(record[name]) or 0 / 0 end
    local losses = tostring(name):find("loss") ~= nil
    frames[losses] = frames[losses] or {}
    table.insert(frames[losses], { name = tostring(name), values = values })
  end
  for _, losses in ipairs { true, false } do
    if frames[losses] then draw_curves(frames[losses]) end
  end
end

local function draw_graph(x, mode)
  local path = os.tmpname()
  local ok, message = require("edgeai.draw").network(path .. ".png", { weights = x.weights,
    membership = x.membership, width = 900, height = 730 })
  os.remove(path)
  if not ok then F.raise("show: %s", message) end
  local picture = image.load(path .. ".png", 3)
  os.remove(path .. ".png")
  draw_picture(picture, mode)
end

-- ---- what x is ---------------------------------------------------------------------------------

local function draw_table(x, mode)
  if require("edgeai.nn.module").is(x) then return print(tostring(x)) end
  if F.is_tensor(x.weights) and F.is_tensor(x.membership) then return draw_graph(x, mode) end
  if type(x.history) == "table" and #x.history > 0 then x = x.history end
  local list = numbers(x)
  if list then return draw_curves { { values = list } } end
  if F.is_tensor(x[1]) and x[1].ndim >= 2 then
    local list_of = {}
    for i = 1, #x do list_of[i] = picture_of(x[i]) end
    return draw_picture(image.grid(list_of, { color = 128 }), mode)
  end
  if type(x[1]) == "table" and next(x[1]) ~= nil and not numbers(x[1]) then
    return draw_records(x)
  end
  local series = {}
  for _, key in ipairs(text.keys(x)) do
    local values = numbers(x[key])
    if values then series[#series + 1] = { name = tostring(key), values = values } end
  end
  if #series == 0 then
    F.raise("show: this table holds neither pictures nor curves; `:help show` lists what can be "
      .. "drawn")
  end
  draw_curves(series)
end

--- Draws x in the terminal: see the top of this file.
function show.draw(x)
  local mode = terminal.mode()
  if mode == "none" then return end
  if F.is_tensor(x) then
    F.need_alive(x)
    if x.ndim == 0 then return print(tostring(x)) end
    if x.ndim == 1 then return draw_curves { { values = numbers(x) } } end
    return draw_picture(picture_of(x), mode)
  elseif type(x) == "string" then
    return draw_picture(image.load(x), mode)
  elseif type(x) == "table" then
    return draw_table(x, mode)
  end
  F.raise("show: expected a tensor, curves, a graph, a network or a path, got a %s", type(x))
end

--- Would show draw this value as a picture of at least 8 x 8 pixels?
function show.is_picture(x)
  if not F.is_tensor(x) or x.p == nil then return false end
  local s = x.shape
  local at = #s == 4 and 2 or 1
  if #s < 2 or #s > 4 or x:numel() == 0 then return false end
  return s[at] >= 8 and s[at + 1] >= 8 and (#s == 2 or is_colour(s[#s]))
end

return setmetatable(show, { __call = function(_, x) return show.draw(x) end })
