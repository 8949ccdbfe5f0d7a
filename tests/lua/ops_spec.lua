-- SPDX-License-Identifier: GPL-3.0-or-later
-- Every op of the table against its cases in tests/ops/*.lua: values in f32, f64 and bf16 against
-- the slow reference, gradients in f64 against differences. An op without a case fails.

local ops = require "edgeai.ops"
local folder = debug.getinfo(1, "S").source:match("^@(.*)/lua/[^/]*$")
local groups = { "elementwise", "reductions", "shape", "products", "layers", "losses" }
local tolerance = { f32 = 1e-5, f64 = 1e-12, bf16 = 2e-2 }

local function flat(x, out)
  if ea.is_tensor(x) then x = x:tolist() end
  if type(x) == "number" then
    out[#out + 1] = x
  else
    for _, item in ipairs(x) do flat(item, out) end
  end
  return out
end

local function shape_of(x)
  if ea.is_tensor(x) then return table.concat(x.shape, "x") end
  local size = {}
  while type(x) == "table" do
    size[#size + 1] = #x
    x = x[1]
  end
  return table.concat(size, "x")
end

--- Compares with the largest reference value as the scale.
local function same(got, want, limit, what)
  assert.equal(shape_of(want), shape_of(got), what .. ": shape")
  local g, w = flat(got, {}), flat(want, {})
  local scale = 1
  for i = 1, #w do
    if math.abs(w[i]) < math.huge then scale = math.max(scale, math.abs(w[i])) end
  end
  for i = 1, #w do
    local near = g[i] == w[i] or (g[i] ~= g[i] and w[i] ~= w[i])
      or math.abs(g[i] - w[i]) <= limit * scale
    if not near then
      error(("%s: element %d is %.9g, expected %.9g"):format(what, i, g[i], w[i]))
    end
  end
end

--- Small smooth numbers, the same every time.
local function rand_from(name)
  local stream = ea.rng("case " .. name, { seed = 3 })
  return function(shape, dtype) return stream:normal(shape, 0, 1, dtype) end
end

local function run_op(case, inputs)
  return { ops.apply(case.op, inputs, case.attrs) }
end

local function check_value(case, dtype)
  local inputs = case.inputs(dtype, rand_from(case.op .. case.name))
  local wide = {}
  for i, x in ipairs(inputs) do
    wide[i] = (x.dtype == "bf16" or x.dtype == "f32") and x:to("f64") or x:clone()
  end
  local want = { case.reference(wide, case.attrs or {}) }
  local got = run_op(case, inputs)
  local limit = (case.tolerance or {})[dtype] or tolerance[dtype]
  for j = 1, #want do
    same(got[j], want[j], limit, ("%s (%s, %s) output %d"):format(case.op, case.name, dtype, j))
  end
end

local function check_gradient(case)
  local inputs = case.inputs("f64", rand_from(case.op .. case.name))
  ea.gradcheck(function(...)
    return (ops.apply(case.op, { ... }, case.attrs))
  end, inputs, { check = case.grad, tolerance = case.grad_tolerance or 1e-5,
    eps = case.eps or 1e-6 })
end

local seen = {}
for _, group in ipairs(groups) do
  local cases = dofile(("%s/ops/%s.lua"):format(folder, group))(ea)
  describe(group, function()
    for _, case in ipairs(cases) do
      seen[case.op] = true
      it(("%s: %s"):format(case.op, case.name), function()
        for _, dtype in ipairs(case.dtypes or { "f32", "f64", "bf16" }) do
          check_value(case, dtype)
        end
        if case.grad == nil or #case.grad > 0 then check_gradient(case) end
      end)
    end
  end)
end

describe("the op table", function()
  for _, op in ipairs(ops.list) do
    it("has a case for " .. op.name, function()
      assert.is_true(seen[op.name] == true, op.name .. " has no case in tests/ops")
    end)
  end
end)
