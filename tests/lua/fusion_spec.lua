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

describe("batch norm in evaluation mode behind a convolution", function()
  local function constant(size, name, mean) return ea.rng(name):normal(size, mean or 0, 0.3) end

  --- A function of an image: convolution with bias, batch norm, perhaps ReLU, perhaps more.
  local function network(channels, dtype, relu, more, stride)
    local w = constant({ channels, channels, 3, 3 }, "w")
    local b = constant({ channels }, "b")
    local weight, bias = constant({ channels }, "weight", 1), constant({ channels }, "bias")
    local mean, var = constant({ channels }, "mean"), constant({ channels }, "var", 2):abs()
    return function(image)
      local x = image:to(dtype)
      local y = x:conv2d(w, b, { pad = 1, stride = stride or 1 })
      y = y:batch_norm(weight, bias, mean, var)
      if relu then y = y:relu() end
      if more then y = more(x, y, w) end
      return (y:to("f32") - 0.1):square():mean()
    end, { weight = weight, mean = mean, w = w }
  end

  for _, case in ipairs { { 8, 7, "f32", 1e-5 }, { 32, 16, "f32", 1e-4 }, { 24, 9, "f32", 1e-5 },
    { 16, 8, "bf16", 0.06 }, { 16, 15, "f32", 1e-5, 2 } } do
    local channels, size, dtype, limit, stride = unpack(case)
    for _, relu in ipairs { true, false } do
      it(("is folded into it: %d channels of %dx%d in %s, stride %d%s"):format(channels, size, size,
        dtype, stride or 1, relu and " with ReLU" or ""), function()
        local fn = network(channels, dtype, relu, nil, stride)
        local image = ea.rng("x"):normal({ 5, size, size, channels }):require_grad()
        assert.equal(1, agrees(function() return fn(image) end, ea.zeros { 1 }, { image }, limit,
          "batch_norm"))
      end)
    end
  end

  it("keeps the gradient that a sum shares with others", function()
    local fn = network(8, "f32", true, function(x, y, w)
      local z = x:tanh()
      local sum = y + z -- the ReLU cuts its part of the gradient, not that of z
      return sum + sum:conv2d(w, { pad = 1 })
    end)
    local image = ea.rng("x"):normal({ 3, 6, 6, 8 }):require_grad()
    agrees(function() return fn(image) end, ea.zeros { 1 }, { image }, 1e-5)
  end)

  it("follows parameters that change between runs", function()
    local fn, p = network(8, "f32", true)
    local image = ea.rng("x"):normal({ 2, 5, 5, 8 })
    ea.no_grad(function()
      local g = ea.capture(function(x) return fn(x) end, { image })
      g.inputs[1]:copy(image)
      for _, name in ipairs { "weight", "mean", "w" } do
        local before = g:forward():item()
        p[name]:copy(p[name] * 1.5 + 0.1)
        local after = g:forward():item()
        assert.not_equal(before, after)
        assert.is_true(math.abs(after - fn(image):item()) < 1e-5 * math.abs(after))
      end
    end)
  end)

  it("is left alone where its parameters are trained, or the convolution's", function()
    local fn, p = network(8, "f32", true)
    local image = ea.rng("x"):normal({ 2, 5, 5, 8 }):require_grad()
    for _, name in ipairs { "weight", "w" } do
      p[name]:require_grad()
      assert.equal(0, agrees(function() return fn(image) end, ea.zeros { 1 }, { image, p[name] },
        1e-5, "batch_norm"))
      p[name]:require_grad(false)
    end
  end)

  it("passes NaN on", function()
    local fn = network(8, "f32", true)
    local image = ea.rng("x"):normal({ 1, 5, 5, 8 })
    image[1][3][3][2] = 0 / 0
    ea.no_grad(function()
      local g = ea.capture(function(x) return fn(x) end, { image })
      g.inputs[1]:copy(image)
      local loss = g:forward():item()
      assert.is_true(loss ~= loss)
    end)
  end)

  it("keeps nothing of a frozen network that its image's gradient does not need", function()
    local w = constant({ 16, 16, 3, 3 }, "w")
    local function bytes()
      local image = ea.zeros { 8, 16, 16, 16 }
      image:require_grad()
      local g = ea.capture(function()
        local y = image
        for _ = 1, 6 do y = y:conv2d(w, { pad = 1 }) end
        return y:sum()
      end, {})
      local n = g.bytes
      g:free()
      return n
    end
    local frozen = bytes()
    w:require_grad()
    local map = 8 * 16 * 16 * 16 * 4
    assert.is_true(bytes() - frozen >= 4 * map)
  end)
end)

describe("a batch norm that convolutions read their input through", function()
  local function make(channels, name, mean)
    return ea.rng(name):normal({ channels }, mean or 0, 0.3):require_grad()
  end

  --- Convolution, batch norm, ReLU and what reads that, as a function of images.
  local function network(o)
    local c, out = o.channels, o.out or o.channels
    local p = { parameter({ c, c, 3, 3 }, "w1"), make(c, "weight", 1), make(c, "bias"),
      parameter({ out, c, o.kernel or 3, o.kernel or 3 }, "w2"), parameter({ out, c, 1, 1 }, "w3") }
    local mean, var = ea.zeros { c }, ea.ones { c }
    local stride, training = o.stride or 1, o.training ~= false
    return function(image)
      local h = image:to(o.dtype):conv2d(p[1], { pad = 1 })
      for _ = 1, o.blocks or 0 do -- one after the other, each with a sum around it
        local r = h
        for _ = 1, 2 do
          r = r:batch_norm(p[2], p[3], mean, var, { training = training }):relu()
          r = r:conv2d(p[1], { pad = 1 })
        end
        h = h + r
      end
      local r = h:batch_norm(p[2], p[3], mean, var, { training = training })
      if o.relu ~= false then r = r:relu() end
      local y = r:conv2d(p[4], { pad = (o.kernel or 3) == 3 and 1 or 0, stride = stride })
      if o.twice then y = y + r:conv2d(p[5], { stride = stride }) end
      if o.used then y = y + r end
      return (y:to("f32") - 0.1):square():mean()
    end, o.twice and p or { p[1], p[2], p[3], p[4] }
  end

  local function images(o)
    return ea.rng("x"):normal { o.images or 5, o.size, o.size, o.channels }
  end

  local cases = {
    { "16 channels", channels = 16, size = 16 },
    { "no ReLU", channels = 16, size = 9, relu = false },
    { "24 channels of 7x7", channels = 24, size = 7, out = 40 },
    { "40 channels", channels = 40, size = 16, out = 16 },
    { "64 channels: Winograd", channels = 64, size = 16 },
    { "stride 2", channels = 32, size = 13, stride = 2, twice = true },
    { "stride 2, few images", channels = 16, size = 15, out = 48, stride = 2, twice = true,
      images = 3 },
    { "stride 2, no ReLU", channels = 48, size = 16, out = 16, stride = 2, relu = false },
    { "1x1 with stride 2", channels = 16, size = 17, out = 32, kernel = 1, stride = 2,
      twice = true },
    { "stride 2, the running statistics", channels = 16, size = 16, out = 32, stride = 2,
      twice = true, training = false },
    { "blocks of 16 channels and a shortcut", channels = 16, size = 15, out = 32, blocks = 1,
      stride = 2, twice = true, images = 21 },
    { "a shortcut", channels = 16, size = 8, out = 48, twice = true },
    { "1x1", channels = 20, size = 6, kernel = 1 },
    { "the running statistics", channels = 32, size = 8, training = false },
    { "a sum that uses it too", channels = 16, size = 8, used = true },
    { "blocks", channels = 16, size = 16, blocks = 2 },
    { "blocks of 64 channels and a shortcut", channels = 64, size = 8, blocks = 1, stride = 2,
      twice = true, images = 21 } }

  local F = require "edgeai.ffi"
  --- set(value), fn(), set back.
  local function with(set, value, before, fn)
    set(value)
    local ok, message = pcall(fn)
    set(before)
    if not ok then error(message, 0) end
  end

  for _, o in ipairs(cases) do
    it("is eager's, by every engine: " .. o[1], function()
      for dtype, limit in pairs { f32 = 1e-4, bf16 = 0.06 } do
        o.dtype = dtype
        for engine = 0, 2 do
          local set = F.C.ea_conv_set_engine
          with(set, engine, set(engine), function()
            local fn, leaves = network(o)
            agrees(fn, images(o), leaves, limit)
          end)
        end
      end
    end)

    it("has the same bytes for 1, 2 and 5 threads: " .. o[1], function()
      for _, dtype in ipairs { "f32", "bf16" } do
        o.dtype = dtype
        local want
        for _, threads in ipairs { 1, 2, 5 } do
          with(ea.threads, threads, ea.threads(), function()
            local fn, leaves = network(o)
            local g = ea.capture(fn, { images(o) })
            g.inputs[1]:copy(images(o))
            local got = { g:forward():item() }
            g:backward()
            for i, p in ipairs(leaves) do got[i + 1] = p.grad:hash() end
            g:free()
            want = want or got
            assert.same(want, got)
          end)
        end
      end
    end)
  end

  it("keeps one map a layer in training, not two", function()
    local map = 4 * 8 * 16 * 16 * 16
    local weight, bias = make(16, "weight", 1), make(16, "bias")
    local mean, var = ea.zeros { 16 }, ea.ones { 16 }
    local w = parameter({ 16, 16, 3, 3 }, "w")
    local g = ea.capture(function(x)
      for _ = 1, 10 do
        x = x:conv2d(w, { pad = 1 }):batch_norm(weight, bias, mean, var, { training = true }):relu()
      end
      return x:conv2d(w, { pad = 1 }):sum()
    end, { { size = { 8, 16, 16, 16 } } })
    assert.is_true(g.bytes < 14 * map, ("%.1f maps"):format(g.bytes / map))
    g:free()
  end)

  it("follows its parameters from run to run", function()
    local fn, p = network { channels = 16, size = 8, dtype = "f32" }
    local x = images { channels = 16, size = 8 }
    local g = ea.capture(fn, { x })
    g.inputs[1]:copy(x)
    local before = g:forward():item()
    ea.no_grad(function() p[2]:copy(p[2] * 1.5) end)
    local after = g:forward():item()
    assert.not_equal(before, after)
    assert.is_true(math.abs(after - fn(x):item()) < 1e-5 * math.abs(after))
    g:free()
  end)
end)

describe("moments beside a batch norm in evaluation mode", function()
  --- What is dreamed of: a residual network whose every batch norm's input is measured.
  local function network(dtype, training)
    local c = 24
    local w = { parameter({ c, c, 3, 3 }, "w1"), parameter({ c, c, 3, 3 }, "w2") }
    local weight, bias = ea.rng("g"):normal({ c }, 1, 0.3), ea.rng("b"):normal({ c }, 0, 0.3)
    local mean, var = ea.rng("m"):normal({ c }, 0, 0.3), ea.rng("v"):normal({ c }, 2, 0.3)
    local start = parameter({ 3, 6, 5, c }, "start")
    return function()
      local x, total = start:to(dtype), nil
      for k = 1, 2 do
        local y = x:batch_norm(weight, bias, mean:clone(), var:clone(), { training = training })
        local m = ea.moments(x)
        local off = (m:select(1, 1) - mean):norm() + (m:select(1, 2) * 1.5 - var):square():sum()
        total = total and total + off or off
        x = y:relu():conv2d(w[k], { pad = 1 }) + x
      end
      return total + x:to("f32"):square():mean()
    end, { start, w[1], w[2] }
  end

  for _, o in ipairs { { "f32", false, 1e-4 }, { "bf16", false, 0.06 }, { "f32", true, 1e-4 } } do
    it(("have eager's gradient: %s%s"):format(o[1], o[2] and ", training" or ""), function()
      local fn, leaves = network(o[1], o[2])
      agrees(fn, ea.zeros { 1 }, leaves, o[3])
    end)
  end

  it("leave their gradient to it: it is not timed, and takes no pass of its own", function()
    local fn = network("f32", false)
    local g = ea.capture(fn, { ea.zeros { 1 } })
    g:profile()
    g:forward()
    g:backward()
    local found = 0
    for _, node in ipairs(g:node_list()) do
      if node.op == "moments" then
        found = found + 1
        assert.equal(0, node.backward)
      end
    end
    assert.equal(2, found)
    g:free()
  end)
end)
