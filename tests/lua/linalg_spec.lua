-- SPDX-License-Identifier: GPL-3.0-or-later
-- Singular values and symmetric eigenvalues: known ones, reconstruction, orthogonality, signs.

local function near(want, got, limit)
  local w = want:to("f64"):reshape(want:numel()):tolist()
  local g = got:to("f64"):reshape(got:numel()):tolist()
  assert.same(want.shape, got.shape)
  for i = 1, #w do
    local close = math.abs(w[i] - g[i]) <= limit -- false for NaN too
    if not close then error(("element %d is %.9g, expected %.9g"):format(i, g[i], w[i])) end
  end
end

local function identity(n, dtype) return ea.eye(n):to(dtype) end

--- Rows of v whose component of largest magnitude is not positive.
local function wrong_signs(v)
  local wrong = 0
  for _, row in ipairs(v:tolist()) do
    local most = 0
    for _, x in ipairs(row) do
      if math.abs(x) > math.abs(most) then most = x end
    end
    if most <= 0 then wrong = wrong + 1 end
  end
  return wrong
end

local function refuses(pattern, f, ...)
  local ok, sentence = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(tostring(sentence):find(pattern, 1, true), tostring(sentence))
end

local limits = { f32 = 2e-5, f64 = 1e-12 }

describe("svd", function()
  it("gives the known values", function() -- numpy.linalg.svd of this matrix, signs as ours
    local a = ea.tensor({ { 1, 2, 3 }, { 4, 5, 6 }, { 7, 8, 10 }, { -1, 0, 2 } }, "f64")
    local u, s, vt = ea.svd(a)
    near(ea.tensor({ 17.43698428, 2.20286748, 0.31456955 }, "f64"), s, 1e-8)
    near(ea.tensor({ { 0.46028361, 0.55219, 0.69514402 }, { 0.72606706, 0.21642475, -0.65267676 },
      { -0.51084795, 0.80513759, -0.3013102 } }, "f64"), vt, 1e-8)
    near(ea.tensor({ 0.20933067, -0.36276069, 0.6214734 }, "f64"), u[1], 1e-8)
  end)

  for dtype, limit in pairs(limits) do
    for _, size in ipairs { { 1, 1 }, { 5, 3 }, { 3, 5 }, { 4, 4 }, { 60, 33 }, { 1, 7 },
      { 7, 1 } } do
      local name = ("%dx%d %s"):format(size[1], size[2], dtype)
      it("of " .. name .. " reconstructs it from orthogonal parts", function()
        local a = ea.rng("svd", { seed = 1 }):normal(size, 0, 1, dtype)
        local k = math.min(size[1], size[2])
        local u, s, vt = ea.svd(a)
        assert.same({ size[1], k }, u.shape)
        assert.same({ k, size[2] }, vt.shape)
        near(a, ea.matmul(u * s, vt), limit)
        near(identity(k, dtype), ea.matmul(u, u, { ta = true }), limit)
        near(identity(k, dtype), ea.matmul(vt, vt, { tb = true }), limit)
        local values = s:tolist()
        for i = 2, k do assert.is_true(values[i] <= values[i - 1] and values[i] >= 0) end
        assert.equal(0, wrong_signs(vt))
      end)
    end
  end

  it("takes views, rank-deficient and empty matrices, and leaves its input alone", function()
    local a = ea.tensor({ { 1, 2 }, { 2, 4 }, { 3, 6 } }, "f64")
    local _, s = ea.svd(a:t())
    near(ea.tensor({ math.sqrt(70), 0 }, "f64"), s, 1e-12)
    assert.same({ { 1, 2 }, { 2, 4 }, { 3, 6 } }, a:tolist())
    local u, none, vt = ea.svd(ea.zeros({ 0, 3 }))
    assert.same({ { 0, 0 }, { 0 }, { 0, 3 } }, { u.shape, none.shape, vt.shape })
  end)

  it("refuses what it cannot take", function()
    refuses("svd: expected a matrix", ea.svd, ea.zeros({ 2, 2, 2 }))
    refuses("svd: expected f32 or f64", ea.svd, ea.zeros({ 2, 2 }, "i32"))
    refuses("1 elements of {2, 2} f32 are NaN or infinite", ea.svd,
      ea.tensor { { 1, 2 }, { 0 / 0, 1 } })
  end)
end)

describe("eigh", function()
  it("gives the known values", function()
    local w, v = ea.eigh(ea.tensor({ { 2, 1 }, { 1, 2 } }, "f64"))
    near(ea.tensor({ 1, 3 }, "f64"), w, 1e-14)
    local r = math.sqrt(0.5)
    near(ea.tensor({ { r, r }, { r, r } }, "f64"), v:abs(), 1e-14)
    assert.equal(0, wrong_signs(v:t()))
  end)

  for dtype, limit in pairs(limits) do
    for _, n in ipairs { 1, 2, 5, 40 } do
      it(("of %dx%d %s reconstructs it from orthogonal vectors"):format(n, n, dtype), function()
        local b = ea.rng("eigh", { seed = 1 }):normal({ n, n }, 0, 1, dtype)
        local a = b + b:t()
        local w, v = ea.eigh(a)
        near(a, ea.matmul(v * w, v, { tb = true }), limit * 5)
        near(identity(n, dtype), ea.matmul(v, v, { ta = true }), limit)
        local values = w:tolist()
        for i = 2, n do assert.is_true(values[i] >= values[i - 1]) end
        assert.equal(0, wrong_signs(v:t()))
      end)
    end
  end

  it("refuses what it cannot take", function()
    refuses("row 2 column 1 is 5, row 1 column 2 is 2", ea.eigh, ea.tensor { { 1, 2 }, { 5, 1 } })
    refuses("expected a square matrix, got {2, 3} f32", ea.eigh, ea.zeros({ 2, 3 }))
  end)

  it("says when there is no memory, and leaks nothing", function()
    local F = require "edgeai.ffi"
    local a = identity(6, "f64")
    collectgarbage()
    collectgarbage()
    local live, failures = ea.memory().live, 0
    for n = 1, 20 do
      F.C.ea_memory_fail_at(n)
      local out = F.out()
      local status = F.C.ea_eigh(a, out, out + 1)
      F.C.ea_memory_fail_at(0)
      if status == 0 then
        F.C.ea_tensor_release(out[0])
        F.C.ea_tensor_release(out[1])
        break
      end
      failures = failures + 1
    end
    assert.is_true(failures >= 4)
    assert.equal(live, ea.memory().live)
  end)
end)
