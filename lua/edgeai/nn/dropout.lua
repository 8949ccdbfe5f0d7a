-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.dropout{p=0.5}: in training mode each element is zero with probability p and scaled by 1/(1-p)
-- otherwise (Srivastava et al. 2014). The mask depends on the seed, the layer's path and the step
-- alone: the step that a captured graph is run with; eagerly ea.step() and how often the layer was
-- called since ea.step(n) changed it. A loop that sets ea.step(k) first goes on to the same masks.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local ops = require "edgeai.ops"
local random = require "edgeai.random"

local Dropout = Module.class("dropout")

local function constructor(given)
  local o = Module.options("dropout", given, { "p" }, { p = 0.5 })
  if type(o.p) ~= "number" or o.p < 0 or o.p >= 1 then
    F.raise("dropout: p must be in [0, 1), got %s", tostring(o.p))
  end
  local self = Dropout.new()
  self.p, self.step, self.calls = o.p, 0, 0
  return self
end

function Dropout:forward(x)
  if not self.training or self.p == 0 then return x end
  -- 32 bits of the path's hash: attributes are doubles
  local stream = tonumber(F.C.ea_stream_id("dropout/" .. (self:path() or "")) % 2 ^ 32)
  if F.C.ea_tensor_symbolic(x) == 0 then
    local step = F.C.ea_step()
    if step ~= self.step then self.step, self.calls = step, 0 end
    self.calls = self.calls + 1
    stream = stream + 2 ^ 32 * (self.calls % 2 ^ 20)
  end
  return ops.functions.dropout(x, { p = self.p, seed = random.current_seed, stream = stream })
end

function Dropout:arguments() return tostring(self.p) end

return constructor
