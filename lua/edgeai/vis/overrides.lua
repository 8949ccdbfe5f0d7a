-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.overrides - layers that have another gradient while images are optimised, as Lucid's:
-- overrides(redirect, smooth) gives forwards by kind, for Module.replace.
--
--   redirect   ReLUs let a gradient into dead units (op redirected_relu) where nothing else passes
--   smooth     max pools have the gradient of another mean over their windows; it hangs not on one
--              pixel of each: true or "mean": of the plain mean; "l2": of mean x^2 / (0.01 + mean
--              |x|), which follows the large ones

local F = require "edgeai.ffi"
local grad = require "edgeai.grad"
local ops = require "edgeai.ops"

local functions = ops.functions

local function redirected(_, x) return functions.redirected_relu(x) end
local function redirected6(_, x) return functions.redirected_relu(x, { high = 6 }) end

local means = {
  mean = function(x, attrs) return functions.avg_pool2d(x, attrs) end,
  l2 = function(x, attrs)
    return functions.avg_pool2d(x:square(), attrs)
      / (functions.avg_pool2d(x:abs(), attrs) + 0.01)
  end,
}

--- A max pool with the gradient of a mean.
local function smooth_pool(mean)
  return function(layer, x)
    local soft = mean(x, layer.attrs)
    return soft + grad.no_grad(function()
      return functions.max_pool2d(x, layer.attrs) - soft
    end)
  end
end

--- See the top of this file.
return function(redirect, smooth)
  local map = {}
  if redirect then map.relu, map.relu6 = redirected, redirected6 end
  if smooth then
    local mean = means[smooth == true and "mean" or smooth]
    if not mean then
      F.raise("smooth_pool must be false, true or \"mean\", or \"l2\", got %s", tostring(smooth))
    end
    map.max_pool = smooth_pool(mean)
  end
  return map
end
