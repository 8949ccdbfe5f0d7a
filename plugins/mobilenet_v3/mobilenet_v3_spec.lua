-- SPDX-License-Identifier: GPL-3.0-or-later

teardown(function() ea.plugin.drop "mobilenet_v3" end)

describe("mobilenet_v3", function()
  it("has the parameters of the published networks, by their names", function()
    local counts = { small = 2542856, large = 5483032 } -- torchvision's, 1000 classes
    for size, count in pairs(counts) do
      local net = ea.nn.mobilenet_v3 { size = size, classes = 1000 }
      assert.equal(count, net:parameter_count())
    end
    local names = {}
    for _, entry in ipairs(ea.nn.mobilenet_v3 {}:state_dict()) do
      names[entry.name] = table.concat(entry.tensor.shape, "x")
    end
    assert.equal("16x3x3x3", names["features.0.0.weight"])
    assert.equal("8x16x1x1", names["features.1.block.1.fc1.weight"])
    assert.equal("96", names["features.4.block.0.1.running_mean"])
    assert.equal("1024x576", names["classifier.0.weight"])
    assert.equal("10x1024", names["classifier.3.weight"])
  end)

  it("sees pictures at an eighth, with shrink = 2 at a thirty-second", function()
    local x = ea.randn { 1, 32, 32, 3 }
    local function side(o)
      local found = ea.nn.mobilenet_v3(o):eval():features(x, { "features" })
      return found.features.shape[2]
    end
    assert.equal(4, side { widen = 0.25 })
    assert.equal(1, side { widen = 0.25, shrink = 2 })
  end)

  it("is built again from its file", function()
    local path = os.tmpname() .. ".safetensors"
    local net = ea.nn.mobilenet_v3 { widen = 0.25, classes = 4 }:eval()
    local x = ea.randn { 2, 32, 32, 3 }
    net:save(path)
    local again = ea.nn.load(path)
    os.remove(path)
    os.remove((path:gsub("%.safetensors$", "")))
    assert.same(net(x):tolist(), again(x):tolist())
    assert.equal("mobilenet_v3", again.arch.name)
  end)

  it("learns", function()
    local net = ea.nn.mobilenet_v3 { widen = 0.25, classes = 2 }
    local x, y = ea.randn { 8, 16, 16, 3 }, ea.tensor({ 1, 2, 1, 2, 1, 2, 1, 2 }, "i32")
    local optimizer = ea.optim.adam(net, { lr = 3e-3 })
    local first, last
    for step = 1, 12 do
      local loss = net(x):cross_entropy(y)
      first, last = first or loss:item(), loss:item()
      optimizer:zero_grad()
      loss:backward()
      optimizer:step()
      assert.is_true(last == last, step)
    end
    assert.is_true(last < first)
  end)
end)

describe("squeeze_excite", function()
  it("weighs channels by their means", function()
    local layer = ea.nn.squeeze_excite { 2, squeeze = 1 }
    layer.fc1.weight:copy(ea.tensor { 1, 1 }:reshape(1, 2, 1, 1))
    layer.fc2.weight:copy(ea.tensor { 3, -3 }:reshape(2, 1, 1, 1))
    layer.fc1.bias:fill(0)
    layer.fc2.bias:fill(0)
    local x = ea.tensor { 1, 2, 3, 4 }:reshape(1, 2, 1, 2) -- means 2 and 3: 5 * 3 / 6 + 0.5 > 1
    assert.same({ { { { 1, 0 } }, { { 3, 0 } } } }, layer(x):tolist())
  end)

  it("wants channels", function()
    local ok, message = pcall(ea.nn.squeeze_excite, {})
    assert.is_false(ok)
    assert.truthy(message:find("the option 'channels' must be given", 1, true), message)
  end)
end)

describe("hard_swish", function()
  it("is the formula, with the right gradient", function()
    local layer = ea.nn.hard_swish {}
    assert.same({ 0, -0.375, 0, 1.125, 4 }, layer(ea.tensor { -4, -1.5, 0, 1.5, 4 }):tolist())
    ea.gradcheck(function(x) return layer(x) end, { ea.tensor({ -4, -1, 0.5, 4 }, "f64") })
  end)
end)
