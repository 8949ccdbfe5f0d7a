-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.train: it learns, gives the same bytes at any number of threads, and says what is wrong. Also:
-- train_memory_spec, train_failures_spec, and resume_spec for what survives kill -9.

local session = require "edgeai.session"
local tiny = require "tiny"

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

local fit, sgd, wrn = tiny.fit, tiny.sgd, tiny.wrn

describe("ea.train.fit", function()
  local quiet = session.quiet
  setup(function() session.quiet = true end)
  teardown(function() session.quiet = quiet end)
  before_each(function() ea.seed(1) end)
  after_each(function() ea.threads(1) end)

  it("learns", function()
    local net = tiny.net()
    local result = fit(net, { split = tiny.split(256, 1), epochs = 6, batch = 32,
      validate = tiny.split(128, 2), optimizer = sgd(net),
      schedule = ea.schedule.one_cycle { peak = 0.2, epochs = 6 } })
    assert.is_true(result.best > 95, "validation accuracy is " .. result.best)
    assert.equal(6 * 8, result.steps)
    assert.equal(6, #result.history)
    assert.is_true(result.history[6].loss < 0.2 * result.history[1].loss)
    local test, loss, confusion = ea.train.accuracy(net, tiny.split(100, 3), { confusion = true })
    assert.is_true(test > 95 and loss < 0.3)
    assert.equal(100, confusion:sum():item())
    assert.near(test, confusion[1][1] + confusion[2][2] + confusion[3][3] + confusion[4][4], 1e-9)
    assert.is_false(net.training)
  end)

  it("learns pictures of clothes", function()
    local found, d = pcall(ea.data.load, "fashion-mnist", { val = 300 })
    if not found then return pending("Fashion-MNIST is not installed") end
    local few = {}
    for i = 1, 768 do few[i] = i end
    d.train.index, d.train.count = ea.tensor(few, "i32"), #few
    local net = ea.nn.sequential { ea.nn.conv2d { 1, 12, stride = 2 }, ea.nn.batch_norm { 12 },
      ea.nn.relu {}, ea.nn.conv2d { 12, 24, stride = 2 }, ea.nn.batch_norm { 24 }, ea.nn.relu {},
      ea.nn.flatten {}, ea.nn.linear { 24 * 7 * 7, 10 } }
    local result = fit(net, { split = d.train, epochs = 3, batch = 32, validate = d.val,
      optimizer = sgd(net, 0.02) })
    assert.is_true(result.best > 60, "validation accuracy is " .. result.best)
  end)

  it("ends with the weights that were best on validation", function()
    local net, seen = tiny.net(), {}
    local result
    result = fit(net, { epochs = 4, validate = tiny.split(64, 2),
      schedule = function(t) return t < 2 and 0.1 or 3 end, -- gets worse after two epochs
      on_epoch = function(record)
        seen[record.epoch] = { hash = tiny.hash(net:state_dict()), val = record.val }
      end })
    local best = 1
    for epoch, record in ipairs(seen) do
      if record.val > seen[best].val then best = epoch end
    end
    assert.is_true(best < 4, "the test needs a training that gets worse")
    assert.equal(best, result.best_epoch)
    assert.equal(seen[best].val, result.best)
    assert.equal(seen[best].hash, tiny.hash(net:state_dict()))
    assert.near(result.best, (ea.train.accuracy(net, tiny.split(64, 2))), 1e-9)
  end)

  it("ends with the last weights where there is no validation", function()
    local net, last = tiny.net(), nil
    local result = fit(net, { on_epoch = function() last = tiny.hash(net:state_dict()) end })
    assert.equal(last, tiny.hash(net:state_dict()))
    assert.is_nil(result.best)
    assert.is_nil(result.history[1].val)
  end)

  it("follows the schedule and records the rate", function()
    local net, asked = tiny.net(), {}
    local result = fit(net, { epochs = 3, schedule = function(t)
      asked[#asked + 1] = t
      return 0.1 / (1 + t)
    end })
    assert.equal(18, #asked)
    for i, t in ipairs(asked) do assert.near((i - 1) / 6, t, 1e-12) end
    for e, record in ipairs(result.history) do
      assert.equal(e, record.epoch)
      assert.near(0.1 / (1 + (6 * e - 1) / 6), record.lr, 1e-12)
    end
    assert.equal(0.05, fit(tiny.net(), { optimizer = sgd(net, 0.05) }).history[1].lr)
  end)

  it("takes an objective: with logits it counts, without it does not", function()
    local net = tiny.net()
    local function objective(x, y)
      local logits = net(x)
      return logits:cross_entropy(y, { smoothing = 0.1 }) + logits:square():mean() * 0.01, logits
    end
    local result = fit(net, { objective = objective, epochs = 6 })
    assert.is_true(result.history[6].acc > 60)
    net = tiny.net()
    result = fit(net, { objective = function(x, y) return (objective(x, y)) end })
    assert.is_nil(result.history[2].acc)
    assert.is_true(result.history[2].loss < result.history[1].loss)
  end)

  it("smooths labels: the loss is the cross-entropy against softened targets", function()
    -- With a rate of 0 each epoch's loss is that of the first weights on all images.
    local split = tiny.split(32, 1)
    local function loss_of(smoothing)
      ea.seed(4)
      local net = tiny.net()
      return fit(net, { split = split, batch = 32, epochs = 1, optimizer = sgd(net, 0),
        smoothing = smoothing }).history[1].loss, net
    end
    local plain, net = loss_of(0)
    local smooth = loss_of(0.2)
    local x, y = split:loader { batch = 32 }:next()
    net:train()
    local p = net(x):detach():log_softmax()
    local want_plain, want_smooth = 0, 0
    for i = 1, 32 do
      for k = 1, 4 do
        local hit = k == y:get(i) and 1 or 0
        want_plain = want_plain - hit * p:get(i, k) / 32
        want_smooth = want_smooth - (0.8 * hit + 0.05) * p:get(i, k) / 32
      end
    end
    assert.near(want_plain, plain, 1e-5)
    assert.near(want_smooth, smooth, 1e-5)
  end)

  it("clips the gradient's norm", function()
    -- Plain SGD with rate 1: a step moves the weights by the clipped gradient.
    for _, limit in ipairs { 0.01, 1e6 } do
      local net = tiny.net()
      local opt = ea.optim.sgd(net, { lr = 1, momentum = 0 })
      local before = opt.target.params:clone()
      fit(net, { split = tiny.split(16, 1), epochs = 1, clip = limit, optimizer = opt })
      local moved = (opt.target.params:detach() - before):square():sum():item() ^ 0.5
      local norm = opt:gradient_norm()
      assert.is_true(norm > 0.02)
      assert.near(math.min(limit, norm), moved, 1e-4 * moved)
    end
  end)

  it("works with every optimiser", function()
    for _, name in ipairs { "sgd", "adam", "adamw" } do
      local net = tiny.net()
      local opt = ea.optim[name](net, { lr = name == "sgd" and 0.1 or 0.01 })
      local history = fit(net, { epochs = 4, optimizer = opt }).history
      assert.is_true(history[4].loss < 0.8 * history[1].loss, name)
      assert.equal(24, opt:counters().steps)
    end
  end)

  -- ---- the same bytes ---------------------------------------------------------------------------

  local function trained(precision, threads)
    ea.threads(threads)
    ea.seed(3)
    local net = wrn(precision, 0.2)
    local opt = ea.optim.sgd(net, { momentum = 0.9, nesterov = true, weight_decay = 5e-4 })
    fit(net, { split = tiny.split(64, 1, 16), epochs = 1, optimizer = opt, precision = precision,
      augment = { crop_pad = 2, flip = true }, clip = 5,
      schedule = ea.schedule.cosine { lr = 0.1, epochs = 1 } })
    return tiny.hash(net:state_dict(), opt:state())
  end

  for _, precision in ipairs { "f32", "bf16" } do
    it("gives the same bytes at 1, 2 and 4 threads in " .. precision, function()
      local one = trained(precision, 1)
      assert.equal(one, trained(precision, 2))
      assert.equal(one, trained(precision, 4))
      assert.equal(one, trained(precision, 1))
    end)
  end

  it("gives the same bytes at 1, 2 and 4 threads with the NoNN objective", function()
    local parts = { { 1, 4, 5, 9 }, { 2, 3, 6 } }
    local function distilled(precision, threads)
      ea.threads(threads)
      ea.seed(3)
      local teacher = wrn(precision)
      local students = ea.nonn.students { parts = parts, classes = 4,
        arch = { depth = 10, widths = { 8, 8, 8 }, channels = 1 } }:set_precision(precision)
      local opt = sgd(students)
      local frozen = tiny.hash(teacher:state_dict())
      fit(students, { split = tiny.split(48, 1, 16), epochs = 1, optimizer = opt,
        precision = precision, objective = ea.nonn.objective(students, teacher, parts) })
      assert.equal(frozen, tiny.hash(teacher:state_dict()))
      return tiny.hash(students:state_dict(), opt:state())
    end
    for _, precision in ipairs { "f32", "bf16" } do
      local one = distilled(precision, 1)
      assert.equal(one, distilled(precision, 2))
      assert.equal(one, distilled(precision, 4))
    end
  end)

  it("gives another result for another seed", function()
    local function hash(seed)
      ea.seed(1)
      local net = tiny.net()
      fit(net, { seed = seed, epochs = 1 })
      return tiny.hash(net:state_dict())
    end
    assert.equal(hash(1), hash(1))
    assert.not_equal(hash(1), hash(2))
  end)

  it("has the gradients of the eager network", function()
    for _, case in ipairs { { "f32", 1e-5 }, { "bf16", 0.05 } } do
      local precision, limit = case[1], case[2]
      local net = wrn(precision)
      net:parameters()
      local x = ea.rng("x"):normal({ 8, 16, 16, 1 }):to(precision)
      local y = ea.tensor({ 1, 2, 3, 4, 1, 2, 3, 4 }, "i32")
      local function loss(images, labels) return net(images):to("f32"):cross_entropy(labels) end
      local before = net:snapshot()
      local want = loss(x, y)
      want:backward()
      local eager, statistics = {}, {}
      for i, p in ipairs(net:parameters()) do
        eager[i] = p.tensor.grad:clone()
        p.tensor:zero_grad()
      end
      for i, b in ipairs(net:buffers()) do statistics[i] = b.tensor:clone() end
      net:load_state_dict(before)
      local g = ea.capture(loss, { x, y })
      g.inputs[1]:copy(x)
      g.inputs[2]:copy(y)
      assert.near(want:item(), g:forward():item(), limit)
      g:backward()
      for i, p in ipairs(net:parameters()) do
        local difference = (p.tensor.grad - eager[i]):square():sum():item() ^ 0.5
        local size = eager[i]:square():sum():item() ^ 0.5
        assert.is_true(size > 0 and difference <= limit * size,
          ("%s in %s: off by %g of %g"):format(p.name, precision, difference, size))
      end
      for i, b in ipairs(net:buffers()) do
        assert.is_true((b.tensor - statistics[i]):abs():max():item() < limit, b.name)
      end
      g:free()
    end
  end)

  -- ---- dropout ----------------------------------------------------------------------------------

  it("draws another dropout mask in every step", function()
    local drop, x = ea.nn.sequential { { "drop", ea.nn.dropout { 0.5 } } }, ea.ones { 64 }
    local g = ea.capture(function(input) return drop(input) end, { x })
    g.inputs[1]:copy(x)
    local masks = {}
    for step = 0, 3 do masks[step] = g:forward(step):hash() end
    for step = 1, 3 do assert.not_equal(masks[0], masks[step]) end
    assert.equal(masks[2], g:forward(2):hash())
    g:free()
    ea.step(2)
    assert.equal(masks[2], drop(x):hash()) -- eagerly the same
    ea.step(0)
    g = ea.capture(function(input) return drop(input), drop(input) end, { x })
    g.inputs[1]:copy(x)
    local first, second = g:forward(2)
    assert.equal(masks[2], first:hash())
    assert.not_equal(masks[2], second:hash()) -- the layer runs twice in a step
    g:free()
  end)

  it("draws another dropout mask in every eager call, by ea.step the same again", function()
    local x = ea.ones { 64 }
    local function masks(steps)
      local drop, list = ea.nn.dropout { 0.5 }, {}
      for _, step in ipairs(steps) do
        ea.step(step)
        for _ = 1, 2 do list[#list + 1] = tostring(drop(x):hash()) end
      end
      return list
    end
    local all, different = masks { 0, 1, 2 }, {}
    for _, mask in ipairs(all) do
      assert.is_nil(different[mask])
      different[mask] = true
    end
    assert.same({ all[5], all[6] }, masks { 2 }) -- a loop that goes on in step 2
    assert.not_equal(ea.dropout(x, { p = 0.5 }):hash(),
      (function() ea.step(7); return ea.dropout(x, { p = 0.5 }):hash() end)())
    ea.step(0)
    fails(function() ea.step(-1) end, "step: expected a whole number")
  end)

  -- ---- errors -----------------------------------------------------------------------------------

  it("names what is wrong with its options", function()
    local net = tiny.net()
    fails(function() fit(net, { batch = 97 }) end,
      "fit: a batch of 97 does not fit into a split of 96 images")
    fails(function() fit(net, { epoch = 3 }) end,
      "fit: there is no option 'epoch'; did you mean `epochs`?")
    fails(function() fit(net, { augment = { crop = 2 } }) end,
      "augment: there is no option 'crop'; did you mean `crop_pad`?")
    fails(function() fit(net, { batch = 0 }) end, "fit: batch must be a whole number of at least 1")
    fails(function() fit(net, { epochs = 1.5 }) end, "fit: epochs must be a whole number")
    fails(function() fit(net, { schedule = 0.1 }) end, "fit: schedule must be a function")
    fails(function() fit(net, { optimizer = {} }) end, "fit: optimizer must be one of ea.optim")
    fails(function() fit(net, { clip = -1 }) end, "fit: clip must be")
    fails(function() fit(net, { smoothing = 1 }) end, "fit: smoothing must be")
    fails(function() fit(net, { precision = "f16" }) end, "dtype must be \"f32\" or \"bf16\"")
    fails(function() ea.train.fit(nil, tiny.split(16, 1)) end, "fit: expected a network")
    fails(function() ea.train.fit(net, ea.zeros { 3 }) end, "fit: expected a split")
    fails(function() fit(net, { schedule = function() end, optimizer = ea.optim.sgd(net, {}) }) end,
      "needs a learning rate")
    fails(function() fit(net, { schedule = function() return "fast" end }) end, "learning rate")
  end)

  it("refuses losses that teach nothing", function()
    local net = tiny.net()
    fails(function()
      fit(net, { objective = function(x) return x:square():mean() end })
    end, "does not depend on any parameter that requires a gradient")
    fails(function() fit(net, { objective = function(x) return net(x) end }) end,
      "the loss, a single number, first; it returned a tensor {16, 4}")
    fails(function() fit(net, { objective = function() end }) end, "it returned a nil")
    fails(function()
      fit(net, { objective = function(x, y) return net(x):cross_entropy(y):item() end })
    end, "captured")
    local frozen = tiny.net():requires_grad(false)
    fails(function() fit(frozen, {}) end, "requires a gradient")
  end)

  it("names the layer that shapes do not fit", function()
    local net = ea.nn.sequential { { "conv1", ea.nn.conv2d { 3, 8 } },
      { "pool", ea.nn.global_avg_pool {} }, { "fc", ea.nn.linear { 8, 4 } } }
    fails(function() fit(net) end, "conv1: conv2d: weights")
    net = ea.nn.sequential { { "block", ea.nn.sequential { { "conv1", ea.nn.conv2d { 1, 8 } },
      { "pool", ea.nn.global_avg_pool {} }, { "fc", ea.nn.linear { 9, 4 } } } } }
    fails(function() fit(net) end, "block.fc: linear:")
    net = ea.nn.sequential { ea.nn.conv2d { 1, 8 }, ea.nn.global_avg_pool {},
      ea.nn.linear { 8, 3 } } -- 3 logits, 4 classes
    fails(function() fit(net) end, "has the label 4, but the 3 classes are 1 to 3")
  end)

  it("leaves nothing behind after an error", function()
    local net = tiny.net()
    pcall(fit, net, { objective = function() error("of mine") end })
    fails(function() fit(net, { objective = function() error("of mine") end }) end, "of mine")
    fails(function() fit(net, { on_epoch = function() error("of mine too") end }) end,
      "of mine too")
    assert.equal(2, #fit(net).history) -- no capture is open, interrupts are not deferred
  end)
end)
