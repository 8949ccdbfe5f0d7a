-- SPDX-License-Identifier: GPL-3.0-or-later

teardown(function() ea.plugin.drop "only" end)

describe("only", function()
  local obj = ea.vis.objectives
  -- two images of 1 x 2 pixels and 3 channels; means: (2, 3, 4) and (1, 0, -3)
  local A = ea.tensor({ { { { 1, 3, 4 }, { 3, 3, 4 } } },
    { { { 1, 0, -2 }, { 1, 0, -4 } } } }, "f64")

  local function value(goal, layer)
    return goal:value(ea.vis.context { L = layer or A }):tolist()
  end

  it("is a channel's mean less the root mean square of the others", function()
    local got = value(obj.only("L", 1))
    assert.near(2 - math.sqrt((9 + 16) / 2), got[1], 1e-9)
    assert.near(1 - math.sqrt(9 / 2), got[2], 1e-9)
    got = value(obj.only("L", { 2, 3 }, { weight = 2 }))
    assert.near(3 - 2 * math.sqrt((4 + 16) / 2), got[1], 1e-9)
    assert.near(-3 - 2 * math.sqrt(1 / 2), got[2], 1e-9)
    assert.near(got[1], value(obj.only("L", { 2, 3 }, { weight = 2 }), A:mean { 2, 3 })[1], 1e-9)
  end)

  it("makes pictures that the others answer to less", function()
    ea.seed(5)
    local net = ea.nn.resnet { depth = 8, widths = { 4, 4, 8, 8 } }
    net.mean, net.std = { 0.5, 0.5, 0.5 }, { 0.25, 0.25, 0.25 }
    local o = { steps = 40, size = 12, input = 12, quiet = true, seed = 3, transforms = {} }
    local function others(goal)
      local x = ea.vis.render(net, goal, o).images
      local found = ea.vis.layers(net:eval(), (x - 0.5) / 0.25, { "layer2/pre" })["layer2/pre"]
      local rest = found:mean({ 2, 3 })[1] * ea.tensor { 1, 1, 0, 1, 1, 1, 1, 1 }
      return rest:norm():item()
    end
    assert.is_true(others(obj.only("layer2/pre", 3)) < 0.8 * others "layer2/pre:3")
  end)

  it("says what is wrong", function()
    for sentence, fn in pairs {
      ["only: expected a whole number from 1 to 3, got 4"] = function()
        value(obj.only("L", 4))
      end,
      ["layer 'L' has one channel"] = function() value(obj.only("L", 1), A:narrow(4, 1, 1)) end,
      ["only: 'weight' must be a number of at least 0, not -1"] = function()
        obj.only("L", 1, { weight = -1 })
      end,
      ["only: 'channel' must be given"] = function() obj.only "L" end,
    } do
      local ok, message = pcall(fn)
      assert.is_false(ok)
      assert.truthy(message:find(sentence, 1, true), message)
    end
  end)
end)
