-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.conv2d{inp, out, kernel=3, stride=1, pad="same", groups=1, dilation=1, bias=false}
-- Images {n, h, w, inp} -> {n, h', w', out}, h' = floor((h + 2*pad - dilation*(kernel-1) - 1) /
-- stride) + 1. pad "same" is dilation*(kernel-1)/2, for odd kernels. weight {out, inp/groups,
-- kernel, kernel}; first values: Kaiming normal over the fan-in.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local conv = require "edgeai.nn.conv"

local Conv2d = conv "conv2d"

local function constructor(given)
  local o = Module.options("conv2d", given, { "inp", "out" }, { inp = Module.needed,
    out = Module.needed, kernel = 3, stride = 1, pad = "same", groups = 1, dilation = 1,
    bias = false })
  Conv2d.check(o)
  local same = o.dilation * (o.kernel - 1) / 2
  if o.pad == "same" then
    if o.kernel % 2 == 0 then
      F.raise("conv2d: pad = \"same\" needs an odd kernel, got %d", o.kernel)
    end
    o.pad = same
  end
  local inp = o.inp / o.groups
  return Conv2d.make(o, { stride = 1, pad = same, groups = 1, dilation = 1 },
    { o.out, inp, o.kernel, o.kernel }, inp * o.kernel ^ 2)
end

return constructor
