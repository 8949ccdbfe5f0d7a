-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.capture - a function of tensors recorded once, its memory planned, then run many times
-- without allocating: ea.capture(fn, { specs... }) -> graph.
--
--   specs     tensors, or { size = {...}, dtype = "f32" }: what fn's inputs look like
--   graph.inputs[i]:copy(x)      sets an input
--   graph:forward([step])        runs; returns fn's outputs (the same tensors each time)
--   graph:backward{accumulate = false}   gradients of the parameters into their .grad
--   graph.bytes, .peak, .flops, .nodes
--
-- fn's first result is the loss if it is a single number that some parameter's gradient depends on.
-- Tensors that fn uses from outside (parameters, running statistics) are used in place.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local grad = require "edgeai.grad"

local C = F.C
local graph = {}

local properties = {
  bytes = function(g) return tonumber(C.ea_graph_bytes(g.handle)) end,
  peak = function(g) return tonumber(C.ea_graph_peak(g.handle)) end,
  flops = function(g) return C.ea_graph_flops(g.handle, 0) end,
  backward_flops = function(g) return C.ea_graph_flops(g.handle, 1) end,
  nodes = function(g) return C.ea_graph_nodes(g.handle) end,
}
graph.__index = function(g, key)
  if key == "handle" then F.raise("this graph was freed") end
  if properties[key] then return properties[key](g) end
  return graph[key]
end

local function add_input(handle, spec)
  local size = F.is_tensor(spec) and spec.shape or spec.size or spec
  local dtype = F.is_tensor(spec) and spec.dtype or spec.dtype
  local sizes, n = F.sizes(size)
  local out = F.out()
  F.check(C.ea_graph_input(handle, F.dtype(dtype, "capture"), n, sizes, out))
  return F.own(out[0])
end

local function record(handle, fn, specs)
  local inputs = {}
  for i, spec in ipairs(specs) do inputs[i] = add_input(handle, spec) end
  local outputs = { fn(unpack(inputs)) }
  if #outputs == 0 then F.raise("capture: the function returned no tensor") end
  local list = ffi.new("ea_ref[?]", math.max(#outputs, 1))
  for i, t in ipairs(outputs) do
    list[i - 1] = F.need_tensor(t, "capture: result " .. i .. " of the function")
  end
  local first = outputs[1]
  local is_loss = first and first:numel() == 1 and first.requires_grad
  F.check(C.ea_graph_end(handle, #outputs, list, is_loss and first or F.null))
  return inputs, outputs
end

--- See the top of this file.
local function capture(fn, specs)
  if type(fn) ~= "function" and not (getmetatable(fn) or {}).__call then
    F.raise("capture: expected a function of tensors, got a %s", type(fn))
  end
  if type(specs or {}) ~= "table" or F.is_tensor(specs) then
    F.raise("capture: expected a list of inputs, each { size = {...} } or a tensor, got a %s",
      type(specs))
  end
  local slot = ffi.new("ea_graph *[1]")
  F.check(C.ea_graph_begin(slot))
  grad.captures = grad.captures + 1
  local handle = ffi.gc(slot[0], C.ea_graph_free)
  local scope = F.set_scope(nil) -- the graph's tensors outlive any ea.scope
  local ok, inputs, outputs = pcall(record, handle, fn, specs or {})
  F.set_scope(scope)
  if not ok then
    C.ea_graph_free(ffi.gc(handle, nil))
    error(inputs, 0)
  end
  return setmetatable({ handle = handle, inputs = inputs, outputs = outputs }, graph)
end

--- Runs forward; `step` (a whole number) keys dropout. Returns the outputs.
function graph:forward(step)
  local status = F.check(C.ea_graph_forward(self.handle, step or 0))
  while status > 0 do
    grad.serve_graph(self.handle, status, false)
    status = F.check(C.ea_graph_forward(self.handle, step or 0))
  end
  return unpack(self.outputs)
end

--- Gradients of the loss: overwritten, or added to with { accumulate = true }.
function graph:backward(opts)
  local accumulate = opts and opts.accumulate and 1 or 0
  local status = F.check(C.ea_graph_backward(self.handle, accumulate))
  while status > 0 do
    grad.serve_graph(self.handle, status, true)
    status = F.check(C.ea_graph_backward(self.handle, accumulate))
  end
end

--- Frees the graph and its memory now.
function graph:free()
  if not rawget(self, "handle") then return end
  C.ea_graph_free(ffi.gc(self.handle, nil))
  self.handle = nil
end

--- Switches timing of every node on or off (and back to zero).
function graph:profile(on) F.check(C.ea_graph_profile(self.handle, on == false and 0 or 1)) end

--- List of { op, shape, dtype, forward, backward (seconds), flops, backward_flops, bytes,
-- backward_bytes (the least to be moved), fused } of every node.
function graph:node_list()
  local list = {}
  for i = 0, self.nodes - 1 do
    local out = F.share(C.ea_graph_node_output(self.handle, i))
    list[#list + 1] = { op = ffi.string(C.ea_graph_node_op(self.handle, i)), shape = out.shape,
      dtype = out.dtype, flops = C.ea_graph_node_flops(self.handle, i, 0),
      backward_flops = C.ea_graph_node_flops(self.handle, i, 1),
      bytes = C.ea_graph_node_bytes(self.handle, i, 0),
      backward_bytes = C.ea_graph_node_bytes(self.handle, i, 1),
      forward = C.ea_graph_node_seconds(self.handle, i, 0),
      backward = C.ea_graph_node_seconds(self.handle, i, 1),
      fused = C.ea_graph_node_fused(self.handle, i) ~= 0 }
  end
  return list
end

return capture
