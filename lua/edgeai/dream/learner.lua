-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.dream.learner - the student that learns from the dreams made so far while more are made,
-- so that the next ones can be what it does not know yet; at the end it is the student.
--
-- After each part: new augmented views of images drawn from all parts so far (and from images that
-- were there before, if any: dreams of another engine), as many as fill
-- `steps` batches `reuse` times over, are answered by the teacher and learned from `reuse` times in
-- random order, by SGD with Nesterov momentum on T^2 KL(teacher || student). A teacher's answer is
-- dearer than a small student's whole step, so each serves a few times; views are new in each part,
-- so that a student that sees millions of images sees hardly one twice.

local F = require "edgeai.ffi"
local capture = require "edgeai.capture"
local data = require "edgeai.data"
local grad = require "edgeai.grad"
local kd = require "edgeai.distill.kd"
local ops = require "edgeai.ops"
local optim = require "edgeai.optim"
local random = require "edgeai.random"
local raw = require "edgeai.data.raw"
local tensor = require "edgeai.tensor"

local Learner = {}
Learner.__index = Learner

--- opts: net, steps (of a batch, after each part), batch, reuse, lr (a function of the share of all
-- parts' images that is there), temperature, weight_decay, augment, count (images of all parts),
-- also (images u8 {n, h, w, c} that are there from the start, or nil), shape, seed, precision.
local function new(teacher, like, o)
  local self = setmetatable({ teacher = teacher, like = like, opts = o, filled = 0 }, Learner)
  local h, w, c = unpack(o.shape)
  local before = o.also and o.also:size(1) or 0
  self.images = raw.new("u8", { before + o.count, h, w, c })
  if o.also then self:add(o.also) end
  self.before = before
  self.fresh = math.ceil(o.steps / o.reuse) -- batches of views
  self.views = raw.new(o.precision, { self.fresh * o.batch, h, w, c })
  self.answers = tensor.zeros { self.fresh * o.batch, like.classes }
  self.optimizer = optim.sgd(o.net, { momentum = 0.9, nesterov = true,
    weight_decay = o.weight_decay })
  return self
end

--- Takes in a part of the dreams {n, h, w, c} u8.
function Learner:add(images)
  local n = images:size(1)
  self.images:narrow(1, self.filled + 1, n):copy(images)
  self.filled = self.filled + n
end

local function record(self, loader)
  local o = self.opts
  self.answer = grad.no_grad(capture, function(x) return self.teacher(x):to("f32") end,
    { loader.x })
  o.net:train()
  self.graph = capture(function(id)
    local function take(from) return ops.functions.index_select(from, id, { axis = 1 }) end
    return kd(o.net(take(self.views)):to("f32"), take(self.answers),
      { temperature = o.temperature })
  end, { { size = { o.batch }, dtype = "i32" } })
end

--- New views of what is there, answered by the teacher.
local function look(self, k)
  local o, done, epoch = self.opts, 0, 0
  local pool = data.given(self.like, self.images:narrow(1, 1, self.filled), nil, "dreams")
  local loader = pool:loader { batch = o.batch, shuffle = true, augment = o.augment,
    seed = o.seed + k, dtype = o.precision }
  if not self.graph then record(self, loader) end
  while done < self.fresh do
    epoch = epoch + 1
    for x in loader:epoch(epoch) do
      if done == self.fresh then break end
      self.answer.inputs[1]:copy(x)
      self.answer:forward()
      self.views:narrow(1, done * o.batch + 1, o.batch):copy(x)
      self.answers:narrow(1, done * o.batch + 1, o.batch):copy(self.answer.outputs[1])
      done = done + 1
    end
  end
  loader:close()
end

--- The steps that belong to part k. Returns the mean loss.
function Learner:learn(k)
  local o, total, order = self.opts, 0, nil
  look(self, k)
  local lr, stream = o.lr((self.filled - self.before) / o.count),
    random.rng("dream/learn", { seed = o.seed, index = k * 2 ^ 20 })
  for step = 0, o.steps - 1 do
    local at = step % self.fresh
    if at == 0 then order = stream:permutation(self.fresh * o.batch) end
    self.graph.inputs[1]:copy(order:narrow(1, at * o.batch + 1, o.batch))
    self.graph:forward(k * 2 ^ 20 + step)
    total = total + self.graph.outputs[1]:item()
    self.graph:backward()
    self.optimizer:step { lr = lr }
  end
  if not (math.abs(total) < math.huge) then
    F.raise("dream: the student's loss is not finite after part %d; a lower lr may help", k)
  end
  return total / o.steps
end

--- What goes on from part to part: { name =, tensor = }, and the numbers that belong to it.
function Learner:state()
  local list = {}
  for _, item in ipairs(self.opts.net:state_dict()) do
    list[#list + 1] = { name = "student." .. item.name, tensor = item.tensor }
  end
  for _, item in ipairs(self.optimizer:state()) do
    list[#list + 1] = { name = "student.optimizer." .. item.name, tensor = item.tensor }
  end
  return list, self.optimizer:counters()
end

--- Sets the numbers of `state`.
function Learner:set_counters(counters) self.optimizer:set_counters(counters) end

--- Frees the graphs.
function Learner:free()
  if self.graph then self.graph:free() end
  if self.answer then self.answer:free() end
end

return new
