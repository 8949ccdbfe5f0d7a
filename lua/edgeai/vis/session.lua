-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.session - a rendering under way: one batch of images after the other, step by step.

local F = require "edgeai.ffi"
local engine = require "edgeai.vis.engine"
local objective = require "edgeai.vis.objective"
local options_of = require "edgeai.vis.options"
local tensor = require "edgeai.tensor"
local why = require "edgeai.vis.why"

local session = {}
session.__index = session

--- A rendering of `goal` (whatever is an objective) on net; options as render's.
function session.new(net, goal, given)
  local self = setmetatable({ net = net, objective = objective.as(goal, "render") }, session)
  self.opts = options_of(net, self.objective, given)
  return self
end

--- An engine for n images.
function session:new_engine(n)
  local o = self.opts
  return engine.new(self.net, self.objective, o.made, n, { mean = o.mean, std = o.std,
    steps = o.steps, total = o.total, seed = o.seed, first = o.first, transforms = o.transforms,
    input = o.input,
    redirect = o.redirect, smooth_pool = o.smooth_pool, lucid = o.lucid,
    optimizer = function(list) return o.optimizer.make(list, o.lucid) end })
end

--- Begins with the images of these numbers.
function session:start(ids)
  if not self.engine or self.engine.n ~= #ids then
    if self.engine then self.engine:free() end
    self.engine = self:new_engine(#ids)
  end
  self.engine:load(ids)
  self.ids, self.history, self.kept, self.dead = ids, {}, {}, {}
end

--- Row `step` of the history of `label`, which grows as needed.
local function history_row(self, label, step)
  local h, n = self.history[label], self.engine.n
  if not h or h:size(1) < step then
    local outer = F.set_scope(nil)
    local longer = tensor.zeros { math.max(self.opts.steps, step, h and 2 * h:size(1) or 0), n }
    F.set_scope(outer)
    if h then longer:narrow(1, 1, h:size(1)):copy(h) end
    self.history[label] = longer
  end
  return self.history[label]:narrow(1, step, 1)
end

--- Adds these numbers of images to the list of dead ones; raises where they are not to be kept.
-- explain: what says why the first of them is (of why.lua).
function session:note_dead(ids, explain)
  if #ids == 0 then return end
  self.reason = self.reason or explain()
  if self.opts.dead ~= "keep" then
    F.raise("render: %s; dead = \"keep\" goes on without", self.reason)
  end
  local known = {}
  for _, id in ipairs(self.dead) do known[id] = true end
  for _, id in ipairs(ids) do
    if not known[id] then self.dead[#self.dead + 1] = id end
  end
end

--- One step: forward, values noted and looked at, backward, update.
function session:advance()
  local e = self.engine
  local outputs, graph = e:forward()
  local step = e.step_count + 1
  history_row(self, "total", step):copy(outputs[2]:reshape(1, e.n))
  for i, term in ipairs(e.terms) do
    history_row(self, term.label, step):copy(outputs[3 + i]:reshape(1, e.n))
  end
  if outputs[2]:count_nonfinite() > 0 then why.not_finite(e, outputs, step) end
  e:update(graph)
  -- At the edge of a ball (within) an image that cannot get better has no gradient, either.
  if step == 1 or step == self.opts.redirect + 1 and not self.opts.made.near then
    self:note_dead(why.no_gradient(e, step))
  end
  if self.opts.on_step then self.opts.on_step(step, outputs[2]) end
  for _, at in ipairs(self.opts.thresholds) do
    if at == step then self.kept[#self.kept + 1] = e:images() end
  end
end

local function with_precision(self, fn)
  local o, net = self.opts, self.net
  if not o.precision then return fn() end
  local was = {}
  net:walk(function(_, m) was[m] = { rawget(m, "precision"), rawget(m, "wide") } end)
  net:set_precision(o.precision)
  local ok, message = pcall(fn)
  for m, v in pairs(was) do m.precision, m.wide = v[1], v[2] end
  if not ok then error(message, 0) end
end

--- Runs fn with the parameters of the network frozen and in the precision asked for.
function session:frozen(fn)
  local thawed = {}
  for _, p in ipairs(self.net:parameters()) do
    if p.tensor.requires_grad then
      thawed[#thawed + 1] = p.tensor
      p.tensor:require_grad(false)
    end
  end
  local ok, message = pcall(with_precision, self, fn)
  for _, t in ipairs(thawed) do t:require_grad() end
  if not ok then error(message, 0) end
end

return session
