-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dfkd: statistics against slow formulas, images that bring them about; experiments/dfkd.lua.

local json = require "edgeai.json"
local program = require "program"
local tiny = require "tiny"

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

local split, net = tiny.split(120, 3), nil
local like = setmetatable({ shape = { 12, 12, 1 } }, { __index = split })

setup(function()
  ea.seed(1)
  net = ea.nn.mlp { inp = 144, hidden = { 12, 8 }, classes = 4 }
  tiny.fit(net, { split = split, epochs = 30, optimizer = tiny.sgd(net, 0.05) })
  net:eval()
end)

--- Normalised images of the split, class by class.
local function rows_of(class)
  local list = {}
  for i = class, 120, 4 do list[#list + 1] = i end
  local x = ea.index_select(split.images, ea.tensor(list, "i32"), { axis = 1 }):to("f32")
  return (x * (1 / 255) - 0.5) * 4
end

describe("ea.dfkd.metadata", function()
  it("has each class's means and deviations, unit by unit", function()
    local meta = ea.dfkd.metadata(net, split, { variant = "all" })
    assert.same({ "fc1", "fc2", "fc3" }, meta.layers)
    assert.equal(3, #meta.blocks)
    for i, name in ipairs(meta.layers) do
      local block = meta.blocks[i]
      assert.is_nil(block.basis)
      for class = 1, 4 do
        local a = net:features(rows_of(class), { name })[name]
        assert.near(0, (a:mean { axes = { 1 } } - block.mean[class]):abs():max():item(), 1e-4)
        assert.near(0, (a:var { axes = { 1 } }:sqrt() - block.deviation[class]):abs():max():item(),
          1e-3)
      end
    end
    assert.equal(4 * 2 * 4 * (12 + 8 + 4), meta:bytes())
  end)

  it("has the outputs' covariance as variant top", function()
    local meta = ea.dfkd.metadata(net, split, { variant = "top" })
    local block = meta.blocks[1]
    local a = net(rows_of(2))
    local off = a - a:mean { axes = { 1 } }
    local covariance = ea.matmul(off, off, { ta = true }) * (1 / 29)
    local b, s = block.basis[2], block.deviation[2]
    local again = ea.matmul(b, b * (s * s):reshape(4, 1), { ta = true })
    assert.near(0, (covariance - again):abs():max():item(), 1e-3 * covariance:abs():max():item())
    local labels = ea.full({ 400 }, 2, "i32")
    local drawn = meta:targets(block, labels, 1, 7)
    off = drawn - drawn:mean { axes = { 1 } }
    local found = ea.matmul(off, off, { ta = true }) * (1 / 399)
    assert.near(0, (covariance - found):abs():max():item(), 0.3 * covariance:abs():max():item())
    assert.equal(drawn:narrow(1, 101, 9):clone():hash(),
      meta:targets(block, labels:narrow(1, 1, 9):clone(), 101, 7):hash())
  end)

  it("has smooth harmonics of the layers' graphs", function()
    for variant, sizes in pairs { spectral = { { 12, 8, 4 } }, pairs = { { 12, 8 }, { 8, 4 } } } do
      local meta = ea.dfkd.metadata(net, split, { variant = variant, share = 0.25 })
      assert.equal(#sizes, #meta.blocks)
      for i, block in ipairs(meta.blocks) do
        assert.same(sizes[i], block.sizes)
        local f = block.mean:size(2)
        local k, basis = math.floor(0.25 * f + 0.5), block.basis[1]
        assert.same({ k, f }, basis.shape)
        local eye = ea.matmul(basis, basis, { tb = true })
        assert.near(0, (eye - ea.eye(k)):abs():max():item(), 1e-4)
      end
    end
    -- The first harmonic of a graph is the square root of the nodes' strengths.
    local meta = ea.dfkd.metadata(net, split, { variant = "pairs", share = 0.05 })
    local x = {}
    for class = 1, 4 do x[class] = rows_of(class) end
    local found = net:features(ea.concat(x, { axis = 1 }), { "fc1", "fc2" })
    local together = ea.matmul(found.fc1:relu(), found.fc2:relu(), { ta = true })
    local strength = ea.concat({ together:sum { axes = { 2 } }, together:sum { axes = { 1 } } },
      { axis = 1 })
    local cosine = (meta.blocks[1].basis[1][1] * strength:sqrt()):sum():abs():item()
      / strength:sum():sqrt():item()
    assert.near(1, cosine, 1e-3)
  end)

  it("is saved without images, and refuses what it cannot do", function()
    local folder = program.folder()
    ea.dfkd.metadata(net, split, { variant = "pairs" }):save(folder .. "/m.npz")
    local arrays, count = ea.io.load(folder .. "/m.npz"), 0
    for _, t in pairs(arrays) do
      count = count + 1
      assert.is_true(t.ndim < 4)
    end
    assert.equal(6, count)
    program.remove(folder)
    fails(function() ea.dfkd.metadata(net, split, { variant = "some" }) end, "variant must be")
    fails(function() ea.dfkd.metadata(net, split, { share = 0 }) end, "share must be above 0")
    fails(function() ea.dfkd.metadata({}, split) end, "expected a network first")
    fails(function() ea.dfkd.metadata(net, {}) end, "expected a split of images")
    fails(function() ea.dfkd.metadata(net, split, { variant = "pairs", layers = { "fc1" } }) end,
      "a graph needs two layers or more, got 1")
    local empty = ea.data.given(split, split.images, ea.ones({ 120 }, "i32"))
    fails(function() ea.dfkd.metadata(net, empty) end, "class 2 (along) has 0 images")
    local wide = ea.nn.mlp { inp = 144, hidden = { 5000 }, classes = 4 }
    fails(function() ea.dfkd.metadata(wide, split, { variant = "spectral" }) end,
      "a graph of 5004 units is too large")
  end)
end)

describe("ea.dfkd.reconstruct", function()
  it("makes images whose activations come near to those drawn", function()
    for _, variant in ipairs { "top", "all", "spectral", "pairs" } do
      local meta = ea.dfkd.metadata(net, split, { variant = variant })
      local images, loss = ea.dfkd.reconstruct(net, meta, like, { count = 48, batch = 16,
        steps = 60, seed = 3 })
      assert.is_true(loss.last < 0.2 * loss.first, variant)
      assert.same({ 12, 12, 12, 12 }, images:class_counts())
      assert.is_true(ea.train.accuracy(net, images) > 90, variant) -- the teacher's opinion
      local again = ea.dfkd.reconstruct(net, meta, like, { count = 32, batch = 16, steps = 60,
        seed = 3 })
      assert.equal(images.images:narrow(1, 1, 32):clone():hash(), again.images:hash())
    end
  end)

  it("refuses what it cannot do in one sentence", function()
    local meta = ea.dfkd.metadata(net, split)
    fails(function() ea.dfkd.reconstruct(net, {}, like) end, "expected metadata of ea.dfkd")
    fails(function() ea.dfkd.reconstruct(net, meta, like, { steps = 0 }) end, "steps must be")
    local other = setmetatable({ classes = 7 }, { __index = like })
    fails(function() ea.dfkd.reconstruct(net, meta, other) end,
      "the metadata are of 4 classes, the data set has 7")
  end)
end)

describe("experiments/dfkd.lua", function()
  it("compares the variants with noise and real images", function()
    local folder = program.folder()
    os.execute(("ln -s '%s/experiments' '%s/experiments'"):format(program.root, folder))
    tiny.fashion_mnist(folder .. "/data")
    local code, out, err = program.run(folder, "run experiments/dfkd.lua --quiet --out one "
      .. "--set teacher_net.hidden=12,8 --set student_net.hidden=8 --set train.epochs=2 "
      .. "--set images.count=40 --set images.batch=20 --set images.steps=5 --set batch=20 "
      .. "--set learn.images=80 --set metadata.share=0.5", "EDGEAI_DATA=data")
    assert.equal(0, code, err)
    assert.truthy(out:find("spectral", 1, true))
    local s = json.decode(program.read(folder .. "/one/summary.json"))
    assert.is_number(s["teacher.accuracy"])
    for _, set in ipairs { "noise", "top", "all", "spectral", "pairs", "real" } do
      assert.is_number(s["student.accuracy." .. set])
    end
    for _, variant in ipairs { "top", "all", "spectral", "pairs" } do
      assert.is_true(s["metadata.bytes." .. variant] > 0)
      assert.is_number(s["reconstruction." .. variant .. ".last"])
    end
    for _, name in ipairs { "images.png", "accuracy.png" } do
      assert.equal(3, ea.io.load(folder .. "/one/" .. name).ndim)
    end
    program.remove(folder)
  end)
end)
