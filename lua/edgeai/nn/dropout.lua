-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.dropout{p=0.5}: in training mode each element is zero with probability p and scaled by 1/(1-p)
-- otherwise (Srivastava et al. 2014). The mask depends on the seed, the layer's path, the step, and
-- how often the layer ran before in this step. The step is the one that a captured graph is run
-- with; eagerly it is ea.step(): a loop that sets ea.step(k) first goes on to the same masks, and
-- one that never does still gets another mask with every call.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local grad = require "edgeai.grad"
local ops = require "edgeai.ops"
local random = require "edgeai.random"

local Dropout = Module.class("dropout")

local function constructor(given)
  local o = Module.options("dropout", given, { "p" }, { p = 0.5 })
  if type(o.p) ~= "number" or o.p < 0 or o.p >= 1 then
    F.raise("dropout: p must be in [0, 1), got %s", tostring(o.p))
  end
  local self = Dropout.new()
  self.p, self.calls = o.p, 0
  return self
end

--- How often this layer ran since the step changed, or in the capture in progress.
local function count_call(self, x)
  local captured = F.C.ea_tensor_symbolic(x) ~= 0
  local moment = captured and -grad.captures or tonumber(F.C.ea_step())
  if moment ~= self.moment then self.moment, self.calls = moment, 0 end
  self.calls = self.calls + 1
  return self.calls - 1
end

function Dropout:forward(x)
  if not self.training or self.p == 0 then return x end
  -- 32 bits of the path's hash and 20 of the count: attributes are doubles
  local stream = tonumber(F.C.ea_stream_id("dropout/" .. (self:path() or "")) % 2 ^ 32)
    + 2 ^ 32 * (count_call(self, x) % 2 ^ 20)
  return ops.functions.dropout(x, { p = self.p, seed = random.current_seed, stream = stream })
end

function Dropout:arguments() return tostring(self.p) end

return constructor
