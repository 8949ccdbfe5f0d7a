-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.attribution - how much each activation of a layer counts for a score.
--
--   a = ea.vis.attribution(net, x, "layer2", function(out) return out:narrow(2, 4, 1) end)
--   a:sum{4}                      -- of each position; a:sum{2, 3}: of each channel
--
-- The layer is named as everywhere, with /post where what its activation gives is meant.
-- x {n, h, w, c} is what the network takes (normalised); score(outputs) gives numbers, whose sum is
-- taken. With A the layer's activations and g(A) the score's gradient there (in evaluation mode):
--   steps = 0 (the default)   A g(A), the score's change to first order
--   steps = N                 A times the mean of g over N points between 0 and A (integrated
--                             gradients, Sundararajan 2017), by rule = "middle", "left" or "right":
--                             g(A (k - 1/2) / N), g(A (k - 1) / N) or g(A k / N), k = 1..N
-- Returns a tensor like A, f32.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local grad = require "edgeai.grad"
local layers = require "edgeai.vis.layers"

local shifts = { middle = 0.5, left = 1, right = 0 }

--- The score's gradient where the layer gives `there`.
local function gradient_at(net, x, module, there, score)
  local leaf = there:clone():require_grad()
  local out = Module.intercept({ [module] = function() return leaf end }, net, x)
  local value = score(out)
  if not F.is_tensor(value) then
    F.raise("attribution: the score must be a function of the outputs that gives a tensor, got "
      .. "a %s", type(value))
  end
  value:sum():backward()
  if not leaf.grad then F.raise("attribution: the score does not depend on that layer") end
  return leaf.grad
end

local function compute(net, x, name, score, o)
  local A = grad.no_grad(function() return layers.run(net, x, { name })[name] end)
  local module = grad.no_grad(layers.module, net, x, name)
  if o.steps == 0 then return (gradient_at(net, x, module, A, score) * A):to("f32") end
  local total
  for k = 1, o.steps do
    local g = gradient_at(net, x, module, A * ((k - shifts[o.rule]) / o.steps), score)
    total = total and total + g or g
  end
  return (total * A / o.steps):to("f32")
end

--- See the top of this file.
return function(net, x, name, score, options)
  local o = F.options(options, { steps = 0, rule = "middle" }, "attribution")
  if not shifts[o.rule] or type(o.steps) ~= "number" or o.steps < 0 or o.steps % 1 ~= 0 then
    F.raise("attribution: expected steps, a whole number, and rule \"middle\", \"left\" or "
      .. "\"right\"")
  end
  if type(score) ~= "function" then
    F.raise("attribution: expected a function of the network's outputs, got a %s", type(score))
  end
  local was = {}
  net:walk(function(_, m) was[m], m.training = m.training, false end)
  local ok, result = pcall(compute, net, F.need_tensor(x, "attribution"), name, score, o)
  for m, training in pairs(was) do m.training = training end
  if not ok then error(result, 0) end
  return result
end
