-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.dream.learner - a student that learns from the dreams made so far while more are made, so
-- that the next ones can be what it does not know yet. It sees fixed copies of each image (itself
-- and augmented ones), for each of which the teacher answers once.

local F = require "edgeai.ffi"
local capture = require "edgeai.capture"
local data = require "edgeai.data"
local kd = require "edgeai.distill.kd"
local ops = require "edgeai.ops"
local optim = require "edgeai.optim"
local raw = require "edgeai.data.raw"
local recall = require "edgeai.distill.recall"
local tensor = require "edgeai.tensor"

local Learner = {}
Learner.__index = Learner

--- opts: net, steps (of a batch of images), batch, lr (a function of the share of all images that
-- is there), temperature, weight_decay, views, augment, count (images in all), part (in one),
-- shape, seed, precision.
local function new(teacher, like, o)
  local self = setmetatable({ teacher = teacher, like = like, opts = o, filled = 0, copies = 0 },
    Learner)
  local room = o.count * o.views
  self.batch = math.min(o.batch, o.part * o.views) -- there from the first part on
  self.images = raw.new("u8", { room, o.shape[1], o.shape[2], o.shape[3] })
  self.logits = tensor.zeros { room, like.classes }
  self.optimizer = optim.sgd(o.net, { momentum = 0.9, nesterov = true,
    weight_decay = o.weight_decay })
  return self
end

--- Takes in a part of the dreams, a split of images.
function Learner:add(split)
  local o = self.opts
  local views = o.views > 1
    and split:views { views = o.views, augment = o.augment, seed = o.seed + self.filled } or split
  local answers = recall(self.teacher, views, { dtype = o.precision })
  self.images:narrow(1, self.copies + 1, views.count):copy(views.images)
  self.logits:narrow(1, self.copies + 1, views.count):copy(answers.logits)
  self.filled, self.copies = self.filled + split.count, self.copies + views.count
end

local function record(self, loader)
  local o = self.opts
  o.net:train()
  self.graph = capture(function(x, id)
    local logits = o.net(x):to("f32")
    return kd(logits, ops.functions.index_select(self.logits, id, { axis = 1 }),
      { temperature = o.temperature })
  end, { loader.x, loader.id })
end

--- The steps that belong to part k. Returns the mean loss.
function Learner:learn(k)
  local o = self.opts
  local pool = data.given(self.like, self.images:narrow(1, 1, self.copies), nil, "dreams")
  local loader = pool:loader { batch = self.batch, shuffle = true,
    drop_last = true, seed = o.seed + k, dtype = o.precision }
  if not self.graph then record(self, loader) end
  local total, step, epoch = 0, 0, 0
  local lr = o.lr(self.filled / o.count)
  while step < o.steps do
    epoch = epoch + 1
    for x, _, _, id in loader:epoch(epoch) do
      if step == o.steps then break end
      step = step + 1
      self.graph.inputs[1]:copy(x)
      self.graph.inputs[2]:copy(id)
      self.graph:forward(k * 2 ^ 20 + step)
      total = total + self.graph.outputs[1]:item()
      self.graph:backward()
      self.optimizer:step { lr = lr }
    end
  end
  loader:close()
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

--- Frees the graph.
function Learner:free() if self.graph then self.graph:free() end end

return new
