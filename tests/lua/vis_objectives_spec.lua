-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.vis: objectives, their algebra, values a person can compute, gradients, what goes wrong.

local check = require "edgeai.vis.check"
local layers = require "edgeai.vis.layers"
local registry = require "edgeai.vis.registry"
local obj = ea.vis.objectives

--- The sentence that fn raises.
local function sentence(fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  return tostring(message)
end

local function near(want, got, limit)
  assert.is_true(math.abs(want - got) <= (limit or 1e-6), ("%g, not %g"):format(got, want))
end

describe("ea.vis.objectives", function()
  -- two images, 2 x 2 pixels, 2 channels; channel 1 is the number of the place
  local A = ea.tensor({ { { { 1, 0 }, { 2, 1 } }, { { 3, 0 }, { 4, 1 } } },
    { { { 5, 2 }, { 6, 0 } }, { { 7, 2 }, { 8, 0 } } } }, "f64")

  local function values(x, more)
    return ea.vis.objective(x):value(ea.vis.context({ L = A, input = A, output = A[{ {}, 1, 1 }] },
      more)):tolist()
  end

  for name in pairs(registry.specs) do
    local spec = registry.specs[name]
    if spec.check then
      it("gradient of " .. name, function()
        assert.is_true(check.objective(obj[name](spec.check), name) < 1e-5)
      end)
    end
  end

  it("give one value per image", function()
    assert.same({ 2.5, 6.5 }, values(obj.channel("L", 1)))
    assert.same({ 0.5, 6.5 }, values(obj.channel("L", { 2, 1 })))
    assert.same({ 4, 8 }, values(obj.neuron("L", 1)))
    assert.same({ 3, 7 }, values(obj.neuron("L", 1, { y = 2, x = 1 })))
    assert.same({ 0, 6.5 }, values(obj.channel("L", 1, { batch = 2 })))
    assert.same({ 4, 8.5 }, values(obj.direction("L", { { 1, 3 }, { 1, 2 } })))
    assert.same({ 32 / 8, 182 / 8 }, values(obj.deepdream("L")))
    assert.same({ -4.25, -43.25 }, values(obj.target("L", { { 0.5, 0 }, { 0, 0 } })))
  end)

  it("of pictures", function()
    assert.same({ 1 + 1 + 1 + 1 + 2 + 2 + 0 + 0, 2 + 2 + 1 + 1 + 2 + 2 + 0 + 0 },
      values(obj.total_variation()))
    assert.same({ 12, 30 }, values(obj.L1()))
    near(math.sqrt(32), values(obj.L2("input", { epsilon = 0 }))[1])
    near(0, values(obj.input_diff(A))[2])
  end)

  it("of classes", function()
    assert.same({ 0, 5 }, values(obj.class_logit("output", { "b", "a" }),
      { labels = { "a", "b" } }))
    near(math.log(math.exp(1) / (1 + math.exp(1))), values(obj.class_cross_entropy("output", 1))[1])
    assert.same({ 1, 3 }, values(obj.logit_margin("output", 1)))
  end)

  it("can be computed with", function()
    local a, b = obj.channel("L", 1), obj.channel("L", 2)
    assert.same({ 3, 7.5 }, values(a + b))
    assert.same({ 1.5, 5.5 }, values(-(1 - a) - b * 0 + 0))
    assert.same({ 2 * 2.5 + 3, 2 * 6.5 + 3 }, values(2 * a + 3))
    assert.same({ 2.5 * 0.5, 6.5 }, values(a * b))
    assert.same({ 5, 6.5 }, values(a / b))
    assert.same({ 0.4, 1 / 6.5 }, values(1 / a))
    assert.same({ 6.25, 42.25 }, values(a ^ 2))
    near(2 ^ 2.5, values(2 ^ a)[1])
    near(6.5 ^ 1, values(a ^ b)[2])
    assert.same({ 2.5, 6.5 }, values("L:1"))
    assert.same({ 3, 7 }, values("L:1@2,1"))
    assert.same({ 3, 7.5 }, values { "L:1", b })
    local many = {}
    for i = 1, 2000 do many[i] = a end
    assert.same({ 5000, 13000 }, values(ea.vis.sum(many)))
    assert.equal("2*channel(L, 1) - channel(L, 2) + 3", tostring(2 * a - b + 3))
  end)

  it("may be a plain function of T", function()
    assert.same({ 2.5, 6.5 }, values(function(T) return T:mean(T "L":narrow(4, 1, 1)) end))
    assert.same({ 7, 7 }, values(function() return 7 end))
    assert.same({ 5.25, 13.25 }, values(2 * obj.channel("L", 1) + function(T)
      return T.step * 0.25
    end))
    local drawn = values(function(T) return T:mean(T.rng:uniform { 3 }) end)
    assert.is_true(drawn[1] ~= drawn[2] and drawn[1] > 0 and drawn[1] < 1)
  end)

  it("say what is wrong", function()
    assert.matches("there is no objective 'chanel'; did you mean `channel`%?",
      sentence(function() return obj.chanel end))
    assert.matches("'channel' must be given", sentence(obj.channel, "L"))
    assert.matches("there is no option 'bacth'; did you mean `batch`%?",
      sentence(obj.channel, "L", 1, { bacth = 1 }))
    assert.matches("layer 'L' has 2 channels, 1 to 2; there is no channel 3",
      sentence(values, obj.channel("L", 3)))
    assert.matches("there is no row 3, column 1", sentence(values, "L:1@3,1"))
    assert.matches("expected \"layer:channel\"", sentence(values, "group3"))
    assert.matches("expected an objective.*got a number", sentence(ea.vis.objective, 5))
    assert.matches("expected one value per image, {2}, or a single number, got {2, 2, 2, 2} f64",
      sentence(values, function(T) return T "L" end))
    assert.matches("got a table", sentence(values, function() return {} end))
    assert.matches("is for 3 images, but channel", sentence(function()
      return (obj.channel("L", { 1, 2, 1 }) + obj.channel("L", { 1, 2 })):needs()
    end))
    assert.matches("expected a vector {2} or one for each image", sentence(values,
      obj.direction("L", { 1, 2, 3 })))
    assert.matches("class_logit: there is no class 'frogg'; did you mean `frog`",
      sentence(values, "output:frogg", { labels = { "frog", "bird" } }))
    assert.matches("no names of classes", sentence(values, "output:frog"))
  end)

  it("can be registered, with a gradient check", function()
    local spec = { help = "mean of a layer over a scale", arguments = { "layer", "scale" },
      options = { layer = ea.vis.needed, scale = 1 }, check = { layer = "L", scale = 3 },
      compute = function(T, o) return T:mean(T(o.layer)) / o.scale end }
    ea.vis.register_objective("over_scale", spec)
    assert.same({ (10 + 2) / 8 / 2, (26 + 4) / 8 / 2 }, values(obj.over_scale("L", 2)))
    assert.matches("there is an objective 'over_scale' already",
      sentence(ea.vis.register_objective, "over_scale", spec))
    ea.vis.unregister_objective "over_scale"
    spec.compute = function(T, o)
      local wrong = ea.custom("wrong", { forward = function(_, x) return x * 2 end,
        backward = function(_, g) return g * 3 end })
      return T:mean(wrong(T(o.layer)))
    end
    assert.matches("objective over_scale was refused: gradcheck: .*the op says",
      sentence(ea.vis.register_objective, "over_scale", spec))
    assert.matches("there is no objective 'over_scale'", sentence(function()
      return obj.over_scale
    end))
  end)
end)

describe("layers of a network", function()
  local net = ea.nn.resnet { depth = 8, widths = { 4, 4, 8, 8 } }:eval()
  local x = ea.rng("layers"):normal { 2, 8, 8, 3 }

  it("before and after their activations", function()
    local found = layers.run(net, x, { "layer1.0.bn1", "layer1.0.relu1/in", "layer1.0.bn1/post",
      "layer1/pre", "layer1", "bn1/in", "conv1", "output" })
    assert.same(found["layer1.0.bn1"]:tolist(), found["layer1.0.relu1/in"]:tolist())
    assert.same(found["layer1.0.bn1"]:relu():tolist(), found["layer1.0.bn1/post"]:tolist())
    assert.same(found["layer1/pre"]:relu():tolist(), found["layer1"]:tolist())
    assert.is_true(found["layer1/pre"]:min():item() < 0)
    assert.same(found.conv1:tolist(), found["bn1/in"]:tolist())
    assert.same({ 2, 10 }, found.output.shape)
  end)

  it("run no further than needed", function()
    local ran = {}
    ea.nn.Module.observe(function(m) ran[#ran + 1] = m end, layers.run, net, x, { "bn1" })
    assert.is_true(#ran > 0 and #ran <= 2)
  end)

  it("with names that are not there", function()
    assert.matches("there is no layer 'layer1.0.bn3'.*did you mean `layer1.0.bn1`",
      sentence(layers.run, net, x, { "layer1.0.bn3" }))
    assert.matches("in, pre or post", sentence(layers.run, net, x, { "bn1/past" }))
    assert.matches("no activation in conv2d", sentence(layers.run, net, x, { "conv1/pre" }))
    assert.matches("no activation behind it", sentence(layers.run, net, x, { "linear/post" }))
  end)
end)
