-- SPDX-License-Identifier: GPL-3.0-or-later
-- Objectives on the logits z {n, classes} of a layer, "output" being the network's last. A class is
-- a number from 1, a name, or a list of these, one for each image.
--
--   class_logit(layer, label)           z_label
--   class_cross_entropy(layer, label)   z_label - ln sum e^z: the logarithm of its probability
--   logit_margin(layer, label)          z_label - max of the others

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local registry = require "edgeai.vis.registry"
local units = require "edgeai.vis.objectives.units"

local functions = ops.functions
local needed, none = registry.needed, F.none

local function logits(T, o, name)
  local z = T(o.layer)
  if z.ndim == 4 and z:size(2) * z:size(3) == 1 then z = z:reshape(-1, z:size(4)) end
  if z.ndim ~= 2 then
    F.raise("%s: layer '%s' gives %s, expected logits {n, classes}", name, o.layer, F.describe(z))
  end
  return z
end

local function chosen(T, z, label, name)
  local list = {}
  for i, l in ipairs(type(label) == "table" and label or { label }) do
    list[i] = T:class(l, name)
  end
  return T:one_hot(list, z:size(2), name)
end

local function register(name, help, compute)
  units.register(name, help, { "layer", "label" }, { layer = needed, label = needed, batch = none },
    function(T, o)
      local z = logits(T, o, name)
      local one = chosen(T, z, o.label, name)
      return units.of_image(T, o, function(part)
        local v = compute(part, one)
        return T.lucid and v:sum() or v
      end, z)
    end, { images = function(o)
      return type(o.label) == "table" and #o.label > 1 and #o.label or nil
    end, check = { layer = "output", label = { 2, "d", 1 } } })
end

register("class_logit", "A class's logit.", function(z, one) return (z * one):sum { 2 } end)
register("class_cross_entropy", "Logarithm of a class's probability.", function(z, one)
  return (functions.log_softmax(z, { axis = 2 }) * one):sum { 2 }
end)
register("logit_margin", "A class's logit less the largest of the others.", function(z, one)
  return (z * one):sum { 2 } - (z - one * 1e9):max { 2 }
end)
