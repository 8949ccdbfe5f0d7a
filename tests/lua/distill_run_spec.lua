-- SPDX-License-Identifier: GPL-3.0-or-later
-- experiments/distill.lua and what only it uses: methods, images to learn from.

local F = require "edgeai.ffi"
local json = require "edgeai.json"
local program = require "program"
local tiny = require "tiny"

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

describe("ea.distill.method", function()
  it("gives losses by a usual name, without cross-entropy where there are no labels", function()
    assert.same({ ce = { weight = 0.1 }, kd = { weight = 0.9, temperature = 2 } },
      ea.distill.method("kd", { temperature = 2 }))
    assert.same({ kd = { weight = 0.9, temperature = 4 } },
      ea.distill.method("kd", { labelled = false }))
    assert.same({ kd = { weight = 1, temperature = 4 }, attention = { weight = 1000,
      layers = { "group1", "group2", "group3" } } }, ea.distill.method("at", { labelled = false }))
    assert.same({ hint = { weight = 2, layers = { "group3" } } },
      ea.distill.method("mix", { mix = { hint = 2, kd = 0 }, hint = "group3" }))
    fails(function() ea.distill.method("alone", { labelled = false }) end,
      "alone learns from labels, and these images have none")
    fails(function() ea.distill.method("sq") end, "there is no method 'sq'; did you mean `sp`?")
    fails(function() ea.distill.method("mix", { mix = { kd = 0 } }) end, "all weights of the mix")
  end)
end)

describe("experiments/distill.lua", function()
  local folder

  setup(function()
    folder = program.folder()
    os.execute(("ln -s '%s/experiments' '%s/experiments'"):format(program.root, folder))
    tiny.fashion_mnist(folder .. "/data")
  end)
  teardown(function() program.remove(folder) end)

  local function run(arguments)
    return program.run(folder, "run experiments/distill.lua --quiet --set precision=f32 "
      .. "--set teacher_net.widths=8,8,8,16 --set student_net.widths=4,4,4,8 --set batch=64 "
      .. "--set train.epochs=1 --set distil.epochs=1 " .. arguments, "EDGEAI_DATA=data")
  end

  it("compares methods over seeds, in a table and summary.json", function()
    local code, out, err = run "--out one --set methods=alone,kd,at,hint --set runs=2"
    assert.equal(0, code, err)
    assert.truthy(out:find("deviation", 1, true))
    local s = json.decode(program.read(folder .. "/one/summary.json"))
    for _, method in ipairs { "alone", "kd", "at", "hint" } do
      local key = ("student.%s.accuracy."):format(method)
      local a, b = unpack(s[key .. "runs"])
      assert.near((a + b) / 2, s[key .. "mean"], 1e-9)
      assert.near(math.abs(a - b) / math.sqrt(2), s[key .. "deviation"], 1e-9)
      assert.near(s[key .. "mean"] - s["student.alone.accuracy.mean"], s[key .. "gain"], 1e-9)
    end
    assert.is_number(s["teacher.accuracy"])
    assert.equal(300, s["transfer.images"])
    assert.same({ "accuracy.png", "training.png" }, s.pictures)
  end)

  it("learns from noise and from kept answers", function()
    local teacher = "--set teacher=one/teacher.safetensors "
    local code, _, err = run("--out two --set transfer=noise --set methods=kd " .. teacher)
    assert.equal(0, code, err)
    code, _, err = run("--out three --set views=2 --set share=0.5 --set methods=kd,pooled "
      .. "--set student_net.widths=4,4,4,16 " .. teacher)
    assert.equal(0, code, err)
    assert.equal(1, F.C.ea_file_exists(folder .. "/three/answers.safetensors"))
    assert.equal(300, json.decode(program.read(folder .. "/three/summary.json"))["transfer.images"])
  end)

  it("refuses at once what cannot be learned, and leaves no folder", function()
    for arguments, sentence in pairs {
      ["--set methods=kdd"] = "there is no method 'kdd'",
      ["--set transfer=noise"] = "alone learns from labels, and these images have none",
      ["--set transfer=mnist --set methods=kd"] = "mnist",
      ["--set share=0"] = "`share` must be a number above 0",
    } do
      local code, _, err = run("--out refused " .. arguments)
      assert.is_true(code ~= 0, arguments)
      assert.truthy(err:find(sentence, 1, true), err)
      assert.equal(0, F.C.ea_file_exists(folder .. "/refused"), arguments)
    end
  end)
end)

describe("ea.distill.transfer", function()
  it("takes another data set without labels, at this one's size", function()
    ea.data.register { name = "squares", title = "Squares", folder = "squares", files = {},
      shape = { 24, 24, 1 }, classes = 7, names = {}, counts = { train = 20, test = 0 },
      mean = { 0 }, std = { 1 }, read = function()
        return ea.full({ 20, 24, 24, 1 }, 80, "u8"), ea.full({ 20 }, 7, "i32")
      end }
    local split = tiny.split(8, 1)
    local d = { name = "tiny", shape = { 12, 12, 1 }, mean = split.mean, std = split.std,
      classes = 4, train = split }
    local images, labelled = ea.distill.transfer("squares", d)
    assert.same({ 20, 12, 12, 1 }, images.images.shape)
    assert.equal(80, images.images:get(20, 12, 12, 1))
    assert.same({ 20, 0, 0, 0 }, images:class_counts())
    assert.is_false(labelled)
    assert.equal(5, ea.distill.transfer("squares", d, { count = 5 }).count)
    assert.equal(4, ea.distill.transfer("real", d, { share = 0.5 }).count)
    d.shape, d.mean = { 12, 12, 3 }, { 0, 0, 0 }
    local coloured = ea.distill.transfer("squares", d).images
    assert.same({ 80, 80, 80 }, coloured[{ 1, 5, 5 }]:tolist())
    d.shape, d.mean = { 12, 12, 2 }, { 0, 0 }
    fails(function() ea.distill.transfer("squares", d) end,
      "the images of squares have 1 channels, those of tiny 2")
    ea.data.unregister("squares")
  end)

  it("makes colours grey for grey networks", function()
    ea.data.register { name = "reds", title = "Reds", folder = "reds", files = {},
      shape = { 12, 12, 3 }, classes = 2, names = {}, counts = { train = 4, test = 0 },
      mean = { 0, 0, 0 }, std = { 1, 1, 1 }, read = function()
        local images = ea.zeros({ 4, 12, 12, 3 }, "u8")
        images:select(4, 1):fill(200)
        images:select(4, 2):fill(10)
        return images, ea.ones({ 4 }, "i32")
      end }
    local split = tiny.split(8, 1)
    local d = { name = "tiny", shape = { 12, 12, 1 }, mean = split.mean, std = split.std,
      classes = 4, train = split }
    local images = ea.distill.transfer("reds", d).images
    assert.same({ 4, 12, 12, 1 }, images.shape)
    assert.equal(66, images:get(2, 3, 4, 1)) -- 59.8 + 5.87, to the nearest
    ea.data.unregister("reds")
  end)
end)
