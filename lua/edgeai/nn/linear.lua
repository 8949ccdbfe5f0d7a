-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.linear{inp, out, bias=true}: {..., inp} -> {..., out}. weight {out, inp}, bias {out}; first
-- values as PyTorch's: uniform in +-1/sqrt(inp) (Kaiming uniform with a = sqrt(5)).

local Module = require "edgeai.nn.module"
local initial = require "edgeai.nn.initial"
local ops = require "edgeai.ops"

local Linear = Module.class("linear")

local function constructor(given)
  local o = Module.options("linear", given, { "inp", "out" },
    { inp = Module.needed, out = Module.needed, bias = true })
  Module.check_count("linear", o, "inp")
  Module.check_count("linear", o, "out")
  local self = Linear.new()
  self.opts = o
  self:parameter("weight", { o.out, o.inp }, initial.fan_uniform(o.inp))
  if o.bias then self:parameter("bias", { o.out }, initial.fan_uniform(o.inp)) end
  return self
end

--- As forward; what comes out of a row is the same to the bit whatever other rows there are, which
-- one large product does not promise. For few rows: Module.apart asks for it.
local function row_by_row(self, x)
  local size, dtype = x.shape, x.dtype
  size[1], size[#size] = -1, self.opts.out
  local rows = x:to(self.weight.dtype):reshape(-1, 1, self.opts.inp)
  local y = ops.functions.matmul(rows, self.weight, { tb = true })
  if self.opts.bias then y = y + self.bias end
  return y:reshape(size):to(dtype)
end

function Linear:forward(x)
  if self.wide and x.dtype == "bf16" then x = x:to("f32") end -- the head: f32 whatever comes in
  if Module.apart() then return row_by_row(self, x) end
  if self.opts.bias then return ops.functions.linear(x, self.weight, self.bias) end
  return ops.functions.linear(x, self.weight)
end

function Linear:macs(_, output)
  local rows = 1
  for i = 1, #output - 1 do rows = rows * output[i] end
  return rows * self.opts.inp * self.opts.out
end

function Linear:arguments()
  return ("%d, %d%s"):format(self.opts.inp, self.opts.out, self.opts.bias and "" or ", bias=false")
end

return constructor
