-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.dry - dry(fn): runs fn while a graph is being captured and throws that away: shapes
-- follow, nothing is computed. Raises fn's error.

local ffi = require "ffi"
local F = require "edgeai.ffi"

local C = F.C

return function(fn)
  local slot = ffi.new("ea_graph *[1]")
  F.check(C.ea_graph_begin(slot))
  local scope = F.set_scope(nil)
  local ok, message = pcall(fn)
  F.set_scope(scope)
  C.ea_graph_abort(slot[0])
  if not ok then error(message, 0) end
end
