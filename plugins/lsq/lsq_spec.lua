-- SPDX-License-Identifier: GPL-3.0-or-later

teardown(function() ea.plugin.drop "lsq" end)

--- Sorted values that occur in a tensor.
local function levels(t)
  local seen, list = {}, {}
  for _, v in ipairs(t:reshape(t:numel()):tolist()) do
    if not seen[v] then list[#list + 1] = v end
    seen[v] = true
  end
  table.sort(list)
  return list
end

describe("fake_quantize", function()
  it("rounds to the steps and clamps to the range, halves to even", function()
    local x = ea.tensor { -9, -0.25, -0.24, 0.25, 0.75, 1.3, 9 }
    local y = ea.fake_quantize(x, ea.tensor { 0.5 }, { low = -4, high = 3 })
    assert.same({ -2, 0, 0, 0, 1, 1.5, 1.5 }, y:tolist())
  end)

  it("takes a step for each row, and gives the same for any number of threads", function()
    local x, scale = ea.randn { 3, 40000 }, ea.tensor { 0.5, 0.25, 0.125 }
    local function run(threads)
      local before = ea.threads()
      ea.threads(threads)
      local a, s = x:clone():require_grad(), scale:clone():require_grad()
      local y = ea.fake_quantize(a, s, { low = -8, high = 7 })
      local total = (y * y):sum()
      total:backward()
      ea.threads(before)
      return y:detach():hash(), a.grad:hash(), s.grad:hash()
    end
    assert.same({ run(1) }, { run(3) })
    local y = ea.fake_quantize(x, scale, { low = -8, high = 7 })
    assert.same({ -1, 0.875 }, { y[3]:min():item(), y[3]:max():item() })
  end)

  it("multiplies the step's gradient by factor", function()
    local x, grads = ea.tensor { 0.3, 5, -7 }, {}
    for i, factor in ipairs { 1, 0.5 } do
      local s = ea.tensor { 0.5 }:require_grad()
      ea.fake_quantize(x, s, { low = -2, high = 1, factor = factor }):sum():backward()
      grads[i] = s.grad:item()
    end
    assert.near(1 - 0.6 + 1 - 2, grads[1], 1e-6)
    assert.near(grads[1] / 2, grads[2], 1e-6)
  end)

  it("refuses a step that fits nothing, and an empty range", function()
    local function says(words, ...)
      local ok, message = pcall(ea.fake_quantize, ...)
      assert.is_false(ok)
      assert.truthy(message:find(words, 1, true), message)
    end
    says("one for each of the first dimension", ea.ones { 3, 2 }, ea.ones { 2 })
    says("low must be less than high", ea.ones { 3 }, ea.ones { 1 }, { low = 3, high = 3 })
    assert.equal(0, ea.fake_quantize(ea.ones { 0, 3 }, ea.ones { 0 }):numel())
  end)
end)

describe("lsq", function()
  local images = ea.rng("lsq", { seed = 5 }):normal { 16, 8, 8, 3 }

  local function network()
    return ea.nn.sequential { { "conv1", ea.nn.conv2d { 3, 8 } }, ea.nn.batch_norm { 8 },
      ea.nn.relu {}, { "conv2", ea.nn.conv2d { 8, 8, bias = true } }, ea.nn.relu {},
      ea.nn.global_avg_pool {}, { "fc", ea.nn.linear { 8, 2 } } }
  end

  it("computes with few values of the weights, near the network it came from", function()
    local net = network():eval()
    local before = net(images)
    assert.equal(net, ea.nn.lsq(net, images))
    local off = (net(images) - before):abs():max():item() / before:abs():max():item()
    assert.is_true(off > 0 and off < 0.05, off)
    local coarse = ea.nn.lsq(network(), images, { bits = 2, input_bits = 4 })
    local second = coarse.conv2
    assert.is_false(second.input.signed) -- behind a relu
    assert.is_true(coarse.conv1.input.signed)
    local w = second.weights(second.layer.weight):detach()
    assert.is_true(#levels(w[1]) <= 4 and #levels(w[1]) > 1)
    assert.is_true(#levels(coarse.conv1.weights(coarse.conv1.layer.weight)[1]) > 4)
  end)

  it("is trained: the loss falls, the steps move", function()
    local net = ea.nn.lsq(network(), images, { bits = 3, input_bits = 4 }):train()
    local y = ea.tensor({ 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2 }, "i32")
    local step = net.conv2.weights.scale:clone()
    local optimizer, losses = ea.optim.adam(net, { lr = 0.01 }), {}
    local graph = ea.capture(function(x, t) return net(x):cross_entropy(t) end, { images, y })
    graph.inputs[1]:copy(images)
    graph.inputs[2]:copy(y)
    for i = 1, 60 do
      losses[i] = graph:forward():item()
      graph:backward()
      optimizer:step()
    end
    assert.is_true(losses[60] < 0.6 * losses[1], losses[60] .. " from " .. losses[1])
    assert.is_true((net.conv2.weights.scale - step):abs():max():item() > 1e-4)
  end)

  it("changes every architecture, and keeps what summary counts", function()
    for _, make in ipairs { function() return ea.nn.wrn { depth = 10, widths = { 4, 4, 8, 8 } } end,
      function() return ea.nn.resnet { depth = 8, widths = { 4, 4, 8, 8 } } end,
      function() return ea.nn.mobilenet_v2 { widen = 0.1 } end } do
      local net, x = make(), ea.randn { 2, 32, 32, 3 }
      local mflop = net:mflop()
      ea.nn.lsq(net, x)
      local left = 0
      for _, m in ipairs(net:named_modules()) do
        if m.module.kind == "conv2d" or m.module.kind == "linear" then
          left = left + (m.module.parent.kind == "quantized" and 0 or 1)
        end
      end
      assert.equal(0, left)
      assert.equal(mflop, net:mflop())
      assert.same({ 2, 10 }, net:eval()(x).shape)
    end
  end)

  it("refuses what it cannot change, and bits out of range", function()
    local function says(words, ...)
      local ok, message = pcall(ea.nn.lsq, ...)
      assert.is_false(ok)
      assert.truthy(message:find(words, 1, true), message)
    end
    says("a network and a batch", images, images)
    says("neither conv2d nor linear", ea.nn.relu {}, images)
    says("'bits' must be a whole number from 2 to 8, not 1", network(), images, { bits = 1 })
  end)
end)
