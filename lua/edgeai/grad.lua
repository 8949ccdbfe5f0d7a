-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.grad - backward passes, custom ops with their gradient in Lua, gradient checks, scopes.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local tensor = require "edgeai.tensor"

local C = F.C
local grad = { captures = 0 } -- how many captures were begun: edgeai.capture counts

-- ---- switching ---------------------------------------------------------------------------------

local function finish(was, ok, ...)
  C.ea_set_grad_enabled(was)
  if not ok then error((...), 0) end
  return ...
end

--- Runs fn(...) without recording gradients and returns its results.
function grad.no_grad(fn, ...)
  local was = C.ea_set_grad_enabled(0)
  return finish(was, pcall(fn, ...))
end

local function leave(outer, list, ok, ...)
  F.set_scope(outer)
  if not ok then error((...), 0) end
  local kept = {}
  for i = 1, select("#", ...) do
    local x = (select(i, ...))
    if F.is_tensor(x) then kept[tonumber(ffi.cast("intptr_t", x.p))] = true end
  end
  for _, t in ipairs(list) do
    if not kept[tonumber(ffi.cast("intptr_t", t.p))] then
      F.drop(t)
    elseif outer then
      outer[#outer + 1] = t
    end
  end
  return ...
end

--- Runs fn(...) and frees every tensor made inside, but those it returns.
function grad.scope(fn, ...)
  local list = {}
  local outer = F.set_scope(list)
  return leave(outer, list, pcall(fn, ...))
end

-- ---- custom ops --------------------------------------------------------------------------------

local contexts = {} -- id -> { op, ctx, nin, nout }
local last_id = 0
local MOST_IN, MOST_OUT = 16, 4
local in_buffer, out_buffer = ffi.new("ea_ref[?]", MOST_IN), ffi.new("ea_ref[?]", MOST_OUT)

local function forget_contexts()
  while true do
    local id = C.ea_custom_forgotten()
    if id == 0 then return end
    contexts[id] = nil
  end
end

local function as_list(where, n, ...)
  local count = select("#", ...)
  if n and count ~= n then F.raise("%s: expected %d tensors, got %d", where, n, count) end
  for i = 1, count do
    local x = (select(i, ...))
    if not F.is_tensor(x) and not (n and x == nil) then
      F.raise("%s: expected tensors, got a %s as number %d", where, type(x), i)
    end
  end
  return { ... }, count
end

--- Runs fn outside any ea.scope: what it keeps for backward outlives the scope.
local function finish_outside(scope, ok, ...)
  F.set_scope(scope)
  if not ok then error((...), 0) end
  return ...
end
local function outside_scope(fn, ...)
  return finish_outside(F.set_scope(nil), pcall(grad.no_grad, fn, ...))
end

--- Output prototypes of a custom op in a capture: from its `shape`, or like its first input.
local function prototypes(op, ctx, inputs)
  if not op.shape then return { tensor.empty(inputs[1].shape, inputs[1].dtype) } end
  local list = {}
  for i, spec in ipairs { op.shape(ctx, unpack(inputs)) } do
    list[i] = tensor.empty(spec.size or spec, spec.dtype or inputs[1].dtype)
  end
  return list
end

--- An op written in Lua. def.forward(ctx, inputs...) returns one or more tensors; def.backward(ctx,
-- output gradients...) returns a gradient (or nil) for each input; keep in ctx what it needs. For
-- captured graphs, def.shape(ctx, inputs...) returns {size=, dtype=} for each output (default: like
-- the first input). Inputs come without history. Returns a function of tensors.
function grad.custom(name, def)
  local op = F.options(def, { forward = F.none, backward = F.none, shape = F.none },
    "custom op '" .. tostring(name) .. "'")
  if not op.forward or not op.backward then
    F.raise("custom op '%s': expected { forward = function, backward = function }", tostring(name))
  end
  op.name = name
  return function(...)
    forget_contexts()
    local inputs, nin = as_list(name, nil, ...)
    if nin < 1 or nin > MOST_IN then
      F.raise("%s: expected 1 to %d tensors, got %d", name, MOST_IN, nin)
    end
    last_id = last_id + 1
    local id, ctx = last_id, {}
    local made
    if C.ea_graph_capturing() ~= 0 then
      made = prototypes(op, ctx, inputs)
    else
      local plain = {}
      for i, x in ipairs(inputs) do plain[i] = x:detach() end
      made = as_list(name .. " forward", nil, outside_scope(op.forward, ctx, unpack(plain)))
    end
    if #made > MOST_OUT then
      F.raise("%s forward: at most %d results, got %d", name, MOST_OUT, #made)
    end
    for i = 1, nin do in_buffer[i - 1] = F.need_tensor(inputs[i], name) end
    for i = 1, #made do out_buffer[i - 1] = F.need_tensor(made[i], name) end
    F.held[1], F.held[2] = inputs, made
    local out = F.out()
    local status = C.ea_custom(id, nin, in_buffer, #made, out_buffer, out)
    F.held[1], F.held[2] = nil, nil
    F.check(status)
    contexts[id] = { op = op, ctx = ctx, nin = nin, nout = #made }
    local results = {}
    for i = 1, #made do results[i] = F.own(out[i - 1]) end
    return unpack(results)
  end
end

--- Runs a custom node's backward on output gradients (nil where none flowed).
local function call_backward(c, gouts)
  local results = { grad.no_grad(c.op.backward, c.ctx, unpack(gouts, 1, c.nout)) }
  return results
end

--- Gradients of every leaf below t, added into its .grad. t is a single number, or `gradient` has
-- its shape. The tape below t is freed.
function grad.backward(t, gradient)
  local run = ffi.new("ea_backward_run *[1]")
  gradient = gradient and F.need_tensor(gradient, "backward") or F.null
  local status = F.check(C.ea_backward(t, gradient, run))
  while status > 0 do
    local c = contexts[status]
    local gouts = {}
    for j = 1, c.nout do gouts[j] = F.share(C.ea_backward_output_grad(run[0], j - 1)) end
    local ok, gins = pcall(call_backward, c, gouts)
    for i = 1, ok and c.nin or 0 do
      if ok and gins[i] ~= nil then
        if not F.is_tensor(gins[i]) then
          ok, gins = false, ("%s backward: expected a tensor for input %d, got a %s"):format(
            c.op.name, i, type(gins[i]))
        elseif C.ea_backward_give(run[0], i - 1, gins[i]) < 0 then
          ok, gins = false, c.op.name .. ": " .. ffi.string(C.ea_error())
        end
      end
    end
    if not ok then
      C.ea_backward_free(run[0])
      F.raise("%s", tostring(gins))
    end
    status = F.check(C.ea_backward_resume(run[0]))
  end
  forget_contexts()
end

local function serve(g, id, backward)
  local c = contexts[id]
  local slot = ffi.new("ea_ref[1]")
  local function borrowed(what, i)
    F.check(C.ea_graph_custom_tensor(g, what, i - 1, slot))
    return F.share(slot[0])
  end
  if not backward then
    local inputs = {}
    for i = 1, c.nin do inputs[i] = borrowed(0, i) end
    local made = as_list(c.op.name .. " forward", c.nout,
      outside_scope(c.op.forward, c.ctx, unpack(inputs)))
    for j = 1, c.nout do borrowed(1, j):copy(made[j]) end
    return
  end
  local gouts = {}
  for j = 1, c.nout do gouts[j] = borrowed(2, j) end
  local gins = call_backward(c, gouts)
  for i = 1, c.nin do
    local to = borrowed(3, i)
    if to and gins[i] then to:copy(gins[i]) elseif to then to:zero() end
  end
end

--- For captured graphs: does the work of the custom node that graph g waits at.
function grad.serve_graph(g, id, backward)
  local ok, message = pcall(serve, g, id, backward)
  if ok then return end
  C.ea_graph_cancel(g)
  error(message, 0)
end

-- ---- checking ----------------------------------------------------------------------------------

--- Compares the gradients of fn(inputs...) with central differences, in f64. fn returns one tensor
-- (its elements are summed with fixed weights). options: eps (1e-6), tolerance (1e-5, relative to
-- the largest gradient), check (list of inputs to check; all float ones). Returns the largest
-- error.
function grad.check(fn, inputs, opts)
  opts = F.options(opts, { eps = 1e-6, tolerance = 1e-5, check = F.none }, "gradcheck")
  local check = opts.check
  if not check then
    check = {}
    for i, x in ipairs(inputs) do if x.dtype == "f64" then check[#check + 1] = i end end
  end
  local weights
  local function value()
    local y = fn(unpack(inputs))
    weights = weights or require("edgeai.random").rng("gradcheck", { seed = 7 })
      :uniform(y.shape, 0.5, 1.5, y.dtype)
    return (y * weights):sum()
  end
  for _, i in ipairs(check) do
    inputs[i] = inputs[i]:clone():require_grad()
  end
  value():backward()
  local worst = 0
  for _, i in ipairs(check) do
    local x = inputs[i]
    local g = x.grad and x.grad:clone() or tensor.zeros(x.shape, "f64")
    local p, a = F.data(x), F.data(g)
    local scale = 1
    for k = 0, x:numel() - 1 do scale = math.max(scale, math.abs(a[k])) end
    for k = 0, x:numel() - 1 do
      local keep = p[k]
      p[k] = keep + opts.eps
      local up = grad.no_grad(value):item()
      p[k] = keep - opts.eps
      local down = grad.no_grad(value):item()
      p[k] = keep
      local numeric = (up - down) / (2 * opts.eps)
      local err = math.abs(numeric - a[k]) / scale
      if not (err <= opts.tolerance) then
        F.raise("gradcheck: input %d, element %d: the op says %.9g, differences say %.9g", i, k + 1,
          a[k], numeric)
      end
      worst = math.max(worst, err)
    end
    x:require_grad(false)
  end
  return worst
end

return grad
