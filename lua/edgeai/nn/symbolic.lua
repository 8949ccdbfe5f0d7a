-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nn.symbolic - a network run on an input without values: shapes follow, nothing is
-- computed.

local ffi = require "ffi"
local F = require "edgeai.ffi"

local C = F.C

--- Calls use(run, handle) with the network in evaluation mode: run() applies it to a symbolic f32
-- input of that shape and returns its output; `handle` is the ea_graph that records, freed behind.
-- Returns use's first result, or raises its error.
return function(self, shape, use)
  local slot = ffi.new("ea_graph *[1]")
  F.check(C.ea_graph_begin(slot))
  local handle, was = slot[0], {}
  self:walk(function(_, m)
    was[m] = m.training
    m.training = false
  end)
  local ok, result = pcall(use, function()
    local sizes, n = F.sizes(shape)
    local out = F.out()
    F.check(C.ea_graph_input(handle, F.dtypes.f32, n, sizes, out))
    return self(F.own(out[0]))
  end, handle)
  for m, training in pairs(was) do m.training = training end
  C.ea_graph_abort(handle)
  if not ok then error(result, 0) end
  return result
end
