-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.parallel{a, b, { "name", c }, ..., merge="concat"}: every layer works on the same input.
-- merge: "concat" joins the outputs along the last axis (channels), "sum" adds them, "list" returns
-- a list.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local ops = require "edgeai.ops"

local Parallel = Module.class("parallel")

local merges = {
  concat = function(list) return ops.functions.concat(list, { axis = -1 }) end,
  sum = function(list)
    local y = list[1]
    for i = 2, #list do y = ops.functions.add(y, list[i]) end
    return y
  end,
  list = function(list) return list end,
}

local function constructor(given)
  local list, merge = {}, "concat"
  for key, value in pairs(given or {}) do
    if key == "merge" then merge = value else list[key] = value end
  end
  if not merges[merge] then
    F.raise("parallel: merge must be \"concat\", \"sum\" or \"list\", got %s", tostring(merge))
  end
  local self = Parallel.new()
  self.merge = merge
  for i, item in ipairs(Module.layer_list("parallel", list)) do
    self:add(item.name or tostring(i - 1), item.module)
  end
  if #self.children == 0 then F.raise("parallel: expected at least one layer") end
  return self
end

function Parallel:forward(x)
  local list = {}
  for i, c in ipairs(self.children) do list[i] = c.module(x) end
  return merges[self.merge](list)
end

function Parallel:arguments() return ("merge=%q"):format(self.merge) end

return constructor
