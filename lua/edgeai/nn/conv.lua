-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nn.conv - what nn.conv2d and nn.conv_transpose2d have in common: conv(kind, transposed)
-- returns the class of a layer whose op has the same name, with check and make for its constructor.
-- transposed: the kernel is multiplied at every pixel that comes in, not at those that go out.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local initial = require "edgeai.nn.initial"
local ops = require "edgeai.ops"

local attributes = { "stride", "pad", "output_pad", "groups", "dilation" }

return function(kind, transposed)
  local Conv = Module.class(kind)

  --- Raises unless these options are whole numbers of at least 1.
  function Conv.check(o)
    for _, name in ipairs { "inp", "out", "kernel", "stride", "groups", "dilation" } do
      Module.check_count(kind, o, name)
    end
  end

  --- A layer of these options, of which pad and output_pad are looked at here. usual: what its
  -- attributes are if they need not be said when it is printed. size: of the weight. fan_in: how
  -- many numbers reach one of a result.
  function Conv.make(o, usual, size, fan_in)
    for _, name in ipairs { "pad", "output_pad" } do
      if usual[name] then Module.check_count(kind, o, name, 0) end
    end
    if o.inp % o.groups ~= 0 or o.out % o.groups ~= 0 then
      F.raise("%s: %d groups must divide %d input and %d output channels", kind, o.groups, o.inp,
        o.out)
    end
    local self = Conv.new()
    self.opts, self.usual, self.attrs = o, usual, {}
    for name in pairs(usual) do self.attrs[name] = o[name] end
    self:parameter("weight", size, initial.kaiming_normal(fan_in))
    if o.bias then self:parameter("bias", { o.out }, initial.fan_uniform(fan_in)) end
    return self
  end

  function Conv:forward(x)
    local fn = ops.functions[kind]
    if self.opts.bias then return fn(x, self.weight, self.bias, self.attrs) end
    return fn(x, self.weight, self.attrs)
  end

  function Conv:macs(input, output)
    local o, size, pixels = self.opts, transposed and input or output, 1
    for i = 1, #size - 1 do pixels = pixels * size[i] end
    return pixels * o.out * o.inp / o.groups * o.kernel ^ 2
  end

  function Conv:arguments()
    local o = self.opts
    local words = { ("%d, %d, kernel=%d"):format(o.inp, o.out, o.kernel) }
    for _, name in ipairs(attributes) do
      if o[name] ~= self.usual[name] then words[#words + 1] = name .. "=" .. o[name] end
    end
    if o.bias then words[#words + 1] = "bias=true" end
    return table.concat(words, ", ")
  end

  return Conv
end
