-- SPDX-License-Identifier: GPL-3.0-or-later
-- Captured graphs give what eager gives, without allocating, within the memory they announce.

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

local function parameter(size, name)
  return ea.rng(name):normal(size, 0, 0.5):require_grad()
end

local function values(t) return t:tolist() end

local function near(a, b, limit)
  if type(a) == "number" then
    assert.is_true(math.abs(a - b) <= (limit or 1e-6) * math.max(1, math.abs(b)),
      ("%.9g against %.9g"):format(a, b))
    return
  end
  assert.equal(#b, #a)
  for i = 1, #a do near(a[i], b[i], limit) end
end

describe("ea.capture", function()
  local w, v, x

  before_each(function()
    w, v = parameter({ 4, 3 }, "w"), parameter({ 3 }, "v")
    x = ea.rng("x"):normal({ 5, 4 })
  end)

  local function model(input)
    local h = input:matmul(w)
    local y = (h * h + h):tanh() * v     -- h is used three times
    return y:reshape(15):square():mean(), y
  end

  local function eager()
    w:zero_grad(); v:zero_grad()
    local loss, y = model(x)
    loss:backward()
    return loss:item(), values(y), values(w.grad), values(v.grad)
  end

  it("gives eager's values and gradients, every time it runs", function()
    local loss, y, gw, gv = eager()
    local g = ea.capture(model, { x })
    g.inputs[1]:copy(x)
    for _ = 1, 3 do
      local captured_loss, captured_y = g:forward()
      near(captured_loss:item(), loss)
      near(values(captured_y), y)
      g:backward()
      near(values(w.grad), gw)
      near(values(v.grad), gv)
    end
    g:forward()
    g:backward { accumulate = true }
    near(values(w.grad), values(ea.tensor(gw) * 2))
  end)

  it("allocates nothing once it has run", function()
    local g = ea.capture(model, { x })
    g:forward(); g:backward()
    local before = ea.memory().count
    for _ = 1, 50 do g:forward(); g:backward() end
    assert.equal(before, ea.memory().count)
  end)

  it("takes no more memory than it says", function()
    collectgarbage() collectgarbage()
    local big = parameter({ 256, 256 }, "big")
    local live = ea.memory().live
    local g = ea.capture(function(input)
      local h = input
      for _ = 1, 6 do h = h:matmul(big):tanh() end
      return h:square():mean()
    end, { { size = { 512, 256 } } })
    local used = ea.memory().live - live + big:bytes()
    assert.is_true(g.peak <= used * 1.1 and g.peak >= used * 0.9,
      ("says %d, uses %d"):format(g.peak, used))
    local chain = 12 * 512 * 256 * 4
    assert.is_true(g.bytes < 2 * chain, "activations and gradients share memory")
    g:free()
  end)

  it("keeps no activations where nothing needs a gradient", function()
    local frozen = parameter({ 64, 64 }, "frozen"):require_grad(false)
    local function deep(input)
      local h = input
      for _ = 1, 20 do h = h:matmul(frozen):tanh() end
      return h
    end
    local g = ea.capture(deep, { { size = { 64, 64 } } })
    assert.is_true(g.bytes <= 4 * 64 * 64 * 4, "20 layers share a few buffers, not " .. g.bytes)
    g:free()
  end)

  it("runs ops written in Lua, forward and backward", function()
    local cube = ea.custom("cube", {
      forward = function(ctx, a)
        ctx.a = a:clone()
        return a * a * a
      end,
      backward = function(ctx, ga) return ga * ctx.a * ctx.a * 3 end,
    })
    local function with_cube(input) return cube(input:matmul(w)):sum() end
    w:zero_grad()
    with_cube(x):backward()
    local want = values(w.grad)
    local g = ea.capture(with_cube, { x })
    g.inputs[1]:copy(x)
    near(g:forward():item(), with_cube(x):item())
    g:backward()
    near(values(w.grad), want)
  end)

  it("fuses batch norm and ReLU without changing the result", function()
    local weight, bias = parameter({ 4 }, "weight"), parameter({ 4 }, "bias")
    local mean, var = ea.zeros { 4 }, ea.ones { 4 }
    local function block(input)
      local y = input:batch_norm(weight, bias, mean, var, { training = true }):relu()
      return (y * y):sum()
    end
    block(x):backward()
    local gw, gb, m = values(weight.grad), values(bias.grad), values(mean)
    mean:fill(0); var:fill(1)
    local g = ea.capture(block, { x })
    g.inputs[1]:copy(x)
    g:forward(); g:backward()
    near(values(weight.grad), gw, 1e-5)
    near(values(bias.grad), gb, 1e-5)
    near(values(mean), m)
    local fused = false
    for _, node in ipairs(g:node_list()) do fused = fused or node.fused end
    assert.is_true(fused)
  end)

  it("says in one sentence what cannot be captured", function()
    fails(function()
      ea.capture(function(input) return input:matmul(w), w:sum():item() end, { x })
    end, "captured")
    fails(function()
      local outside = ea.tensor { 1, 2, 3 } * v
      ea.capture(function(input) return (input:matmul(w) * outside):sum() end, { x })
    end, "outside")
    fails(function()
      ea.capture(function() ea.capture(function(a) return a end, { x }) end, { x })
    end, "nested")
    -- A failed capture leaves no trace.
    local g = ea.capture(function(input) return input * 2 end, { x })
    fails(function() g:backward() end, "without a loss")
  end)
end)
