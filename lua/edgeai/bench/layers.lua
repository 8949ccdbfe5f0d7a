-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.bench.layers - which layer of a network each node of a captured graph belongs to.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"

local C = F.C
local layers = {}

local function address(t)
  return F.is_tensor(t) and tonumber(ffi.cast("uintptr_t", t.p)) or nil
end

--- Runs fn(...), which captures a graph, and returns its first result and the layers' calls.
function layers.watch(fn, ...)
  local calls = {}
  local result = Module.observe(function(m, x, y)
    if C.ea_graph_capturing() == 0 then return end -- what the graph holds keeps its address
    calls[#calls + 1] = { path = Module.path(m) or "", from = address(x), to = address(y) }
  end, fn, ...)
  return result, calls
end

--- List of the paths ("group1.0.conv1", "" outside of the network) of the graph's nodes. A node is
-- the innermost layer's whose input was made before it, and whose output not before it.
function layers.of_nodes(graph, calls)
  local index, paths = {}, {}
  for i = 1, graph.nodes do
    index[address(C.ea_graph_node_output(graph.handle, i - 1))], paths[i] = i, ""
  end
  for _, call in ipairs(calls) do -- inner layers come before those around them
    for i = (index[call.from] or 0) + 1, index[call.to] or 0 do
      if paths[i] == "" then paths[i] = call.path end
    end
  end
  return paths
end

return layers
