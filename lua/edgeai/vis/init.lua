-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis - seeing inside a network: images optimised to show what a part of it answers to.
-- `ea.vis.objectives` (objectives/), `ea.vis.render` (render.lua), `ea.vis.start` (handle.lua),
-- `ea.vis.param` (param/), `ea.vis.transform` (transform.lua), `ea.vis.optimizer` (optimizer.lua).

local context = require "edgeai.vis.context"
local F = require "edgeai.ffi"
local layers = require "edgeai.vis.layers"
local objective = require "edgeai.vis.objective"
local registry = require "edgeai.vis.registry"

for _, family in ipairs { "units", "images", "batches", "classes" } do
  require("edgeai.vis.objectives." .. family)
end

local vis = { objectives = registry.objectives, register_objective = registry.register,
  unregister_objective = registry.unregister, needed = registry.needed, none = F.none,
  sum = objective.sum }

--- x as an objective: see objective.lua.
function vis.objective(x) return objective.as(x, "vis.objective") end

--- A T over given activations, for trying an objective out: see context.lua.
vis.context = context.of
--- Activations of a network by name, { name = tensor }: vis.layers(net, x, { "group1/pre", ... }).
vis.layers = layers.run

local colour = require "edgeai.vis.colour"

vis.render = require "edgeai.vis.render"
vis.start = require "edgeai.vis.handle"
vis.param = require "edgeai.vis.param"
vis.transform = require "edgeai.vis.transform"
local extend = require "edgeai.vis.extend"
vis.register_transform, vis.unregister_transform = extend.register_transform,
  extend.unregister_transform
vis.register_param, vis.unregister_param = extend.register_param, extend.unregister_param
vis.lucid = require "edgeai.vis.lucid"
vis.attribution = require "edgeai.vis.attribution"
vis.nmf = require "edgeai.vis.nmf"
vis.atlas = require "edgeai.vis.atlas"
vis.watch = require "edgeai.vis.watch"
vis.gallery = require "edgeai.vis.gallery"
vis.sheet = require "edgeai.vis.sheet"
vis.exhibit = require "edgeai.vis.exhibit"
vis.octaves = require "edgeai.vis.octaves"
vis.optimizer = require "edgeai.vis.optimizer"
--- The colour matrix of a data set: vis.colour(split); see colour.lua.
vis.colour = colour.of
--- The mean size of a data set's spectra, for param.maco: vis.magnitude(split).
vis.magnitude = require("edgeai.vis.param.maco").magnitude

return vis
