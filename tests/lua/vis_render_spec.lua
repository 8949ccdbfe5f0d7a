-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.vis.render: images apart to the bit, progress, memory, what goes wrong.

local Module = ea.nn.Module
local obj, param, transform = ea.vis.objectives, ea.vis.param, ea.vis.transform

local function network(widths)
  ea.seed(5)
  local net = ea.nn.resnet { depth = 8, widths = widths or { 4, 4, 8, 8 } }
  net.mean, net.std = { 0.5, 0.5, 0.5 }, { 0.25, 0.25, 0.25 }
  return net
end

--- Options for something quick.
local function quick(more)
  local o = { steps = 6, size = 12, input = 12, quiet = true, seed = 3, redirect = 3 }
  for key, value in pairs(more or {}) do o[key] = value end
  return o
end

local function sentence(fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  return tostring(message)
end

local function same(a, b)
  return (a - b):abs():max():item() == 0
end

describe("ea.vis.render", function()
  local net = network()

  it("makes the objective larger", function()
    local r = ea.vis.render(net, "layer2:3", quick { steps = 40 })
    local total = r.history.total
    assert.is_true(total:get(40, 1) > total:get(1, 1) + 0.1)
    assert.same({ 1, 12, 12, 3 }, r.images.shape)
    assert.is_true(r.images:min():item() >= 0 and r.images:max():item() <= 1)
  end)

  local cases = {
    ["Fourier, all transforms"] = { goal = obj.class_logit("output", { 1, 2, 3, 4, 5 })
      - 1e-3 * obj.total_variation(), opts = { transforms = { transform.jitter(2),
        transform.scale(0.9, 1.1), transform.rotate(10), transform.flip(), transform.noise(0.1),
        transform.blur(0.5), transform.colour(0.1, 0.2), transform.roll(3) } } },
    ["pixels, bf16"] = { goal = obj.channel("layer3", { 5, 4, 3, 2, 1 }),
      opts = { param = param.pixel {}, precision = "bf16" } },
    ["targets, L-BFGS"] = { goal = obj.target("pool", ea.rng("targets"):normal { 5, 8 }),
      opts = { optimizer = ea.vis.optimizer.lbfgs { lr = 0.5 }, transforms = {} } },
    ["CPPN, gradient descent"] = { goal = obj.neuron("layer1", { 1, 2, 3, 4, 1 }),
      opts = { param = param.cppn { layers = 2, hidden = 4 },
        optimizer = ea.vis.optimizer.sgd { lr = 0.1, momentum = 0.9 } } },
    ["small and own parts, edges"] = { goal = obj.channel("layer1", { 1, 2, 3, 4, 1 }),
      opts = { param = param.sum { param.fourier {}, param.lowres { factor = 3 } },
        transforms = { transform.edge "border", transform.jitter(2, { whole = false }),
          transform.noise(0.05), transform.edge(0.3), transform.rotate(20) } } },
    ["from pictures, a mask, a ball"] = { goal = obj.channel("layer2", { 1, 2, 3, 4, 5 }),
      opts = { param = param.fourier { image = ea.rng("starts"):uniform({ 5, 12, 12, 3 }, 0.2, 0.8),
        mask = ea.rng("mask"):uniform { 12, 12 }, within = { l2 = 1 } },
        optimizer = ea.vis.optimizer.steepest {} } },
    ["phases alone"] = { goal = obj.channel("conv1", { 1, 2, 3, 4, 1 }),
      opts = { transforms = {}, param = param.maco {
        magnitude = ea.vis.magnitude(ea.rng("natural"):uniform { 4, 12, 12, 3 }) } } },
    ["pyramid, opacity"] = { goal = obj.channel("layer2/pre", { 1, 2, 3, 4, 5 }),
      opts = { param = param.laplacian { levels = 2, alpha = true },
        transforms = { transform.background(0.5), transform.jitter(1) } } },
  }
  for name, case in pairs(cases) do
    it("gives an image alone what it gives it among others, to the bit: " .. name, function()
      local together = ea.vis.render(net, case.goal, quick(case.opts))
      case.opts.batch = 2
      local pairs_ = ea.vis.render(net, case.goal, quick(case.opts))
      ea.threads(2)
      local ok, threads = pcall(ea.vis.render, net, case.goal, quick(case.opts))
      ea.threads(1)
      assert.is_true(ok)
      case.opts.batch = 1
      local alone = ea.vis.render(net, case.goal, quick(case.opts))
      for _, other in ipairs { pairs_, threads, alone } do
        assert.is_true(same(together.images, other.images))
        assert.is_true(same(together.history.total, other.history.total))
      end
      assert.is_true((together.images[1] - together.images[2]):abs():max():item() > 0)
    end)
  end

  it("does so on networks of every kind of layer, at any number of threads", function()
    for name, make in pairs { lenet5 = function() return ea.nn.lenet5 {} end, -- pools, linear
      mobilenet_v2 = function() return ea.nn.mobilenet_v2 {} end } do -- groups, relu6
      ea.seed(3)
      local own = make()
      local c = name == "lenet5" and 1 or 3
      own.mean, own.std = {}, {}
      for i = 1, c do own.mean[i], own.std[i] = 0.5, 0.25 end
      for _, precision in ipairs { "f32", "bf16" } do
        local o = quick { steps = 2, size = c == 1 and 28 or 16, input = c == 1 and 28 or 16,
          channels = c, precision = precision, smooth_pool = "l2", dead = "keep", redirect = 1 }
        local goal = obj.class_logit("output", { 1, 2, 3 })
        local all = ea.vis.render(own, goal, o)
        for batch = 1, 2 do
          o.batch = batch
          ea.threads(batch)
          local ok, r = pcall(ea.vis.render, own, goal, o)
          ea.threads(1)
          assert.is_true(ok, tostring(r))
          assert.is_true(same(all.images, r.images), name .. " " .. precision)
        end
      end
    end
  end)

  it("is the same again, and another with another seed", function()
    local a, b = ea.vis.render(net, "layer2:1", quick()), ea.vis.render(net, "layer2:1", quick())
    assert.is_true(same(a.images, b.images))
    local c = ea.vis.render(net, "layer2:1", quick { seed = 4 })
    assert.is_false(same(a.images, c.images))
  end)

  it("keeps images at thresholds, and a history of every term", function()
    local tv = obj.total_variation()
    local r = ea.vis.render(net, obj.channel("layer2", 1) - 0.01 * tv,
      quick { thresholds = { 2, 6 } })
    assert.equal(2, #r.thresholds)
    assert.is_true(same(r.thresholds[2], r.images))
    local h = r.history
    for k = 1, 6 do
      assert.is_true(math.abs(h["channel(layer2, 1)"]:get(k, 1)
        - 0.01 * h["total_variation(input)"]:get(k, 1) - h.total:get(k, 1)) < 1e-5)
    end
  end)

  it("leaves the network as it was", function()
    local own = network():train()
    ea.vis.render(own, "layer2:1", quick { precision = "bf16" })
    assert.is_true(own.training and own.bn1.training)
    assert.equal("f32", own.precision)
    for _, p in ipairs(own:parameters()) do
      assert.is_true(p.tensor.requires_grad)
      assert.is_nil(p.tensor.grad)
    end
  end)

  it("starts from an image", function()
    local start = ea.rng("start"):uniform({ 12, 12, 3 }, 0.1, 0.9)
    for _, kind in ipairs { "pixel", "fourier" } do
      local p = param[kind] { image = start }
      local r = ea.vis.render(net, "layer2/pre:1", quick { param = p, transforms = {},
        optimizer = ea.vis.optimizer.sgd { lr = 0 } })
      assert.is_true((r.images[1] - start):abs():max():item() < 1e-4)
    end
    local mask = ea.zeros { 12, 12 }
    mask[{ {}, { 1, 6 } }] = 1
    local r = ea.vis.render(net, "layer2/pre:1", quick { param = param.pixel { image = start,
      mask = mask } })
    local moved = (r.images[1] - start):abs()
    assert.is_true(moved[{ {}, { 7, 12 } }]:max():item() == 0)
    assert.is_true(moved[{ {}, { 1, 6 } }]:max():item() > 0.01)
  end)

  it("looks at pictures to compare with", function()
    local picture = ea.rng("picture"):uniform { 12, 12, 3 }
    local content = -1 * obj.activation_difference({ "layer1" }, picture)
    local r = ea.vis.render(net, content, quick { steps = 60, transforms = {} })
    local h = r.history.total
    assert.is_true(h:get(60, 1) > 0.6 * h:get(1, 1))
    r = ea.vis.render(net, obj.dot_compare("layer3", picture, { cossim_pow = 1 }), quick())
    assert.is_true(r.history.total:get(6, 1) > r.history.total:get(1, 1))
  end)

  it("draws images that depend on each other in one batch", function()
    local goal = obj.channel("layer2", 1) - 1e2 * obj.diversity("layer2") + obj.bn_prior()
    local r = ea.vis.render(net, goal, quick { images = 3, batch = 1 })
    assert.same({ 3, 12, 12, 3 }, r.images.shape)
  end)

  it("works on networks whose input has another size or one channel", function()
    local lenet = ea.nn.lenet5 { classes = 10 }
    lenet.mean, lenet.std = { 0.3 }, { 0.3 }
    local r = ea.vis.render(lenet, obj.class_logit("output", 3), { steps = 3, quiet = true,
      smooth_pool = true })
    assert.same({ 1, 28, 28, 1 }, r.images.shape)
    r = ea.vis.render(lenet, obj.class_logit("output", 3), { steps = 3, quiet = true, size = 40 })
    assert.same({ 1, 40, 40, 1 }, r.images.shape)
  end)

  it("works on networks for 224 pixels, by default with that size's transforms", function()
    ea.seed(2)
    local large = ea.nn.resnet { depth = 8, widths = { 2, 2, 4, 4 } }
    large.mean, large.std = { 0.485, 0.456, 0.406 }, { 0.229, 0.224, 0.225 }
    local seen
    local function goal(T)
      seen = T "conv1".shape
      return T:mean(T "layer3/pre":narrow(4, 1, 1))
    end
    local o = { size = 200, input = 224, steps = 2, quiet = true, images = 2 }
    local r = ea.vis.render(large, goal, o)
    assert.same({ 2, 224, 224, 2 }, seen)
    assert.same({ 2, 200, 200, 3 }, r.images.shape)
    local names = {}
    for i, t in ipairs(transform.standard(224)) do names[i] = t.name .. (t.d or t.degrees or "") end
    assert.same({ "jitter8", "scale", "rotate10", "jitter4" }, names)
    o.transforms = transform.standard(224)
    assert.is_true(same(r.images, ea.vis.render(large, goal, o).images))
    o.transforms = transform.standard(32)
    assert.is_false(same(r.images, ea.vis.render(large, goal, o).images))
  end)

  it("says what is wrong", function()
    local bare = ea.nn.resnet { depth = 8 }
    assert.matches("does not say what its input is normalised with",
      sentence(ea.vis.render, bare, "layer1:1", quick()))
    assert.matches("there is no layer 'layer4'.*did you mean `layer",
      sentence(ea.vis.render, net, "layer4:1", quick()))
    assert.matches("layer 'layer3' has 8 channels, 1 to 8; there is no channel 9",
      sentence(ea.vis.render, net, "layer3:9", quick()))
    assert.matches("there is no option 'step'; did you mean",
      sentence(ea.vis.render, net, "layer3:1", quick { step = 3 }))
    assert.matches("the objective is for 2 images, not for 3", sentence(ea.vis.render, net,
      obj.channel("layer3", { 1, 2 }), quick { images = 3 }))
    assert.matches("the starting image must be {12, 12, 3}", sentence(ea.vis.render, net,
      "layer3:1", quick { param = param.pixel { image = ea.zeros { 3, 3, 3 } } }))
    assert.matches("must lie in %[0, 1%]", sentence(ea.vis.render, net, "layer3:1",
      quick { param = param.pixel { image = ea.full({ 12, 12, 3 }, 2) } }))
    local picture = ea.rng("picture"):uniform { 12, 12, 3 }
    assert.matches("looks at 12 x 12 pixels; the picture to compare with is {9, 12, 3} f32",
      sentence(ea.vis.render, net, obj.dot_compare("layer1", picture:narrow(1, 1, 9):clone()),
        quick()))
    assert.matches("picture to compare with must lie in %[0, 1%] %(or be u8%), but it goes from",
      sentence(ea.vis.render, net, obj.dot_compare("layer1", picture * 255), quick()))
    assert.matches("objective function: expected a tensor of one value per image.*got a table",
      sentence(ea.vis.render, net, function() return {} end, quick()))
    assert.matches("expected one value per image, {1}, or a single number, got {3}",
      sentence(ea.vis.render, net, function() return ea.zeros { 3 } end, quick()))
    assert.matches('smooth_pool must be false, true or "mean", or "l2", got 3',
      sentence(ea.vis.render, net, "layer3:1", quick { smooth_pool = 3 }))
    assert.matches("transforms: item 1 must be one of ea.vis.transform",
      sentence(ea.vis.render, net, "layer3:1", quick { transforms = { 5 } }))
    local start = { image = picture, mask = ea.ones { 4, 4 } }
    for words, o in pairs {
      ["transforms must be a list, as in .* got one transform"] = { transforms =
        transform.jitter(1) },
      ["transforms must be a list, as in .* got a number"] = { transforms = 3 },
      ["item 1 must be .* got one of ea.vis.lucid, which go with lucid = true"] = { transforms = {
        ea.vis.lucid.jitter(1) } },
      ["with lucid = true, item 1 must be one of ea.vis.lucid"] = { lucid = true, transforms = {
        transform.jitter(1) } },
      ["thresholds must be a list of rising steps up to 6, as in .* got {5, 2}"] = { thresholds = {
        5, 2 } },
      ["thresholds must be a list of rising steps up to 6, .* got {7}"] = { thresholds = { 7 } },
      ["thresholds must be a list of rising steps up to 6, .* got 3"] = { thresholds = 3 },
      ["size must be pixels, a whole number or {height, width}, got {16.5, 16.5}"] = {
        size = 16.5 },
      ["input must be pixels, a whole number or {height, width}, got {}"] = { input = {} },
      ["memory must be bytes, a number above 0, got %-5"] = { memory = -5 },
      ["the mask must be {12, 12}, as the images, got {4, 4} f32"] = { param = param.pixel(start) },
      ["a mask needs an image"] = { param = param.pixel { mask = ea.ones { 12, 12 } } },
    } do
      assert.matches(words, sentence(ea.vis.render, net, "layer3:1", quick(o)))
    end
    assert.matches("colour must be", sentence(param.pixel { colour = "red" }.build,
      param.pixel { colour = "red" }, { 4, 4 }, 3))
  end)

  it("names the term, the step and the image that are not finite, and the dead units", function()
    local function bad(T)
      return T:mean(T "layer1") * 0 + (T:is_image(2) * (T.step - 2)):log() * T:is_image(2)
    end
    local message = sentence(ea.vis.render, net, obj.channel("layer1", 1) + ea.vis.objective(bad),
      quick { images = 3 })
    assert.matches("function became NaN at step 1 for image", message)
    local dead = network()
    dead.layer1["0"].bn2.bias:fill(-1e3)
    dead.layer1["0"].bn2.weight:fill(0)
    dead.bn1.weight:fill(0)
    dead.bn1.bias:fill(-5)
    message = sentence(ea.vis.render, dead, "layer1:1", quick { redirect = 0 })
    assert.matches("no gradient reaches image 1 at step 1.*units that are 0: .*100 %% "
      .. "%(gradient 0%)", message)
    local broken = network()
    broken:requires_grad(false)
    broken.layer2["0"].bn1.weight[3] = 0 / 0
    message = sentence(ea.vis.render, broken, "layer3:2", quick())
    assert.matches("channel%(layer3, 2%) became NaN at step 1 for image 1; the first layer that "
      .. "gives such numbers is layer2.0.bn1", message)
    local function grows(T) return (T:mean(T "layer1") * 1e38) ^ 2 end
    message = sentence(ea.vis.render, net, ea.vis.objective(grows), quick())
    assert.matches("function became infinite at step 1 .*layers' activations are finite", message)
    local function later(T) return T:mean(T "layer1") + (3 - T.step):log() end
    message = sentence(ea.vis.render, net, ea.vis.objective(later), quick())
    assert.matches("function became infinite at step 3 for image 1.*step before had a norm of %d",
      message)
  end)

  it("names an image that ended as one colour, and why; not where that may be wanted", function()
    local goal = obj.channel("layer1", 1) - 10 * obj.total_variation()
    local o = quick { steps = 60, param = param.pixel {}, images = 2, redirect = 0,
      optimizer = ea.vis.optimizer.adam { lr = 1e-3 } }
    local message = sentence(ea.vis.render, net, goal, o)
    assert.matches("image 1 is of one colour after step 60: no colour of it differs by more than "
      .. "0.00%d+ between pixels. Values of the terms: channel%(layer1, 1%) [%d.e-]+, "
      .. "total_variation%(input%) [%d.e-]+; the last gradient had a norm of [%d.]+; units that "
      .. "are 0: relu %d+ %% %(gradient", message)
    o.dead = "keep"
    assert.same({ 1, 2 }, ea.vis.render(net, goal, o).dead)
    o.dead = "stop"
    local r = ea.vis.render(net, -obj.total_variation(), o) -- of the image alone
    assert.is_true((r.images:max() - r.images:min()):item() < 1 / 512)
    assert.same({ 2, 1, 1, 3 }, ea.vis.render(net, function(T) return T:mean(T "output") end,
      quick { images = 2, size = 1, redirect = 0 }).images.shape)
  end)

  it("keeps images that no gradient reaches, where asked to", function()
    local dead = network()
    dead:requires_grad(false)
    dead.bn1.weight[2], dead.bn1.bias[2] = 0, -5
    local r = ea.vis.render(dead, obj.channel("relu", { 1, 2 }), quick { redirect = 0,
      dead = "keep", transforms = {} })
    assert.same({ 2 }, r.dead)
    assert.equal(0, r.values[2])
    assert.matches("dead must be", sentence(ea.vis.render, net, "layer1:1", quick { dead = true }))
  end)

  it("lets gradients into dead units first", function()
    local dead = network()
    dead.bn1.bias:fill(-1)
    dead.bn1.weight:fill(0.5)
    local r = ea.vis.render(dead, "bn1/post:1", quick { steps = 60, redirect = 60,
      transforms = {} })
    assert.is_true(r.history.total:get(60, 1) > r.history.total:get(1, 1))
  end)
end)

describe("redirected ReLUs", function()
  it("serve for as many steps as is said, Lucid's for 17", function()
    local dead = network()
    dead:requires_grad(false)
    dead.bn1.weight[2], dead.bn1.bias[2] = 1e-4, -5 -- no image brings it above 0
    local function stops(more)
      local o = quick(more)
      o.steps = 20
      o.redirect = more.redirect
      local message = sentence(ea.vis.render, dead, "relu:2", o)
      return tonumber(message:match("reaches image 1 at step (%d+)"))
    end
    assert.equal(17, stops { transforms = {} })
    assert.equal(5, stops { transforms = {}, redirect = 4 })
    assert.equal(1, stops { transforms = {}, redirect = 0 })
    assert.equal(18, stops { transforms = {}, lucid = true })
  end)
end)

describe("Module.replace", function()
  it("gives layers of a kind another forward, for a while", function()
    local net = ea.nn.sequential { ea.nn.relu {}, ea.nn.sigmoid {} }
    local x = ea.tensor { { -1, 2 } }
    local y = Module.replace({ relu = function(_, v) return v * 0 end }, net, x)
    assert.same({ { 0.5, 0.5 } }, y:tolist())
    assert.is_true(net(x):get(1, 2) > 0.8)
  end)
end)

describe("Module.run_apart", function()
  it("makes a row of a linear layer the same in every batch", function()
    local fc = ea.nn.linear { 64, 10 }
    local x = ea.rng("rows"):normal { 200, 64 }
    local all = Module.run_apart(fc, x)
    local close = (all - fc(x)):abs():max():item()
    assert.is_true(close < 1e-5)
    for _, n in ipairs { 1, 2, 3, 7, 64 } do
      local part = Module.run_apart(fc, x:narrow(1, 1, n):clone())
      assert.is_true(same(part, all:narrow(1, 1, n)))
    end
  end)
end)

describe("ea.vis.start", function()
  local net = network()

  it("gives a handle: step, peek, tweak, stop", function()
    local whole = ea.vis.render(net, "layer2/pre:1", quick { steps = 7 })
    local h = ea.vis.start(net, "layer2/pre:1", quick { steps = 7 })
    h:step(3)
    local middle = h:peek()
    h:step(4)
    assert.is_true(same(h:peek(), whole.images))
    assert.is_false(same(middle, whole.images))
    assert.matches("7 of 7 steps", tostring(h))
    h:tweak { lr = 0 }:step(5)
    assert.is_true(same(h:peek(), whole.images))
    h:tweak { lr = 0.05, objective = "layer1/pre:2", transforms = {} }:step()
    assert.matches("for 2 images", sentence(h.tweak, h, { objective = obj.channel("layer1",
      { 1, 2 }) }))
    local before = h:peek()
    for words, tweak in pairs { ["no layer 'layre1'.*did you mean"] = { objective = "layre1:1" },
      ["transforms must be a list"] = { transforms = transform.jitter(1) },
      ["item 1 must be one of"] = { transforms = { 3 }, lr = 9 },
      ["lr must be a number of at least 0"] = { lr = -1, objective = "layer3:1" } } do
      assert.matches(words, sentence(h.tweak, h, tweak)) -- and goes on as it was
    end
    assert.matches("channel%(layer1/pre, 2%)", tostring(h))
    h:tweak { lr = 0 }:step()
    assert.is_true(same(h:peek(), before))
    local r = h:stop()
    assert.equal(14, r.steps)
    assert.is_true(same(r.history.total:narrow(1, 1, 7), whole.history.total))
    assert.is_true(r.history["channel(layer1/pre, 2)"] ~= nil)
    assert.matches("was stopped", sentence(h.step, h))
  end)
end)
