-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.nonn.students{ parts = { {3, 7, ...}, {...} }, arch = { depth = 16, widths = {16, 32, 64, 96} } }
--
-- A Network of Neural Networks (Bhardwaj et al. 2019): one student per part of the teacher's filters.
-- Each is a trunk (a WRN without its head), a bridge (1x1 convolution to as many channels as its part
-- has filters, batch norm, ReLU) and an average pool: a vector of its part's activations. Students
-- share nothing; their vectors, one after the other, go through one last linear layer.
--
-- net(x) -> logits; net:vectors(x) -> {n, all filters of all parts}, logits. net.students[i] is the
-- i-th student alone: image -> its vector.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local nn = require "edgeai.nn"
local ops = require "edgeai.ops"

local Students = Module.class("nonn")

local function student(arch, filters)
  local trunk = nn.wrn(arch)
  return nn.sequential {
    { "trunk", trunk },
    { "bridge", nn.conv2d { trunk.out_channels, filters, kernel = 1 } },
    { "bridge_bn", nn.batch_norm { filters } },
    { "bridge_relu", nn.relu {} },
    { "pool", nn.global_avg_pool {} },
  }
end

local function constructor(given)
  local o = F.options(given, { parts = F.none, arch = {}, classes = 10 }, "nonn.students")
  if type(o.parts) ~= "table" or #o.parts < 1 then
    F.raise("nonn.students: expected parts = a list of lists of filters, as ea.nonn.partition gives")
  end
  local arch = { head = false }
  for key, value in pairs(o.arch) do arch[key] = value end
  local self = Students.new()
  self.opts, self.students, self.part_sizes = o, {}, {}
  local total = 0
  for i, part in ipairs(o.parts) do
    local n = type(part) == "number" and part or #part
    self.part_sizes[i] = n
    self.students[i] = self:add("student" .. i, student(arch, n))
    total = total + n
  end
  self:add("fc", nn.linear { total, o.classes })
  return self
end

--- The students' vectors, one after the other, and the logits.
function Students:vectors(x)
  local list = {}
  for i, s in ipairs(self.students) do list[i] = s(x):to("f32") end
  local joined = #list == 1 and list[1] or ops.functions.concat(list, { axis = -1 })
  return joined, self.fc(joined)
end

function Students:forward(x)
  local _, logits = self:vectors(x)
  return logits
end

function Students:arguments() return table.concat(self.part_sizes, " + ") .. " filters" end

return constructor
