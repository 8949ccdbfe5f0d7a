-- SPDX-License-Identifier: GPL-3.0-or-later
-- Data sets: published layouts made small, Fashion-MNIST where it is installed, folders of images,
-- splits, batches, and what is said when something is wrong.
local ea = require "edgeai"
local ffi = require "ffi"
local F = require "edgeai.ffi"
local raw = require "edgeai.data.raw"
local reader = require "edgeai.data.reader"
local splits = require "edgeai.data.splits"
local stats = require "edgeai.data.stats"

pcall(ffi.cdef, "int setenv(const char *, const char *, int); int unsetenv(const char *);")

local function refused(pattern, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_truthy(message:find(pattern), message)
  assert.is_truthy(message:find("data_spec.lua:%d+: "), message)
  assert.is_nil(message:find("\n"), message)
end

local function write(path, content)
  local file = assert(io.open(path, "wb"))
  file:write(content)
  file:close()
end

local function make_folder(path)
  F.check(F.C.ea_make_folder(path))
  return path
end

-- The byte at (image, row, column, channel), all from 0, of the made images.
local function pixel(i, y, x, k) return (i * 37 + y * 5 + x * 3 + k * 50) % 256 end

local function cifar_record(i, labels)
  local bytes = {}
  for k = 0, 2 do
    for y = 0, 31 do
      for x = 0, 31 do bytes[#bytes + 1] = string.char(pixel(i, y, x, k)) end
    end
  end
  return labels .. table.concat(bytes)
end

--- A source like CIFAR with 2 files of 20 records to train on and one to test.
local function small(name, label_bytes)
  local source = {
    name = name, title = name, folder = name, label_bytes = label_bytes, read = reader.cifar,
    files = {}, shape = { 32, 32, 3 }, classes = 4, names = { "a", "b", "c", "d" },
    counts = { train = 40, test = 20 }, url = "http://localhost/x.tar.gz", megabytes = 1,
  }
  for i, file in ipairs { "one.bin", "two.bin", "test.bin" } do
    source.files[i] =
      { name = file, part = i < 3 and "train" or "test", bytes = 20 * (3072 + label_bytes) }
  end
  return source
end

local function write_small(root, source, label_of)
  make_folder(root .. "/" .. source.folder)
  for f, file in ipairs(source.files) do
    local out = {}
    for i = (f - 1) * 20, f * 20 - 1 do
      local label = string.char(label_of and label_of(i) or i % 4)
      out[#out + 1] = cifar_record(i, source.label_bytes == 2 and "\9" .. label or label)
    end
    write(("%s/%s/%s"):format(root, source.folder, file.name), table.concat(out))
  end
end

local function list(t)
  local out, p = {}, F.data(t)
  for i = 1, raw.count(t) do out[i] = p[i - 1] end
  return out
end

describe("ea.data", function()
  local root
  local cache = os.getenv "XDG_CACHE_HOME"

  setup(function()
    local pipe = io.popen "mktemp -d"
    root = pipe:read "*l"
    pipe:close()
    ffi.C.setenv("XDG_CACHE_HOME", root .. "/cache", 1)
    for name, label_bytes in pairs { ["small-10"] = 1, ["small-100"] = 2 } do
      local source = small(name, label_bytes)
      write_small(root, source)
      ea.data.register(source)
    end
  end)

  teardown(function()
    ea.data.unregister "small-10"
    ea.data.unregister "small-100"
    if cache then ffi.C.setenv("XDG_CACHE_HOME", cache, 1) else ffi.C.unsetenv "XDG_CACHE_HOME" end
    os.execute("rm -rf '" .. root .. "'")
  end)

  it("reads CIFAR's records as NHWC with labels from 1", function()
    for _, name in ipairs { "small-10", "small-100" } do
      local d = ea.data.load(name, { root = root, val = 0.1 })
      assert.same({ 32, 32, 3 }, d.shape)
      assert.same({ 36, 4, 20 }, { d.train.count, d.val.count, d.test.count })
      assert.same({ 40, 32, 32, 3 }, d.train.images.shape)
      assert.equal("u8", d.train.images.dtype)
      assert.equal(d.train.images, d.val.images)
      for _, at in ipairs { { 1, 1, 1, 1 }, { 21, 32, 1, 2 }, { 40, 7, 30, 3 } } do
        assert.equal(pixel(at[1] - 1, at[2] - 1, at[3] - 1, at[4] - 1),
          d.train.images:get(unpack(at)))
      end
      assert.equal(pixel(45, 3, 4, 1), d.test.images:get(6, 4, 5, 2))
      for i = 1, 40 do assert.equal((i - 1) % 4 + 1, d.train.labels:get(i)) end
      assert.same({ "a", "b", "c", "d" }, d.names)
      assert.is_nil(d.train.nothing)
    end
  end)

  it("reads the test images only when they are asked for", function()
    local d = ea.data.load("small-10", { root = root })
    assert.is_nil(rawget(d, "test"))
    assert.equal(20, d.test.count)
    assert.equal(d.test, d.test)
  end)

  it("computes mean and deviation of the training images in [0,1]", function()
    local d = ea.data.load("small-10", { root = root })
    local p, n = F.data(d.train.images), 32 * 32
    for k = 0, 2 do
      local sum, square = 0, 0
      for _, i in ipairs(list(d.train.index)) do
        for j = 0, n - 1 do
          local v = p[(i - 1) * 3072 + j * 3 + k] / 255
          sum, square = sum + v, square + v * v
        end
      end
      local mean = sum / (n * d.train.count)
      assert.near(mean, d.mean[k + 1], 1e-12)
      assert.near(math.sqrt(square / (n * d.train.count) - mean * mean), d.std[k + 1], 1e-9)
    end
    local flat = raw.new("u8", { 2, 3, 3, 1 })
    flat:fill(51)
    assert.same({ { 0.2 }, { 1 } }, { stats.of(flat) })
  end)

  it("loads Fashion-MNIST as published", function()
    local where
    for _, set in ipairs(ea.data.list()) do
      if set.name == "fashion-mnist" then where = set.where end
    end
    if not where then return pending "Fashion-MNIST is not installed" end
    local d = ea.data.load "fashion-mnist"
    assert.same({ 54000, 6000 }, { d.train.count, d.val.count })
    for k = 1, 10 do
      assert.equal(600, d.val:class_counts()[k])
      assert.equal(1000, d.test:class_counts()[k])
    end
    assert.equal("ankle boot", d.names[d.train.labels:get(1)])
    local mean, std = stats.of(d.train.images)
    assert.near(d.mean[1], mean[1], 1e-7)
    assert.near(d.std[1], std[1], 1e-7)
    assert.is_true(ea.data.verify("fashion-mnist").ok)
  end)

  it("splits by class and seed, disjoint and whole", function()
    local labels = raw.new("i32", { 100 })
    for i = 0, 99 do F.data(labels)[i] = i < 60 and 1 or i < 90 and 2 or 3 end
    local rest, held = splits.stratified(labels, 3, 0.2, 1, "validation")
    assert.same({ 48, 24, 8 }, raw.class_counts(labels, rest, 3))
    assert.same({ 12, 6, 2 }, raw.class_counts(labels, held, 3))
    local seen = {}
    for _, t in ipairs { rest, held } do
      local before = 0
      for _, i in ipairs(list(t)) do
        assert.is_nil(seen[i])
        assert.is_true(i > before)
        seen[i], before = true, i
      end
    end
    assert.equal(100, #seen)
    local _, again = splits.stratified(labels, 3, 20, 1, "validation")
    local _, other = splits.stratified(labels, 3, 20, 2, "validation")
    assert.same(list(held), list(again))
    assert.are_not.same(list(held), list(other))
    local fewer, inner = splits.stratified(labels, 3, 0.25, 1, "validation", rest)
    assert.same({ 12, 6, 2 }, raw.class_counts(labels, inner, 3))
    for _, i in ipairs(list(held)) do
      for _, t in ipairs { fewer, inner } do
        for _, j in ipairs(list(t)) do assert.are_not.equal(i, j) end
      end
    end
    local _, seven = splits.stratified(labels, 3, 7, 1, "validation")
    assert.same({ 4, 2, 1 }, raw.class_counts(labels, seven, 3)) -- shares 4.2, 2.1, 0.7
    for _, bad in ipairs { 0, -1, 100, 1.5, "x" } do
      refused("must be a fraction below 1 or a number of images, 1..99, got",
        splits.stratified, labels, 3, bad, 1, "validation")
    end
  end)

  describe("loader", function()
    local d
    before_each(function() d = ea.data.load("small-10", { root = root, val = 8 }) end)

    it("hands out every image of a split once, normalised", function()
      local loader, seen = d.val:loader { batch = 3 }, {}
      assert.equal(3, loader.batches)
      for x, y, valid, id in loader:epoch(1) do
        for i = 1, valid do
          local at = id:get(i)
          seen[#seen + 1] = at
          assert.equal((at - 1) % 4 + 1, y:get(i))
          assert.near((pixel(at - 1, 4, 9, 2) / 255 - d.mean[3]) / d.std[3], x:get(i, 5, 10, 3),
            1e-6)
        end
      end
      assert.same(list(d.val.index), seen)
      assert.is_nil(loader:next())
      loader:close()
    end)

    it("gives the same bytes wherever one comes from", function()
      local options = { batch = 8, shuffle = true, drop_last = true, dtype = "bf16", seed = 3,
        augment = { crop_pad = 4, reflect = true, flip = true, cutout = 8, translate = 2 } }
      local loader, hashes = d.train:loader(options), {}
      for epoch = 1, 2 do
        for x, _, valid in loader:epoch(epoch) do
          assert.equal("bf16", x.dtype)
          assert.equal(8, valid)
          hashes[#hashes + 1] = x:hash()
        end
      end
      assert.equal(8, #hashes)
      assert.are_not.equal(hashes[1], hashes[5])
      local resumed = d.train:loader(options):seek(2, 3)
      assert.equal(hashes[7], (resumed:next()):hash())
      assert.equal(hashes[8], (resumed:next()):hash())
      options.seed = 4
      assert.are_not.equal(hashes[1], (d.train:loader(options):next()):hash())
    end)

    it("mirrors in turn with alternating flip", function()
      local loader = d.val:loader { batch = 8, augment = { flip = "alternating" } }
      local first = loader:next():clone()
      local second = loader:seek(2):next()
      for i = 1, 8 do
        assert.equal(first:get(i, 2, 1, 1), second:get(i, 2, 32, 1))
        assert.equal(first:get(i, 2, 32, 3), second:get(i, 2, 1, 3))
      end
    end)

    it("refuses what does not fit", function()
      local train = d.train
      local function try(options) return function() return train:loader(options) end end
      refused("no option 'bach'; did you mean `batch`", try { bach = 1 })
      refused("augment: there is no option 'crop'", try { augment = { crop = 4 } })
      refused("batch must be a whole number", try { batch = 0.5 })
      refused("32 images make no batch of 64", try { batch = 64, drop_last = true })
      refused("dtype must be", try { dtype = "f16" })
      refused("flip must be \"random\"", try { augment = { flip = "always" } })
      refused("crop_pad must be 0..31", try { augment = { crop_pad = 32 } })
      local loader = train:loader { batch = 32 }
      refused("batch must be a whole number 1..2, got 3", loader.seek, loader, 1, 3)
      refused("epoch must be a whole number", loader.seek, loader, 0)
      loader:close()
      loader:close()
      refused("it was closed", loader.next, loader)
    end)
  end)

  it("says which file is missing or wrong, and what to do", function()
    local load, empty = ea.data.load, make_folder(root .. "/empty")
    refused("no cifar%-10%-batches%-bin/data_batch_1.bin in .*/empty; `edgeai data fetch cifar10`",
      load, "cifar10", { root = empty })
    refused("put the files train.bin and test.bin into .*/empty/cifar%-100%-binary, from https://",
      load, "cifar100", { root = empty })
    refused("install Debian's package dataset%-fashion%-mnist", load, "fashion-mnist",
      { root = empty })
    refused("no data set 'small%-1'; did you mean `small%-10`", load, "small-1")
    refused("no option 'vall'; did you mean `val`", load, "small-10", { vall = 1 })

    local damaged = make_folder(root .. "/damaged")
    local source = small("small-10", 1)
    write_small(damaged, source)
    write(damaged .. "/small-10/two.bin", "short")
    refused("two.bin has 5 bytes instead of 61460: it is truncated or another file; `edgeai data "
      .. "fetch small%-10` gets it again", load, "small-10", { root = damaged })
    os.remove(damaged .. "/small-10/two.bin")
    refused("there is no .*/damaged/small%-10/two.bin", load, "small-10", { root = damaged })
    write_small(damaged, source, function(i) return i == 25 and 4 or 0 end)
    refused("two.bin gives image 5 the label 4, but there are only the labels 0..3", load,
      "small-10", { root = damaged })

    make_folder(damaged .. "/mnist")
    for _, file in ipairs { "train-images-idx3", "train-labels-idx1", "t10k-images-idx3",
      "t10k-labels-idx1" } do
      write(("%s/mnist/%s-ubyte.gz"):format(damaged, file), "\0\0\8\3\0\0\0\1\0\0\0\28\0\0\0\28")
    end
    refused("train%-images%-idx3%-ubyte.gz", load, "mnist", { root = damaged })
    write(damaged .. "/mnist/train-images-idx3-ubyte.gz", "\0\0\8\3\0\0\0\1\0\0\0\2\0\0\0\1ab")
    write(damaged .. "/mnist/train-labels-idx1-ubyte.gz", "\0\0\8\1\0\0\0\2\1\2")
    refused("holds {1, 2, 1}, not images of 28x28", load, "mnist", { root = damaged })
    write(damaged .. "/mnist/train-images-idx3-ubyte.gz", "\0\0\8\3\0\0\0\1\0\0\0\28\0\0\0\28"
      .. ("x"):rep(784))
    refused("holds {2}, not one label for each of the 1 images", load, "mnist", { root = damaged })
  end)

  it("verifies sizes, labels and pixels", function()
    local source = small("small-10", 1)
    source.name = "verified"
    ea.data.register(source)
    assert.is_true(ea.data.verify("verified", root).ok)
    local images = ea.data.load("small-10", { root = root }).train.images
    source.sums = { train = { raw.channel_sums(images) } }
    assert.is_true(ea.data.verify("verified", root).ok)
    source.sums.train[1][2] = source.sums.train[1][2] + 1
    local found = ea.data.verify("verified", root)
    assert.is_false(found.ok)
    assert.equal(1, #found.problems)
    assert.is_truthy(found.problems[1]:find "pixels of train are not the published ones")
    source.counts.test, source.sums = 21, nil
    assert.is_truthy(ea.data.verify("verified", root).problems[1]:find "20 images instead of 21")
    assert.is_truthy(ea.data.verify("verified", root .. "/empty").problems[1]:find "there is no")
    ea.data.unregister "verified"
  end)

  describe("of a folder", function()
    local function save(path, height, width, value, channels)
      make_folder(path:match "^(.*)/")
      local image = raw.new("u8", { height, width, channels or 3 })
      image:fill(value)
      F.check(F.C.ea_png_save(path, image))
    end

    local function make(base, n, offset)
      for k, class in ipairs { "cat", "bird", "dog" } do
        for i = 1, n do
          save(("%s/%s/%02d.png"):format(base, class, i), 6, 5, k * 50 + i + (offset or 0))
        end
      end
    end

    it("reads train and test, classes sorted by name", function()
      make(root .. "/pets/train", 4)
      make(root .. "/pets/test", 2, 100)
      write(root .. "/pets/train/cat/notes.txt", "no image")
      write(root .. "/pets/train/cat/.hidden.png", "no image")
      local d = ea.data.load(root .. "/pets/", { val = 3 })
      assert.equal("pets", d.name)
      assert.same({ "bird", "cat", "dog" }, d.names)
      assert.same({ 6, 5, 3 }, d.shape)
      assert.same({ 9, 3, 6 }, { d.train.count, d.val.count, d.test.count })
      assert.same({ 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3 }, list(d.train.labels))
      assert.equal(101, d.train.images:get(1, 6, 5, 3)) -- bird/01.png
      assert.equal(54, d.train.images:get(8, 1, 1, 1))  -- cat/04.png
      assert.equal(201, d.test.images:get(1, 1, 1, 1))
    end)

    it("keeps what it read until a file changes", function()
      local path = root .. "/pets"
      local first = ea.data.load("folder", { root = path })
      local before = F.C.ea_memory_count()
      local second = ea.data.load("folder", { root = path })
      assert.is_true(F.C.ea_memory_count() - before < 60) -- one file is read, not eighteen
      assert.equal(first.train.images:hash(), second.train.images:hash())
      save(path .. "/train/dog/01.png", 6, 5, 7)
      assert.equal(7, ea.data.load(path).train.images:get(9, 1, 1, 1))
    end)

    it("holds test images out of a flat folder", function()
      make(root .. "/flat", 10)
      local d = ea.data.load(root .. "/flat", { test = 0.2, val = 3, channels = 1 })
      assert.same({ 6, 5, 1 }, d.shape)
      assert.same({ 21, 3, 6 }, { d.train.count, d.val.count, d.test.count })
      assert.same({ 2, 2, 2 }, d.test:class_counts())
      local seen = {}
      for _, split in ipairs { d.train, d.val, d.test } do
        for _, i in ipairs(list(split.index)) do
          assert.is_nil(seen[i])
          seen[i] = true
        end
      end
      assert.equal(30, #seen)
    end)

    it("resizes when asked to", function()
      save(root .. "/mixed/a/1.png", 6, 5, 80)
      save(root .. "/mixed/a/2.png", 13, 11, 90)
      save(root .. "/mixed/b/1.png", 3, 40, 100, 1)
      save(root .. "/mixed/b/2.png", 6, 5, 110, 4)
      refused("is 13x11, but .*1.png is 6x5; load with size", ea.data.load, root .. "/mixed")
      local d = ea.data.load(root .. "/mixed", { size = { 6, 5 }, test = 2, val = 0 })
      assert.same({ 4, 6, 5, 3 }, d.train.images.shape)
      for i, value in ipairs { 80, 90, 100 } do
        assert.equal(value, d.train.images:get(i, 1, 1, 1))
        assert.equal(value, d.train.images:get(i, 6, 5, 3))
      end
    end)

    it("says what a folder lacks", function()
      local load = ea.data.load
      refused("there is no folder .*/nowhere", load, root .. "/nowhere")
      refused("holds 0 folders, but a folder is needed for each", load, root .. "/empty")
      make_folder(root .. "/hollow/a")
      save(root .. "/hollow/b/1.png", 2, 2, 1)
      refused("hollow/a holds no .png", load, root .. "/hollow")
      write(root .. "/hollow/a/1.png", "no picture")
      refused("1.png", load, root .. "/hollow")
      make(root .. "/lacks/train", 1)
      refused("has train/ but no test/", load, root .. "/lacks")
      save(root .. "/lacks/test/fish/1.png", 6, 5, 1)
      refused("the class fish is in .*/test but not in", load, root .. "/lacks")
      refused("size must be { height, width }", load, root .. "/pets", { size = 32 })
      refused("channels must be 1 or 3", load, root .. "/pets", { channels = 2 })
      refused("needs the path", load, "folder")
    end)
  end)
end)
