-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.check - is what a user brings to ea.vis what it must be? Its gradient agrees with
-- differences, in f64 on made-up activations (every layer is {3, 5, 6, 4}) and images {3, 8, 8, 3}
-- in [0, 1]; transforms and parameterisations give pictures, and an image alone what they give it
-- among others.

local F = require "edgeai.ffi"
local context = require "edgeai.vis.context"
local grad = require "edgeai.grad"
local random = require "edgeai.random"

local check = {}

local function made_up(name)
  local stream = random.rng("vis/check/" .. name, { seed = 1 })
  if name == "input" then return stream:uniform({ 3, 8, 8, 3 }, 0, 1, "f64") end
  if name == "output" then return stream:normal({ 3, 4 }, 0, 1, "f64") end
  return stream:normal({ 3, 5, 6, 4 }, 0, 1, "f64")
end

--- Runs fn; what it raises becomes "WHAT NAME was refused: ...".
local function judged(what, name, fn)
  local ok, result = pcall(fn)
  if ok then return result end
  F.raise("%s %s was refused: %s", what, name, (tostring(result):gsub("^[^\n]-:%d+: ", "")))
end

--- Raises unless the gradient of the objective agrees with differences to 1e-5 of its largest
-- element. Returns the largest error.
function check.objective(objective, name)
  local names, list = { "input" }, { made_up "input" }
  local function T_of(inputs)
    local known = {}
    for i, layer in ipairs(names) do known[layer] = inputs[i] end
    return context.new { n = 3, total = 3, dtype = "f64", steps = 10, input = known.input,
      labels = { "a", "b", "c", "d" }, get = function(layer)
        if not known[layer] then
          names[#names + 1], list[#list + 1] = layer, made_up(layer)
          known[layer] = list[#list]
        end
        return known[layer]
      end }
  end
  return judged("objective", name, function()
    local value = grad.no_grad(function() return objective:value(T_of(list)) end)
    if value:count_nonfinite() > 0 then F.raise("it is not finite on normal random activations") end
    return grad.check(function(...) return objective:value(T_of { ... }) end, list,
      { tolerance = 1e-5 })
  end)
end

-- ---- what gives pictures -----------------------------------------------------------------------

--- A T of the images of these numbers.
local function T_of(ids, input)
  return context.new { n = #ids, total = 3, ids = ids, dtype = "f64", steps = 10, input = input,
    get = function() F.raise("there are no layers here") end }
end

--- Raises unless y is as many finite pictures.
local function look_at(y, n)
  if not F.is_tensor(y) then F.raise("it gives a %s, not images {n, h, w, c}", type(y)) end
  if y.ndim ~= 4 or y:size(1) ~= n then
    F.raise("of %d images it gives %s, not images {%d, h, w, c}", n, F.describe(y), n)
  end
  if y:count_nonfinite() > 0 then F.raise("it gives numbers that are not finite") end
end

--- Raises unless image 2 alone comes out as among others.
local function look_alone(all, alone)
  local off = (all:narrow(1, 2, 1) - alone):abs():max():item()
  if not (off <= 1e-9) then
    F.raise("image 2 alone comes out otherwise (by %.2g) than among others; what is drawn must "
      .. "come from rng, and nothing may be computed over the batch", off)
  end
end

--- Raises unless apply(T, x) is a transform of images x, with an exact adjoint. Returns the largest
-- error of its gradient.
function check.transform(apply, name)
  return judged("transform", name, function()
    local x = made_up "input"
    local y = grad.no_grad(apply, T_of({ 1, 2, 3 }, x), x)
    look_at(y, 3)
    local one = x:narrow(1, 2, 1):clone()
    look_alone(y, grad.no_grad(apply, T_of({ 2 }, one), one))
    return grad.check(function(v) return apply(T_of({ 1, 2, 3 }, v), v) end, { x },
      { tolerance = 1e-5 })
  end)
end

--- Raises unless `made`, a parameterisation as spec:build gives it for images {h, w, c}, makes such
-- images in [0, 1], with the right gradient. Returns the gradient's largest error.
function check.param(made, name)
  return judged("parameterisation", name, function()
    local leaves, alone = {}, {}
    for i, leaf in ipairs(made.leaves) do
      local rows = {}
      for k = 1, leaf.shared or 3 do
        local stream = random.rng("vis/check/" .. leaf.name, { seed = 1, index = k })
        local row = leaf.init(stream, k, "f64") + stream:normal(leaf.size, 0, 0.1, "f64")
        rows[k] = row:reshape { 1, unpack(row.shape) }
      end
      leaves[i] = require("edgeai.ops").functions.concat(rows, { axis = 1 })
      alone[leaf.name] = leaf.shared and leaves[i] or rows[2]
    end
    local function image(...)
      local values = {}
      for i, leaf in ipairs(made.leaves) do values[leaf.name] = (select(i, ...)) end
      return made.image(values, T_of { 1, 2, 3 })
    end
    local y = grad.no_grad(image, unpack(leaves))
    look_at(y, 3)
    if y:size(2) ~= made.size[1] or y:size(3) ~= made.size[2] or y:size(4) ~= made.channels then
      F.raise("it gives %s, not images {3, %d, %d, %d}", F.describe(y), made.size[1], made.size[2],
        made.channels)
    end
    local low, high = y:min():item(), y:max():item()
    if low < 0 or high > 1 then F.raise("its images go from %g to %g, not 0 to 1", low, high) end
    if not made.coupled then look_alone(y, grad.no_grad(made.image, alone, T_of { 2 })) end
    return grad.check(image, leaves, { tolerance = 1e-5 })
  end)
end

return check
