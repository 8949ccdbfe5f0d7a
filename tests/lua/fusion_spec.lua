-- SPDX-License-Identifier: GPL-3.0-or-later
-- Residual connections in captured graphs: a convolution adds along, and the gradient of a sum is
-- one memory for both terms. Values and gradients are eager's wherever that can go wrong.

local function parameter(size, name)
  return ea.rng(name):normal(size, 0, 0.2):require_grad()
end

local function distance(a, b)
  a, b = a:to("f64"), b:to("f64")
  return (a - b):abs():max():item() / (b:abs():max():item() + 1e-30)
end

--- Runs fn on x eagerly and captured: loss and gradients of leaves. Returns how many nodes of `op`
-- another node does along.
local function agrees(fn, x, leaves, limit, op)
  for _, p in ipairs(leaves) do p:zero_grad() end
  local loss = fn(x)
  loss:backward()
  local want = {}
  for i, p in ipairs(leaves) do want[i] = p.grad:clone() end
  local g = ea.capture(fn, { x })
  g.inputs[1]:copy(x)
  for _ = 1, 2 do
    local got = g:forward()
    assert.is_true(distance(got, loss) < limit, "the loss is another")
    g:backward()
    for i, p in ipairs(leaves) do
      local far = distance(p.grad, want[i])
      assert.is_true(far < limit, ("gradient %d is %.3g off"):format(i, far))
    end
  end
  local fused = 0
  for _, node in ipairs(g:node_list()) do
    if node.op == (op or "add") and node.fused then fused = fused + 1 end
  end
  g:free()
  return fused
end

describe("a residual connection", function()
  local w, x, same
  local function conv(input, k) return input:conv2d(w[k], { pad = 1 }) end

  before_each(function()
    w = {}
    for k = 1, 4 do w[k] = parameter({ 8, 8, 3, 3 }, "w" .. k) end
    x = ea.rng("x"):normal({ 3, 6, 5, 8 })
    same = parameter({ 3, 6, 5, 8 }, "leaf")
  end)

  it("is added by the convolution, either way round", function()
    assert.equal(2, agrees(function(a)
      local h = conv(a, 1):tanh()
      local y = h + conv(conv(h, 2):tanh(), 3)
      return (conv(y:tanh(), 4) + y):square():sum()
    end, x, w, 1e-5))
  end)

  it("goes over two convolutions: the later one adds", function()
    assert.equal(1, agrees(function(a)
      local h = conv(a, 1):tanh()
      return (conv(h, 2) + conv(conv(h, 3), 4)):square():sum()
    end, x, w, 1e-5))
  end)

  it("is the input, a leaf, or the value itself", function()
    assert.equal(2, agrees(function(a)
      local y = (conv(a, 1) + a):tanh()
      y = same + conv(y, 2)
      return (y + y):square():sum()
    end, x, { w[1], w[2], same }, 1e-5))
  end)

  it("is not fused where the convolution's own value is used too", function()
    assert.equal(0, agrees(function(a)
      local h = a:tanh()
      local c = conv(h, 1)
      return (h + c):square():sum() + c:abs():sum()
    end, x, { w[1] }, 1e-5))
  end)

  it("is not fused where the other term comes later, or is broadcast", function()
    assert.equal(0, agrees(function(a)
      local c = conv(a, 1)
      local later = a:sin() * same
      return (c + later):square():sum() + (conv(a, 2) + same:narrow(1, 1, 1)):square():sum()
    end, x, { w[1], w[2], same }, 1e-5))
  end)

  it("keeps gradients apart that further uses add to", function()
    agrees(function(a)
      local h = conv(a, 1):tanh()
      local y = h + conv(h, 2)     -- h: used by the sum and the convolution
      local z = y + h * 2          -- ... and after the sum
      local u = (z + y) + (y + h)  -- sums of sums, each term used again
      return (u * z):sum() + (conv(u, 3) + u):square():sum() + h:sum()
    end, x, { w[1], w[2], w[3] }, 1e-5)
  end)

  it("goes through reshapes and a fused ReLU", function()
    local weight, bias = parameter({ 8 }, "weight"), parameter({ 8 }, "bias")
    agrees(function(a)
      local mean, var = ea.zeros { 8 }, ea.ones { 8 }
      local h = conv(a, 1)
      local r = h:batch_norm(weight, bias, mean, var, { training = true }):relu()
      local y = r + conv(r, 2)
      local flat = y:reshape(3, 240) + r:reshape(3, 240)
      return (flat:reshape(3, 6, 5, 8) + conv(y, 3)):square():sum()
    end, x, { w[1], w[2], w[3], weight, bias }, 1e-4)
  end)

  for _, case in ipairs {
    { "32 channels of 16x16: Winograd", 32, 16, "f32", 2e-4 },
    { "32 channels of 16x16 in bf16", 32, 16, "bf16", 0.06 },
    { "16 channels of 8x8 in bf16", 16, 8, "bf16", 0.06 },
    { "3 channels of 9x9 in f64", 3, 9, "f64", 1e-12 } } do
    it("in batches that do not divide: " .. case[1], function()
      local _, channels, size, dtype, limit = unpack(case)
      local kind = dtype == "f64" and "f64" or "f32"
      local a = ea.rng("w"):normal({ channels, channels, 3, 3 }, 0, 0.1):to(kind):require_grad()
      local b = ea.rng("v"):normal({ channels, channels, 3, 3 }, 0, 0.1):to(kind):require_grad()
      agrees(function(input)
        local h = input:conv2d(a, { pad = 1 })
        return (h + h:conv2d(b, { pad = 1 })):to(kind):square():mean()
      end, ea.rng("x"):normal({ 13, size, size, channels }):to(dtype), { a, b }, limit)
    end)
  end
end)
