-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.lucid - Lucid's own transforms, for lucid = true: one draw in a step for the whole
-- batch, images that change their size, resampling as TensorFlow 1 did it.
--
--   pad(w, mode)          "reflect", a grey (0.5), or "uniform": one grey drawn in every step
--   jitter(d)             a crop d smaller both ways, its place drawn
--   random_scale(list)    size truncated; bilinear, place i of n' reading i n / n'
--   random_rotate(list)   degrees, times 3.14 / 180; the nearest pixel, 0 outside; its gradient is
--                         the picture of gradients turned back, not the adjoint
--   crop_or_pad_to(h, w)  around the middle, 0 outside
--   normalize_gradient(scales)   the picture as it is; its gradient is brought to length 1, for
--                         each image, or to its number in the list of scales
--   collapse_alpha_random(sd)    {r, g, b, alpha} over a random picture (transform.background's)
--   standard()            pad 12, jitter 8, scale 0.90, 0.92, ..., 1.10, rotate -10..10 and five
--                         times 0, jitter 4

local F = require "edgeai.ffi"
local ffi = require "ffi"
local grad = require "edgeai.grad"
local ops = require "edgeai.ops"
local random = require "edgeai.random"
local transform = require "edgeai.vis.transform"

local functions = ops.functions
local lucid = {}

-- ---- resampling --------------------------------------------------------------------------------

--- Fills a grid {n, h, w, 2} for pictures of in_h x in_w: place(i, j) -> row, column, from 0.
local function fill_grid(grid, in_h, in_w, place)
  local n, h, w = grid:size(1), grid:size(2), grid:size(3)
  local p, at = F.data(grid), 0
  for _ = 1, n do
    for i = 0, h - 1 do
      for j = 0, w - 1 do
        local row, column = place(i, j)
        p[at], p[at + 1] = (2 * column + 1) / in_w - 1, (2 * row + 1) / in_h - 1
        at = at + 2
      end
    end
  end
end

--- A size times a factor, as TensorFlow computes it: both in single precision, truncated.
function lucid.scaled(size, factor)
  return math.floor(tonumber(ffi.cast("float", tonumber(ffi.cast("float", factor)) * size)))
end

local function round(v) return v >= 0 and math.floor(v + 0.5) or -math.floor(-v + 0.5) end

--- The place that output pixel (i, j) of a picture turned by `angle` reads.
local function turned(h, w, angle)
  local c, s = math.cos(angle), math.sin(angle)
  local xo = ((w - 1) - (c * (w - 1) - s * (h - 1))) / 2
  local yo = ((h - 1) - (s * (w - 1) + c * (h - 1))) / 2
  return function(i, j)
    local column, row = round(c * j - s * i + xo), round(s * j + c * i + yo)
    if row < 0 or row >= h or column < 0 or column >= w then return -10 * h, -10 * w end
    return row, column
  end
end

local rotate = grad.custom("lucid_rotate", {
  forward = function(ctx, x, there, back)
    ctx.back = back
    return functions.warp(x, there, { mode = 1 })
  end,
  backward = function(ctx, g) return functions.warp(g, ctx.back, { mode = 1 }) end,
})

local unit_gradient = grad.custom("lucid_normalize_gradient", {
  forward = function(ctx, x, scales)
    ctx.scales = scales
    return x * 1
  end,
  backward = function(ctx, g)
    local length = g:square():sum({ axes = { 2, 3, 4 }, keep = true }):sqrt()
    return g * (ctx.scales / length:clamp { low = 1e-30 })
  end,
})

-- ---- transforms --------------------------------------------------------------------------------
-- Each is { draws = numbers it needs, apply(self, T, x, draw) }: draw(step) gives those numbers.

local kinds = {}

kinds.pad = function(self, T, x, draw)
  local w = self.w
  local all = { top = w, bottom = w, left = w, right = w }
  if self.mode == "reflect" then
    all.mode = 1
    return functions.pad2d(x, all)
  elseif self.mode == "uniform" then
    local grey = T:slot({ 1 }, function(t, _, step) t:fill(draw(step)[0]) end, true)
    return functions.pad2d(x - grey, all) + grey
  end
  all.value = self.mode
  return functions.pad2d(x, all)
end

kinds.jitter = function(self, T, x, draw)
  local d, h, w = self.d, x:size(2), x:size(3)
  local grid = T:slot({ T.n, h - d, w - d, 2 }, function(t, _, step)
    local u = draw(step)
    local top, left = math.floor(u[0] * (d + 1)), math.floor(u[1] * (d + 1))
    fill_grid(t, h, w, function(i, j) return i + top, j + left end)
  end, true)
  return functions.warp(x, grid, { mode = 1 })
end

--- Which of the list a draw in [0, 1) is.
local function chosen(list, u) return list[math.floor(u * #list) + 1] end

kinds.random_scale = function(self, T, x, draw, step)
  local factor = chosen(self.list, draw(step)[0])
  local h, w = x:size(2), x:size(3)
  local to_h, to_w = lucid.scaled(h, factor), lucid.scaled(w, factor)
  local grid = T:slot({ T.n, to_h, to_w, 2 }, function(t)
    fill_grid(t, h, w, function(i, j) return i * h / to_h, j * w / to_w end)
  end)
  return functions.warp(x, grid, { padding = 1 })
end

kinds.random_rotate = function(self, T, x, draw)
  local h, w = x:size(2), x:size(3)
  local function turn(sign)
    return T:slot({ T.n, h, w, 2 }, function(t, _, step)
      fill_grid(t, h, w, turned(h, w, sign * chosen(self.list, draw(step)[0]) * 3.14 / 180))
    end, true)
  end
  return rotate(x, turn(1), turn(-1))
end

kinds.crop_or_pad_to = function(self, _, x)
  for axis = 2, 3 do
    local n, to = x:size(axis), axis == 2 and self.h or self.w
    if n > to then
      x = x:narrow(axis, math.floor((n - to) / 2) + 1, to)
    elseif n < to then
      local before = math.floor((to - n) / 2)
      local after = to - n - before
      x = functions.pad2d(x, axis == 2 and { top = before, bottom = after }
        or { left = before, right = after })
    end
  end
  return x
end

kinds.normalize_gradient = function(self, T, x)
  local scales = T:slot({ T.n, 1, 1, 1 }, function(t, context)
    for k = 1, T.n do t:narrow(1, k, 1):fill(self.scales[context.ids[k]] or 1) end
  end)
  return unit_gradient(x, scales)
end

kinds.collapse_alpha_random = function(self, T, x)
  return transform.apply(T, x, { transform.background(self.sd) }, { x:size(2), x:size(3) })
end

--- See the top of this file.
function lucid.normalize_gradient(scales)
  return { lucid = "normalize_gradient", scales = scales or {} }
end
--- See the top of this file.
function lucid.collapse_alpha_random(sd)
  return { lucid = "collapse_alpha_random", sd = sd or 0.5 }
end
--- See the top of this file.
function lucid.pad(w, mode) return { lucid = "pad", w = w, mode = mode or "reflect" } end
--- See the top of this file.
function lucid.jitter(d) return { lucid = "jitter", d = d } end
--- See the top of this file.
function lucid.random_scale(list) return { lucid = "random_scale", list = list } end
--- See the top of this file.
function lucid.random_rotate(list) return { lucid = "random_rotate", list = list } end
--- See the top of this file.
function lucid.crop_or_pad_to(h, w) return { lucid = "crop_or_pad_to", h = h, w = w } end

--- Lucid's standard transforms.
function lucid.standard()
  local scales, angles = {}, {}
  for k = 0, 10 do scales[k + 1] = 0.90 + 0.02 * k end
  for a = -10, 10 do angles[#angles + 1] = a end
  for _ = 1, 5 do angles[#angles + 1] = 0 end
  return { lucid.pad(12, 0.5), lucid.jitter(8), lucid.random_scale(scales),
    lucid.random_rotate(angles), lucid.jitter(4) }
end

local function draw_of(T, k)
  return function(step)
    local stream = random.rng("vis/lucid/" .. k, { seed = T.seed, index = step })
    local t = stream:uniform({ 2 }, 0, 1, "f64")
    local p = F.data(t)
    return { [0] = p[0], p[1] }
  end
end

--- x through a list of them, as it is at that step; images get another size.
function lucid.apply(T, x, list, step)
  for k, t in ipairs(list) do
    local apply = kinds[t.lucid or ""]
    if not apply then
      F.raise("transforms: with lucid = true, item %d must be one of ea.vis.lucid", k)
    end
    x = apply(t, T, x, draw_of(T, k), step)
  end
  return x
end

--- How many sizes images can have on their way through a list of them.
function lucid.sizes(list)
  local count = 1
  for _, t in ipairs(list) do count = count * (t.lucid == "random_scale" and #t.list or 1) end
  return count
end

--- A text that tells apart the steps at which images change their size in another way.
function lucid.key(T, list, step)
  local parts = {}
  for k, t in ipairs(list) do
    if t.lucid == "random_scale" then
      parts[#parts + 1] = tostring(chosen(t.list, draw_of(T, k)(step)[0]))
    end
  end
  return table.concat(parts, ",")
end

return lucid
