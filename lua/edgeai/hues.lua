-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.hues - maps of many channels as one picture in colours, as Lucid shows activations.
--
-- Each of K channels has a hue, 360 k / K degrees, k = 0..K-1, as a colour of length 1. Where some
-- x are negative the channels are doubled: max(x, 0), then max(-x, 0). A pixel's colour is
-- sum x_k hue_k + (sum x - max x) white, brought to the length of x: one channel alone is its hue,
-- many alike are grey.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local tensor = require "edgeai.tensor"

local functions = ops.functions
local hues = {}

-- Red, yellow, green, cyan, blue, magenta.
local corners = { { 1, 0, 0 }, { 1, 1, 0 }, { 0, 1, 0 }, { 0, 1, 1 }, { 0, 0, 1 }, { 1, 0, 1 } }

local function unit(c)
  local length = math.sqrt(c[1] ^ 2 + c[2] ^ 2 + c[3] ^ 2)
  return { c[1] / length, c[2] / length, c[3] / length }
end

--- The colour { red, green, blue } of length 1 of a hue in degrees. Between two of the six corners
-- (red 0, yellow 60, green 120, ...) it goes by a quarter of a sine, faster near red, green, blue,
-- which we tell apart less well.
function hues.rgb(degrees)
  local place = degrees % 360 / 60
  local k = math.floor(place)
  local t = place - k
  local angle = math.pi / 2 * t
  local part = k % 2 == 0 and math.sin(angle) or 1 - math.cos(angle)
  local a, b, mixed = unit(corners[k + 1]), unit(corners[(k + 1) % 6 + 1]), {}
  for i = 1, 3 do mixed[i] = (1 - part) * a[i] + part * b[i] end
  return unit(mixed)
end

--- Maps {..., channels} as colours {..., 3}; see the top. The numbers are not brought to [0, 1].
function hues.collapse(maps)
  local x = F.need_tensor(maps, "image.hues"):detach()
  local size = x.shape
  local c = size[#size]
  if #size < 1 or x:numel() == 0 then
    F.raise("image.hues: expected maps {..., channels}, got %s", F.describe(maps))
  end
  x = (x.dtype == "f64" and x or x:to("f32")):contiguous():reshape(-1, c)
  if x:min():item() < 0 then
    x = functions.concat({ x:clamp { low = 0 }, (-x):clamp { low = 0 } }, { axis = 2 })
    c = 2 * c
  end
  local wheel = tensor.empty({ c, 3 }, x.dtype)
  for k = 1, c do
    for i, v in ipairs(hues.rgb(360 * (k - 1) / c)) do wheel:set(k, i, v) end
  end
  local row = { axes = { 2 }, keep = true }
  local rgb = functions.matmul(x, wheel) + (x:sum(row) - x:max(row))
  local length = x:square():sum(row):sqrt()
  rgb = rgb * length / (rgb:square():sum(row):sqrt() + 1e-4)
  size[#size] = 3
  return rgb:reshape(size)
end

return hues
