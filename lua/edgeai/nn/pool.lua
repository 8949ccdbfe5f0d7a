-- SPDX-License-Identifier: GPL-3.0-or-later
-- Pooling of images {n, h, w, c}: nn.max_pool{size=2, stride=size, pad=0}, nn.avg_pool{the same},
-- and to {n, c}: nn.global_avg_pool{}, nn.global_max_pool{}.

local Module = require "edgeai.nn.module"
local ops = require "edgeai.ops"

local pool = {}

local function windowed(name, op)
  local class = Module.class(name)
  pool[name] = function(given)
    local o = Module.options(name, given, { "size" }, { size = 2, stride = 0, pad = 0 })
    Module.check_count(name, o, "size")
    Module.check_count(name, o, "stride", 0)
    Module.check_count(name, o, "pad", 0)
    local self = class.new()
    self.attrs = { size = o.size, stride = o.stride, pad = o.pad }
    return self
  end
  function class:forward(x) return ops.functions[op](x, self.attrs) end
  function class:arguments()
    local a = self.attrs
    local stride = a.stride ~= 0 and a.stride ~= a.size and ", stride=" .. a.stride or ""
    return ("%d%s%s"):format(a.size, stride, a.pad ~= 0 and ", pad=" .. a.pad or "")
  end
end

local function global(name)
  local class = Module.class(name)
  pool[name] = function(given)
    Module.options(name, given, {}, {})
    return class.new()
  end
  function class.forward(_, x) return ops.functions[name](x) end
  function class.arguments() return "" end
end

windowed("max_pool", "max_pool2d")
windowed("avg_pool", "avg_pool2d")
global("global_avg_pool")
global("global_max_pool")

return pool
