-- SPDX-License-Identifier: GPL-3.0-or-later
-- What the op cases do not say about elementwise ops and reductions: sentences for bad input, ties,
-- accuracy of long sums, gradients that add up, and the same bytes at any number of threads.

--- fn must fail with one sentence that contains all the pieces.
local function refuses(fn, ...)
  local ok, message = pcall(fn)
  assert.is_false(ok)
  message = tostring(message)
  for _, piece in ipairs { ... } do
    assert.is_truthy(message:find(piece, 1, true), ("'%s' is not in: %s"):format(piece, message))
  end
  assert.is_nil(message:find("\n.*\n"), "more than one sentence: " .. message)
end

describe("bad input", function()
  local a, b = ea.ones { 2, 3 }, ea.ones { 4 }

  it("shapes that do not broadcast", function()
    refuses(function() return a + b end, "add: ", "{2, 3} f32", "{4} f32", "equal or 1")
    refuses(function() return ea.where(a:greater(0), a, b) end, "where: ", "{4} f32")
    refuses(function() return a:less(b) end, "less: ", "{4} f32")
  end)
  it("element types that differ or have no arithmetic", function()
    refuses(function() return a * a:to("f64") end, "mul: ", "f32", "f64")
    refuses(function() return a:to("i32"):exp() end, "exp: ", "f32, bf16 or f64", "i32")
    refuses(function() return ea.where(a, a, a) end, "where: ", "u8")
    refuses(function() return ea.where(a:greater(0), a, a:to("f64")) end, "where: ", "f64", "cast")
    refuses(function() return a:to("u8"):softmax() end, "softmax: ", "u8")
  end)
  it("axes that are not there", function()
    refuses(function() return a:sum(3) end,
      "sum: there is no axis 3 in {2, 3} f32, which has axes 1 to 2")
    refuses(function() return a:mean { 1, 1 } end, "mean: ", "twice")
    refuses(function() return a:max { 1, -2 } end, "max: ", "twice")
    refuses(function() return a:argmax { axis = -3 } end, "argmax: ", "no axis -3")
    refuses(function() return ea.stack({ a, a }, { axis = 4 }) end,
      "stack: there is no axis 4 in a stack of {2, 3} f32, which has axes 1 to 3")
    refuses(function() return a:flip { 1 } end, "flip: ", "got a table")
    refuses(function() return ea.tensor(1):softmax() end,
      "softmax: there is no axis -1 in {} f32, which has none: it is a scalar")
    refuses(function() return ea.tensor(1):cumsum() end, "cumsum: ")
  end)
  it("attributes out of range", function()
    refuses(function() return a:topk(4) end, "topk: ", "k must be from 0", "3", "4")
    refuses(function() return a:topk(-1) end, "topk: ", "k must be")
    refuses(function() return a:norm { eps = -1 } end, "norm: ", "eps")
    refuses(function() return a:pow_scalar() end, "pow_scalar: ", "exponent")
    refuses(function() return a:cast("f16") end, "f16")
  end)
  it("nothing to choose from", function()
    local none = ea.zeros { 3, 0 }
    refuses(function() return none:max(2) end, "max: ", "at least one element", "{3, 0} f32")
    refuses(function() return none:argmin() end, "argmin: ", "at least one element")
    assert.same({ 0 }, none:max(1).shape)
  end)
end)

describe("ties and kinks", function()
  local function gradient(x, fn)
    x:require_grad()
    fn(x):sum():backward()
    return x.grad:tolist()
  end
  it("share the gradient of an extreme evenly", function()
    assert.same({ { 0, 0.5, 0.5 }, { 1, 0, 0 } },
      gradient(ea.tensor { { 1, 4, 4 }, { 7, 2, 2 } }, function(x) return x:max(2) end))
    assert.same({ 0.25, 0.25, 0.25, 0.25 },
      gradient(ea.tensor { 3, 3, 3, 3 }, function(x) return x:min() end))
    assert.same({ 0.5, 1, 0 }, gradient(ea.tensor { 2, 3, 1 }, function(x)
      return ea.maximum(x, ea.tensor { 2, 2, 2 })
    end))
  end)
  it("have the gradient 0 at a corner", function()
    local x = { -1, 0, 2 }
    assert.same({ 0, 0, 1 }, gradient(ea.tensor(x), function(t) return t:relu() end))
    assert.same({ -1, 0, 1 }, gradient(ea.tensor(x), function(t) return t:abs() end))
    assert.same({ 0, 0, 0 }, gradient(ea.tensor(x), function(t) return t:sign() end))
    assert.same({ 0, 1, 1 }, gradient(ea.tensor(x), function(t) return t:clamp(0, 2) end))
    assert.same({ 0, 0 }, gradient(ea.tensor { 0, 0 }, function(t) return t:norm() end))
  end)
  it("a cast passes the gradient back in the input's type", function()
    local x = ea.tensor({ 1, 2 }, "bf16"):require_grad()
    x:cast("f32"):square():sum():backward()
    assert.equal("bf16", x.grad.dtype)
    assert.same({ 2, 4 }, x.grad:tolist())
  end)
end)

describe("gradients", function()
  it("add up where a tensor is used twice", function()
    for _, dtype in ipairs { "f32", "f64", "bf16" } do
      local x = ea.tensor({ 1, -2, 3 }, dtype):require_grad()
      local y = x:relu() + x * x + x:affine(3) + x:sum()
      y:sum():backward()
      assert.same({ 1 + 2 + 3 + 3, -4 + 3 + 3, 1 + 6 + 3 + 3 }, x.grad:tolist())
    end
  end)
  it("flow through selections into the elements chosen", function()
    local x = ea.tensor({ { 5, 1, 3 }, { 2, 8, 4 } }):require_grad()
    local values = x:topk(2);
    (values * ea.tensor { 10, 1 }):sum():backward()
    assert.same({ { 10, 0, 1 }, { 0, 10, 1 } }, x.grad:tolist())
  end)
end)

describe("long sums", function()
  it("of f32 are accurate", function()
    local n = 3000000
    local x = ea.full({ n }, 0.1) -- 0.1 in f32 is 0.100000001490116
    assert.is_true(math.abs(x:sum():item() / (n * 0.100000001490116) - 1) < 1e-7)
    assert.is_true(math.abs(x:mean():item() / 0.100000001490116 - 1) < 1e-7)
    local y = ea.full({ 200000 }, 10000)
    y:narrow(1, 1, 100000):fill(10001)
    assert.is_true(math.abs(y:var { correction = 0 }:item() - 0.25) < 1e-6)
  end)
  it("of broadcast gradients are accurate", function()
    local bias = ea.zeros({ 4 }):require_grad();
    (ea.full({ 300000, 4 }, 0.1) * ea.ones { 4 } + bias):affine(0.1):sum():backward()
    assert.is_true(math.abs(bias.grad:get(1) / (300000 * 0.100000001490116) - 1) < 1e-6)
  end)
end)

it("a captured graph gives what the eager run gives, and adds up when asked", function()
  local rng = ea.rng("captured")
  local x, v = rng:normal({ 6, 5, 4 }), rng:normal({ 4 })
  local p, q = x:clone():require_grad(), v:clone():require_grad()
  local function loss()
    local y = (p * q):relu() + p:square():affine(0.5, 1) + q:sigmoid()
    return (y:softmax(2) * p):sum(1):var() + y:max(3):mean() + p:logsumexp(1):norm()
  end
  local eager = loss()
  eager:backward()
  local want = { p.grad:clone(), q.grad:clone() }
  p:zero_grad()
  q:zero_grad()
  local g = ea.capture(loss)
  assert.equal(eager:item(), g:forward():item())
  g:backward() -- the parts of a gradient may be added in another order
  assert.is_true((p.grad - want[1]):abs():max():item() < 1e-6)
  assert.is_true((q.grad - want[2]):abs():max():item() < 1e-6)
  local once = p.grad:clone()
  g:forward()
  g:backward { accumulate = true }
  assert.is_true((p.grad - once * 2):abs():max():item() < 1e-6)
end)

it("the bytes do not depend on the number of threads", function()
  local x, v = ea.rng("threads"):normal({ 61, 37, 29 }), ea.rng("threads v"):normal({ 29 })
  local function hashes()
    local p, q = x:clone():require_grad(), v:clone():require_grad()
    local sorted = p:topk(5, 2)
    local y = (p * q):tanh():softmax(2):sum { 1, 3 }:sum() + p:var(1):sum() + p:max { 1, 3 }:sum()
      + p:logsumexp():square() + sorted:sum() + p:cumsum(1):mean()
    y:backward()
    return { y:hash(), p.grad:hash(), q.grad:hash(), p:argmax(1):hash() }
  end
  local before = ea.threads()
  ea.threads(1)
  local one = hashes()
  for _, n in ipairs { 2, 4 } do
    ea.threads(n)
    assert.same(one, hashes())
  end
  ea.threads(before)
end)
