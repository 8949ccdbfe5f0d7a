-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nn.inspect - networks in words and numbers: printing, summary, multiply-adds.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local symbolic = require "edgeai.nn.symbolic"
local text = require "edgeai.text"

local inspect = {}

local function one_line(m)
  local arguments = m.arguments and m:arguments()
  return arguments and ("%s{%s}"):format(m.kind, arguments) or m.kind
end

--- The network as an indented tree; a layer without children as its constructor.
function inspect:print()
  if #self.children == 0 then return one_line(self) end
  local lines = { ("%s: %s"):format(one_line(self),
    text.count(self:parameter_count(), "parameter")) }
  local function add(m, indent)
    for _, c in ipairs(m.children) do
      lines[#lines + 1] = ("%s%s: %s"):format(indent, c.name, one_line(c.module))
      add(c.module, indent .. "  ")
    end
  end
  add(self, "  ")
  return table.concat(lines, "\n")
end

local function trace(self, shape)
  local rows = {}
  symbolic(self, shape, function(run)
    Module.observe(function(m, x, y)
      if F.is_tensor(x) and F.is_tensor(y) then
        rows[#rows + 1] = { module = m, input = x.shape, shape = y.shape, bytes = y:bytes() }
      end
    end, run)
  end)
  return rows
end

--- Every layer that ran on an input of that shape (default: one image of the size the architecture
-- is made for), in order of running: a list of { name, kind, shape, params, macs, weight_bytes,
-- bytes } with totals params, macs, weight_bytes, bytes (of activations). print() shows a table.
function inspect:summary(shape)
  shape = shape or self.input_shape
  if type(shape) ~= "table" or #shape == 0 then
    F.raise("summary: expected the input's shape, as in net:summary{1, 32, 32, 3}")
  end
  local names = {}
  self:walk(function(name, m) names[m] = names[m] or name end)
  local list = { title = one_line(self), input = shape, params = 0, macs = 0, weight_bytes = 0,
    bytes = 0 }
  local counted = {}
  for _, row in ipairs(trace(self, shape)) do
    local m = row.module
    if #m.children == 0 then
      local params = counted[m] and 0 or m:parameter_count()
      counted[m] = true
      local entry = { name = names[m], kind = m.kind, shape = row.shape, params = params,
        macs = m.macs and m:macs(row.input, row.shape) or 0, weight_bytes = 4 * params,
        bytes = row.bytes }
      list[#list + 1] = entry
      for _, key in ipairs { "params", "macs", "weight_bytes", "bytes" } do
        list[key] = list[key] + entry[key]
      end
    end
  end
  return setmetatable(list, { __tostring = inspect.summary_table })
end

--- The table of a summary as text.
function inspect.summary_table(list)
  local width = 5
  for _, row in ipairs(list) do width = math.max(width, #row.name) end
  local format = "%-" .. width .. "s  %-15s %-20s %12s %10s %12s %12s"
  local lines = { ("%s on {%s}"):format(list.title, table.concat(list.input, ", ")),
    format:format("layer", "kind", "output", "parameters", "MMAC", "weights KB", "output KB") }
  local function kilobytes(n) return ("%.1f"):format(n / 1000) end
  for _, row in ipairs(list) do
    local shape = "{" .. table.concat(row.shape, ", ") .. "}"
    lines[#lines + 1] = format:format(row.name, row.kind, shape,
      row.params > 0 and text.grouped(row.params) or "",
      row.macs > 0 and ("%.3f"):format(row.macs / 1e6) or "",
      row.params > 0 and kilobytes(row.weight_bytes) or "", kilobytes(row.bytes))
  end
  lines[#lines + 1] = format:format("total", "", "", text.grouped(list.params),
    ("%.3f"):format(list.macs / 1e6), kilobytes(list.weight_bytes), kilobytes(list.bytes))
  return table.concat(lines, "\n")
end

--- Millions of FLOPs of one forward pass, 2 per multiply-add; convolutions and linear layers only.
function inspect:mflop(shape) return 2 * self:summary(shape).macs / 1e6 end

return inspect
