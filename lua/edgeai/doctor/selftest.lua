-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.doctor.selftest - every op's kernels for f32 and bf16, forward and backward, on this CPU:
-- against plain loops where a foreign library or much cleverness computes (conv2d by both engines,
-- matmul, batch_norm; and one_hot, which knows no f64), against the op's own f64 code elsewhere.
-- And: the same bytes at any number of threads.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local cases = require "edgeai.doctor.cases"
local ops = require "edgeai.ops"
local plain = require "edgeai.doctor.plain"
local random = require "edgeai.random"
local text = require "edgeai.text"

local C = F.C
local selftest = {}

--- Largest difference allowed, relative to the largest number of the reference.
selftest.limits = { f32 = 2e-5, bf16 = 2e-2 }

local floating = { f32 = true, f64 = true, bf16 = true }

local function master(dtype) return dtype == "bf16" and "f32" or dtype end

--- Inputs of a case, the same every time.
local function make_inputs(case, dtype)
  local stream, inputs = random.rng("self-test " .. case.op, { seed = 1 }), {}
  for i, spec in ipairs(case.inputs) do
    local size, kind = spec[1], spec[2]
    if type(kind) == "number" then
      inputs[i] = stream:uniform(size, 0.5, kind + 0.49):to("i32")
    elseif kind == "b" then
      inputs[i] = ops.apply("greater", { stream:normal(size), ops.number_tensor(0) })
    elseif kind == "p" then
      inputs[i] = ops.apply("softmax", { stream:normal(size) }):to(dtype)
    else
      local x = stream:normal(size)
      if kind:find("+", 1, true) then
        x = ops.apply("affine", { ops.apply("abs", { x }) }, { shift = 0.5 })
      end
      inputs[i] = x:to(kind:find("w", 1, true) and master(dtype) or dtype)
    end
  end
  return inputs
end

local function widened(inputs)
  local wide = {}
  for i, x in ipairs(inputs) do wide[i] = floating[x.dtype] and x:to("f64") or x:clone() end
  return wide
end

--- Applies the case's op and goes backward from its first output with `gradient(y)`. Returns
-- tensors by name, and the gradient it started from.
local function compute(case, inputs, gradient)
  local leaves = {}
  for i, x in ipairs(inputs) do
    leaves[i] = x:clone()
    -- The gradient of the running statistics of batch norm is nobody's business.
    if floating[x.dtype] and not (case.op == "batch_norm" and i > 3) then
      leaves[i]:require_grad(true)
    end
  end
  local outputs, made = { ops.apply(case.op, leaves, case.attrs) }, {}
  for j, y in ipairs(outputs) do made["output" .. (j > 1 and " " .. j or "")] = y:detach() end
  if case.op == "batch_norm" then
    for i = 4, 5 do made[("input %d afterwards"):format(i)] = leaves[i] end
  end
  local y, g = outputs[1], nil
  if floating[y.dtype] and C.ea_tensor_requires_grad(y) ~= 0 then
    g = gradient(y)
    y:backward(g)
    for i, x in ipairs(leaves) do
      if x.grad then made[("gradient of input %d"):format(i)] = x.grad end
    end
  end
  return made, g
end

--- Largest difference, relative to the largest number of the reference; and where it is.
local function difference(got, want)
  if table.concat(got.shape, "x") ~= table.concat(want.shape, "x") then return math.huge, 1 end
  got, want = got:to("f64"):contiguous(), want:to("f64"):contiguous()
  local a, b, scale, worst, place = F.data(got), F.data(want), 0, 0, 1
  for k = 0, want:numel() - 1 do
    local d = math.abs(a[k] - b[k])
    if not (d <= worst) and a[k] ~= b[k] then worst, place = d == d and d or math.huge, k + 1 end
    scale = math.max(scale, math.abs(b[k]))
  end
  return worst / math.max(scale, 1e-30), place
end

local function compare(result, made, wanted)
  for _, name in ipairs(text.keys(wanted)) do
    local got, want = made[name], wanted[name]
    local error, place = math.huge, 1
    if got then error, place = difference(got, want) end
    result.comparisons = result.comparisons + 1
    if error > result.error or not result.worst then
      result.error = math.max(error, result.error)
      result.worst = ("%s, element %d%s"):format(name, place, result.label)
    end
  end
end

local function check_case(case, dtype, result)
  local inputs = make_inputs(case, dtype)
  local function upstream(y)
    return random.rng("self-test gradient", { seed = 2 }):normal(y.shape):to(y.dtype)
  end
  result.label = case.label and (" (%s)"):format(case.label) or ""
  local made, g = compute(case, inputs, upstream)
  local wide = widened(inputs)
  local reference = plain[case.op]
  if reference then
    compare(result, made, reference(wide, case.attrs, g and g:to("f64")))
  else
    compare(result, made, (compute(case, wide, function(y) return g:to(y.dtype) end)))
  end
end

--- The case's outputs and gradients have the same bytes with one thread and with `threads`.
local function check_threads(case, dtype, threads, result)
  local inputs = make_inputs(case, dtype)
  local function upstream(y) return y:detach():clone() end
  local before = C.ea_threads()
  F.check(C.ea_set_threads(1))
  local one = compute(case, inputs, upstream)
  F.check(C.ea_set_threads(threads))
  local many = compute(case, inputs, upstream)
  F.check(C.ea_set_threads(before))
  for name, t in pairs(one) do
    result.comparisons = result.comparisons + 1
    if t:hash() ~= many[name]:hash() then
      result.error, result.worst = math.huge, ("%s %s of %s (%s)"):format(dtype, name, case.op,
        case.label or "")
    end
  end
end

local function attempt(result, fn, ...)
  local ok, message = pcall(fn, ...)
  if not ok then result.error, result.worst = math.huge, tostring(message) end
  result.ok, result.label = result.error <= result.limit, nil
end

--- The engines that conv2d has here, the usual one first: a list of { name, number that
-- ea_conv_set_engine takes }.
function selftest.engines()
  local before = C.ea_conv_set_engine(0)
  local name = ffi.string(C.ea_conv_engine()):match("^%a+")
  C.ea_conv_set_engine(before)
  local list = { { "portable", 1 } }
  if name ~= "portable" then table.insert(list, 1, { name, 0 }) end
  return list
end

local function with_engine(number, fn, ...)
  local before = C.ea_conv_set_engine(number)
  local ok, message = pcall(fn, ...)
  C.ea_conv_set_engine(before)
  if not ok then error(message, 0) end
end

--- Runs it all. Returns a list of { op, engine (of conv2d), dtype, comparisons, error (relative),
-- limit, ok, worst = where the largest error is, or what went wrong }. One with op "threads" is the
-- comparison of one thread with several: its limit is 0.
function selftest.run(threads)
  local results, by_op = {}, {}
  for _, case in ipairs(cases) do
    by_op[case.op] = by_op[case.op] or {}
    table.insert(by_op[case.op], case)
  end
  local function new(op, dtype, limit, engine)
    local r = { op = op, engine = engine, dtype = dtype, comparisons = 0, error = 0,
      limit = limit }
    results[#results + 1] = r
    return r
  end
  for _, op in ipairs(ops.list) do
    for _, dtype in ipairs(by_op[op.name] and { "f32", "bf16" } or {}) do
      for _, engine in ipairs(op.name:find "^conv" and selftest.engines() or { {} }) do
        attempt(new(op.name, dtype, selftest.limits[dtype], engine[1]), function(result)
          for _, case in ipairs(by_op[op.name]) do
            if engine[2] then
              with_engine(engine[2], check_case, case, dtype, result)
            else
              check_case(case, dtype, result)
            end
          end
        end, results[#results])
      end
    end
  end
  local several = math.max(2, threads or 2)
  attempt(new("threads", "f32 and bf16", 0), function(result)
    for _, name in ipairs { "conv2d", "conv_transpose2d", "batch_norm", "linear", "mean",
      "moments" } do
      for _, case in ipairs(by_op[name]) do
        for _, dtype in ipairs { "f32", "bf16" } do check_threads(case, dtype, several, result) end
      end
    end
  end, results[#results])
  return results
end

return selftest
