-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.nonn{ parts = { 49, 48 }, arch = { depth = 16, widths = { 16, 32, 64, 96 } }, classes = 10 }
-- (also ea.nonn.students)
--
-- A Network of Neural Networks (Bhardwaj et al. 2019, arXiv 1907.11804): one student per part of
-- the teacher's filters. Each is a trunk (a WRN without its head; `arch` are its options), a bridge
-- (1x1 convolution to as many channels as its part has filters, batch norm, ReLU) and an average
-- pool: a vector of its part's activations. Students share nothing; their vectors, one after the
-- other, go through one last linear layer. parts: the parts' sizes, or lists of filters.
--
-- net(x) -> logits; net:vectors(x) -> {n, filters of all parts}, logits. net.students[i] is the
-- i-th student alone: image -> its vector. net.part_sizes[i] is its number of filters.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local activation = require "edgeai.nn.activation"
local batch_norm = require "edgeai.nn.batch_norm"
local conv2d = require "edgeai.nn.conv2d"
local linear = require "edgeai.nn.linear"
local ops = require "edgeai.ops"
local pool = require "edgeai.nn.pool"
local sequential = require "edgeai.nn.sequential"
local wrn = require "edgeai.nn.arch.wrn"

local Students = Module.class("nonn")

local function student(arch, filters)
  local trunk = wrn(arch)
  return sequential {
    { "trunk", trunk },
    { "bridge", conv2d { trunk.out_channels, filters, kernel = 1 } },
    { "bridge_bn", batch_norm { filters } },
    { "bridge_relu", activation.relu {} },
    { "pool", pool.global_avg_pool {} },
  }
end

local function size_of(part)
  local n = type(part) == "table" and #part or part
  if type(n) ~= "number" or n % 1 ~= 0 or n < 1 then
    F.raise("nonn: a part is a list of filters or their number, at least one; got %s",
      tostring(part))
  end
  return n
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

return function(given)
  local o = Module.options("nonn", given, {}, { parts = Module.needed, arch = {}, classes = 10 })
  if type(o.parts) ~= "table" or #o.parts < 1 then
    F.raise("nonn: expected parts = a list of lists of filters, as ea.nonn.partition gives")
  end
  local arch = { head = false }
  for key, value in pairs(o.arch) do arch[key] = value end
  local self = Students.new()
  self.students, self.part_sizes, self.classes = {}, {}, o.classes
  local total = 0
  for i, part in ipairs(o.parts) do
    local n = size_of(part)
    self.part_sizes[i] = n
    self.students[i] = self:add("student" .. i, student(arch, n))
    total = total + n
  end
  self:add("fc", linear { total, o.classes })
  self.input_shape = { 1, 32, 32, arch.channels or 3 }
  return self
end
