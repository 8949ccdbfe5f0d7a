-- SPDX-License-Identifier: GPL-3.0-or-later
-- The eager tape: gradients, their bookkeeping, custom ops, scopes.

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

describe("backward", function()
  it("adds up over uses and calls", function()
    local a = ea.tensor({ 1, 2, 3 }):require_grad();
    (a * a + a):sum():backward()
    assert.same({ 3, 5, 7 }, a.grad:tolist());
    (a * 2):sum():backward()
    assert.same({ 5, 7, 9 }, a.grad:tolist())
    a:zero_grad()
    assert.same({ 0, 0, 0 }, a.grad:tolist())
  end)

  it("takes a gradient for values that are not single numbers", function()
    local a = ea.tensor({ 1, 2 }):require_grad();
    (a * 3):backward(ea.tensor { 10, 1 })
    assert.same({ 30, 3 }, a.grad:tolist())
  end)

  it("passes through views and slices", function()
    local a = ea.tensor({ { 1, 2, 3 }, { 4, 5, 6 } }):require_grad()
    a:t():narrow(1, 2, 2):reshape(-1):sum():backward()
    assert.same({ { 0, 1, 1 }, { 0, 1, 1 } }, a.grad:tolist())
    a:zero_grad()
    a[2]:sum():backward()
    assert.same({ { 0, 0, 0 }, { 1, 1, 1 } }, a.grad:tolist())
  end)

  it("records nothing under no_grad", function()
    local a = ea.tensor({ 1 }):require_grad()
    local y = ea.no_grad(function() return a * 2 end)
    assert.is_false(y.requires_grad)
    assert.is_true((a * 2).requires_grad)
    assert.has_error(function() ea.no_grad(error, "oops") end)
    assert.is_true((a * 2).requires_grad)
  end)

  it("frees the tape, at any depth", function()
    collectgarbage() collectgarbage()
    local live = ea.memory().live
    local a = ea.ones({ 8 }):require_grad()
    local y = a
    for _ = 1, 20000 do y = y + 1 end
    y:sum():backward()
    y, a = nil, nil
    collectgarbage() collectgarbage()
    assert.is_true(ea.memory().live <= live + 1024)
  end)

  it("explains what is wrong", function()
    local a = ea.tensor({ 1, 2 }):require_grad()
    fails(function() (a * 2):backward() end, "single number")
    fails(function() ea.tensor({ 1 }):sum():backward() end, "requires a gradient")
    fails(function() (a * 2):require_grad() end, "leaf")
    fails(function() ea.tensor({ 1 }, "i32"):require_grad() end, "f32, f64 and bf16")
    local y = (a * a):sum()
    y:backward()
    fails(function() y:backward() end, "already taken")
  end)
end)

describe("ea.custom", function()
  local double = ea.custom("double", {
    forward = function(ctx, a, b)
      ctx.a = a
      return a * 2, a + b
    end,
    backward = function(_, g1, g2)
      local g = g1 and g1 * 2
      if g2 then g = g and g + g2 or g2 end
      return g, g2
    end,
  })

  it("has the gradient it was given", function()
    local a, b = ea.tensor({ 1, 2 }):require_grad(), ea.tensor({ 3, 4 }):require_grad()
    local x, y = double(a, b);
    (x * y):sum():backward()
    assert.same({ 10, 16 }, a.grad:tolist()) -- 2*(a+b) + 2a
    assert.same({ 2, 4 }, b.grad:tolist())
    assert.is_true(ea.gradcheck(function(p, q)
      local u, w = double(p, q)
      return u * w
    end, { ea.tensor({ 1, 2 }, "f64"), ea.tensor({ 3, 4 }, "f64") }) < 1e-6)
  end)

  it("is refused by gradcheck when its gradient is wrong", function()
    local wrong = ea.custom("wrong", {
      forward = function(_, a) return a * a end,
      backward = function(_, g) return g end,
    })
    fails(function()
      ea.gradcheck(wrong, { ea.tensor({ 1, 2 }, "f64") })
    end, "element 1")
  end)

  it("names itself in its errors and leaves the tape usable", function()
    local broken = ea.custom("broken", {
      forward = function(_, a) return a * 1 end,
      backward = function() return "nothing" end,
    })
    local a = ea.tensor({ 1 }):require_grad()
    fails(function() broken(a):sum():backward() end, "broken")
    local short = ea.custom("short", {
      forward = function(_, x) return x * 1 end,
      backward = function() return ea.tensor { 1, 2, 3 } end,
    })
    fails(function() short(a):sum():backward() end, "input 1 must be {1}");
    (a * 3):sum():backward()
    assert.same({ 3 }, a.grad:tolist())
  end)

  it("keeps nothing once the tape is gone", function()
    collectgarbage() collectgarbage()
    local live = ea.memory().live
    local a = ea.ones({ 1000 }):require_grad()
    for _ = 1, 100 do double(a, a) end
    a = nil
    collectgarbage() collectgarbage()
    double(ea.ones { 1 }, ea.ones { 1 }) -- contexts are dropped by the next use
    collectgarbage() collectgarbage()
    assert.is_true(ea.memory().live - live < 20000, tostring(ea.memory().live - live))
  end)
end)

describe("ea.scope", function()
  it("frees all but what it returns", function()
    collectgarbage() collectgarbage()
    local live = ea.memory().live
    local kept = ea.scope(function()
      local a = ea.ones { 1000 }
      local b = a * 2
      return (b + a):sum()
    end)
    assert.equal(3000, kept:item())
    assert.is_true(ea.memory().live - live < 2000)
  end)
end)

describe("out of memory", function()
  it("is an error that leaves everything usable", function()
    local F = require "edgeai.ffi"
    local a = ea.ones({ 10 }):require_grad()
    for n = 1, 12 do
      F.C.ea_memory_fail_at(n)
      local ok, message = pcall(function() (a * a):sum():backward() end)
      F.C.ea_memory_fail_at(0)
      assert.is_true(ok or message:find("memory", 1, true) ~= nil, tostring(message))
    end
    a:zero_grad();
    (a * a):sum():backward()
    assert.equal(2, a.grad[1])
  end)
end)
