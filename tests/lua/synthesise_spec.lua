-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream.synthesise: priors against slow formulas, the same bytes after an interruption, what its
-- report says.

local F = require "edgeai.ffi"
local new_generator = require "edgeai.dream.generator"
local new_statistics = require "edgeai.dream.statistics"
local program = require "program"
local tiny = require "tiny"

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

local split, net, meta = tiny.split(160, 3), nil, nil

setup(function()
  ea.seed(1)
  net = tiny.net()
  tiny.fit(net, { split = split, epochs = 4, optimizer = tiny.sgd(net) })
  net.mean, net.std, net.input_shape = { 0.5 }, { 0.25 }, { 1, 12, 12, 1 }
  meta = ea.dream.metadata(net, split, { share = 1, clusters = 3, components = 4 })
end)

local function synthesise(folder, given)
  ea.seed(2)
  local student = tiny.net()
  local o = { count = 96, batch = 32, folder = folder, z = 16, width = 8, steps = 3, shift = 1,
    priors = { target = 1, bn = 1, ce = 0.4, tv = 0.1, disagreement = 1.1 },
    student = { net = student, steps = 3, batch = 32, reuse = 2 } }
  for key, value in pairs(given or {}) do o[key] = value end
  if o.priors.disagreement == nil then o.student = nil end
  return ea.dream.synthesise(net, meta, o), student
end

describe("the statistics of batch norms", function()
  it("are the distance of a batch's from the running ones, with momentum over batches", function()
    local seen, x = {}, ea.rng("x", { seed = 1 }):normal({ 6, 12, 12, 1 }, 0, 1)
    local function slow(layer, input)
      local n, c = 6 * 144, input:size(4)
      local rows, total = input:reshape(n, c), { mean = 0, var = 0 }
      local bn, means, vars = net:get(layer), {}, {}
      for j = 1, c do
        local mean, square = 0, 0
        for i = 1, n do
          mean, square = mean + rows:get(i, j) / n, square + rows:get(i, j) ^ 2 / n
        end
        means[j], vars[j] = mean, square - mean ^ 2
        total.mean = total.mean + (mean - bn.running_mean:get(j)) ^ 2
        total.var = total.var + (vars[j] - bn.running_var:get(j)) ^ 2
      end
      return math.sqrt(total.mean) + math.sqrt(total.var), means, vars
    end
    local found = net:features(x, { "conv1", "conv2" })
    seen.bn1, seen.bn2 = slow("bn1", found.conv1), slow("bn2", found.conv2)
    local statistics = new_statistics(net, 0.9)
    local _, distance, list = statistics:measure(net, x)
    assert.near(seen.bn1 + seen.bn2, distance:item(), 1e-3)
    statistics:remember(list)
    assert.near(0.9, statistics.share:item(), 1e-6)
    local _, again = statistics:measure(net, x) -- nine tenths of the same, and one tenth
    assert.near(distance:item(), again:item(), 1e-3)
    assert.equal(5, #statistics:state())
    fails(function() new_statistics(ea.nn.sequential { ea.nn.flatten {} }, 0) end,
      "the network has no batch norm")
  end)
end)

describe("the generator", function()
  it("makes images of any size in fours, in [0, 1]", function()
    local images = new_generator { shape = { 12, 8, 3 }, z = 5, k = 4 }(ea.randn { 2, 5 })
    assert.same({ 2, 12, 8, 3 }, images.shape)
    assert.is_true(images:min():item() >= 0 and images:max():item() <= 1)
    fails(function() new_generator { shape = { 10, 8, 3 } } end, "multiples of 4, got 10x8")
  end)

  it("doubles and convolves as the formulas say, with their gradients, in bf16 too", function()
    local function plain(g, z)
      local h, w, k = g.shape[1], g.shape[2], g.k
      local x = g.bn0(g.fc(z):reshape(z:size(1), h / 4, w / 4, 2 * k))
      for i = 1, 2 do
        x = ea.resize(x, { height = h * i / 2, width = w * i / 2, mode = 1 })
        x = g["relu" .. i](g["bn" .. i](g["conv" .. i](x)))
      end
      return g.conv3(x):sigmoid()
    end
    local function run(g, fn, z)
      for _, p in ipairs(g:parameters()) do p.tensor:zero_grad() end
      local y = fn(g, z)
      ;(y:square():sum()):backward()
      local found = { y:detach() }
      for i, p in ipairs(g:parameters()) do found[i + 1] = p.tensor.grad:clone() end
      return found
    end
    local g = new_generator { shape = { 8, 12, 3 }, z = 16, k = 16 }
    for _, n in ipairs { 5, 16 } do -- 16: those of bf16 lie in images of 4x4
      local z = ea.rng("z"):normal { n, 16 }
      local want = run(g:set_precision("f32"), plain, z)
      local got = run(g, g.forward, z)
      for i, t in ipairs(got) do
        local far = (t - want[i]):abs():max():item() / want[i]:abs():max():item()
        assert.is_true(far < 1e-4, ("%d of %d: %g"):format(i, n, far))
      end
      got = run(g:set_precision("bf16"), g.forward, z)
      local far = (got[1] - want[1]):abs():max():item()
      assert.is_true(far < 0.03, ("bf16, %d: %g"):format(n, far))
    end
  end)
end)

describe("ea.dream.synthesise", function()
  local folder = program.folder()
  teardown(function() program.remove(folder) end)

  local function hashes(where)
    local list = {}
    for k = 1, 3 do
      local part = ea.io.load(("%s/%s/dreams-%05d.npz"):format(folder, where, k))
      list[k] = part.images:hash() .. part.targets:hash()
    end
    return list
  end

  it("gives the same bytes when it was stopped, and goes on after the last part", function()
    local whole, student = synthesise(folder .. "/whole")
    fails(function()
      synthesise(folder .. "/cut", { on_part = function(k)
        if k == 2 then error("stop", 0) end
      end })
    end, "stop")
    local first
    local again, other = synthesise(folder .. "/cut", { on_part = function(k)
      first = first or k
    end })
    assert.equal(3, first)
    assert.same(hashes "whole", hashes "cut")
    assert.equal(student:hash(), other:hash())
    assert.same(whole.target_error, again.target_error)
    assert.same({ whole.confidence, whole.agreement, whole.diversity },
      { again.confidence, again.agreement, again.diversity })
    fails(function() synthesise(folder .. "/cut", { seed = 9 }) end,
      "holds dreams of other options, metadata or weights; take another folder")
  end)

  it("gives the same bytes for any number of threads", function()
    local before, want = ea.threads(), nil
    for _, threads in ipairs { 1, 3 } do
      ea.threads(threads)
      local path = ("%s/threads-%d"):format(folder, threads)
      local r = synthesise(path, { precision = "bf16", count = 64 })
      local got = { ea.dream.load(path, split).images:hash(), r.student:hash() }
      want = want or got
      assert.same(want, got)
    end
    ea.threads(before)
  end)

  it("loses nothing but the part under way when it is killed", function()
    program.write(folder .. "/killed.lua", [[
      local ea, ffi = require "edgeai", require "ffi"
      ffi.cdef "int kill(int, int); int getpid(void);"
      local cfg = ea.config { to = "dreams", kill_after = 0 }
      local net = ea.nn.by_name("wrn10-1", { channels = 1, classes = 4 })
      net.mean, net.std, net.input_shape = { 0.5 }, { 0.25 }, { 1, 8, 8, 1 }
      local student = ea.nn.by_name("wrn10-1", { channels = 1, classes = 4 })
      ea.dream.synthesise(net, nil, { folder = cfg.to, count = 16, batch = 4, z = 8, width = 4,
        steps = 2, priors = { target = 0, bn = 1, ce = 1, disagreement = 1 },
        student = { net = student, steps = 2, batch = 4, reuse = 1 },
        on_part = function(k)
          if k == cfg.kill_after then ffi.C.kill(ffi.C.getpid(), 9) end
          print(k)
        end })
      print(student:hash())]])
    local function run(more) return program.run(folder, "run killed.lua --quiet " .. more) end
    local code, whole = run ""
    assert.equal(0, code)
    local killed, out = run "--set to=killed --set kill_after=2"
    assert.is_true(killed ~= 0)
    assert.equal(1, F.C.ea_file_exists(folder .. "/killed/dreams-00002.npz"))
    assert.equal(0, F.C.ea_file_exists(folder .. "/killed/dreams-00003.npz"))
    code, out = run "--set to=killed"
    assert.equal(0, code)
    assert.equal(whole:match("^1\n2\n(.*)$"), out) -- it went on with the third
    for k = 1, 4 do
      local name = ("/dreams-%05d.npz"):format(k)
      assert.equal(program.read(folder .. "/dreams" .. name),
        program.read(folder .. "/killed" .. name))
    end
  end)

  it("comes nearer to its targets than its first step, and reports what is on the disk", function()
    local r = synthesise(folder .. "/one", { priors = { target = 1 }, steps = 20 })
    assert.same({ 96, 3, "generator" }, { r.count, r.parts, r.engine })
    assert.is_true(r.target_error.after < r.target_error.before)
    local off, size, right, dreams = 0, 0, 0, ea.dream.load(folder .. "/one", split)
    local reached = ea.dream.activations(net, dreams)
    for k = 1, 3 do
      local part = ea.io.load(("%s/one/dreams-%05d.npz"):format(folder, k))
      local own = reached:narrow(1, 32 * k - 31, 32)
      off = off + (own - part.targets):square():sum():item()
      size = size + part.targets:square():sum():item()
      local answer = part.logits:argmax()
      for i = 1, 32 do
        if answer:get(i) == part.labels:get(i) + 1 then right = right + 1 end
      end
    end
    assert.near(math.sqrt(off / size), r.target_error.after, 1e-4)
    assert.near(right / 96, r.agreement, 1e-9)
    assert.is_true(r.diversity > 0 and r.confidence > 0.25 and r.confidence <= 1)
    assert.equal(1, F.C.ea_file_exists(folder .. "/one/sheet-00001.png"))
    assert.same({ 24, 24, 24, 24 }, dreams:class_counts())
  end)

  it("optimises every image by itself, the same however many at a time", function()
    local r = synthesise(folder .. "/pixels", { engine = "pixels", steps = 30, count = 64,
      priors = { target = 1 } })
    assert.is_true(r.target_error.after < 0.6 * r.target_error.before)
    local targets, labels = ea.dream.targets(meta, 32, { seed = 1 })
    local pixels = require "edgeai.dream.pixels"
    local maker = pixels(net, { shape = { 12, 12, 1 }, mean = net.mean, std = net.std, steps = 30,
      lr = 0.05, shift = 1, layer = "pool", seed = 1, precision = "f32", target = 1, tv = 0, ce = 0,
      bn = 0, memory = 1, batch = 32,
      square = meta.centroids:square():sum():item() / meta.centroids:size(1) })
    local images = maker:batch_of(1, labels, targets)
    local part = ea.io.load(folder .. "/pixels/dreams-00001.npz")
    assert.equal(part.images:hash(), images:hash())
    local threads = ea.threads()
    ea.threads(2)
    synthesise(folder .. "/small", { engine = "pixels", steps = 30, count = 64, batch = 16,
      priors = { target = 1 } })
    ea.threads(threads)
    assert.equal(ea.dream.load(folder .. "/pixels", split).images:hash(),
      ea.dream.load(folder .. "/small", split).images:hash())
    local all = synthesise(folder .. "/priors", { engine = "pixels", steps = 3, count = 32,
      priors = { target = 1, tv = 1, ce = 1, bn = 1 } })
    for _, name in ipairs { "target", "tv", "ce", "bn" } do
      assert.is_number(all.losses[1].last[name])
    end
    fails(function()
      synthesise(folder .. "/refused", { engine = "pixels" })
    end, "disagreement is for the engine \"generator\"")
  end)

  it("is not lost to one image that nothing improves, but stops if that is all of them", function()
    ea.seed(1)
    local sure = ea.nn.sequential { ea.nn.flatten {}, { "fc", ea.nn.linear { 144, 2 } } }
    sure.mean, sure.std, sure.input_shape = { 0.5 }, { 0.25 }, { 1, 12, 12, 1 }
    local function dream(where, bias)
      sure.fc.bias:copy(ea.tensor(bias)) -- a class that is certain already gives no gradient
      return ea.dream.synthesise(sure, nil, { folder = folder .. where, engine = "pixels",
        count = 8, batch = 4, steps = 2, priors = { target = 0, ce = 1 } })
    end
    local first
    assert.same({ 1, 3, 5, 7 }, dream("/sure", { 300, 0 }).dead)
    local r = ea.dream.load(folder .. "/sure", { mean = sure.mean, std = sure.std, classes = 2 })
    assert.equal(8, r.count)
    first = r.images:hash()
    assert.same({}, dream("/unsure", { 0, 0 }).dead)
    assert.same({ 1, 3, 5, 7 }, dream("/sure", { 300, 0 }).dead) -- as its state says
    assert.equal(first, ea.dream.load(folder .. "/sure", r).images:hash())
    sure.fc.weight:fill(0)
    fails(function() dream("/never", { 0, 0 }) end,
      "dream: nothing improves any image of part 1: no gradient reaches image 1 at step 1: nothing")
  end)

  it("lets the student learn from dreams made before, too", function()
    synthesise(folder .. "/before", { engine = "pixels", steps = 2, priors = { target = 1 } })
    local o = { steps = 3, batch = 32, reuse = 2, warmup = 0.5 }
    local function with(also)
      ea.seed(2)
      o.net, o.also = tiny.net(), also
      local r = synthesise(folder .. "/also-" .. tostring(also):match("%w*$"), { student = o })
      return r, r.student:hash()
    end
    local first, alone = with(nil)
    local second, both = with(folder .. "/before")
    assert.is_nil(first.losses[2].student) -- the warm-up
    assert.is_number(second.losses[1].student)
    assert.not_equal(alone, both)
    assert.equal(folder .. "/before", second.also)
    ea.io.save(folder .. "/large.npz", { images = ea.zeros({ 2, 16, 16, 1 }, "u8") })
    fails(function() with(folder .. "/large.npz") end,
      "large.npz are {2, 16, 16, 1} u8, the network's {12, 12, 1}")
  end)

  it("needs no metadata where targets do not count", function()
    local r = ea.dream.synthesise(net, nil, { count = 32, batch = 32, folder = folder .. "/none",
      z = 8, width = 4, steps = 2, priors = { target = 0, bn = 1, ce = 1 }, precision = "bf16" })
    assert.is_nil(r.target_error)
    assert.same({ 8, 8, 8, 8 }, ea.dream.load(folder .. "/none", split):class_counts())
  end)

  it("refuses what it cannot do in one sentence", function()
    local function with(given)
      return function() synthesise(folder .. "/refused", given) end
    end
    fails(with { engine = "dreams" }, "engine must be")
    fails(with { count = 0 }, "count must be a whole number of at least 1, got 0")
    fails(with { priors = { targets = 1 } }, "did you mean `target`?")
    fails(with { priors = { disagreement = 1 }, student = false }, "disagreement needs a student")
    fails(with { priors = { target = 0 } }, "all priors are 0")
    fails(function() ea.dream.synthesise(net, nil, { folder = folder .. "/refused" }) end,
      "the prior target needs metadata")
    fails(function() ea.dream.synthesise(net, meta, {}) end, "folder must be given")
    local other = tiny.net():eval()
    fails(function() ea.dream.synthesise(other, meta, { folder = folder .. "/refused" }) end,
      "does not say how its images were normalised")
    other.mean, other.std = { 0.5 }, { 0.25 }
    fails(function() ea.dream.synthesise(other, meta, { folder = folder .. "/refused" }) end,
      "does not say how large its images are")
    other.input_shape = { 1, 12, 12, 1 }
    fails(function() ea.dream.synthesise(other, meta, { folder = folder .. "/refused" }) end,
      "the metadata are of another network")
  end)
end)
