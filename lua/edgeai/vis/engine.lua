-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.engine - a batch of images that learn: parameters, captured graphs, updates.
--
-- One engine is made for n images and may then serve one batch after the other (engine:load). A
-- step is forward and backward through the frozen network, of which the parameters of the images
-- alone take a gradient, and one update. Everything is computed image by image, so that an image
-- comes out the same to the bit in a batch of any size. Networks with batch norms must be in
-- evaluation mode for that: the engine sees to it while it records.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local capture = require "edgeai.capture"
local context = require "edgeai.vis.context"
local dry = require "edgeai.vis.dry"
local grad = require "edgeai.grad"
local layers = require "edgeai.vis.layers"
local lucid = require "edgeai.vis.lucid"
local overrides = require "edgeai.vis.overrides"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"
local transform = require "edgeai.vis.transform"

local engine = {}
engine.__index = engine

-- ---- the network's side ------------------------------------------------------------------------

--- x in [0, 1] as the network wants it.
local function normalised(self, T, x)
  local o = self.opts
  local scale, shift = {}, {}
  for c = 1, #o.std do scale[c], shift[c] = 1 / o.std[c], -o.mean[c] / o.std[c] end
  if x:size(4) ~= #scale then
    F.raise("render: the images have %d channels, the network's mean has %d", x:size(4), #scale)
  end
  return x * T:constant(scale) + T:constant(shift)
end

--- Activations by name of x in [0, 1], in evaluation mode.
local function run_layers(self, T, x, names)
  local net, was = self.net, {}
  net:walk(function(_, m) was[m], m.training = m.training, false end)
  local ok, found = pcall(Module.run_apart, layers.run, net, normalised(self, T, x), names)
  for m, training in pairs(was) do m.training = training end
  if not ok then error(found, 0) end
  return found
end

--- Activations of a picture that an objective compares with, computed once.
local function reference(self, picture, layer)
  local x = F.need_tensor(picture, "render: a picture"):detach()
  x = x.dtype == "u8" and x:to("f32") / 255 or x:to("f32")
  if x.ndim == 3 then x = x:reshape { 1, unpack(x.shape) } end
  local size = self.opts.input
  if x.ndim ~= 4 or x:size(2) ~= size[1] or x:size(3) ~= size[2] then
    F.raise("render: the network looks at %d x %d pixels; the picture to compare with is %s, bring "
      .. "it to that size by ea.resize", size[1], size[2], F.describe(picture))
  end
  local T = { constant = function(_, v) return tensor.tensor(v, "f32") end }
  return grad.no_grad(function() return run_layers(self, T, x, { layer })[layer]:to("f32") end)
end

--- Raises unless its values are those of a picture.
local function check_range(picture)
  if picture.dtype == "u8" then return end
  local low, high = picture:min():item(), picture:max():item()
  if not (low >= -1e-6 and high <= 1 + 1e-6) then
    F.raise("render: the picture to compare with must lie in [0, 1] (or be u8), but it goes from "
      .. "%g to %g", low, high)
  end
end

-- ---- recording ---------------------------------------------------------------------------------

local function new_context(self, fields)
  local o = self.opts
  local T = { n = self.n, total = o.total, ids = self.ids, steps = o.steps, seed = o.seed,
    first = o.first,
    labels = self.net and self.net.meta and self.net.meta.names, net = self.net, lucid = o.lucid,
    of = function(picture, layer) return self.references[layer .. "/" .. tostring(picture.p)] end }
  for key, value in pairs(fields or {}) do T[key] = value end
  return context.new(T)
end

local function images_of(self, T)
  local values = {}
  for _, leaf in ipairs(self.leaves) do values[leaf.name] = leaf.tensor end
  return self.param.image(values, T)
end

--- x through the transforms, as they are at that step.
local function transformed(self, T, x, step)
  local o = self.opts
  if o.lucid then return lucid.apply(T, x, o.transforms, step) end
  return transform.apply(T, x, o.transforms, o.input)
end

--- Which layers the objective asks for: it is run once on shapes alone. Activations of pictures
-- that it compares with are computed then.
local function needed_layers(self)
  local names, pictures, found = {}, {}, {}
  dry(function()
    local T
    local function get(name)
      if not found[name] then
        names[#names + 1] = name
        local x = transformed(self, T, T.input, 1)
        found[name] = run_layers(self, T, x, { name })[name]
      end
      return found[name]
    end
    local function of(picture, layer)
      pictures[#pictures + 1] = { picture = picture, layer = layer }
      return reference(self, picture, layer)
    end
    T = new_context(self, { input = images_of(self, new_context(self)), get = get, of = of })
    self.objective:value(T)
  end)
  for _, p in ipairs(pictures) do
    check_range(p.picture)
    self.references[p.layer .. "/" .. tostring(p.picture.p)] = reference(self, p.picture, p.layer)
  end
  return names
end

--- The function that a graph records: minus the sum of values, values, images, every term.
local function record(self, T, names, step)
  local image = images_of(self, T)
  T.input = image
  local found = {}
  if #names > 0 then
    local x = transformed(self, T, image, step)
    found = run_layers(self, T, x, names)
  end
  local function get(name) return found[name] end
  T.get = get
  local value = self.objective:value(T)
  local function each(v) return v:numel() == T.n and v or v:reshape(1):expand(T.n) end
  local results = { -value:sum(), each(value), image }
  for i, term in ipairs(self.terms) do results[3 + i] = each(term.node:value(T)) end
  return unpack(results)
end

--- The graph for a step: with redirected ReLUs or without.
local function graph_for(self, step)
  local redirect = step <= self.opts.redirect
  local key = redirect and "redirected" or "plain"
  if self.opts.lucid then key = key .. lucid.key(self.opts, self.opts.transforms, step) end
  if self.graphs[key] then return self.graphs[key] end
  self.names = self.names or needed_layers(self)
  local T = new_context(self)
  local graph = Module.replace(overrides(redirect, self.opts.smooth_pool), capture, function()
    return record(self, T, self.names, step)
  end, {})
  self.graphs[key] = { graph = graph, T = T }
  return self.graphs[key]
end

-- ---- making one --------------------------------------------------------------------------------

--- An engine for n images. opts: mean, std, steps, total, seed, first, lucid, transforms (list),
-- input {h, w}, redirect (steps), smooth_pool, optimizer (a function of a list of tensors).
function engine.new(net, objective, param, n, opts)
  local self = setmetatable({ net = net, objective = objective, terms = objective:terms(),
    param = param, n = n, opts = opts, graphs = {}, references = {}, leaves = {}, ids = {} },
    engine)
  for k = 1, n do self.ids[k] = k end
  local list = {}
  local outer = F.set_scope(nil)
  for i, leaf in ipairs(param.leaves) do
    local t = tensor.zeros({ leaf.shared or n, unpack(leaf.size) }):require_grad()
    self.leaves[i] = { name = leaf.name, tensor = t, init = leaf.init, shared = leaf.shared }
    list[i] = t
  end
  self.optimizer = opts.optimizer(list)
  F.set_scope(outer)
  return self
end

--- Starts anew with these images (numbers from 1).
function engine:load(ids)
  self.ids, self.step_count = ids, 0
  for _, leaf in ipairs(self.leaves) do
    for k = 1, leaf.shared or self.n do
      local id = leaf.shared and k or ids[k]
      local stream = random.rng("vis/start/" .. leaf.name,
        { seed = self.opts.seed, index = (id + self.opts.first - 2) * 2 ^ 20 })
      local row = leaf.init(stream, id, "f32")
      leaf.tensor:detach():narrow(1, k, 1):copy(row:reshape { 1, unpack(row.shape) })
      row:drop()
    end
  end
  self.optimizer:restart()
end

--- Forward at the images as they are; returns the outputs (loss, values {n}, images, each term) and
-- the graph.
function engine:forward()
  local step = self.step_count + 1
  local g = graph_for(self, step)
  if g.ids ~= self.ids then -- new, or images were loaded since
    g.ids = self.ids
    g.T:fill(step, self.ids)
  else
    g.T:fill(step)
  end
  local outputs = g.graph.outputs
  g.graph:forward(step)
  self.outputs = outputs
  return outputs, g.graph
end

--- The update that belongs to the last step's forward.
function engine:update(graph)
  graph:backward()
  self.optimizer:step()
  self.step_count = self.step_count + 1
end

--- Runs the network eagerly on the images as they are, through the last step's transforms, as far
-- as the objective looks. Returns the objective's values {n}.
function engine:run()
  local T = new_context(self)
  T:fill(self.step_count + 1, self.ids)
  T.input = images_of(self, T)
  local x = transformed(self, T, T.input, self.step_count + 1)
  local found = run_layers(self, T, x, self.names)
  local function get(name) return found[name] end
  T.get = get
  return self.objective:value(T)
end

--- Images {n, h, w, c} as they are now.
function engine:images()
  return grad.no_grad(function()
    local T = new_context(self)
    return images_of(self, T):detach():clone()
  end)
end

--- Goes on behind that step: parameters and the optimiser's memory were set to what they were.
function engine:go_to(step)
  self.step_count = step
  self.optimizer:go_to(step)
end

--- Another objective or other transforms from here on; raises, and all stays, if these do not work.
function engine:change(objective, transforms)
  local o, was, were = self.opts, self.objective, self.opts.transforms
  self.objective, o.transforms = objective or was, transforms or were
  local ok, names = pcall(needed_layers, self)
  if not ok then
    self.objective, o.transforms = was, were
    error(names, 0)
  end
  self:free()
  self.names, self.terms = names, self.objective:terms()
end

--- Bytes that all steps together need at most: graphs stay once they are recorded.
function engine:peak()
  local o = self.opts
  local plain = graph_for(self, o.redirect + 1).graph
  local sizes = o.lucid and lucid.sizes(o.transforms) or 1
  local peak = plain.peak + (sizes - 1) * plain.bytes
  if o.redirect > 0 then
    peak = peak + math.min(sizes, o.redirect) * graph_for(self, 1).graph.bytes
  end
  return peak
end

--- Frees the graphs.
function engine:free()
  for _, g in pairs(self.graphs) do g.graph:free() end
  self.graphs = {}
end

return engine
