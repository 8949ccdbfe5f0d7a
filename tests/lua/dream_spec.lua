-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream: metadata, their file, targets drawn from them.

local program = require "program"
local tiny = require "tiny"

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

local split = tiny.split(120, 3)

local function teacher()
  ea.seed(1)
  local net = tiny.net():eval()
  net.mean, net.std = { 0.5 }, { 0.25 }
  return net
end

local function metadata(opts)
  local o = { share = 1, clusters = 3, components = 4 }
  for key, value in pairs(opts or {}) do o[key] = value end
  return ea.dream.metadata(teacher(), split, o)
end

describe("ea.dream.metadata", function()
  local folder = program.folder()
  teardown(function() program.remove(folder) end)

  it("holds centroids, components and deviations of each class's clusters", function()
    local meta = metadata()
    local f = meta:facts()
    assert.same({ 12, 8, 4, 120, 4 },
      { f.clusters, f.features, f.components, f.images, f.classes })
    local all, labels = ea.dream.activations(teacher(), split)
    for class = 1, 4 do -- counts times centroids are the class's sum of activations
      local want, got, n = ea.zeros { 8 }, ea.zeros { 8 }, 0
      for i = 1, 120 do
        if labels:get(i) == class then want = want + all[i] end
      end
      for m = 1, 12 do
        if meta.classes:get(m) == class then
          got, n = got + meta.centroids[m] * meta.counts:get(m), n + meta.counts:get(m)
        end
      end
      assert.equal(30, n)
      assert.near(0, (want - got):abs():max():item(), 1e-4)
    end
    local c = meta.components[1]
    for j = 1, 4 do
      local length = c[j]:square():sum():item()
      assert.near(meta.deviations:get(1, j) > 0 and 1 or 0, length, 1e-5)
    end
    assert.truthy(meta:report():find("no proof of privacy", 1, true))
    assert.truthy(meta:report():find("smallest cluster", 1, true))
  end)

  it("is kept in a file and read from there the next time, if it is of this network", function()
    local path = folder .. "/kept.npz"
    local first = metadata { path = path }
    local again = metadata { path = path, clusters = 2 }
    assert.equal(12, again:facts().clusters)
    assert.equal(first.centroids:hash(), again.centroids:hash())
    local net = teacher()
    net:get("fc").bias:fill(1)
    fails(function() ea.dream.metadata(net, split, { path = path }) end,
      "the metadata are of another network")
  end)

  it("is saved without images and read back checked", function()
    local path, meta = folder .. "/metadata.npz", metadata { share = 0.5 }
    assert.equal(60, meta:facts().images)
    meta:save(path)
    local again = ea.dream.read_metadata(path):check(teacher())
    for _, name in ipairs { "centroids", "components", "deviations", "counts", "classes" } do
      assert.equal(meta[name]:hash(), again[name]:hash())
    end
    assert.same({ meta.network, meta.layer, meta:bytes() },
      { again.network, again.layer, again:bytes() })
    local other = teacher()
    other:get("fc").bias:fill(1)
    fails(function() again:check(other) end, "the metadata are of another network: made with")
    local arrays = ea.io.load(path)
    assert.is_nil(arrays.images)
    for _, t in pairs(arrays) do assert.is_true(t.ndim < 4) end
    arrays.components = arrays.components:narrow(1, 1, 2):clone()
    ea.io.save(folder .. "/cut.npz", arrays)
    fails(function() ea.dream.read_metadata(folder .. "/cut.npz") end,
      "cut.npz is no metadata of a network: its components is {2, 4, 8} f32")
    arrays.centroids = nil
    ea.io.save(folder .. "/cut.npz", arrays)
    fails(function() ea.dream.read_metadata(folder .. "/cut.npz") end, "it has no centroids")
  end)

  it("says in a sentence what cannot be made", function()
    fails(function() metadata { layer = "conv2" } end,
      "'conv2' gives {120, 12, 12, 8}, no vector for each image; take a layer behind a spatial")
    fails(function() metadata { share = 8 } end,
      "class 1 (across) has 2 images for 3 clusters; take a larger share or fewer clusters")
    fails(function() metadata { clusters = 0 } end, "clusters must be a whole number")
    local net = teacher()
    net.mean = nil
    fails(function() ea.dream.metadata(net, split) end,
      "the network does not say how its images were normalised")
    net.mean = { 0.4 }
    fails(function() ea.dream.metadata(net, split) end, "call d:normalise_as(net)")
    local empty = ea.data.given(split, split.images, ea.ones({ 120 }, "i32"))
    fails(function() ea.dream.metadata(teacher(), empty, { share = 1 }) end,
      "class 2 (along) has no images in")
  end)
end)

describe("ea.dream.check", function()
  it("refuses at once a teacher that a run would only fail with at its end", function()
    local d = { name = "lines", classes = 4, shape = { 12, 12, 1 }, mean = { 0.5 } }
    local net = teacher()
    assert.equal(net, ea.dream.check(net, d))
    fails(function() ea.dream.check(net, d, { attention = 1 }) end,
      "the teacher has no layer 'group1', to whose maps the attention of students is drawn; give "
      .. "learn.attention=0")
    d.classes = 10
    fails(function() ea.dream.check(net, d) end, "the teacher knows 4 classes, lines has 10")
    d.shape = { 12, 12, 3 }
    fails(function() ea.dream.check(net, d) end,
      "the teacher is of images of 1 channel, those of lines have 3")
    net.std = nil
    fails(function() ea.dream.check(net, d) end, "does not say how its images were normalised")
    fails(function() ea.dream.check({}, d) end, "expected a network first, got a table")
  end)
end)

describe("ea.dream.targets", function()
  it("are centroids and noise along the components, balanced, each its own", function()
    local meta = metadata()
    local targets, labels, clusters = ea.dream.targets(meta, 50, { seed = 5 })
    local per_class, per_cluster = {}, {}
    for i = 1, 50 do
      local k, m = labels:get(i), clusters:get(i)
      assert.equal(k, meta.classes:get(m))
      per_class[k], per_cluster[m] = (per_class[k] or 0) + 1, (per_cluster[m] or 0) + 1
      local stream = ea.rng("dream/targets", { seed = 5, index = i })
      local z, want = stream:normal({ 4 }, 0, 1), meta.centroids[m]:clone()
      for j = 1, 4 do
        want = want + meta.components[m][j] * (z:get(j) * meta.deviations:get(m, j))
      end
      assert.near(0, (want:relu() - targets[i]):abs():max():item(), 1e-5)
    end
    for k = 1, 4 do assert.is_true(per_class[k] == 12 or per_class[k] == 13) end
    for m = 1, 12 do assert.is_true(per_cluster[m] >= 4 and per_cluster[m] <= 5) end
    local some = ea.dream.targets(meta, 7, { seed = 5, first = 20 })
    assert.equal(targets:narrow(1, 20, 7):clone():hash(), some:hash())
    local still = ea.dream.targets(meta, 4, { scale = 0 })
    assert.near(0, (still[1] - meta.centroids[clusters:get(1)]):abs():max():item(), 1e-6)
    meta.centroids:set(2, 3, -0.5) -- of a layer without a ReLU: nothing is cut off
    local free, _, from = ea.dream.targets(meta, 12, { seed = 5, scale = 0 })
    for i = 1, 12 do
      assert.near(0, (free[i] - meta.centroids[from:get(i)]):abs():max():item(), 1e-6)
    end
    fails(function() ea.dream.targets(meta, 0) end, "count must be a whole number")
    fails(function() ea.dream.targets(meta, 1, { scale = -1 }) end, "scale must be")
    fails(function() ea.dream.targets({}, 1) end, "expected metadata of ea.dream")
  end)
end)

describe("ea.dream.load", function()
  it("reads a file of images, with labels or without", function()
    local folder = program.folder()
    local images = split.images:narrow(1, 1, 6):clone()
    ea.io.save(folder .. "/a.npz", { images = images })
    ea.io.save(folder .. "/b.npz", { images = images,
      labels = ea.tensor({ 0, 1, 2, 3, 0, 1 }, "i32") })
    assert.same({ 6, 0, 0, 0 }, ea.dream.load(folder .. "/a.npz", split):class_counts())
    local set = setmetatable({ shape = { 12, 12, 1 }, train = split }, { __index = split })
    local given, labelled = ea.distill.transfer(folder .. "/b.npz", set)
    assert.same({ 2, 2, 1, 1 }, given:class_counts())
    assert.is_true(labelled)
    fails(function() ea.dream.load(folder, split) end, "holds no dreams-00001.npz")
    ea.io.save(folder .. "/c.npz", { images = images, labels = ea.full({ 6 }, 4, "i32") })
    fails(function() ea.dream.load(folder .. "/c.npz", split) end, "label 4, but there are 4")
    program.remove(folder)
  end)
end)
