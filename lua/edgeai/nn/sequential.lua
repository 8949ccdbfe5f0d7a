-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.sequential{a, b, { "name", c }, ...}: each layer works on the output of the one before. Layers
-- without a name are called "0", "1", ... by their place, as in PyTorch.

local Module = require "edgeai.nn.module"

local Sequential = Module.class("sequential")

local function constructor(list)
  local self = Sequential.new()
  for i, item in ipairs(Module.layer_list("sequential", list)) do
    self:add(item.name or tostring(i - 1), item.module)
  end
  return self
end

function Sequential:forward(x)
  for _, c in ipairs(self.children) do x = c.module(x) end
  return x
end

--- x through all layers before the one called `name`.
function Sequential:forward_until(name, x)
  local last = self:get(name)
  for _, c in ipairs(self.children) do
    if c.module == last then break end
    x = c.module(x)
  end
  return x
end

return constructor
