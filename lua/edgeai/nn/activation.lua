-- SPDX-License-Identifier: GPL-3.0-or-later
-- Activations without parameters: nn.relu{}, nn.leaky_relu{slope=0.01}, nn.relu6{}, nn.sigmoid{},
-- nn.tanh{}, nn.gelu{}, nn.silu{}, nn.softplus{}.

local Module = require "edgeai.nn.module"
local ops = require "edgeai.ops"

local activation = {}

--- A layer class around one op with fixed attributes.
local function plain(name, op, attrs)
  attrs = attrs or {}
  local class = Module.class(name)
  function class.forward(_, x) return ops.functions[op](x, attrs) end
  function class.arguments() return "" end
  activation[name] = function(given)
    Module.options(name, given, {}, {})
    return class.new()
  end
end

for _, name in ipairs { "relu", "sigmoid", "tanh", "gelu", "silu", "softplus" } do
  plain(name, name)
end
plain("relu6", "clamp", { low = 0, high = 6 })

local LeakyRelu = Module.class("leaky_relu")
function activation.leaky_relu(given)
  local o = Module.options("leaky_relu", given, { "slope" }, { slope = 0.01 })
  local self = LeakyRelu.new()
  self.slope = o.slope
  return self
end
function LeakyRelu:forward(x) return ops.functions.leaky_relu(x, { slope = self.slope }) end
function LeakyRelu:arguments() return "slope=" .. self.slope end

--- The activation of that name, for architectures with an option `activation`.
function activation.by_name(name, where)
  local make = name ~= "by_name" and activation[name]
  if not make then
    local F = require "edgeai.ffi"
    local names = require("edgeai.text").keys(activation)
    F.raise("%s: there is no activation '%s'%s", where, tostring(name),
      require("edgeai.text").suggest(tostring(name), names))
  end
  return make {}
end

return activation
