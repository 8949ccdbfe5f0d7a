-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.conv_transpose2d{inp, out, kernel=4, stride=2, pad=1, output_pad=0, groups=1, dilation=1,
-- bias=false}
-- Images {n, h, w, inp} -> {n, h', w', out}, h' = (h - 1)*stride - 2*pad + dilation*(kernel-1) +
-- output_pad + 1: as it is, twice as large. weight {inp, out/groups, kernel, kernel}, as PyTorch's;
-- first values: Kaiming normal over what reaches a pixel, inp/groups * (kernel/stride)^2 numbers.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local initial = require "edgeai.nn.initial"
local ops = require "edgeai.ops"

local ConvTranspose2d = Module.class("conv_transpose2d")

local function constructor(given)
  local o = Module.options("conv_transpose2d", given, { "inp", "out" }, { inp = Module.needed,
    out = Module.needed, kernel = 4, stride = 2, pad = 1, output_pad = 0, groups = 1,
    dilation = 1, bias = false })
  for _, name in ipairs { "inp", "out", "kernel", "stride", "groups", "dilation" } do
    Module.check_count("conv_transpose2d", o, name)
  end
  for _, name in ipairs { "pad", "output_pad" } do
    Module.check_count("conv_transpose2d", o, name, 0)
  end
  if o.inp % o.groups ~= 0 or o.out % o.groups ~= 0 then
    F.raise("conv_transpose2d: %d groups must divide %d input and %d output channels", o.groups,
      o.inp, o.out)
  end
  local self = ConvTranspose2d.new()
  self.opts = o
  self.attrs = { stride = o.stride, pad = o.pad, output_pad = o.output_pad, groups = o.groups,
    dilation = o.dilation }
  local fan_in = o.inp / o.groups * math.max(1, o.kernel / o.stride) ^ 2
  self:parameter("weight", { o.inp, o.out / o.groups, o.kernel, o.kernel },
    initial.kaiming_normal(fan_in))
  if o.bias then self:parameter("bias", { o.out }, initial.fan_uniform(fan_in)) end
  return self
end

function ConvTranspose2d:forward(x)
  local fn = ops.functions.conv_transpose2d
  if self.opts.bias then return fn(x, self.weight, self.bias, self.attrs) end
  return fn(x, self.weight, self.attrs)
end

function ConvTranspose2d:macs(input)
  local o, pixels = self.opts, 1
  for i = 1, #input - 1 do pixels = pixels * input[i] end
  return pixels * o.inp * o.out / o.groups * o.kernel ^ 2
end

function ConvTranspose2d:arguments()
  local o = self.opts
  local words = { ("%d, %d, kernel=%d"):format(o.inp, o.out, o.kernel) }
  for _, own in ipairs { { "stride", 2 }, { "pad", 1 }, { "output_pad", 0 }, { "groups", 1 },
    { "dilation", 1 } } do
    if o[own[1]] ~= own[2] then words[#words + 1] = ("%s=%d"):format(own[1], o[own[1]]) end
  end
  if o.bias then words[#words + 1] = "bias=true" end
  return table.concat(words, ", ")
end

return constructor
