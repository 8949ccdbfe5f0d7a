-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai doctor: its self-test covers every op and type, catches every kernel that is broken on
-- purpose, and the program says so with exit code 1.

local cases = require "edgeai.doctor.cases"
local json = require "edgeai.json"
local ops = require "edgeai.ops"
local plain = require "edgeai.doctor.plain"
local program = require "program"
local selftest = require "edgeai.doctor.selftest"

local sanitized = os.getenv "EDGEAI_SANITIZED"

--- Runs fn while ops.apply is broken: broken(name, inputs, attrs, apply).
local function with_apply(broken, fn, ...)
  local apply = ops.apply
  ops.apply = function(name, inputs, attrs) return broken(name, inputs, attrs, apply) end
  local ok, result = pcall(fn, ...)
  ops.apply = apply
  if not ok then error(result, 0) end
  return result
end

local function under_test(inputs)
  for _, x in ipairs(inputs) do
    if x.dtype == "f64" then return false end
  end
  return true
end

--- name of op, engine and type -> result, of those that did not pass.
local function failures(results)
  local failed = {}
  for _, r in ipairs(results) do
    if not r.ok then failed[("%s %s %s"):format(r.op, r.engine or "-", r.dtype)] = r end
  end
  return failed
end

describe("the self-test", function()
  it("passes here, with every op in f32 and bf16 and convolutions by each engine", function()
    local results, seen = selftest.run(2), {}
    for name, r in pairs(failures(results)) do
      error(("%s: %s %g"):format(name, tostring(r.worst), r.error))
    end
    for _, r in ipairs(results) do
      assert.is_true(r.comparisons > 0, r.op)
      seen[r.op .. " " .. r.dtype] = (seen[r.op .. " " .. r.dtype] or 0) + 1
    end
    for _, op in ipairs(ops.list) do
      for _, dtype in ipairs { "f32", "bf16" } do
        local wanted = op.name:find "^conv" and #selftest.engines() or 1
        assert.equal(wanted, seen[op.name .. " " .. dtype], op.name .. " has no case in "
          .. "edgeai.doctor.cases")
      end
    end
  end)

  it("has references that agree with the ops' own f64 code", function()
    local checked = 0
    for _, case in ipairs(cases) do
      if plain[case.op] and case.op ~= "one_hot" then
        local inputs = {}
        for i, spec in ipairs(case.inputs) do
          inputs[i] = (ea.rng(case.op .. i, { seed = 7 }):normal(spec[1], 0, 1, "f64")):abs() + 0.1
          if not (case.op == "batch_norm" and i > 3) then inputs[i]:require_grad(true) end
        end
        local copies = {}
        for i, x in ipairs(inputs) do copies[i] = x:detach():clone() end
        local y = ops.apply(case.op, inputs, case.attrs)
        local g = ea.rng("g", { seed = 7 }):normal(y.shape, 0, 1, "f64")
        y:backward(g)
        local want = plain[case.op](copies, case.attrs, g)
        local function same(name, t)
          local d = (t - want[name]):abs():max():item()
          assert.is_true(d < 1e-10, ("%s %s: %g"):format(case.op, name, d))
          checked = checked + 1
        end
        same("output", y:detach())
        for i, x in ipairs(inputs) do
          if x.grad then same(("gradient of input %d"):format(i), x.grad) end
        end
        if case.op == "batch_norm" then
          for i = 4, 5 do same(("input %d afterwards"):format(i), inputs[i]) end
        end
      end
    end
    assert.is_true(checked > 30)
  end)

  it("catches a wrong output of any op", function()
    local results = with_apply(function(_, inputs, attrs, apply)
      local made = { apply(_, inputs, attrs) }
      if under_test(inputs) and made[1].dtype ~= "u8" then
        -- a twentieth of the largest number, in one element
        local y = made[1]:detach():to("f64")
        local off = ea.zeros(y.shape, "f64"):reshape(-1)
        off[off.shape[1]] = made[1].dtype == "i32" and 1 or 0.05 * y:abs():max():item()
        made[1] = apply("add", { made[1], off:reshape(unpack(y.shape)):to(made[1].dtype) }, {})
      elseif made[1].dtype == "u8" and under_test(inputs) then
        made[1] = apply("equal", { made[1], ea.zeros({}, "u8") }, {})
      end
      return unpack(made)
    end, selftest.run, 2)
    local failed, passed = failures(results), {}
    for _, r in ipairs(results) do
      local name = ("%s %s %s"):format(r.op, r.engine or "-", r.dtype)
      if not failed[name] and r.op ~= "threads" then passed[#passed + 1] = name end
    end
    assert.same({}, passed)
  end)

  it("catches a wrong gradient of any op", function()
    local with_gradient = {}
    local results = with_apply(function(name, inputs, attrs, apply)
      local bent = {}
      for i, x in ipairs(inputs) do
        bent[i] = x
        if under_test(inputs) and x.dtype ~= "i32" and x.dtype ~= "u8"
          and require("edgeai.ffi").C.ea_tensor_requires_grad(x) ~= 0 then
          -- the same value, with 1.1 times the gradient
          local none = apply("sub", { x, x:detach() }, {})
          bent[i] = apply("add", { x, apply("affine", { none }, { scale = 0.1 }) }, {})
        end
      end
      local made = { apply(name, bent, attrs) }
      if bent[1] ~= inputs[1] and require("edgeai.ffi").C.ea_tensor_requires_grad(made[1]) ~= 0 then
        with_gradient[name] = true
      end
      return unpack(made)
    end, selftest.run, 2)
    local failed = failures(results)
    local count = 0
    for _, r in ipairs(results) do
      local flat = r.op == "sign" or r.op == "threads" -- its gradient is 0, and so is 1.1 times it
      if with_gradient[r.op] and not flat then
        count = count + 1
        assert.is_truthy(failed[("%s %s %s"):format(r.op, r.engine or "-", r.dtype)],
          r.op .. " " .. r.dtype)
      end
    end
    assert.is_true(count > 120)
  end)

  it("catches bytes that depend on the number of threads", function()
    local results = with_apply(function(name, inputs, attrs, apply)
      local y = apply(name, inputs, attrs)
      if name ~= "mean" then return y end
      return apply("affine", { y }, { shift = 1e-6 * ea.threads() })
    end, selftest.run, 2)
    assert.is_truthy(failures(results)["threads - f32 and bf16"])
  end)

  it("turns an op that raises into a failure with its sentence", function()
    local results = with_apply(function(name, inputs, attrs, apply)
      if name == "gelu" then error("no gelu today", 0) end
      return apply(name, inputs, attrs)
    end, selftest.run, 2)
    local failed = failures(results)
    assert.equal("no gelu today", failed["gelu - bf16"].worst)
    assert.equal(math.huge, failed["gelu - f32"].error)
  end)
end)

describe("edgeai doctor", function()
  local folder
  setup(function() folder = program.folder() end)
  teardown(function() program.remove(folder) end)

  --- Without the user's own data sets.
  local function doctor(arguments, before)
    return program.run(folder, "doctor " .. (arguments or ""), ("EDGEAI_DATA='%s' "
      .. "XDG_CACHE_HOME='%s' %s"):format(folder, folder, before or ""))
  end

  --- A library from a piece of C, for LD_PRELOAD.
  local function shim(name, code)
    program.write(("%s/%s.c"):format(folder, name), code)
    assert.equal(0, os.execute(("cd '%s' && cc -shared -fPIC -w -o %s.so %s.c -ldl"):format(folder,
      name, name)))
    return ("LD_PRELOAD='%s/%s.so'"):format(folder, name)
  end

  it("says what is here, and ends with 0", function()
    local code, out, err = doctor()
    assert.equal(0, code, out .. err)
    for _, words in ipairs { "processor", "OpenBLAS", "convolutions", "f32 kernels", "bf16 kernels",
      "same bytes", "fashion-mnist", "gnuplot", "terminal", "0 failed" } do
      assert.truthy(out:find(words, 1, true), words)
    end
  end)

  it("gives all of it as JSON, and every op's error on request", function()
    local code, out = doctor "--json"
    local report = json.decode(out)
    assert.equal(0, code)
    assert.is_true(report.ok and #report.selftest > 150 and #report.findings > 15)
    for _, f in ipairs(report.findings) do
      assert.is_truthy(f.level and f.about and f.says, tostring(f.about))
    end
    code, out = doctor "--verbose"
    assert.equal(0, code)
    assert.truthy(out:find("logsumexp", 1, true) and out:find("element %d+ %(3x3"))
  end)

  it("says which variables slow it down or do nothing, and what is missing", function()
    local code, out = doctor("", "env -u OPENBLAS_CORETYPE EDGEAI_CONV=portable OMP_PROC_BIND=true "
      .. "OMP_NUM_THREADS=3 EDGEAI_DATE=x")
    assert.equal(0, code, out)
    for _, words in ipairs { "unset EDGEAI_CONV", "unset OMP_PROC_BIND",
      "OMP_NUM_THREADS", "is ignored", "did you mean `EDGEAI_DATA`?",
      "try: edgeai data fetch cifar10" } do
      assert.truthy(out:find(words, 1, true), words .. "\n" .. out)
    end
  end)

  it("calls a damaged data set by its name, with exit code 1", function()
    assert.equal(0, os.execute(("mkdir -p '%s/d/cifar-10-batches-bin'"):format(folder)))
    program.write(folder .. "/d/cifar-10-batches-bin/test_batch.bin", "short")
    local code, out = doctor("", ("EDGEAI_DATA='%s/d'"):format(folder))
    assert.equal(1, code)
    assert.truthy(out:find("FAILED +cifar10 +cifar10: "), out)
  end)

  it("catches a broken OpenBLAS", function()
    if sanitized then return pending("sanitizers come before any other library") end
    local broken = shim("blas", [[
      void cblas_sgemm(int o, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                       int lda, const float *b, int ldb, float beta, float *c, int ldc) {
        for (int i = 0; i < m; i++)
          for (int j = 0; j < n; j++) {
            float s = 0; /* the last product is left out */
            for (int l = 0; l < k - 1; l++)
              s += a[ta == 112 ? l * lda + i : i * lda + l]
                   * b[tb == 112 ? j * ldb + l : l * ldb + j];
            c[i * ldc + j] = alpha * s + (beta ? beta * c[i * ldc + j] : 0);
          }
      }]])
    local code, out = doctor("", broken)
    assert.equal(1, code, out)
    assert.truthy(out:find("FAILED +f32 matmul"), out)
    assert.truthy(out:find("FAILED +f32 conv2d %(portable%)"), out)
    assert.truthy(out:find("try: OPENBLAS_CORETYPE=Haswell", 1, true), out)
  end)

  it("catches a broken oneDNN", function()
    if sanitized then return pending("sanitizers come before any other library") end
    if #selftest.engines() == 1 then return pending("oneDNN is not built in") end
    local code, out = doctor("", shim("dnnl",
      "int dnnl_primitive_execute(void *p, void *s, int n, void *a) { return 0; }"))
    assert.equal(1, code, out)
    assert.truthy(out:find("FAILED +f32 conv2d %(oneDNN%)"), out)
    assert.truthy(out:find("FAILED +bf16 conv2d %(oneDNN%)"), out)
    assert.truthy(out:find("try: EDGEAI_CONV=portable", 1, true), out)
    assert.falsy(out:find("FAILED +f32 conv2d %(portable%)"), out)
  end)

  it("takes no arguments", function()
    local code, _, err = doctor "me"
    assert.equal(2, code)
    assert.truthy(err:find("doctor takes no arguments, not 'me'", 1, true), err)
  end)
end)

describe("ea.doctor.examine", function()
  it("has a level, a subject and a sentence in every finding", function()
    local report = ea.doctor.examine()
    local levels = { ok = 1, note = 1, slow = 1, missing = 1, failed = 1 }
    for _, f in ipairs(report.findings) do assert.is_truthy(levels[f.level], f.level) end
    assert.is_true(report.cpu.processors >= 1 and report.cpu.all >= report.cpu.processors)
  end)
end)

describe("the machine", function()
  local machine = require "edgeai.machine"

  it("tells its processor, programs and files", function()
    local model, flags = machine.processor()
    assert.equal("string", type(model))
    assert.equal("table", type(flags))
    assert.is_true((machine.processors()) >= 1)
    assert.truthy(machine.program("sh"):find("/sh$"))
    assert.is_nil(machine.program "no such program; or is there?")
    assert.equal("a b", machine.output "echo 'a b'")
    assert.is_nil(machine.read(program.root .. "/no/such/file"))
  end)

  it("has variables that mean something", function()
    for _, variable in ipairs(require("edgeai.doctor.environment").list()) do
      assert.is_truthy(variable.says and variable.level, variable.name)
    end
  end)
end)
