-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.vis.transform, ea.vis.lucid: exact adjoints, draws for each image, Lucid's numbers where its
-- files are ($EDGEAI_SHARED, or ../shared beside the repository).

local lucid, transform = ea.vis.lucid, ea.vis.transform

local numbers = require "lucid_numbers"

local function close(got, want, limit, what)
  got = got:detach():to("f64"):reshape(-1)
  want = (type(want) == "table" and ea.tensor(want, "f64") or want:to("f64")):reshape(-1)
  assert.equal(want:numel(), got:numel(), what)
  local d = (got - want):abs():max():item() / math.max(want:abs():max():item(), 1e-3)
  assert.is_true(d <= limit, ("%s: off by %.3g"):format(what, d))
end

local function T_of(x, more)
  return ea.vis.context({ L = x }, more)
end

local function pictures(n, h, w, c, dtype)
  return ea.rng("pictures"):uniform({ n, h, w, c }, 0, 1, dtype or "f64")
end

describe("ea.vis.transform", function()
  local x = pictures(3, 6, 7, 3)

  for name, list in pairs {
    jitter = { transform.jitter(2) }, between = { transform.jitter(2, { whole = false }) },
    roll = { transform.roll(3) }, scale = { transform.scale(0.8, 1.3) },
    rotate = { transform.rotate(20) }, flip = { transform.flip() },
    edge = { transform.edge "border", transform.jitter(3) },
    grey = { transform.edge(0.5), transform.rotate(30), transform.jitter(2) },
    pad = { transform.pad(2, "reflect"), transform.jitter(2) }, frame = { transform.pad(1) },
    repeated = { transform.pad(2, "border") }, crop = { transform.crop_or_pad(4, 9) },
    noise = { transform.noise(0.2) }, blur = { transform.blur(0.7) },
    colour = { transform.colour(0.2, 0.3) }, several = transform.standard(32),
    mixed = { transform.jitter(1), transform.noise(0.1), transform.roll(2), transform.edge(0.2) },
  } do
    it("has an exact adjoint: " .. name, function()
      assert.is_true(ea.gradcheck(function(v)
        return transform.apply(T_of(v), v, list, { 6, 7 })
      end, { x }, { tolerance = 1e-6 }) < 1e-6)
    end)
  end

  it("gives each image a draw of its own, a new one in each step", function()
    local same = x:narrow(1, 1, 1):expand(3, 6, 7, 3):clone()
    local T = T_of(same)
    local list = { transform.jitter(2), transform.rotate(10) }
    local function images(step)
      T:fill(step)
      return transform.apply(T, same, list, { 6, 7 })
    end
    local y = images(1)
    assert.is_true((y[1] - y[2]):abs():max():item() > 1e-3)
    local again = transform.apply(T_of(same), same, list, { 6, 7 })
    close(again, y, 0, "the same step")
    local alone = transform.apply(T_of(same:narrow(1, 1, 1):clone(), { ids = { 2 } }),
      same:narrow(1, 1, 1):clone(), list, { 6, 7 })
    close(alone[1], y[2], 0, "image 2 alone")
  end)

  it("moves whole pixels as they are", function()
    local seen = {}
    for step = 1, 60 do
      local v = ea.arange(1, 25, 1, "f64"):reshape(1, 5, 5, 1)
      local T = T_of(v)
      local grid
      local slot = T.slot
      T.slot = function(self, size, fill, each)
        local t = slot(self, size, function() end, each)
        fill(t, self, step)
        grid = t
        return t
      end
      local y = transform.apply(T, v, { transform.roll(2) }, { 5, 5 })
      assert.is_true(grid ~= nil)
      close(y:sum(), { 325 }, 1e-9, "every pixel once")
      local middle = math.floor(y:get(1, 3, 3, 1) + 0.5)
      close(y[{ 1, 3, 3 }], { middle }, 1e-9, "whole")
      seen[middle] = true
    end
    local count = 0
    for _ in pairs(seen) do count = count + 1 end
    assert.is_true(count > 12) -- of 25 places
  end)

  it("brings images to the network's size", function()
    local big = pictures(2, 16, 16, 3)
    assert.same({ 2, 8, 8, 3 }, transform.apply(T_of(big), big, { transform.jitter(1) },
      { 8, 8 }).shape)
    assert.same({ 2, 8, 8, 3 }, transform.apply(T_of(big), big, {}, { 8, 8 }).shape)
  end)

  it("pads and crops around the middle", function()
    local T = T_of(x)
    local framed = transform.apply(T, x, { transform.pad(2, 0.25) }, { 10, 11 })
    close(framed[{ {}, { 3, 8 }, { 3, 9 } }], x, 0, "inside")
    close(framed[{ {}, { 1, 2 } }], ea.full({ 3, 2, 11, 3 }, 0.25), 0, "frame")
    local mirrored = transform.apply(T, x, { transform.pad(1, "reflect") }, { 8, 9 })
    close(mirrored[{ {}, 1, { 2, 8 } }], x[{ {}, 2 }], 0, "mirrored")
    local repeated = transform.apply(T, x, { transform.pad(1, "border") }, { 8, 9 })
    close(repeated[{ {}, 1, { 2, 8 } }], x[{ {}, 1 }], 0, "repeated")
    local cut = transform.apply(T, x, { transform.crop_or_pad(4, 9) }, { 4, 9 })
    close(cut[{ {}, {}, { 2, 8 } }], x[{ {}, { 2, 5 } }], 0, "cut")
    close(cut[{ {}, {}, { 1, 1 } }], ea.full({ 3, 4, 1, 3 }, 0.5), 0, "grey")
    assert.same({ 3, 6, 7, 3 }, transform.apply(T, x, { transform.pad(3) }, { 6, 7 }).shape)
  end)

  it("puts a random picture behind transparent ones", function()
    local v = pictures(2, 6, 6, 4)
    v[{ {}, {}, { 1, 3 }, 4 }], v[{ {}, {}, { 4, 6 }, 4 }] = 1, 0
    local y = transform.apply(T_of(v), v, { transform.background(0.5) }, { 6, 6 })
    close(y:narrow(3, 1, 3), v:narrow(3, 1, 3):narrow(4, 1, 3), 1e-9, "opaque")
    assert.is_true((y - v:narrow(4, 1, 3)):abs():max():item() > 1e-3)
  end)

  it("takes one of the user's own, with its adjoint checked", function()
    local spec = { help = "noise of one grey", arguments = { "sd" },
      options = { sd = { 0.1, "deviation", least = 0 } },
      apply = function(_, v, o, rng)
        return v + rng:normal({ v:size(2), v:size(3), 1 }, 0, o.sd)
      end }
    ea.vis.register_transform("grain", spec)
    local list = { transform.jitter(1), transform.grain(0.3), transform.grain { sd = 0 } }
    local y = transform.apply(T_of(x), x, list, { 6, 7 })
    local plain = transform.apply(T_of(x), x, { list[1] }, { 6, 7 })
    assert.is_true((y - plain):abs():mean():item() > 0.1)
    local alone = x:narrow(1, 3, 1):clone()
    close(transform.apply(T_of(alone, { ids = { 3 } }), alone, list, { 6, 7 })[1], y[3], 0, "alone")
    local function refused(sentence, fn, ...)
      local ok, message = pcall(fn, ...)
      assert.is_false(ok)
      assert.truthy(message:find(sentence, 1, true), message)
    end
    refused("transform.grain: 'sd' must be a number of at least 0, not -1", transform.grain, -1)
    refused("there is no option 'sb'; did you mean `sd`?", transform.grain, { sb = 1 })
    refused("there is a transform 'grain' already", ea.vis.register_transform, "grain", spec)
    refused("there is a transform 'jitter' already", ea.vis.register_transform, "jitter", spec)
    ea.vis.unregister_transform "grain"
    refused("there is no transform 'grain'", function() return transform.grain end)
    local function try(sentence, apply)
      refused("transform grain was refused: " .. sentence, ea.vis.register_transform, "grain",
        { apply = apply })
    end
    try("gradcheck: ", function(_, v)
      return ea.custom("wrong", { forward = function(_, u) return u * 2 end,
        backward = function(_, g) return g * 3 end })(v)
    end)
    try("image 2 alone comes out otherwise", function(_, v)
      return v - v:mean { axes = { 1 }, keep = true }
    end)
    try("image 2 alone comes out otherwise", function(_, v) return v * v:size(1) end)
    try("transform grain: expected images {n, h, w, c} of it, got a number", function()
      return 1
    end)
    try("of 3 images it gives {1, 8, 8, 3} f64", function(_, v) return v:narrow(1, 1, 1) end)
    refused("there is no transform 'jiter'; did you mean `jitter`?", function()
      return transform.jiter
    end)
  end)

  it("says what is wrong", function()
    for sentence, fn in pairs {
      ["transform.jitter: expected pixels of at least 0, got x"] = function()
        return transform.jitter "x"
      end,
      ["transform.edge: expected"] = function() return transform.edge "mirror" end,
      ["the images have no alpha"] = function()
        local grey = x:narrow(4, 1, 1):clone()
        return transform.apply(T_of(grey), grey, { transform.background() }, { 6, 7 })
      end,
    } do
      local ok, message = pcall(fn)
      assert.is_false(ok)
      assert.is_true(message:find(sentence, 1, true) ~= nil, message)
    end
  end)
end)

describe("Lucid's transforms", function()
  local gold, fixtures, has_read_all = numbers.of "vis_transform"
  if not gold then return pending(numbers.absent) end
  local x = ea.empty({ 1, 4, 5, 1 }, "f64")
  for i = 1, 4 do for j = 1, 5 do x:set(1, i, j, 1, fixtures.I(0, i - 1, j - 1, 0)) end end

  local function apply(v, t) return lucid.apply(T_of(v), v, { t }, 1) end

  it("pad, crop or pad", function()
    close(apply(x, lucid.pad(1)), gold["pad(1)reflect"].value, 1e-9, "pad")
    for _, s in ipairs { { 2, 3 }, { 5, 8 }, { 6, 4 } } do
      local name = ("crop_or_pad_to(%d,%d)[4x5]"):format(s[1], s[2])
      close(apply(x, lucid.crop_or_pad_to(s[1], s[2])), gold[name].value, 1e-9, name)
    end
    local y = apply(x, lucid.pad(1, "uniform"))
    assert.is_true(y:get(1, 1, 1, 1) == y:get(1, 6, 7, 1) and y:get(1, 1, 1, 1) < 1)
    close(y[{ 1, { 2, 5 }, { 2, 6 } }], x, 1e-9, "inside")
  end)

  it("jitter: every place as likely", function()
    local want, count = gold["jitter(2)offset(1,2)"].value, {}
    local places = ea.arange(0, 19, 1, "f64"):reshape(1, 4, 5, 1)
    for seed = 1, 300 do
      local function crop(v)
        return lucid.apply(T_of(v, { seed = seed }), v, { lucid.jitter(2) }, 1)
      end
      local first = crop(places):get(1, 1, 1, 1)
      count[first] = (count[first] or 0) + 1
      if first == 7 and count[7] == 1 then close(crop(x), want, 1e-9, "jitter") end
    end
    for i = 0, 2 do
      for j = 0, 2 do assert.is_true(count[5 * i + j] > 15 and count[5 * i + j] < 60) end
    end
  end)

  local function upstream(size)
    local G = ea.empty(size, "f64")
    for i = 1, size[2] do
      for j = 1, size[3] do G:set(1, i, j, 1, fixtures.G(0, i - 1, j - 1, 0)) end
    end
    return G
  end

  it("scale: values and gradients of the old bilinear rule", function()
    for _, factor in ipairs { 0.5, 0.9, 1.1, 1.5 } do
      local want = gold[("random_scale(%.1f)[4x5]"):format(factor)]
      for dtype, limit in pairs { f64 = 1e-6, f32 = 2e-5 } do
        local v = x:to(dtype):clone():require_grad()
        local y = apply(v, lucid.random_scale { factor })
        assert.same(want.shape, y.shape)
        close(y, want.value, limit, "value")
        y:backward(upstream(y.shape):to(dtype))
        close(v.grad, want.grad, limit, "gradient")
      end
    end
    for size, want in pairs(gold["standard_transforms.sizes"]) do
      for k, factor in ipairs(gold["standard_transforms.scales"]) do
        assert.equal(want[k], lucid.scaled(size + 24 - 8, factor) - 4)
      end
    end
  end)

  it("rotate: the nearest pixel, and the gradient turned back", function()
    for _, case in ipairs { { 5, 10 }, { 5, 45 }, { 5, 90 }, { 5, -10 }, { 8, 10 }, { 8, -7 } } do
      local n, angle = case[1], case[2]
      local want = gold[("random_rotate(%d)[%dx%d]"):format(angle, n, n)]
      local v = ea.arange(1, n * n, 1, "f64"):reshape(1, n, n, 1):require_grad()
      local y = apply(v, lucid.random_rotate { angle })
      close(y, want.value, 1e-9, "value")
      if want.grad then
        y:backward(v:detach():clone())
        close(v.grad, want.grad, 1e-9, "gradient")
      end
    end
  end)

  it("redirected ReLU, smoothed max pool", function()
    local function grad_of(op, v, attrs)
      local leaf = ea.tensor(v, "f64"):require_grad()
      ea[op](leaf, attrs or {}):backward(ea.tensor({ { 0.5, -0.5, 0.25, -0.25 },
        { 0.5, -0.5, 0.25, -0.25 } }, "f64"))
      return leaf.grad
    end
    local v = { { -1, 2, 0, -3 }, { -1, -2, -0.5, -3 } }
    close(grad_of("redirected_relu", v), gold["redirected_relu.step0"].value, 0, "redirected")
    close(grad_of("redirected_relu", v), gold["redirected_relu.step16"].value, 0, "still so")
    close(grad_of("redirected_relu", { { -1, 2, 7, 7 }, { -1, -2, 7, 8 } }, { high = 6 }),
      gold["redirected_relu6.step0"].value, 0, "ReLU6")
    local plain = grad_of("relu", v) -- at 0 ours passes nothing, TensorFlow's everything
    close(plain[2], gold["redirected_relu.step17"].value[2], 0, "plain")
  end)

  it("five steps of Adam on one pixel, seen end to end", function()
    local want = gold["render.5_adam_steps(R-0.5B,1 pixel)"]
    local net = ea.nn.sequential { ea.nn.identity {} }
    net.mean, net.std = { 0, 0, 0 }, { 1, 1, 1 }
    local h = ea.vis.start(net, function(T)
      local v = T "input"
      return T:mean(v:narrow(4, 1, 1)) - 0.5 * T:mean(v:narrow(4, 3, 1))
    end, { param = ea.vis.param.pixel { image = ea.full({ 1, 1, 3 }, 0.5) }, size = 1, input = 1,
      lucid = true, transforms = {}, quiet = true })
    local r = h:step(5) and h:stop()
    close(r.history.total, want.objective_before_each_step, 2e-5, "objective")
    close(r.images, want.rgb, 2e-5, "colours")
  end)

  it("Adam with its epsilon before the correction", function()
    for name, gradients in pairs { ["adam.x0=1,g=[.5,-.25,.1,.1]"] = { 0.5, -0.25, 0.1, 0.1 },
      ["adam.x0=1,g=1e-7*4"] = { 1e-7, 1e-7, 1e-7, 1e-7 } } do
      local t = ea.ones { 1 }:require_grad()
      local adam = ea.vis.optimizer.adam {}.make({ t }, true)
      for k, g in ipairs(gradients) do
        t.grad:fill(g)
        adam:step()
        close(t, { gold[name].tf[k] }, 2e-5, name)
      end
    end
  end)

  it("one step more than thresholds say", function()
    local net = ea.nn.sequential { ea.nn.identity {} }
    net.mean, net.std = { 0, 0, 0 }, { 1, 1, 1 }
    local steps = {}
    local r = ea.vis.render(net, function(T) return T:mean(T "input") end, { lucid = true, size = 4,
      transforms = {}, thresholds = { 0, 1, 12 }, quiet = true, on_step = function(k)
        steps[#steps + 1] = k
      end })
    assert.equal(13, #steps)
    assert.equal(3, #r.thresholds)
    assert.equal(gold["thresholds=(0,1,512)"].lucid_updates_before_snapshot[2], 2)
  end)

  it("has read all of the numbers that are its own", has_read_all)
end)

describe("ea.vis.lucid", function()
  it("normalizes gradients, of each image by itself", function()
    local v = pictures(2, 3, 4, 3):require_grad()
    local y = lucid.apply(T_of(v), v, { lucid.normalize_gradient { 3 } }, 1)
    close(y, v, 0, "the pictures")
    local g = ea.rng("g"):normal({ 2, 3, 4, 3 }, 0, 5, "f64")
    y:backward(g)
    for k, length in ipairs { 3, 1 } do
      close(v.grad[k], g[k] * (length / g[k]:norm():item()), 1e-9, "gradient " .. k)
    end
  end)

  it("puts something behind what is transparent, as transforms do without being asked", function()
    local v = pictures(2, 6, 6, 4)
    v:narrow(4, 4, 1):fill(1)
    local y = lucid.apply(T_of(v), v, { lucid.collapse_alpha_random() }, 1)
    close(y, v:narrow(4, 1, 3), 1e-9, "opaque")
    ea.seed(3)
    local net = ea.nn.resnet { depth = 8, widths = { 4, 4, 8, 8 } }
    net.mean, net.std = { 0.5, 0.5, 0.5 }, { 0.25, 0.25, 0.25 }
    for _, list in ipairs { false, {}, { transform.jitter(1) }, { transform.roll(1),
      transform.background(0.2) } } do
      local r = ea.vis.render(net, "layer1/pre:1", { steps = 2, size = 16, quiet = true,
        param = ea.vis.param.fourier { alpha = true }, transforms = list or nil })
      assert.same({ 1, 16, 16, 4 }, r.images.shape)
    end
    local r = ea.vis.render(net, "layer1/pre:1", { steps = 2, size = 16, quiet = true,
      lucid = true, param = ea.vis.param.fourier { alpha = true } })
    assert.same({ 1, 16, 16, 4 }, r.images.shape)
  end)
end)

describe("lucid = true", function()
  it("shows the network images of changing sizes", function()
    ea.seed(3)
    local net = ea.nn.resnet { depth = 8, widths = { 4, 4, 8, 8 } }
    net.mean, net.std = { 0.5, 0.5, 0.5 }, { 0.25, 0.25, 0.25 }
    local sizes = {}
    local r = ea.vis.render(net, function(T)
      sizes[T "conv1":size(2)] = true
      return T:mean(T "layer1/pre":narrow(4, 1, 1))
    end, { lucid = true, steps = 7, size = 16, quiet = true, images = 2 })
    local count = 0
    for _ in pairs(sizes) do count = count + 1 end
    assert.is_true(count >= 3)
    assert.equal(11, lucid.sizes(lucid.standard()))
    assert.same({ 2, 16, 16, 3 }, r.images.shape)
  end)
end)
