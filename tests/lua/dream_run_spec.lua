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
    .. "--set dreams.batch=20 --set dreams.width=4 --set dreams.steps=2 --set metadata.share=0.5 "
    .. "--set metadata.clusters=2 --set learn.images=150 --set learn.warm=true "
    .. "--set batch=30 --set adversary.steps=2 "
    .. "--set precision=f32 --set learn.views=1 --set adversary.views=1 "

  local function run(arguments)
    return program.run(folder, "run experiments/dream.lua --quiet " .. arguments,
      "EDGEAI_DATA=data")
  end

  it("goes from nothing to students, by one command", function()
    local code, out, err = run("--out one " .. settings)
    assert.equal(0, code, err)
    assert.truthy(out:find("It contains no image", 1, true))
    assert.truthy(out:find("the metadata's real images alone", 1, true))
    local s = json.decode(program.read(folder .. "/one/summary.json"))
    for _, set in ipairs { "noise", "dreams", "real", "real10pct" } do
      assert.is_number(s["student.wrn10-1.accuracy." .. set])
      assert.equal(1, F.C.ea_file_exists(("%s/one/wrn10-1-%s.safetensors"):format(folder, set)))
    end
    assert.same({ 40, 20, 150, "generator" }, { s["dreams.count"], s["metadata.clusters"],
      s["metadata.images"], s["dreams.engine"] })
    assert.is_number(s["dreams.adversary_accuracy"])
    local meta = ea.dream.read_metadata(folder .. "/one/metadata.npz")
    assert.equal(meta:bytes(), s["metadata.bytes"])
    meta:check(ea.nn.load(folder .. "/one/teacher.safetensors"))
    assert.same({ "clusters.png", "tsne.png", "dreams.png", "accuracy.png", "synthesis.png" },
      s.pictures)
    for _, name in ipairs(s.pictures) do
      assert.equal(3, ea.io.load(folder .. "/one/" .. name).ndim)
    end
  end)

  it("uses a teacher's file without metadata, and goes on with --resume", function()
    local given = "--set teacher=one/teacher.safetensors --set priors.target=0 "
      .. "--set sets=dreams --set dreams.count=60 "
    local code, out, err = run("--out two " .. settings .. given)
    assert.equal(0, code, err)
    assert.truthy(out:find("no metadata were used", 1, true))
    local whole = program.read(folder .. "/two/wrn10-1-dreams.safetensors")
    os.remove(folder .. "/two/dreams/dreams-00003.npz")
    code, out, err = run("--resume two")
    assert.same({ 1, "" }, { code, out })
    assert.truthy(err:find("dreams-00003.npz is missing", 1, true), err)
    for _, name in ipairs { "dreams/state.safetensors", "wrn10-1-dreams.safetensors",
      "wrn10-1-dreams.checkpoint.safetensors" } do
      os.remove(folder .. "/two/" .. name)
    end
    code, out, err = run("--resume two")
    assert.equal(0, code, err .. out)
    assert.equal(whole, program.read(folder .. "/two/wrn10-1-dreams.safetensors"))
  end)

  it("refuses a student that is none", function()
    local code, _, err = run("--out three --set students=wrn10")
    assert.equal(1, code)
    assert.truthy(err:find("wrn10 is no wrnDEPTH-WIDEN", 1, true), err)
    assert.equal(0, F.C.ea_file_exists(folder .. "/three"))
  end)
end)
