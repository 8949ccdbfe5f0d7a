-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.residual{main=layer, shortcut=layer}: main(x) + shortcut(x); without a shortcut, main(x) + x.

local Module = require "edgeai.nn.module"
local ops = require "edgeai.ops"

local Residual = Module.class("residual")

local function constructor(given)
  local F = require "edgeai.ffi"
  local o = Module.options("residual", given, { "main", "shortcut" },
    { main = Module.needed, shortcut = F.none })
  local self = Residual.new()
  self:add("main", o.main)
  if o.shortcut then self:add("shortcut", o.shortcut) end
  return self
end

function Residual:forward(x)
  local y = self.main(x)
  return ops.functions.add(y, self.shortcut and self.shortcut(x) or x)
end

return constructor
