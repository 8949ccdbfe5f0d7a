-- SPDX-License-Identifier: GPL-3.0-or-later
-- Tensors as Lua sees them: what is refused, how they are indexed, what ops make of arguments.

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

describe("tensors in Lua", function()
  it("that were dropped say so", function()
    local a = ea.ones { 2, 2 }
    local b = ea.ones { 2, 2 }
    a:drop()
    fails(function() return a.shape end, "dropped")
    fails(function() return a:sum() end, "dropped")
    fails(function() return a + b end, "dropped")
    fails(function() return b + a end, "dropped")
    fails(function() return a[1] end, "dropped")
    fails(function() a[1] = 2 end, "dropped")
    fails(function() return #a end, "dropped")
    fails(function() b:copy(a) end, "dropped")
    fails(function() b:set_grad(a) end, "dropped")
    fails(function() b:require_grad(); b:sum():backward(a) end, "dropped")
    fails(function() return tostring(a) end, "dropped")
    local inside
    ea.scope(function() inside = ea.ones { 3 } end)
    fails(function() return inside:sum() end, "dropped")
  end)

  it("take whole numbers only as sizes and indices", function()
    local a = ea.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
    fails(function() a:narrow(1, 1.5, 1) end, "whole")
    fails(function() a:narrow(2, 1, 1.5) end, "whole")
    fails(function() a:narrow(2, 0 / 0, 1) end, "whole")
    fails(function() a:narrow(1.5, 1, 1) end, "whole")
    fails(function() a:select(1, 1.5) end, "whole")
    fails(function() return a[1.5] end, "whole")
    fails(function() a:size(1.5) end, "whole")
    fails(function() a:permute(1, 1.5) end, "whole")
    fails(function() a:narrow(1, 1, 1, 2 ^ 70) end, "whole")
    fails(function() ea.zeros { 2 ^ 40, 2 ^ 40 } end, "too large")
    fails(function() ea.zeros { 2 ^ 70 } end, "whole")
    fails(function() ea.zeros { -1 } end, "negative")
    fails(function() ea.zeros { 1, 1, 1, 1, 1, 1, 1, 1, 1 } end, "dimensions")
    assert.same({ { 1 }, { 4 } }, a:narrow(2, 1, 1, 2 ^ 52):tolist())
  end)

  it("are indexed as Torch7 does", function()
    local a = ea.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
    assert.same({ 4, 5, 6 }, a[2]:tolist())
    assert.same({ 4, 5, 6 }, a[-1]:tolist())
    assert.same({ { 4, 5, 6 } }, a[{ { 2 } }]:tolist())
    assert.same({ { 1, 2, 3 }, { 4, 5, 6 } }, a[{ {} }]:tolist())
    assert.same({ { 2, 3 }, { 5, 6 } }, a[{ {}, { 2, -1 } }]:tolist())
    assert.same({ { 1, 3 } }, a[{ { 1 }, { 1, 3, 2 } }]:tolist())
    assert.equal(6, a[{ 2, 3 }]:item())
    fails(function() return a[3] end, "outside")
    fails(function() return a[0] end, "outside")
    local v = ea.tensor { 1, 2, 3 }
    v[-1] = 9
    v[1] = 7
    assert.same({ 7, 2, 9 }, v:tolist())
    v:require_grad()
    fails(function() v[1] = 5 end, "in place")
    ea.no_grad(function() v[1] = 5 end)
    assert.same({ 5, 2, 9 }, v:tolist())
    assert.same({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, a:permute(-1, 1):tolist())
  end)

  it("take numbers and lists of axes unmixed", function()
    local a = ea.tensor { { 1, -2, 3 }, { -4, 5, 6 } }
    assert.same({ { 1, 0, 3 }, { 0, 5, 6 } }, ea.where(a:greater(0), a, 0):tolist())
    assert.same({ { 0, -2, 0 }, { -4, 0, 0 } }, ea.where(a:greater(0), 0, a):tolist())
    assert.same({ { 1, 0, 1 }, { 0, 1, 1 } }, ea.where(a:greater(0), 1, 0):tolist())
    assert.same({ { 2 }, { 7 } }, a:sum({ 2, keep = true }):tolist())
    assert.same({ { 2 }, { 7 } }, a:sum({ axes = 2, keep = true }):tolist())
    assert.same({ 2, 7 }, a:sum(2):tolist())
    assert.equal(9, a:sum(1, 2):item())
    assert.equal(9, a:sum({}):item())
    assert.same({ 4, 1 }, (2 ^ ea.tensor { 2, 0 }):tolist())
    assert.same({ 1, 0.5 }, (1 / ea.tensor { 1, 2 }):tolist())
    assert.same({ 1, 0 }, ea.tensor({ 1, 5 }, "i32"):less(2):tolist())
    fails(function() a:sum({ 2, kep = true }) end, "kep")
  end)

  it("refuse names that are no strings", function()
    fails(function() ea.rng() end, "name")
    fails(function() ea.io.load() end, "path")
  end)
end)

describe("slice", function()
  it("counts from 1 in every form", function()
    local x = ea.tensor { 10, 20, 30, 40, 50 }
    for _, y in ipairs { ea.slice(x, 1, 2, 2, 2), ea.slice(x, { axis = 1, start = 2, length = 2,
      step = 2 }), x:slice(1, 2, 2, 2), x:slice { axis = 1, start = 2, length = 2, step = 2 } } do
      assert.same({ 20, 40 }, y:tolist())
    end
    assert.same({ 10 }, x:slice({ axis = 1, length = 1 }):tolist())
  end)

  it("view is reshape", function()
    local x = ea.arange(1, 6)
    assert.same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, x:view(3, -1):tolist())
    x:view(6):fill(7)
    assert.equal(42, x:sum():item())
  end)

  it("a stream's permutation is the same for the same seed, purpose and index", function()
    local a, b = ea.rng("deal", { seed = 3 }), ea.rng("deal", { seed = 3 })
    local first = a:permutation(9):tolist()
    assert.same(first, b:permutation(9):tolist())
    assert.is_false(require("luassert.util").deepcompare(first, a:permutation(9):tolist()))
    table.sort(first)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9 }, first)
  end)
end)
