-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.check - does an objective's gradient agree with differences? In f64, on made-up
-- activations: every layer it asks for is {3, 5, 6, 4}, the image {3, 8, 8, 3} in [0, 1].

local F = require "edgeai.ffi"
local context = require "edgeai.vis.context"
local grad = require "edgeai.grad"
local random = require "edgeai.random"

local function made_up(name)
  local stream = random.rng("vis/check/" .. name, { seed = 1 })
  if name == "input" then return stream:uniform({ 3, 8, 8, 3 }, 0, 1, "f64") end
  if name == "output" then return stream:normal({ 3, 4 }, 0, 1, "f64") end
  return stream:normal({ 3, 5, 6, 4 }, 0, 1, "f64")
end

--- Raises unless the gradient of the objective agrees with differences to 1e-5 of its largest
-- element. Returns the largest error.
return function(objective, name)
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
  local ok, worst = pcall(function()
    local value = grad.no_grad(function() return objective:value(T_of(list)) end)
    if value:count_nonfinite() > 0 then F.raise("it is not finite on normal random activations") end
    return grad.check(function(...) return objective:value(T_of { ... }) end, list,
      { tolerance = 1e-5 })
  end)
  if not ok then
    F.raise("objective %s was refused: %s", name, tostring(worst):gsub("^.-:%d+: ", ""), "")
  end
  return worst
end
