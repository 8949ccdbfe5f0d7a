-- SPDX-License-Identifier: GPL-3.0-or-later
-- Objectives on pictures x {n, h, w, c} (or any layer's activations), for each image, as in Lucid.
-- They are penalties but for the last: take them with a minus.
--
--   total_variation(layer="input")   sum |x[y+1] - x[y]| + sum |x[x+1] - x[x]|
--   L1(layer="input", {constant=0})  sum |x - constant|
--   L2(layer="input", {constant=0, epsilon=1e-6})   sqrt(epsilon + sum (x - constant)^2)
--   input_diff(original)             sqrt(mean (x - original)^2)
--   blur_input_each_step()           1/2 sum (x - blur3 x)^2, where blur3 x counts as a constant:
--                                    with -k, a step of gradient ascent is x <- (1-k) x + k blur x
--   blur_alpha_each_step()           the same of the fourth channel alone
--   penalize_boundary_complexity{w=20, C=0.5, mask}   -sum m ((blur5 x - x)^2 + 0.8 (x - C)^2),
--                                    m = mask, or 1 in a border of w pixels: to be added
--
-- blurK: mean of the pixels of a K x K window that are in the image, the outer ones at half weight.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local registry = require "edgeai.vis.registry"
local tensor = require "edgeai.tensor"
local units = require "edgeai.vis.objectives.units"

local functions = ops.functions
local register, none = units.register, F.none

local function difference(x, axis)
  local n = x:size(axis)
  if n < 2 then return nil end
  return x:narrow(axis, 2, n - 1) - x:narrow(axis, 1, n - 1)
end

register("total_variation", "Sum of the steps between neighbours.", { "layer" },
  { layer = "input" },
  function(T, o)
    local x, total = units.maps(T, o.layer), nil
    for axis = 2, 3 do
      local d = difference(x, axis)
      local s = d and d:abs():sum { 2, 3, 4 }
      total = total and s and total + s or total or s
    end
    return total or 0
  end)

register("L1", "Sum of the distances from a constant.", { "layer" },
  { layer = "input", constant = 0 },
  function(T, o) return T:sum((T(o.layer) - o.constant):abs()) end, { check = { layer = "L" } })

register("L2", "Length of the difference from a constant.", { "layer" },
  { layer = "input", constant = 0, epsilon = 1e-6 },
  function(T, o) return T:norm(T(o.layer) - o.constant, o.epsilon) end)

register("input_diff", "Root mean square difference from given pictures.", { "original" },
  { original = registry.needed },
  function(T, o)
    local x, original = T "input", o.original
    if type(original) ~= "number" then
      original = T:constant(original)
      if original.ndim == 3 then original = original:reshape { 1, unpack(original.shape) } end
      local a, b = original.shape, x.shape
      if #a ~= 4 or a[2] ~= b[2] or a[3] ~= b[3] or a[4] ~= b[4] then
        F.raise("input_diff: expected pictures of the images' size {%d, %d, %d}, got %s", b[2],
          b[3], b[4], F.describe(original))
      end
      original = T:rows(original)
    end
    return T:norm(x - original) / math.sqrt(T.lucid and x:numel() or x:numel() / T.n)
  end, { check = { original = 0.25 } })

--- How many inner and outer pixels of a window around i are within 1..n, along one axis.
local function within(i, n, half)
  local inner, outer = 0, 0
  for d = -half, half do
    if i + d >= 1 and i + d <= n then
      if math.abs(d) == half then outer = outer + 1 else inner = inner + 1 end
    end
  end
  return inner, outer
end

--- blurK of x, see the top.
local function blurred(T, x, size)
  local h, w, half = x:size(2), x:size(3), (size - 1) / 2
  local valid = tensor.empty({ 1, h, w, 1 }, T.dtype) -- the weights inside the image, summed
  for i = 1, h do
    local a, b = within(i, h, half)
    for j = 1, w do
      local p, q = within(j, w, half)
      valid:set(1, i, j, 1, 0.5 * (a * p + (a + b) * (p + q)))
    end
  end
  local kernel = tensor.full({ x:size(4), 1, size, size }, 0.5, T.dtype)
  kernel:narrow(3, 2, size - 2):narrow(4, 2, size - 2):fill(1)
  return functions.conv2d(x, kernel, { pad = half, groups = x:size(4) }) / valid
end

local function towards_blur(T, x)
  local to = units.constant(function() return blurred(T, x, 3) end)
  return T:sum((x - to):square()) * 0.5
end

register("blur_input_each_step", "Distance from the picture blurred a little.", {}, {},
  function(T) return towards_blur(T, T "input") end, { check = false })

register("blur_alpha_each_step", "The same of the fourth channel.", {}, {},
  function(T)
    local x = T "input"
    if x:size(4) < 4 then
      F.raise("blur_alpha_each_step: the images have %d channels, no alpha", x:size(4))
    end
    return towards_blur(T, x:narrow(4, 4, 1))
  end, { check = false })

register("penalize_boundary_complexity", "Calm borders: near their blur and near grey.", {},
  { w = 20, C = 0.5, mask = none },
  function(T, o)
    local x = T "input"
    local h, w, c = x:size(2), x:size(3), x:size(4)
    local mask = o.mask and T:constant(o.mask)
    if not mask then
      mask = tensor.ones({ h, w }, T.dtype)
      if h > 2 * o.w and w > 2 * o.w then
        mask:narrow(1, o.w + 1, h - 2 * o.w):narrow(2, o.w + 1, w - 2 * o.w):fill(0)
      end
    end
    if mask:size(1) ~= h or mask:size(2) ~= w or mask.ndim > 3 then
      F.raise("penalize_boundary_complexity: expected a mask {%d, %d} or {%d, %d, %d}, got %s", h,
        w, h, w, c, F.describe(mask))
    end
    mask = mask:reshape(1, h, w, -1)
    local rough = (blurred(T, x, 5) - x):square() + (x - o.C):square() * 0.8
    return -T:sum(rough * mask)
  end, { check = { w = 2 } })
