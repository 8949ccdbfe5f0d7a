-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.conv_transpose2d{inp, out, kernel=4, stride=2, pad=1, output_pad=0, groups=1, dilation=1,
-- bias=false}
-- Images {n, h, w, inp} -> {n, h', w', out}, h' = (h - 1)*stride - 2*pad + dilation*(kernel-1) +
-- output_pad + 1: as it is, twice as large. weight {inp, out/groups, kernel, kernel}, as PyTorch's;
-- first values: Kaiming normal over what reaches a pixel, inp/groups * (kernel/stride)^2 numbers.

local Module = require "edgeai.nn.module"
local conv = require "edgeai.nn.conv"

local ConvTranspose2d = conv("conv_transpose2d", true)

local function constructor(given)
  local o = Module.options("conv_transpose2d", given, { "inp", "out" }, { inp = Module.needed,
    out = Module.needed, kernel = 4, stride = 2, pad = 1, output_pad = 0, groups = 1,
    dilation = 1, bias = false })
  ConvTranspose2d.check(o)
  return ConvTranspose2d.make(o, { stride = 2, pad = 1, output_pad = 0, groups = 1, dilation = 1 },
    { o.inp, o.out / o.groups, o.kernel, o.kernel },
    o.inp / o.groups * math.max(1, o.kernel / o.stride) ^ 2)
end

return constructor
