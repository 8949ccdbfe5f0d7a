-- SPDX-License-Identifier: GPL-3.0-or-later
-- experiments/dream.lua from nothing to its summary, and again from where it was stopped.

local F = require "edgeai.ffi"
local json = require "edgeai.json"
local program = require "program"
local tiny = require "tiny"

describe("experiments/dream.lua", function()
  local folder

  setup(function()
    folder = program.folder()
    os.execute(("ln -s '%s/experiments' '%s/experiments'"):format(program.root, folder))
    tiny.fashion_mnist(folder .. "/data")
  end)
  teardown(function() program.remove(folder) end)

  local settings = "--set teacher_net.widths=4,4,4,8 --set train.epochs=1 --set dreams.count=40 "
    .. "--set dreams.batch=20 --set dreams.steps=2 --set metadata.share=0.5 --set batch=30 "
    .. "--set metadata.clusters=2 --set learn.images=150 "
    .. "--set precision=f32 --set alternate=./others "

  local function run(arguments)
    return program.run(folder, "run experiments/" .. arguments, "EDGEAI_DATA=data")
  end

  local function summary(of)
    return json.decode(program.read(("%s/%s/summary.json"):format(folder, of)))
  end

  it("goes from nothing to students, by one command", function()
    for i = 1, 20 do
      local path = ("%s/others/%s"):format(folder, i % 2 == 0 and "even" or "odd")
      F.check(F.C.ea_make_folder(path))
      ea.image.save(("%s/%d.png"):format(path, i), ea.full({ 30, 30, 3 }, 10 * i, "u8"))
    end
    local code, out, err = run("dream.lua --quiet --out one " .. settings)
    assert.equal(0, code, err)
    assert.truthy(out:find("It contains no image", 1, true))
    assert.truthy(out:find("the metadata's real images alone", 1, true))
    local s = summary "one"
    for _, set in ipairs { "noise", "dreams", "alternate", "real", "real10pct" } do
      assert.is_number(s["student.wrn10-1.accuracy." .. set])
      assert.equal(1, F.C.ea_file_exists(("%s/one/wrn10-1-%s.safetensors"):format(folder, set)))
    end
    assert.equal(0, s["dreams.dead"])
    assert.same({ 40, 20, 150, "pixels" }, { s["dreams.count"], s["metadata.clusters"],
      s["metadata.images"], s["dreams.engine"] })
    assert.is_number(s["dreams.target_error"])
    local meta = ea.dream.read_metadata(folder .. "/one/metadata.npz")
    assert.equal(meta:bytes(), s["metadata.bytes"])
    meta:check(ea.nn.load(folder .. "/one/teacher.safetensors"))
    assert.same({ "clusters.png", "tsne.png", "dreams.png", "accuracy.png", "figure2.png",
      "synthesis.png" }, s.pictures)
    for _, name in ipairs(s.pictures) do
      assert.equal(3, ea.io.load(folder .. "/one/" .. name).ndim)
    end
  end)

  it("draws figure 2 again from the run's folder", function()
    local before = program.read(folder .. "/one/figure2.png")
    local code, out, err = run("figure2.lua --set run=one --set class=3")
    assert.equal(0, code, err)
    assert.truthy(out:find("one/figure2.png", 1, true))
    assert.not_equal(before, program.read(folder .. "/one/figure2.png")) -- another class
    code, out, err = run("figure2.lua --set run=one")
    assert.equal(0, code, err)
    assert.equal(before, program.read(folder .. "/one/figure2.png"))
    code, out, err = run("figure2.lua --set run=none")
    assert.equal(1, code)
    assert.truthy(err:find("there is no run in none", 1, true), err)
  end)

  it("goes beyond without metadata, and on with --resume", function()
    local given = "--set teacher=one/teacher.safetensors --set priors.target=0 --set priors.bn=1 "
      .. "--set priors.ce=1 --set priors.disagreement=1 --set dreams.engine=generator "
      .. "--set along.steps=3 --set along.reuse=2 --set sets=dreams,real10pct "
      .. "--set dreams.count=60 --set learn.attention=0 --set learn.views=300 "
      .. "--set along.also=one/dreams "
    local code, out, err = run("dream.lua --quiet --out two " .. settings .. given)
    assert.equal(0, code, err)
    assert.truthy(out:find("no metadata were used", 1, true))
    assert.truthy(out:find("wrn10-1 learned along", 1, true))
    assert.truthy(out:find("and what the dreams in one/dreams used", 1, true))
    local s = summary "two"
    assert.equal(0, s["metadata.bytes"])
    assert.is_number(s["student.wrn10-1.accuracy.dreams"])
    assert.is_number(s["student.wrn10-1.accuracy.real10pct"])
    local whole = program.read(folder .. "/two/wrn10-1-dreams.safetensors")
    os.remove(folder .. "/two/dreams/dreams-00003.npz")
    code, out, err = run("dream.lua --quiet --resume two")
    assert.same({ 1, "" }, { code, out })
    assert.truthy(err:find("dreams-00003.npz is missing", 1, true), err)
    for _, name in ipairs { "dreams/state.safetensors", "wrn10-1-dreams.safetensors" } do
      os.remove(folder .. "/two/" .. name)
    end
    code, out, err = run("dream.lua --quiet --resume two")
    assert.equal(0, code, err .. out)
    assert.equal(whole, program.read(folder .. "/two/wrn10-1-dreams.safetensors"))
  end)

  it("has presets of CIFAR-10 with students and data of their own", function()
    local _, help = program.run(folder, "run experiments/dream.lua --help")
    for _, name in ipairs { "beyond", "cifar10", "paper" } do
      local line = help:match("\n  " .. name .. " (.-)\n  %f[%w]")
      assert.truthy(line:find("students=wrn16-1", 1, true), name)
      assert.truthy(line:find("alternate=cifar100", 1, true), name)
      assert.truthy(line:find("precision=bf16", 1, true), name)
    end
  end)

  it("refuses a teacher of other classes, before anything is made", function()
    ea.nn.wrn({ depth = 10, widths = { 4, 4, 4, 8 }, classes = 7, channels = 1 }):save(
      folder .. "/seven.safetensors", { mean = { 0.3 }, std = { 0.3 } })
    local code, _, err = run("dream.lua --quiet --out four --set teacher=./seven.safetensors")
    assert.equal(1, code)
    assert.truthy(err:find("the teacher knows 7 classes, fashion-mnist has 10", 1, true), err)
    assert.equal(0, F.C.ea_file_exists(folder .. "/four"))
  end)

  it("refuses a student that is none", function()
    local code, _, err = run("dream.lua --quiet --out three --set students=wrn10")
    assert.equal(1, code)
    assert.truthy(err:find("'wrn10' names no network", 1, true), err)
    assert.equal(0, F.C.ea_file_exists(folder .. "/three"))
  end)
end)
