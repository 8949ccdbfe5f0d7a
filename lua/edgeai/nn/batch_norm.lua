-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.batch_norm{channels, eps=1e-5, momentum=0.1}: over the last axis (Ioffe & Szegedy 2015), as
-- PyTorch: running = (1 - momentum)*running + momentum*batch (unbiased variance). weight 1, bias 0.
-- In captured graphs a ReLU that follows is fused into it, and convolutions behind that read their
-- input through both: what they make of it takes no memory.

local Module = require "edgeai.nn.module"
local initial = require "edgeai.nn.initial"
local ops = require "edgeai.ops"

local BatchNorm = Module.class("batch_norm")

local function constructor(given)
  local o = Module.options("batch_norm", given, { "channels" },
    { channels = Module.needed, eps = 1e-5, momentum = 0.1 })
  Module.check_count("batch_norm", o, "channels")
  local self = BatchNorm.new()
  self.channels, self.eps, self.momentum = o.channels, o.eps, o.momentum
  self:parameter("weight", { o.channels }, initial.constant(1))
  self:parameter("bias", { o.channels }, initial.constant(0))
  self:buffer("running_mean", { o.channels }, 0)
  self:buffer("running_var", { o.channels }, 1)
  return self
end

function BatchNorm:forward(x)
  return ops.functions.batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var,
    { training = self.training, momentum = self.momentum, eps = self.eps })
end

function BatchNorm:arguments()
  return ("%d%s%s"):format(self.channels, self.eps ~= 1e-5 and ", eps=" .. self.eps or "",
    self.momentum ~= 0.1 and ", momentum=" .. self.momentum or "")
end

return constructor
