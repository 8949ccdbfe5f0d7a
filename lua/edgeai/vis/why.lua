-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.why - why a rendering went wrong: which term, image, step, layer, and a few numbers.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local grad = require "edgeai.grad"

local why = {}

--- First image whose value is not finite.
local function first_bad(values)
  for k = 1, values:size(1) do
    local v = values[k]
    if v ~= v or math.abs(v) == math.huge then return k, v end
  end
end

--- Calls see(name, output of every layer that has activations) for the images as they are.
local function look_at_layers(engine, see)
  local names = {}
  engine.net:walk(function(name, m) names[m] = names[m] or name end)
  grad.no_grad(function()
    Module.observe(function(m, _, y)
      if #m.children == 0 and F.is_tensor(y) then see(names[m], m, y:to("f32")) end
    end, engine.run, engine)
  end)
end

--- "; first in layer3.0.bn1" or "".
local function first_layer(engine)
  local where
  look_at_layers(engine, function(name, _, y)
    if not where and y:count_nonfinite() > 0 then where = name end
  end)
  return where and ("; the first layer that gives such numbers is %s"):format(where)
    or "; the layers' activations are finite"
end

--- Length of the last step's gradient of image k.
local function last_gradient(engine, k)
  local sum = 0
  for _, leaf in ipairs(engine.leaves) do
    local g = leaf.tensor.grad
    if g and not leaf.shared then sum = sum + g:narrow(1, k, 1):square():sum():item() end
  end
  return math.sqrt(sum)
end

--- Raises: a value is NaN or infinite.
function why.not_finite(engine, outputs, step)
  local image, value = first_bad(outputs[2])
  local term = "the objective"
  for i, t in ipairs(engine.terms) do
    local bad = outputs[3 + i].ndim == 1 and first_bad(outputs[3 + i])
    if bad then
      term = t.label
      break
    end
  end
  local before = step > 1 and ("; the gradient of the step before had a norm of %.3g"):format(
    last_gradient(engine, image)) or ""
  F.raise("render: %s became %s at step %d for image %d%s%s", term,
    value ~= value and "NaN" or "infinite", step, engine.ids[image], first_layer(engine), before)
end

--- Length of the objective's gradient where a layer has given y, for image k.
local function gradient_behind(engine, module, y, k)
  local leaf = y:clone():require_grad()
  local value = Module.intercept({ [module] = function() return leaf end }, engine.run, engine)
  if value.requires_grad then value:sum():backward() end
  return leaf.grad and leaf.grad:narrow(1, k, 1):to("f32"):norm():item() or 0
end

--- Share of zeros that each ReLU gives image k, the deadest first, and the objective's gradient
-- there: "relu 100 % (gradient 0), ...".
local function dead_units(engine, k)
  local list = {}
  look_at_layers(engine, function(name, m, y)
    if m.kind ~= "relu" and m.kind ~= "relu6" then return end
    local one = y:select(1, k):reshape(-1)
    local zeros = one:numel() - one:greater(0):to("f32"):sum():item()
    list[#list + 1] = { name = name, share = zeros / one:numel(), module = m, y = y }
  end)
  table.sort(list, function(a, b) return a.share > b.share end)
  local words = {}
  for i = 1, math.min(3, #list) do
    local one = list[i]
    words[i] = ("%s %.0f %% (gradient %.2g)"):format(one.name, 100 * one.share,
      gradient_behind(engine, one.module, one.y, k))
  end
  return #words > 0 and "; units that are 0: " .. table.concat(words, ", ") or ""
end

--- Does a gradient reach image k?
local function is_reached(engine, k)
  for _, leaf in ipairs(engine.leaves) do
    local g = leaf.tensor.grad
    if leaf.shared or g and g:narrow(1, k, 1):abs():max():item() > 0 then return true end
  end
  return false
end

--- Images that no gradient at all reached: they would stay as they are, mostly grey. Returns a list
-- of their numbers, and a function that says why that is so of the first.
function why.no_gradient(engine, step)
  local dead, first = {}, nil
  for k = 1, engine.n do
    if not is_reached(engine, k) then
      dead[#dead + 1], first = engine.ids[k], first or k
    end
  end
  return dead, function()
    return ("no gradient reaches image %d at step %d: nothing that the objective (%s) looks at "
      .. "answers to it%s"):format(dead[1], step, tostring(engine.objective),
      dead_units(engine, first))
  end
end

--- Less than half a step of 8 bits: saved, such an image has one colour.
local one_colour = 1 / 512

--- Images {n, h, w, c} that ended as one colour, though the objective looks at the network. Returns
-- a list of their numbers, and a function that says why that is so of the first, with each term's
-- last value from `history`. An objective of the image alone may want one colour, and an image of
-- one pixel has no other.
function why.one_colour(engine, images, history)
  local flat, first, least, step = {}, nil, nil, engine.step_count
  local pixels = images:size(2) * images:size(3)
  if #(engine.names or {}) == 0 or pixels == 1 then return flat end
  for k = 1, engine.n do
    local x = images:select(1, k):reshape(pixels, -1)
    local spread = (x:max { axes = { 1 } } - x:min { axes = { 1 } }):max():item()
    if spread < one_colour then
      flat[#flat + 1], first, least = engine.ids[k], first or k, least or spread
    end
  end
  return flat, function()
    local values = {}
    for i, t in ipairs(engine.terms) do
      values[i] = ("%s %.3g"):format(t.label, history[t.label]:get(step, first))
    end
    return ("image %d is of one colour after step %d: no colour of it differs by more than %.2g "
      .. "between pixels. Values of the terms: %s; the last gradient had a norm of %.3g%s. A term "
      .. "that smooths may weigh too much"):format(flat[1], step, least,
      table.concat(values, ", "), last_gradient(engine, first), dead_units(engine, first))
  end
end

return why
