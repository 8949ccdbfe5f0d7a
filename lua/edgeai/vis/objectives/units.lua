-- SPDX-License-Identifier: GPL-3.0-or-later
-- Objectives on activations A {n, h, w, c} of a layer ({n, c} counts as {n, 1, 1, c}), as in
-- Lucid's objectives.py; means are over each image's positions. Channels, rows and columns count
-- from 1.
--
--   neuron(layer, channel, {y, x})   A[y, x, channel]; the middle (row h/2, column w/2 from 0)
--   channel(layer, channel)          mean A[.., channel]
--   direction(layer, vec)            mean over positions of d max(0.1, s)^p with d = a.v,
--                                    s = d / (1e-4 + |a|) / (1e-4 + |v|), p = cossim_pow
--   direction_neuron(layer, vec, {y, x})   the same at one position
--   tensor_direction(layer, vec)     vec {h', w', c} against the middle h' x w' positions
--   deepdream(layer)                 mean A^2
--   target(layer, targets)           -|m - t|^2 with m = mean of A over positions: for Dream
--                                    Distillation (arXiv 1905.07072)
--
-- channel, vec {c} and targets {c} may be lists of numbers, {images} or {images, c}: one for each
-- image. batch = k: image k's value, 0 for the others.

local F = require "edgeai.ffi"
local grad = require "edgeai.grad"
local ops = require "edgeai.ops"
local registry = require "edgeai.vis.registry"

local functions = ops.functions
local needed, none = registry.needed, F.none
local units = {}

--- A layer's activations as {n, h, w, c}.
local function maps(T, name)
  local A = T(name)
  if A.ndim == 4 then return A end
  if A.ndim == 2 then return A:reshape(-1, 1, 1, A:size(2)) end
  F.raise("layer '%s': expected activations {n, h, w, c} or {n, c}, got %s", name, F.describe(A))
end
units.maps = maps

--- Values {n} of all images; of batch = k only image k's.
local function of_image(T, o, values_of, A)
  if not o.batch then return values_of(A) end
  if type(o.batch) ~= "number" or o.batch < 1 or o.batch % 1 ~= 0
    or o.batch > (T.total or T.n) then
    F.raise("batch must be the number of an image, 1 to %d, got %s", T.total or T.n,
      tostring(o.batch))
  end
  if T.lucid then return values_of(A:narrow(1, o.batch, 1)) end
  return values_of(A) * T:is_image(o.batch)
end
units.of_image = of_image

--- One position {n, 1, 1, c}: row y and column x, or the middle.
local function at(A, o, name)
  local h, w = A:size(2), A:size(3)
  local y, x = o.y or math.floor(h / 2) + 1, o.x or math.floor(w / 2) + 1
  if y < 1 or y > h or x < 1 or x > w or y % 1 ~= 0 or x % 1 ~= 0 then
    F.raise("%s: layer '%s' has %d rows and %d columns; there is no row %s, column %s", name,
      o.layer, h, w, tostring(y), tostring(x))
  end
  return A:narrow(2, y, 1):narrow(3, x, 1)
end

--- One channel {n, h, w, 1}; of a list, image k's is list[k].
local function pick(T, A, o, name)
  local c = A:size(4)
  local list = type(o.channel) == "number" and { o.channel } or o.channel
  for _, k in ipairs(type(list) == "table" and list or { 0 }) do
    if type(k) ~= "number" or k % 1 ~= 0 or k < 1 or k > c then
      F.raise("%s: layer '%s' has %d channels, 1 to %d; there is no channel %s", name, o.layer, c,
        c, tostring(k ~= 0 and k or o.channel))
    end
  end
  if #list == 1 then return A:narrow(4, list[1], 1) end
  local one = T:one_hot(list, c, name)
  return functions.sum(A * one:reshape(-1, 1, 1, c), { axes = { 4 }, keep = true })
end

--- Number of images of an option that may have one item for each of them.
local function images_of(value)
  if F.is_tensor(value) then
    return value.ndim == 2 and value:size(1) > 1 and value:size(1) or nil
  end
  if type(value) ~= "table" then return nil end
  return type(value[1]) == "table" and #value > 1 and #value or nil
end
local function images_of_channel(o)
  return type(o.channel) == "table" and #o.channel > 1 and #o.channel or nil
end

--- {1 or n, 1, 1, c} from {c} or {images, c}.
local function vectors(T, value, c, name, o)
  local v = T:constant(value)
  if v.ndim == 1 then v = v:reshape(1, v:size(1)) end
  if v.ndim ~= 2 or v:size(2) ~= c then
    F.raise("%s: layer '%s' has %d channels: expected a vector {%d} or one for each image, "
      .. "{images, %d}, got %s", name, o.layer, c, c, c, F.describe(v))
  end
  return T:rows(v):reshape(-1, 1, 1, c)
end

--- d max(0.1, s)^p at every position, {n, h, w, 1}: see the top.
local function dot(a, v, power)
  local axes = { axes = { 4 }, keep = true }
  local d = functions.sum(a * v, axes)
  if power == 0 then return d end
  local s = d / (functions.norm(a, axes) + 1e-4) / (functions.norm(v, axes) + 1e-4)
  return d * s:clamp { low = 0.1 } ^ power
end
units.dot = dot

local function register(name, help, arguments, options, compute, more)
  local spec = { help = help, arguments = arguments, options = options, compute = compute,
    builtin = true }
  for key, value in pairs(more or {}) do spec[key] = value end
  registry.register(name, spec)
end
units.register = register

register("neuron", "One neuron: row y, column x (the middle), channel.", { "layer", "channel" },
  { layer = needed, channel = needed, y = none, x = none, batch = none },
  function(T, o)
    return of_image(T, o, function(A)
      return T:mean(pick(T, at(A, o, "neuron"), o, "neuron"))
    end, maps(T, o.layer))
  end, { images = images_of_channel, check = { layer = "L", channel = 2, y = 1, x = 3 } })

register("channel", "Mean of a channel.", { "layer", "channel" },
  { layer = needed, channel = needed, batch = none },
  function(T, o)
    return of_image(T, o, function(A) return T:mean(pick(T, A, o, "channel")) end,
      maps(T, o.layer))
  end, { images = images_of_channel, check = { layer = "L", channel = { 3, 1, 4 } } })

register("direction", "Activations along a vector of channels.", { "layer", "vec" },
  { layer = needed, vec = needed, cossim_pow = 0, batch = none },
  function(T, o)
    return of_image(T, o, function(A)
      return T:mean(dot(A, vectors(T, o.vec, A:size(4), "direction", o), o.cossim_pow))
    end, maps(T, o.layer))
  end, { images = function(o) return images_of(o.vec) end,
    check = { layer = "L", vec = { 1, -0.5, 2, 0.3 }, cossim_pow = 2 } })

register("direction_neuron", "Activations along a vector at one position.", { "layer", "vec" },
  { layer = needed, vec = needed, y = none, x = none, cossim_pow = 0, batch = none },
  function(T, o)
    return of_image(T, o, function(A)
      local v = vectors(T, o.vec, A:size(4), "direction_neuron", o)
      return T:mean(dot(at(A, o, "direction_neuron"), v, o.cossim_pow))
    end, maps(T, o.layer))
  end, { images = function(o) return images_of(o.vec) end,
    check = { layer = "L", vec = { 1, -0.5, 2, 0.3 }, cossim_pow = 1 } })

register("tensor_direction", "Activations along a tensor {h, w, c}, held against the middle.",
  { "layer", "vec" }, { layer = needed, vec = needed, cossim_pow = 0, batch = none },
  function(T, o)
    return of_image(T, o, function(A)
      local v, h, w, c = T:constant(o.vec), A:size(2), A:size(3), A:size(4)
      if v.ndim == 4 and v:size(1) == 1 then v = v:reshape(v:size(2), v:size(3), v:size(4)) end
      if v.ndim ~= 3 or v:size(3) ~= c or v:size(1) > h or v:size(2) > w then
        F.raise("tensor_direction: layer '%s' is {%d, %d, %d}: expected a tensor of as many "
          .. "channels and at most that size, got %s", o.layer, h, w, c, F.describe(v))
      end
      local top, left = math.floor((h - v:size(1)) / 2), math.floor((w - v:size(2)) / 2)
      local middle = A:narrow(2, top + 1, v:size(1)):narrow(3, left + 1, v:size(2))
      return T:mean(dot(middle, v:reshape(1, v:size(1), v:size(2), c), o.cossim_pow))
    end, maps(T, o.layer))
  end, { check = { layer = "L", vec = { { { 1, -0.5, 2, 0.3 }, { 0.2, 1, -1, 1 } } },
    cossim_pow = 1 } })

register("deepdream", "Mean square of a layer.", { "layer" }, { layer = needed, batch = none },
  function(T, o)
    return of_image(T, o, function(A) return T:mean(A:square()) end, maps(T, o.layer))
  end, { check = { layer = "L" } })

register("target", "Nearness of a layer's means to a vector for each image.",
  { "layer", "targets" }, { layer = needed, targets = needed },
  function(T, o)
    local A = maps(T, o.layer)
    local c = A:size(4)
    local found = A:size(2) * A:size(3) == 1 and A:reshape(-1, c) or A:mean { 2, 3 }
    local want = vectors(T, o.targets, c, "target", o):reshape(-1, c)
    return -T:sum((found - want):square())
  end, { images = function(o) return images_of(o.targets) end,
    check = { layer = "L", targets = { { 1, 0, 0.5, -1 }, { 0, 0, 2, 1 }, { 1, 1, 1, 1 } } } })

--- Runs fn without recording gradients: its result counts as a constant.
units.constant = grad.no_grad

return units
