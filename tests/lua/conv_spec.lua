-- SPDX-License-Identifier: GPL-3.0-or-later
-- Convolution and batch norm beyond single values: both engines agree, results do not depend on the
-- number of threads, running statistics and dropout do what they promise, wrong input is refused.

local ffi = require "ffi"
local F = require "edgeai.ffi"

local function rand(name, size, dtype)
  return ea.rng("conv_spec " .. name, { seed = 5 }):normal(size, 0, 1, dtype)
end

--- Output and gradients of conv2d.
local function run_conv(case, dtype)
  local master = dtype == "f64" and "f64" or "f32"
  local x = rand("x", case.x, dtype):require_grad(true)
  local w = (rand("w", case.w, master) * 0.2):detach():require_grad(true)
  local b = rand("b", { case.w[1] }, master):require_grad(true)
  local y = ea.conv2d(x, w, b, case.attrs)
  y:backward(rand("g", y.shape, dtype))
  return { y = y:detach(), x = x.grad, w = w.grad, b = b.grad }
end

--- engine: 0 the fastest, 1 portable, 2 oneDNN alone.
local function with_engine(engine, fn, ...)
  local before = F.C.ea_conv_set_engine(engine)
  local ok, result = pcall(fn, ...)
  F.C.ea_conv_set_engine(before)
  if not ok then error(result, 0) end
  return result
end

local function with_threads(n, fn, ...)
  local before = F.C.ea_threads()
  F.check(F.C.ea_set_threads(n))
  local ok, result = pcall(fn, ...)
  F.check(F.C.ea_set_threads(before))
  if not ok then error(result, 0) end
  return result
end

local function relative_difference(a, b)
  a, b = a:to("f64"), b:to("f64")
  return (a - b):abs():max():item() / math.max(1e-9, b:abs():max():item())
end

local cases = {
  { name = "3x3, 16 channels", x = { 9, 12, 12, 16 }, w = { 16, 16, 3, 3 }, attrs = { pad = 1 } },
  { name = "3x3, first layer", x = { 5, 16, 16, 3 }, w = { 16, 3, 3, 3 }, attrs = { pad = 1 } },
  { name = "3x3, stride 2", x = { 33, 8, 8, 32 }, w = { 48, 32, 3, 3 },
    attrs = { pad = 1, stride = 2 } },
  { name = "1x1, stride 2", x = { 6, 8, 8, 32 }, w = { 64, 32, 1, 1 }, attrs = { stride = 2 } },
  { name = "1x1", x = { 6, 7, 8, 20 }, w = { 24, 20, 1, 1 }, attrs = {} },
  { name = "groups", x = { 3, 9, 9, 12 }, w = { 8, 3, 3, 3 }, attrs = { pad = 1, groups = 4 } },
  { name = "depthwise", x = { 7, 9, 9, 24 }, w = { 24, 1, 3, 3 },
    attrs = { pad = 1, groups = 24 } },
  { name = "dilation", x = { 3, 11, 10, 8 }, w = { 8, 8, 3, 3 },
    attrs = { pad = 2, dilation = 2 } },
  { name = "odd sizes", x = { 5, 7, 9, 20 }, w = { 36, 20, 3, 3 }, attrs = { pad = 1 } },
  { name = "odd sizes, stride 2", x = { 6, 15, 13, 8 }, w = { 24, 8, 5, 5 },
    attrs = { pad = 2, stride = 2 } },
  { name = "dilation and stride", x = { 4, 14, 12, 16 }, w = { 16, 16, 3, 3 },
    attrs = { pad = 2, dilation = 2, stride = 3 } },
  { name = "3x3, rows of 16", x = { 3, 7, 16, 16 }, w = { 16, 16, 3, 3 }, attrs = { pad = 1 } },
  { name = "stride 2 from rows of 32", x = { 3, 15, 32, 40 }, w = { 32, 40, 3, 3 },
    attrs = { pad = 1, stride = 2 } },
  { name = "1x1, stride 2 from rows of 31", x = { 3, 7, 31, 16 }, w = { 16, 16, 1, 1 },
    attrs = { stride = 2 } },
  { name = "long rows", x = { 2, 5, 601, 4 }, w = { 8, 4, 3, 3 }, attrs = { pad = 1 } },
  { name = "many channels", x = { 4, 8, 8, 160 }, w = { 208, 160, 3, 3 }, attrs = { pad = 1 } },
  { name = "3x3, 16 to 48 channels, odd sizes", x = { 3, 17, 30, 16 }, w = { 48, 16, 3, 3 },
    attrs = { pad = 1 } },
  { name = "3x3, blocks of images", x = { 70, 8, 8, 64 }, w = { 64, 64, 3, 3 },
    attrs = { pad = 1 } },
  { name = "3x3, images of blocks", x = { 2, 70, 110, 32 }, w = { 16, 32, 3, 3 },
    attrs = { pad = 1 } },
  { name = "5x5, 16 channels to 10, rows of 64", x = { 3, 9, 64, 16 }, w = { 10, 16, 5, 5 },
    attrs = { pad = 2 } },
  { name = "4x4, 16 channels, longer rows", x = { 3, 6, 31, 16 }, w = { 24, 16, 4, 4 },
    attrs = { pad = 2 } },
  { name = "3x3, 16 channels, no pad", x = { 3, 12, 34, 16 }, w = { 16, 16, 3, 3 }, attrs = {} },
  { name = "stride 2, 16 channels, rows of 32", x = { 3, 9, 32, 16 }, w = { 16, 16, 3, 3 },
    attrs = { pad = 1, stride = 2 } },
  { name = "stride 2, 16 channels, rows of 20", x = { 3, 20, 20, 16 }, w = { 24, 16, 5, 5 },
    attrs = { pad = 2, stride = 2 } },
  { name = "1x1, stride 2, 16 channels", x = { 3, 10, 12, 16 }, w = { 32, 16, 1, 1 },
    attrs = { stride = 2 } },
  { name = "stride 2, odd sizes, fewer images than shards", x = { 3, 15, 13, 16 },
    w = { 48, 16, 3, 3 }, attrs = { pad = 1, stride = 2 } },
  { name = "stride 2 from rows of 64", x = { 2, 9, 64, 32 }, w = { 16, 32, 3, 3 },
    attrs = { pad = 1, stride = 2 } },
  { name = "stride 2, no pad, 5x4", x = { 5, 18, 19, 32 }, w = { 32, 32, 5, 4 },
    attrs = { stride = 2 } },
  { name = "stride 2, 7x7, one row", x = { 4, 1, 33, 16 }, w = { 16, 16, 7, 7 },
    attrs = { pad = 3, stride = 2 } },
  { name = "stride 2, small images", x = { 6, 9, 7, 64 }, w = { 32, 64, 3, 3 },
    attrs = { pad = 1, stride = 2 } },
  { name = "1x1, stride 2, odd sizes", x = { 2, 17, 15, 48 }, w = { 16, 48, 1, 1 },
    attrs = { stride = 2 } },
  { name = "more than a shard", x = { 10, 32, 32, 40 }, w = { 40, 40, 3, 3 }, attrs = { pad = 1 } },
}

describe("conv2d", function()
  for _, case in ipairs(cases) do
    it("is the same by every engine: " .. case.name, function()
      for dtype, limit in pairs { f32 = 1e-5, bf16 = 2e-2 } do
        local portable = with_engine(1, run_conv, case, dtype)
        for engine = 0, 2, 2 do
          for what, t in pairs(with_engine(engine, run_conv, case, dtype)) do
            local d = relative_difference(t, portable[what])
            -- the gradient of w is of numbers that are the same in all, summed and kept in f32
            assert.is_true(d <= (what == "w" and 1e-5 or limit),
              ("%s %s, engine %d: %g"):format(dtype, what, engine, d))
          end
        end
      end
    end)

    it("has the same bytes for 1, 2 and 4 threads: " .. case.name, function()
      for _, dtype in ipairs { "f32", "bf16" } do
        for engine = 0, 2 do
          local function run() return with_engine(engine, run_conv, case, dtype) end
          local first = with_threads(1, run)
          for _, threads in ipairs { 2, 4 } do
            for what, t in pairs(with_threads(threads, run)) do
              assert.equal(first[what]:hash(), t:hash(),
                ("%s %s, engine %d, %d threads"):format(dtype, what, engine, threads))
            end
          end
        end
      end
    end)
  end

  for stride = 1, 2 do it("keeps its digits by our kernels, too: stride " .. stride, function()
    for _, channels in ipairs { 16, 64, 256 } do
      local case = { x = { 2, 16, 16, channels }, w = { channels, channels, 3, 3 },
        attrs = { pad = 1, stride = stride } }
      local exact = run_conv(case, "f64")
      for what, t in pairs(with_engine(0, run_conv, case, "f32")) do
        local d = t:to("f64") - exact[what]
        local off = math.sqrt((d * d):sum():item() / (exact[what] * exact[what]):sum():item())
        assert.is_true(off < 2e-6, ("%s of %d channels: %g"):format(what, channels, off))
      end
    end
  end) end

  for _, case in ipairs { { "bf16", 6, 1, 3, 24 }, { "f32", 8, 1, 3, 32 },
    { "f32", 15, 2, 3, 32 }, { "f32", 16, 2, 1, 32 } } do
    local dtype, side, stride, kernel, channels = unpack(case)
    it(("adds to a gradient that is there: %s, %dx%d, stride %d"):format(dtype, kernel, kernel,
      stride), function()
      for engine = 0, 2 do
        with_engine(engine, function()
          local x = rand("x", { 5, side, side, 16 }, dtype):require_grad(true)
          local w = rand("w", { channels, 16, kernel, kernel }):require_grad(true)
          local function gradients(times)
            x:zero_grad()
            w:zero_grad()
            for _ = 1, times do
              local y = ea.conv2d(x, w, { pad = (kernel - 1) / 2, stride = stride })
              y:backward(rand("g", y.shape, dtype))
            end
            return { x.grad:clone(), w.grad:clone() }
          end
          local once, twice = gradients(1), gradients(2)
          for i = 1, 2 do
            assert.is_true(relative_difference(twice[i], once[i]:to("f32") * 2) < 1e-6)
          end
        end)
      end
    end)
  end

  it("takes no images and gives no gradient", function()
    local w = rand("w", { 8, 4, 3, 3 }):require_grad(true)
    local y = ea.conv2d(ea.zeros { 0, 6, 6, 4 }, w, { pad = 1 })
    assert.same({ 0, 6, 6, 8 }, y.shape)
    y:backward(ea.zeros { 0, 6, 6, 8 })
    assert.equal(0, w.grad:abs():max():item())
  end)

  it("names its engine", function()
    local name = ffi.string(F.C.ea_conv_engine())
    assert.is_truthy(name == "portable" or name:match("^oneDNN %d") or name:match("^Winograd"))
    with_engine(1, function() assert.equal("portable", ffi.string(F.C.ea_conv_engine())) end)
  end)

  it("refuses what does not fit, in one sentence", function()
    local x = ea.zeros { 1, 5, 5, 3 }
    local function refuses(pattern, ...)
      local ok, message = pcall(ea.conv2d, ...)
      assert.is_false(ok)
      assert.is_truthy(tostring(message):find(pattern), tostring(message))
    end
    refuses("have 3", x, ea.zeros { 4, 2, 3, 3 })
    refuses("4 output channels do not divide into 3 groups", x,
      ea.zeros { 4, 1, 3, 3 }, { groups = 3 })
    refuses("does not fit", x, ea.zeros { 4, 3, 7, 7 })
    refuses("stride is 0", x, ea.zeros { 4, 3, 3, 3 }, { stride = 0 })
    refuses("must be f32", x, ea.zeros({ 4, 3, 3, 3 }, "bf16"))
    refuses("bias", x, ea.zeros { 4, 3, 3, 3 }, ea.zeros { 3 })
    refuses("4 dimensions", ea.zeros { 5, 5, 3 }, ea.zeros { 4, 3, 3, 3 })
  end)
end)

describe("conv_transpose2d", function()
  local shapes = {
    { name = "4x4, stride 2, 32 channels", x = { 5, 8, 8, 32 }, w = { 32, 40, 4, 4 },
      attrs = { stride = 2, pad = 1 } },
    { name = "3x3, stride 2, to rows of 31", x = { 3, 9, 16, 20 }, w = { 20, 16, 3, 3 },
      attrs = { stride = 2, pad = 1 } },
    { name = "groups, dilation, stride 3", x = { 2, 5, 6, 8 }, w = { 8, 3, 3, 3 },
      attrs = { stride = 3, dilation = 2, groups = 4, output_pad = 2 } },
    { name = "4x4, stride 2, odd sizes", x = { 3, 7, 9, 32 }, w = { 32, 16, 4, 4 },
      attrs = { stride = 2, pad = 1 } },
    { name = "stride 1", x = { 4, 7, 9, 24 }, w = { 24, 32, 3, 3 }, attrs = { pad = 1 } },
  }
  local function run(case, dtype)
    local x = rand("x", case.x, dtype):require_grad(true)
    local w = (rand("w", case.w) * 0.2):detach():require_grad(true)
    local b = rand("b", { case.w[2] * (case.attrs.groups or 1) }):require_grad(true)
    local y = ea.conv_transpose2d(x, w, b, case.attrs)
    y:backward(rand("g", y.shape, dtype))
    return { y = y:detach(), x = x.grad, w = w.grad, b = b.grad }
  end

  for _, case in ipairs(shapes) do
    it("is the same by every engine, the same bytes for 1 and 4 threads: " .. case.name, function()
      for dtype, limit in pairs { f32 = 1e-5, bf16 = 2e-2 } do
        local portable = with_engine(1, run, case, dtype)
        for engine = 0, 2 do
          local one = with_threads(1, with_engine, engine, run, case, dtype)
          local four = with_threads(4, with_engine, engine, run, case, dtype)
          for what, t in pairs(one) do
            local d = relative_difference(t, portable[what])
            assert.is_true(d <= (what == "w" and 1e-5 or limit),
              ("%s %s, engine %d: %g"):format(dtype, what, engine, d))
            assert.equal(t:hash(), four[what]:hash())
          end
        end
      end
    end)
  end

  it("is the gradient of conv2d, and adds to a gradient that is there", function()
    local x, w = rand("x", { 3, 9, 8, 4 }), rand("w", { 6, 4, 3, 3 }):require_grad(true)
    local image = x:clone():require_grad(true)
    local attrs = { stride = 2, pad = 1 }
    local y = ea.conv2d(image, w, attrs)
    local g = rand("g", y.shape)
    y:backward(g)
    -- rows are odd in number, columns even: one of two sizes has the same convolution
    local back = ea.conv_transpose2d(g, w:detach(), { stride = 2, pad = 1, output_pad = 1 })
    assert.same({ 3, 10, 8, 4 }, back.shape)
    assert.is_true(relative_difference(back:narrow(2, 1, 9), image.grad) < 1e-6)
    w:zero_grad()
    for _ = 1, 2 do ea.conv_transpose2d(g, w, attrs):sum():backward() end
    local twice = w.grad:clone()
    w:zero_grad()
    ea.conv_transpose2d(g, w, attrs):sum():backward()
    assert.is_true(relative_difference(twice, w.grad * 2) < 1e-6)
  end)

  it("takes no images and gives no gradient", function()
    local w = rand("w", { 4, 8, 3, 3 }):require_grad(true)
    local y = ea.conv_transpose2d(ea.zeros { 0, 6, 6, 4 }, w, { stride = 2 })
    assert.same({ 0, 13, 13, 8 }, y.shape)
    y:backward(ea.zeros { 0, 13, 13, 8 })
    assert.equal(0, w.grad:abs():max():item())
  end)

  it("refuses what does not fit, in one sentence", function()
    local x = ea.zeros { 1, 5, 5, 4 }
    local function refuses(pattern, ...)
      local ok, message = pcall(ea.conv_transpose2d, ...)
      assert.is_false(ok)
      assert.is_truthy(tostring(message):find(pattern), tostring(message))
    end
    refuses("take 3 input channels, but the images {1, 5, 5, 4} f32 %(NHWC%) have 4", x,
      ea.zeros { 3, 2, 3, 3 })
    refuses("4 input channels do not divide into 3 groups", x, ea.zeros { 4, 1, 3, 3 },
      { groups = 3 })
    refuses("pad less", x, ea.zeros { 4, 2, 3, 3 }, { pad = 4 })
    refuses("output_pad is 2, expected less than the stride, 2", x, ea.zeros { 4, 2, 3, 3 },
      { stride = 2, output_pad = 2 })
    refuses("stride is 0", x, ea.zeros { 4, 2, 3, 3 }, { stride = 0 })
    refuses("the bias is {3} f32, expected one number for each of 2", x, ea.zeros { 4, 2, 3, 3 },
      ea.zeros { 3 })
    refuses("empty", x, ea.zeros { 4, 0, 3, 3 })
  end)
end)

describe("out of memory", function()
  it("is one sentence, and the next run is whole", function()
    local case = { x = { 3, 13, 11, 7 }, w = { 9, 7, 3, 3 }, attrs = { pad = 1 } } -- a new shape
    local failures = 0
    for n = 1, 60 do
      F.C.ea_memory_fail_at(n)
      local ok, message = pcall(run_conv, case, "bf16")
      F.C.ea_memory_fail_at(0)
      if not ok then
        failures = failures + 1
        assert.is_truthy(tostring(message):find("memory"), tostring(message))
      end
    end
    assert.is_true(failures > 5)
    local whole, portable = run_conv(case, "bf16"), with_engine(1, run_conv, case, "bf16")
    for what, t in pairs(whole) do
      assert.is_true(relative_difference(t, portable[what]) < 2e-2, what)
    end
  end)
end)

--- Output, gradients and running statistics of batch_norm.
local function run_norm(dtype, size, attrs)
  local c, master = size[#size], dtype == "f64" and "f64" or "f32"
  local x = rand("x", size, dtype):require_grad(true)
  local weight = rand("weight", { c }, master):require_grad(true)
  local bias = rand("bias", { c }, master):require_grad(true)
  local mean, var = ea.zeros({ c }, master), ea.ones({ c }, master)
  local y = ea.batch_norm(x, weight, bias, mean, var, attrs)
  y:backward(rand("g", size, dtype))
  return { y = y:detach(), x = x.grad, weight = weight.grad, bias = bias.grad,
    mean = mean, var = var }
end

describe("batch_norm", function()
  local big = { 8, 16, 16, 40 }

  it("has the same bytes for 1, 2 and 4 threads", function()
    for _, dtype in ipairs { "f32", "bf16" } do
      for _, training in ipairs { true, false } do
        local function run() return run_norm(dtype, big, { training = training, relu = true }) end
        local first = with_threads(1, run)
        for _, threads in ipairs { 2, 4 } do
          for what, t in pairs(with_threads(threads, run)) do
            assert.equal(first[what]:hash(), t:hash(), dtype .. " " .. what)
          end
        end
      end
    end
  end)

  it("computes in f32 what it computes in f64", function()
    local modes = { { training = true }, { training = true, relu = true }, { relu = true } }
    for _, attrs in ipairs(modes) do
      local one, two = run_norm("f32", big, attrs), run_norm("f64", big, attrs)
      for what, t in pairs(one) do
        -- the input is not the same: f64 numbers are drawn with more digits
        assert.is_true(relative_difference(t, two[what]) < 2e-4, what)
      end
    end
  end)

  it("keeps its digits where the mean is far from zero", function()
    local x = (rand("far", { 64, 8, 8, 4 }) + 1000):detach()
    local mean, var = ea.zeros { 4 }, ea.ones { 4 }
    ea.batch_norm(x, ea.ones { 4 }, ea.zeros { 4 }, mean, var, { training = true, momentum = 1 })
    local exact = x:to("f64"):reshape(-1, 4)
    assert.is_true(relative_difference(mean, exact:mean { axes = { 1 } }) < 1e-7)
    assert.is_true(relative_difference(var, exact:var { axes = { 1 } }) < 1e-5)
  end)

  it("moves the running statistics as PyTorch does", function()
    local x = ea.tensor { { 1 }, { 2 }, { 6 } }
    local mean, var = ea.full({ 1 }, 10), ea.full({ 1 }, 4)
    ea.batch_norm(x, ea.ones { 1 }, ea.zeros { 1 }, mean, var, { training = true, momentum = 0.25 })
    assert.is_true(math.abs(mean:item() - (0.75 * 10 + 0.25 * 3)) < 1e-6)
    assert.is_true(math.abs(var:item() - (0.75 * 4 + 0.25 * 7)) < 1e-6) -- unbiased: 14 / 2
    ea.batch_norm(x, ea.ones { 1 }, ea.zeros { 1 }, mean, var)
    assert.is_true(math.abs(mean:item() - 8.25) < 1e-6)
  end)

  it("passes NaN on, also through its ReLU", function()
    local x = ea.tensor { { 1, 0 / 0 }, { 2, 1 } }
    local y = ea.batch_norm(x, ea.ones { 2 }, ea.zeros { 2 }, ea.zeros { 2 }, ea.ones { 2 },
      { training = true, relu = true })
    assert.equal(2, y:count_nonfinite())
  end)

  it("refuses what does not fit, in one sentence", function()
    local one, zero = ea.ones { 3 }, ea.zeros { 3 }
    local ok, message = pcall(ea.batch_norm, ea.zeros { 1, 3 }, one, zero, zero, one,
      { training = true })
    assert.is_false(ok)
    assert.is_truthy(tostring(message):find("at least two values per channel"))
    ok, message = pcall(ea.batch_norm, ea.zeros { 2, 4 }, one, zero, zero, one)
    assert.is_false(ok)
    assert.is_truthy(tostring(message):find("4 channels"))
  end)
end)

describe("dropout", function()
  local function run(attrs, threads)
    return with_threads(threads or 1, function()
      local x = ea.ones { 300, 301 }
      x:require_grad(true)
      local y = ea.dropout(x, attrs)
      y:backward(ea.ones { 300, 301 })
      return { y:detach(), x.grad }
    end)
  end

  it("drops the given part, scales the rest, lets the gradient through the same holes", function()
    local r = run { p = 0.3, seed = 4, stream = 9 }
    assert.is_true(math.abs(r[1]:mean():item() - 1) < 0.01)
    assert.is_true(math.abs(r[1]:max():item() - 1 / 0.7) < 1e-6)
    assert.equal(0, r[1]:min():item())
    assert.equal(r[1]:hash(), r[2]:hash())
  end)

  it("depends on seed and stream, not on threads", function()
    local first = run { seed = 4, stream = 9 }[1]:hash()
    assert.equal(first, run({ seed = 4, stream = 9 }, 4)[1]:hash())
    assert.not_equal(first, run { seed = 5, stream = 9 }[1]:hash())
    assert.not_equal(first, run { seed = 4, stream = 8 }[1]:hash())
  end)
end)

describe("gradients through windows", function()
  it("add up in f32 when the images are bf16, whatever the threads", function()
    local function run(op, attrs)
      local x = rand("x", { 4, 9, 9, 6 }, "bf16"):require_grad(true)
      local y = ea[op](x, attrs)
      y:backward(rand("g", y.shape, "bf16"))
      return x.grad
    end
    for op, attrs in pairs { max_pool2d = { size = 3, stride = 1 },
      avg_pool2d = { size = 3, stride = 1 }, resize = { height = 20, width = 17 } } do
      local first = with_threads(1, function() return run(op, attrs) end)
      local again = with_threads(4, function() return run(op, attrs) end)
      assert.equal(first:hash(), again:hash(), op)
    end
  end)
end)

describe("a convolution of an image", function()
  for _, case in ipairs { { 16, 32, "f32" }, { 32, 16, "f32" }, { 64, 8, "f32" },
    { 64, 32, "f32" }, { 16, 32, "bf16" }, { 64, 8, "bf16" }, { 16, 32, "f32", 2 },
    { 64, 17, "f32", 2 } } do
    local channels, size, dtype, stride = unpack(case)
    it(("gives the same bytes in any batch: %d channels of %dx%d in %s, stride %d"):format(channels,
      size, size, dtype, stride or 1), function()
      local w = rand("w", { channels, channels, 3, 3 })
      local x = rand("x", { 11, size, size, channels }, dtype)
      local attrs = { pad = 1, stride = stride or 1 }
      local all = x:conv2d(w, attrs)
      for _, k in ipairs { 1, 7, 11 } do
        local one = x:narrow(1, k, 1):clone():conv2d(w, attrs)
        assert.equal(one:hash(), all:narrow(1, k, 1):clone():hash())
      end
    end)
  end
end)
