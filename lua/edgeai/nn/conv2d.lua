-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.conv2d{inp, out, kernel=3, stride=1, pad="same", groups=1, dilation=1, bias=false}
-- Images {n, h, w, inp} -> {n, h', w', out}, h' = floor((h + 2*pad - dilation*(kernel-1) - 1) /
-- stride) + 1. pad "same" is dilation*(kernel-1)/2, for odd kernels. weight {out, inp/groups,
-- kernel, kernel}; first values: Kaiming normal over the fan-in.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local initial = require "edgeai.nn.initial"
local ops = require "edgeai.ops"

local Conv2d = Module.class("conv2d")

local function constructor(given)
  local o = Module.options("conv2d", given, { "inp", "out" }, { inp = Module.needed,
    out = Module.needed, kernel = 3, stride = 1, pad = "same", groups = 1, dilation = 1,
    bias = false })
  for _, name in ipairs { "inp", "out", "kernel", "stride", "groups", "dilation" } do
    Module.check_count("conv2d", o, name)
  end
  if o.pad == "same" then
    if o.kernel % 2 == 0 then
      F.raise("conv2d: pad = \"same\" needs an odd kernel, got %d", o.kernel)
    end
    o.pad = o.dilation * (o.kernel - 1) / 2
  end
  Module.check_count("conv2d", o, "pad", 0)
  if o.inp % o.groups ~= 0 or o.out % o.groups ~= 0 then
    F.raise("conv2d: %d groups must divide %d input and %d output channels", o.groups, o.inp, o.out)
  end
  local self = Conv2d.new()
  self.opts = o
  self.attrs = { stride = o.stride, pad = o.pad, groups = o.groups, dilation = o.dilation }
  local fan_in = o.inp / o.groups * o.kernel ^ 2
  self:parameter("weight", { o.out, o.inp / o.groups, o.kernel, o.kernel },
    initial.kaiming_normal(fan_in))
  if o.bias then self:parameter("bias", { o.out }, initial.fan_uniform(fan_in)) end
  return self
end

function Conv2d:forward(x)
  if self.opts.bias then return ops.functions.conv2d(x, self.weight, self.bias, self.attrs) end
  return ops.functions.conv2d(x, self.weight, self.attrs)
end

function Conv2d:macs(_, output)
  local o = self.opts
  local pixels = 1
  for i = 1, #output - 1 do pixels = pixels * output[i] end
  return pixels * o.out * o.inp / o.groups * o.kernel ^ 2
end

function Conv2d:arguments()
  local o = self.opts
  local words = { ("%d, %d, kernel=%d"):format(o.inp, o.out, o.kernel) }
  if o.stride ~= 1 then words[#words + 1] = "stride=" .. o.stride end
  if o.pad ~= o.dilation * (o.kernel - 1) / 2 then words[#words + 1] = "pad=" .. o.pad end
  if o.groups ~= 1 then words[#words + 1] = "groups=" .. o.groups end
  if o.dilation ~= 1 then words[#words + 1] = "dilation=" .. o.dilation end
  if o.bias then words[#words + 1] = "bias=true" end
  return table.concat(words, ", ")
end

return constructor
