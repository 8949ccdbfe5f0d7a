-- SPDX-License-Identifier: GPL-3.0-or-later
-- The losses of distillation and the report of a NoNN against slow formulas in plain Lua.

local program = require "program"
local tiny = require "tiny"

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

local own_logits = { { 1, -2, 0.5 }, { 0.25, 3, -1 } }
local given_logits = { { 2, 0, -1 }, { -0.5, 1.5, 1 } }

local function softmax(z, t)
  local p, total = {}, 0
  for i, v in ipairs(z) do
    p[i] = math.exp(v / t)
    total = total + p[i]
  end
  for i in ipairs(p) do p[i] = p[i] / total end
  return p
end

local function norm(v, first, last)
  local total = 0
  for i = first or 1, last or #v do total = total + v[i] * v[i] end
  return math.sqrt(total)
end

describe("ea.distill.kd", function()
  it("is T^2 times the divergence of softened classes", function()
    for _, t in ipairs { 1, 4, 2.5 } do
      local want = 0
      for n = 1, 2 do
        local p, q = softmax(given_logits[n], t), softmax(own_logits[n], t)
        for i = 1, 3 do want = want + t * t * p[i] * math.log(p[i] / q[i]) end
      end
      local s, target = ea.tensor(own_logits, "f64"), ea.tensor(given_logits, "f64")
      assert.near(want / 2, ea.distill.kd(s, target, { temperature = t }):item(), 1e-12)
      assert.near(want / 6, ea.distill.kd(s, target,
        { temperature = t, reduction = "mean" }):item(), 1e-12)
    end
    local same = ea.tensor(given_logits)
    assert.near(0, ea.distill.kd(same, same):item(), 1e-6)
    fails(function() ea.distill.kd(same, same, { reduction = "sum" }) end,
      "kd: reduction must be \"batchmean\" or \"mean\", got sum")
  end)
end)

describe("ea.distill.attention", function()
  it("is the mean squared difference of normalised maps, summed over layers", function()
    local a = ea.rng("a", { seed = 1 }):normal({ 2, 2, 3, 4 }, 0, 1, "f32")
    local b = ea.rng("b", { seed = 1 }):normal({ 2, 2, 3, 5 }, 0, 1, "f32")
    local function map(x, n)
      local list = {}
      for i = 1, 2 do
        for j = 1, 3 do
          local total = 0
          for k = 1, x:size(4) do total = total + x:get(n, i, j, k) ^ 2 end
          list[#list + 1] = total / x:size(4)
        end
      end
      return list, norm(list)
    end
    local want = 0
    for n = 1, 2 do
      local p, length_p = map(a, n)
      local q, length_q = map(b, n)
      for i = 1, 6 do want = want + (p[i] / length_p - q[i] / length_q) ^ 2 / 12 end
    end
    assert.near(want, ea.distill.attention(a, b):item(), 1e-6)
    assert.near(2 * want, ea.distill.attention({ a, a }, { b, b }):item(), 1e-6)
    fails(function() ea.distill.attention({ a, a }, { b }) end,
      "attention: 2 layers of the student, 1 of the teacher")
    fails(function() ea.distill.attention(a:view(4, 12), b) end, "attention: expected activations")
  end)
end)

describe("ea.distill.activation_transfer", function()
  local s, t = { { 3, 4, 1, 2 }, { 1, 0, 0, 2 } }, { { 1, 1, 5, 12 }, { 2, 2, 1, 0 } }

  local function slow(parts)
    local total = 0
    for n = 1, 2 do
      local first = 1
      for _, size in ipairs(parts) do
        local last = first + size - 1
        local a, b = norm(s[n], first, last), norm(t[n], first, last)
        for i = first, last do total = total + (s[n][i] / a - t[n][i] / b) ^ 2 end
        first = last + 1
      end
    end
    return total / 2
  end

  it("compares each part by its direction", function()
    local x, y = ea.tensor(s), ea.tensor(t)
    assert.near(slow { 2, 2 },
      ea.distill.activation_transfer(x, y, { parts = { 2, 2 } }):item(), 1e-6)
    assert.near(slow { 1, 3 },
      ea.distill.activation_transfer(x, y, { parts = { 1, 3 } }):item(), 1e-6)
    local whole = slow { 4 }
    assert.near(whole, ea.distill.activation_transfer(x, y):item(), 1e-6)
    assert.near(whole, ea.distill.activation_transfer(x, y,
      { parts = { 2, 2 }, normalise = "whole" }):item(), 1e-6)
  end)

  it("refuses parts and filters that do not fit", function()
    local x, y = ea.tensor(s), ea.tensor(t)
    fails(function() ea.distill.activation_transfer(x, y, { parts = { 2, 1 } }) end,
      "activation_transfer: the parts hold 3 filters, the activations 4")
    fails(function() ea.distill.activation_transfer(x, y:narrow(2, 1, 3)) end,
      "activation_transfer: the student has 4 filters, the teacher's targets 3")
    fails(function()
      ea.distill.activation_transfer(x, y, { parts = { 2, 2 }, normalise = "both" })
    end, "activation_transfer: normalise must be \"part\" or \"whole\", got both")
  end)
end)

local function normal(name, size)
  return ea.rng(name, { seed = 3 }):normal(size, 0, 1, "f64")
end

local function row_norm(m)
  local out = {}
  for i, row in ipairs(m) do
    local length = norm(row)
    out[i] = {}
    for j, v in ipairs(row) do out[i][j] = v / length end
  end
  return out
end

--- Dot products of all rows.
local function gram(a)
  local g = {}
  for i = 1, #a do
    g[i] = {}
    for j = 1, #a do
      g[i][j] = 0
      for k = 1, #a[i] do g[i][j] = g[i][j] + a[i][k] * a[j][k] end
    end
  end
  return g
end

local function huber(d) return math.abs(d) < 1 and d * d / 2 or math.abs(d) - 0.5 end

describe("the losses between batches", function()
  local s, t = normal("student", { 5, 3 }), normal("teacher", { 5, 4 })
  local a, b = s:tolist(), t:tolist()

  it("similarity is the squared difference of normalised Gram matrices", function()
    local want, p, q = 0, row_norm(gram(a)), row_norm(gram(b))
    for i = 1, 5 do
      for j = 1, 5 do want = want + (p[i][j] - q[i][j]) ^ 2 / 25 end
    end
    assert.near(want, ea.distill.similarity(s, t):item(), 1e-12)
    local maps = normal("maps", { 5, 2, 2, 3 })
    assert.near(0, ea.distill.similarity(maps, maps:reshape(5, 12)):item(), 1e-12)
    fails(function() ea.distill.similarity(s, t:narrow(1, 1, 4)) end,
      "similarity: a batch of 5 of the student, of 4 of the teacher")
  end)

  it("pkt is the divergence of whom each image chooses", function()
    local function choices(x)
      local c = gram(row_norm(x))
      for i = 1, 5 do
        local total = 0
        for j = 1, 5 do
          c[i][j] = (c[i][j] + 1) / 2
          total = total + c[i][j]
        end
        for j = 1, 5 do c[i][j] = c[i][j] / total end
      end
      return c
    end
    local want, p, q = 0, choices(b), choices(a)
    for i = 1, 5 do
      for j = 1, 5 do
        want = want + p[i][j] * math.log((p[i][j] + 1e-7) / (q[i][j] + 1e-7)) / 25
      end
    end
    assert.near(want, ea.distill.pkt(s, t):item(), 1e-12)
  end)

  local function distance(x, i, j)
    local total = 0
    for k = 1, #x[i] do total = total + (x[i][k] - x[j][k]) ^ 2 end
    return math.sqrt(total)
  end

  local function slow_distance()
    local want, mean = 0, { [a] = 0, [b] = 0 }
    for _, x in ipairs { a, b } do
      for i = 1, 5 do
        for j = 1, 5 do mean[x] = mean[x] + distance(x, i, j) / 20 end
      end
    end
    for i = 1, 5 do
      for j = 1, 5 do
        want = want + huber(distance(a, i, j) / mean[a] - distance(b, i, j) / mean[b]) / 25
      end
    end
    return want
  end

  local function cosine(x, i, j, k)
    if j == i or k == i then return 0 end
    local dot = 0
    for c = 1, #x[i] do dot = dot + (x[j][c] - x[i][c]) * (x[k][c] - x[i][c]) end
    return dot / (distance(x, i, j) * distance(x, i, k))
  end

  it("rkd compares distances and angles", function()
    local angle = 0
    for i = 1, 5 do
      for j = 1, 5 do
        for k = 1, 5 do
          angle = angle + huber(cosine(a, i, j, k) - cosine(b, i, j, k)) / 125
        end
      end
    end
    local function rkd(o) return ea.distill.rkd(s, t, o):item() end
    assert.near(slow_distance(), rkd { distance = 1, angle = 0 }, 1e-9)
    assert.near(angle, rkd { distance = 0, angle = 1 }, 1e-9)
    assert.near(25 * slow_distance() + 50 * angle, rkd(), 1e-7)
    fails(function() rkd { distance = 0, angle = 0 } end, "rkd: both weights are 0")
    fails(function() ea.distill.rkd(s:narrow(1, 1, 1), t:narrow(1, 1, 1)) end,
      "rkd: compares the images of a batch with each other and needs at least 2, got 1")
  end)

  it("hint is the mean squared difference; a regressor leads to the teacher's shape", function()
    local want = 0
    local other = normal("other", { 5, 3 })
    for i, row in ipairs(other:tolist()) do
      for j, v in ipairs(row) do want = want + (v - a[i][j]) ^ 2 / 15 end
    end
    assert.near(want, ea.distill.hint(s, other):item(), 1e-12)
    fails(function() ea.distill.hint(s, t) end,
      "hint: the student's activation is {5, 3}, the teacher's {5, 4}; lead the student's through")
    local lead = ea.distill.regressor({ 2, 8, 8, 3 }, { 2, 4, 4, 5 })
    assert.same({ 2, 4, 4, 5 }, lead(ea.randn { 2, 8, 8, 3 }).shape)
    assert.same({ 5, 4 }, ea.distill.regressor(s.shape, t.shape)(s:to("f32")).shape)
    fails(function() ea.distill.regressor({ 2, 6, 6, 3 }, { 2, 4, 4, 5 }) end,
      "regressor: the student's map of 6x6 is no whole multiple of the teacher's 4x4")
  end)
end)

describe("every loss of ea.distill", function()
  local maps = { normal("map 1", { 3, 2, 3, 4 }), normal("map 2", { 3, 2, 3, 5 }) }
  local rows = { normal("row 1", { 4, 3 }), normal("row 2", { 4, 5 }), normal("row 3", { 4, 3 }) }
  for name, case in pairs {
    kd = { rows[1], rows[3], { temperature = 3 } }, attention = maps,
    hint = { rows[1], rows[3] }, similarity = { rows[1], rows[2] }, pkt = { rows[1], rows[2] },
    rkd = { rows[1], rows[2] }, activation_transfer = { rows[1], rows[3], { parts = { 2, 1 } } },
  } do
    it("has the gradient that differences say: " .. name, function()
      local worst = ea.gradcheck(function(student)
        return ea.distill[name](student, case[2], case[3])
      end, { case[1] }, { check = { 1 } })
      assert.is_true(worst < 1e-5)
    end)
  end
end)

describe("ea.distill.objective", function()
  local split = tiny.split(48, 1)
  local function nets()
    return tiny.net(), ea.nn.sequential { { "conv1", ea.nn.conv2d { 1, 6 } }, ea.nn.relu {},
      { "conv2", ea.nn.conv2d { 6, 6 } }, { "pool", ea.nn.global_avg_pool {} },
      { "fc", ea.nn.linear { 6, 4 } } }
  end
  local all = { ce = { weight = 0.1 }, kd = { weight = 0.9, temperature = 2 },
    attention = { weight = 10, layers = { "conv1", "conv2" } },
    hint = { weight = 0.5, layers = { "conv1", "pool" } }, similarity = { weight = 3 },
    pkt = { weight = 5, layer = "conv2" }, rkd = { weight = 0.01, teacher_layer = "conv2" },
    mine = { weight = 2, layer = "pool", loss = function(s) return s:square():mean() end } }

  local function batch()
    local loader = split:loader { batch = 8 }
    local x, y = loader:next()
    x, y = x:clone(), y:clone()
    loader:close()
    return x, y
  end

  it("is the weighted sum of its losses", function()
    local teacher, student = nets()
    local x, y = batch()
    local objective = ea.distill.objective(student, teacher, all, { input = x.shape })
    objective.net:eval()
    local t, z = teacher:features(x, { "conv1", "conv2", "pool" })
    local s, own = student:features(x, { "conv1", "conv2", "pool" })
    local d = ea.distill
    local want = 0.1 * own:cross_entropy(y):item() + 0.9 * d.kd(own, z, { temperature = 2 }):item()
      + 10 * d.attention({ s.conv1, s.conv2 }, { t.conv1, t.conv2 }):item()
      + 0.5 * d.hint(objective.net:get("regressor1")(s.conv1), t.conv1):item()
      + 0.5 * d.hint(objective.net:get("regressor2")(s.pool), t.pool):item()
      + 3 * d.similarity(s.pool, t.pool):item() + 5 * d.pkt(s.conv2, t.conv2):item()
      + 0.01 * d.rkd(s.pool, t.conv2):item() + 2 * s.pool:square():mean():item()
    assert.near(want, objective(x, y):item(), 1e-5 * want)
  end)

  it("trains the student and the regressors, and the weights follow their schedules", function()
    local teacher, student = nets()
    local seen = {}
    local objective = ea.distill.objective(student, teacher, { kd = { weight = 1 }, hint = {
      layer = "conv1", weight = function(epochs)
        seen[#seen + 1] = epochs
        return 1 - epochs / 2
      end } }, { input = { 1, 12, 12, 1 } })
    local before = objective.net:get("regressor1.conv").weight:hash()
    ea.train.fit(objective.net, split, { objective = objective, epochs = 2, batch = 16 })
    assert.are_not.equal(before, objective.net:get("regressor1.conv").weight:hash())
    assert.same({ 0, 0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3 }, seen)
    assert.near(1 - 5 / 6, objective.weights[1]:item(), 1e-6)
  end)

  it("refuses what it cannot do in one sentence", function()
    local teacher, student = nets()
    local function with(losses, opts)
      return function() ea.distill.objective(student, teacher, losses, opts) end
    end
    fails(with {}, "distill.objective: expected losses by name")
    fails(with { kdd = { weight = 1 } }, "there is no loss 'kdd'; did you mean `kd`?")
    fails(with { kd = { weight = "a" } }, "kd: weight must be a number or a function")
    fails(with { kd = { layer = "pool" } }, "there is no option 'layer'")
    fails(with { attention = { weight = 1 } }, "attention needs layers")
    fails(with { hint = { layer = "conv1" } }, "hint needs the shape of a batch")
    fails(with { rkd = { layers = { "pool" }, teacher_layers = { "pool", "fc" } } },
      "rkd: 1 layers of the student, 2 of the teacher")
    local x, y = batch()
    local other = ea.nn.sequential { ea.nn.flatten {}, ea.nn.linear { 144, 7 } }
    fails(function() ea.distill.objective(other, teacher, { kd = {} })(x, y) end,
      "the teacher knows 4 classes, the student 7")
  end)
end)

describe("ea.distill.recall", function()
  local folder = program.folder()
  teardown(function() program.remove(folder) end)

  it("gives the teacher's answers by position, and reads them again from its file", function()
    local teacher, whole = tiny.net():eval(), tiny.split(60, 2)
    local split = whole:part(0.5)
    assert.same({ 8, 8, 7, 7 }, split:class_counts())
    local path = folder .. "/answers.safetensors"
    local first = ea.distill.recall(teacher, split, { layers = { "pool" }, path = path, batch = 7 })
    local again = ea.distill.recall(teacher, split, { layers = { "pool" }, path = path })
    assert.same({ false, true }, { first.read, again.read })
    local loader = split:loader { batch = 10, shuffle = true }
    for x, _, _, id in loader:epoch(3) do
      local want, z = teacher:features(x, { "pool" })
      local found, logits = again(id, { "pool" })
      assert.near(0, (logits - z):abs():max():item(), 1e-5)
      assert.near(0, (found.pool - want.pool):abs():max():item(), 1e-5)
    end
    loader:close()
    teacher:get("fc").bias:fill(1)
    assert.is_false(ea.distill.recall(teacher, split, { layers = { "pool" }, path = path }).read)
    fails(function() again(ea.tensor({ 1 }, "i32"), { "conv1" }) end,
      "recall: the answers of 'conv1' were not kept")
    fails(function() ea.distill.recall(teacher, split, { layers = { "conv1" } }) end,
      "recall: 'conv1' gives 4 dimensions; only vectors {n, c} are kept")
  end)

  it("lets a student learn the same without the teacher running", function()
    local hashes = {}
    for i, remember in ipairs { false, true } do
      ea.seed(5)
      local teacher, student = tiny.net():eval(), tiny.net()
      local views = tiny.split(32, 4):views { views = 2, augment = { flip = true } }
      assert.equal(64, views.count)
      local recall = remember and ea.distill.recall(teacher, views, { batch = 16 }) or nil
      local objective = ea.distill.objective(student, teacher, { kd = {} }, { recall = recall })
      local fit = ea.train.fit(student, views, { objective = objective, epochs = 1, batch = 16,
        optimizer = tiny.sgd(student) })
      hashes[i] = fit.history[1].loss
    end
    assert.near(hashes[1], hashes[2], 1e-5)
  end)
end)

describe("ea.nonn.report", function()
  it("counts what each device holds, computes and sends", function()
    local widths = { 4, 4, 8, 16 }
    local net = ea.nn.wrn { depth = 10, widths = widths, classes = 4, channels = 1 }:train()
    local arch = { depth = 10, widths = { 4, 4, 4, 8 }, channels = 1 }
    local students = ea.nonn.students { parts = { 10, 6 }, arch = arch, classes = 4 }
    local r = ea.nonn.report(net, students, { 1, 8, 8, 1 })
    assert.is_true(net.training)
    assert.equal(net:parameter_count(), r.teacher.params)
    assert.equal(net:mflop { 1, 8, 8, 1 }, r.teacher.mflop)
    local trunk = ea.nn.wrn { depth = 10, widths = arch.widths, channels = 1, head = false }
    for i, size in ipairs { 10, 6 } do -- trunk, 1x1 convolution, batch norm
      assert.same({ trunk:parameter_count() + 8 * size + 2 * size, size, 4 * size },
        { r.students[i].params, r.students[i].part_size, r.students[i].sends_bytes })
    end
    assert.equal(16 * 4 + 4, r.fc.params)
    assert.near(2 * 16 * 4 / 1e6, r.fc.mflop, 1e-12)
    -- What the teacher's convolutions put out; half of it comes from the other device.
    local outputs = 64 * (4 + 4 + 4) + 16 * (8 + 8 + 8) + 4 * (16 + 16 + 16)
    assert.same({ bytes_per_inference = 64, syncs_per_inference = 1,
      split_bytes_per_inference = 4 * outputs / 2 }, r.comm)
    assert.near(r.teacher.params / r.students[1].params, r.gain.params, 1e-12)
    assert.near(2 * outputs / 64, r.gain.comm, 1e-12)
  end)
end)
