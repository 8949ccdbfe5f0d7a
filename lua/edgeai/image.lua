-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.image - pictures: files, grids, frames. A picture is u8 {height, width, channels} with 1,
-- 3 or 4 channels; functions that take pictures also take floats, where 0 is black, 1 is white.

local F = require "edgeai.ffi"
local tensor = require "edgeai.tensor"

local C = F.C
local image = {}

local function is_float(t) return t.dtype == "f32" or t.dtype == "f64" or t.dtype == "bf16" end

--- Smallest and largest value of the floats in a list of tensors, never equal ones: values that are
-- all the same become black.
local function range_of(list)
  local low, high
  for _, t in ipairs(list) do
    if t.dtype ~= "u8" and t:numel() > 0 then
      local wide = t:detach():to(t.dtype == "f64" and "f64" or "f32")
      local least, most = wide:min():item(), wide:max():item()
      low, high = math.min(low or least, least), math.max(high or most, most)
    end
  end
  low = low or 0
  return low, high and high > low and high or low + 1
end

--- Values as bytes: `low` (0) becomes 0, `high` (1) becomes 255, what lies outside is clamped; with
-- auto = true, low and high are the smallest and largest value. Between them the nearest byte is
-- taken, with cut = true the one below, as Lucid does. u8 stays as it is.
function image.to_u8(t, options)
  local o = F.options(options, { low = 0, high = 1, auto = false, cut = false }, "image.to_u8")
  F.need_tensor(t, "image.to_u8")
  if t.dtype == "u8" then return t end
  if not is_float(t) then
    F.raise("image.to_u8: expected floats or u8, got %s", F.describe(t))
  end
  local low, high = o.low, o.high
  if o.auto then low, high = range_of { t } end
  if high - low <= 0 then F.raise("image.to_u8: high (%g) must be above low (%g)", high, low) end
  if o.cut then
    local x = t:detach():to(t.dtype == "f64" and "f64" or "f32")
    x = ((x - low) / (high - low)):clamp { low = 0, high = 1 } * 255
    local nearest = tensor.empty(t.shape, "u8"):copy(x):to(x.dtype)
    return tensor.empty(t.shape, "u8"):copy(nearest - nearest:greater(x):to(x.dtype))
  end
  local scale = 255 / (high - low)
  local wide = t:detach():to("f32"):affine { scale = scale, shift = -low * scale }
  return tensor.empty(t.shape, "u8"):copy(wide)
end

--- {h, w} becomes {h, w, 1}; anything but a picture is refused.
local function as_picture(t, where, options)
  F.need_tensor(t, where)
  local shape = t.shape
  if #shape == 2 then
    t = t:reshape(shape[1], shape[2], 1)
    shape = t.shape
  end
  local c = shape[3]
  if #shape ~= 3 or (c ~= 1 and c ~= 3 and c ~= 4) then
    F.raise("%s: expected a picture {height, width, 1, 3 or 4}, got %s", where, F.describe(t))
  end
  return image.to_u8(t, options)
end

local function extension(path, where)
  if type(path) ~= "string" then F.raise("%s: expected a path, got a %s", where, type(path)) end
  return (path:match("%.([%w]+)$") or ""):lower()
end

local loaders = { png = C.ea_png_load, jpg = C.ea_jpeg_load, jpeg = C.ea_jpeg_load }

--- The picture in a PNG or JPEG file; channels 1, 3 or 4 convert it, nil keeps what is there.
function image.load(path, channels)
  local kind = extension(path, "image.load")
  local load = loaders[kind]
  if not load then F.raise("image.load: %s is neither .png nor .jpg", path) end
  local out = F.out()
  F.check(load(path, channels or 0, out))
  return F.own(out[0])
end

--- Writes a picture as PNG. options as for to_u8.
function image.save(path, t, options)
  if extension(path, "image.save") ~= "png" then
    F.raise("image.save: pictures are saved as PNG; give %s the extension .png", path)
  end
  F.check(C.ea_png_save(path, as_picture(t, "image.save", options)))
end

--- A list of channel values 0..255 from a number or a list.
local function color_of(color, channels, where)
  if type(color) == "number" then
    local list = {}
    for c = 1, channels do list[c] = c == 4 and 255 or color end
    return list
  end
  if type(color) ~= "table" or #color ~= channels then
    F.raise("%s: a colour for %d channels is a number or a list of %d numbers 0..255", where,
      channels, channels)
  end
  return color
end

local function canvas(height, width, channels, color, where)
  local t = tensor.empty({ height, width, channels }, "u8")
  for c, value in ipairs(color_of(color, channels, where)) do t:narrow(3, c, 1):fill(value) end
  return t
end

local function paste(on, picture, top, left)
  local h, w = picture:size(1), picture:size(2)
  on:narrow(1, top + 1, h):narrow(2, left + 1, w):copy(picture)
end

--- A frame of `width` (1) pixels of `color` (255; a number or one per channel) around a picture.
function image.border(t, options)
  local o = F.options(options, { width = 1, color = 255 }, "image.border")
  local picture = as_picture(t, "image.border")
  local h, w, c = unpack(picture.shape)
  local framed = canvas(h + 2 * o.width, w + 2 * o.width, c, o.color, "image.border")
  paste(framed, picture, o.width, o.width)
  return framed
end

--- Every pixel as a square of `factor` x `factor` (nearest neighbour).
function image.upscale(t, factor)
  if type(factor) ~= "number" or factor < 1 or factor % 1 ~= 0 then
    F.raise("image.upscale: the factor must be a whole number from 1 on, got %s", tostring(factor))
  end
  local picture = as_picture(t, "image.upscale")
  local h, w, c = unpack(picture.shape)
  local wide = picture:reshape(h, 1, w, 1, c):expand(h, factor, w, factor, c)
  return wide:clone():reshape(h * factor, w * factor, c)
end

--- Which of n pixels make each of `size`, and how much of each: a matrix {size, n} whose rows sum
-- to 1. Between two pixels it is linear; where there are to be fewer, all that lie beneath count.
local function weights(n, size)
  local matrix = tensor.zeros { size, n }
  local p, factor = F.data(matrix), n / size
  local reach = math.max(1, factor)
  for i = 0, size - 1 do
    local middle, sum = (i + 0.5) * factor - 0.5, 0
    local first, last = math.ceil(middle - reach), math.floor(middle + reach)
    for j = first, last do sum = sum + math.max(0, 1 - math.abs(j - middle) / reach) end
    for j = first, last do
      local at = i * n + math.max(0, math.min(n - 1, j)) -- the edge goes on
      p[at] = p[at] + math.max(0, 1 - math.abs(j - middle) / reach) / sum
    end
  end
  return matrix
end

--- A picture of another size, as floats {height, width, c}: bilinear, and where it becomes smaller
-- every pixel counts, so that fine patterns become grey rather than others.
function image.resize(t, height, width)
  for name, n in pairs { height = height, width = width } do
    if type(n) ~= "number" or n % 1 ~= 0 or n < 1 then
      F.raise("image.resize: %s must be a whole number of pixels, got %s", name, tostring(n))
    end
  end
  F.need_tensor(t, "image.resize")
  local x = is_float(t) and t:detach():to("f32") or as_picture(t, "image.resize"):to("f32") / 255
  if x.ndim == 2 then x = x:reshape(x:size(1), x:size(2), 1) end
  if x.ndim ~= 3 then
    F.raise("image.resize: expected a picture {height, width, channels}, got %s", F.describe(t))
  end
  local h, w, c = unpack(x.shape)
  x = weights(h, height):matmul(x:reshape(h, w * c)):reshape(height, w, c)
  x = x:permute(1, 3, 2):reshape(height * c, w):matmul(weights(w, width):t())
  return x:reshape(height, c, width):permute(1, 3, 2):contiguous()
end

--- A list of u8 pictures of one size from {n, h, w, c} or a list of pictures.
local function pictures_of(t, o)
  local list = {}
  if type(t) == "table" then
    for i = 1, #t do list[i] = F.need_tensor(t[i], "image.grid") end
  else
    F.need_tensor(t, "image.grid")
    if t.ndim ~= 4 then
      F.raise("image.grid: expected pictures {n, height, width, channels}, got %s",
        F.describe(t))
    end
    for i = 1, t:size(1) do list[i] = t:detach():select(1, i) end
  end
  if #list == 0 then F.raise("image.grid: there are no pictures to show") end
  local low, high = o.low, o.high
  if o.auto then low, high = range_of(list) end
  for i, picture in ipairs(list) do
    list[i] = as_picture(picture, "image.grid", { low = low, high = high })
    for d = 1, 3 do
      if list[i]:size(d) ~= list[1]:size(d) then
        F.raise("image.grid: picture %d is %s, the first one %s; all must be of one size", i,
          F.describe(list[i]), F.describe(list[1]))
      end
    end
  end
  return list
end

--- Pictures {n, h, w, c}, or a list of pictures of one size, side by side in one picture, row after
-- row. options: columns (as square as possible), border (1 pixel between and around), color (255)
-- of it, scale (1: each pixel becomes scale x scale), and low, high, auto as for to_u8, auto over
-- all pictures together.
function image.grid(t, options)
  local o = F.options(options, { columns = F.none, border = 1, color = 255, scale = 1, low = 0,
    high = 1, auto = false }, "image.grid")
  local list = pictures_of(t, o)
  local columns = math.min(#list, o.columns or math.ceil(math.sqrt(#list)))
  local rows = math.ceil(#list / columns)
  local height, width, channels = unpack(list[1].shape)
  local down, across = height * o.scale + o.border, width * o.scale + o.border
  local sheet = canvas(rows * down + o.border, columns * across + o.border, channels, o.color,
    "image.grid")
  for i, picture in ipairs(list) do
    local row, column = math.floor((i - 1) / columns), (i - 1) % columns
    paste(sheet, image.upscale(picture, o.scale), row * down + o.border, column * across + o.border)
  end
  return sheet
end

--- Maps {..., channels} as one picture {..., 3} in colours, a hue for each channel: hues.lua.
function image.hues(maps) return require("edgeai.hues").collapse(maps) end

return image
