-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.config: in scripts run by the program, because that is where its values come from.

local program = require "program"

local script = [[
local cfg = ea.config {
  preset = { default = "quick", quick = {}, big = { train = { epochs = 40 }, flip = false } },
  data = { "fashion-mnist", "data set" },
  flip = true,
  train = { epochs = 3, lr = { 0.1, "peak learning rate" } },
  rule = { default = "hub", choices = { "hub", "coactivation" }, help = "edge rule" },
  teacher = { type = "string", help = "trained teacher" },
  tries = { default = 5, type = "integer" },
  widths = { { 16, 32, 64 }, "free widths" },
  students = { 2, "devices", type = "integer", least = 2 },
  kd = { alpha = { 0.9, least = 0, most = 1 }, temperature = { 4, "of KD", above = 0 } },
}
print(cfg.preset, cfg.data, cfg.flip, cfg.train.epochs, cfg.train.lr, cfg.rule, cfg.teacher,
  cfg.tries, table.concat(cfg.widths, ","), cfg.seed, cfg.precision)
]]

describe("ea.config", function()
  local folder
  local function run(arguments) return program.run(folder, "run s.lua " .. arguments) end
  local function values(arguments)
    local code, out, err = run(arguments or "")
    assert.equal(0, code, err)
    return out
  end

  setup(function()
    folder = program.folder()
    program.write(folder .. "/s.lua", script)
  end)
  teardown(function() program.remove(folder) end)

  it("asks for what is required, and says what the script is", function()
    program.write(folder .. "/r.lua", "#!/bin/edgeai\n-- SPDX-License-Identifier: MIT\n"
      .. "-- Counts sheep.\nlocal cfg = ea.config {\n"
      .. "  sheep = { type = \"number\", required = true, help = \"how many\" } }\n-- end\n"
      .. "print(cfg.sheep)")
    local code, out, err = program.run(folder, "run r.lua")
    assert.equal(2, code)
    assert.truthy(err:find("`sheep` must be given, by --set sheep=...: how many", 1, true), err)
    assert.equal("3\n", select(2, program.run(folder, "run r.lua --set sheep=3")))
    code, out = program.run(folder, "run r.lua --help")
    assert.equal(0, code)
    assert.truthy(out:find("\n\nCounts sheep.\n\nOptions", 1, true), out)
    assert.truthy(out:find("how many; must be given", 1, true), out)
  end)

  it("gives the defaults", function()
    assert.equal("quick\tfashion-mnist\ttrue\t3\t0.1\thub\tnil\t5\t16,32,64\t1\tf32\n", values())
  end)

  it("takes values of each type from --set, and standard options", function()
    assert.equal("quick\tcifar10\tfalse\t7\t0.05\tcoactivation\tx.safetensors\t2\t8,8\t9\tbf16\n",
      values("--set data=cifar10 --set flip=no --set train.epochs=7 --set train.lr=5e-2 "
        .. "--set rule=coactivation --set teacher=x.safetensors --set tries=2 --set widths=8,8 "
        .. "--seed 9 --precision bf16"))
  end)

  it("lays a preset over the defaults and --set over the preset", function()
    assert.equal("big\tfashion-mnist\tfalse\t40\t0.1\thub\tnil\t5\t16,32,64\t1\tf32\n",
      values("--set preset=big"))
    assert.truthy(values("--set train.epochs=2 --set preset=big"):find("^big\t[%w-]+\tfalse\t2\t"))
  end)

  it("keeps the order of repeated settings: the last one wins", function()
    assert.truthy(values("--set tries=2 --set tries=4"):find("\tnil\t4\t"))
  end)

  it("prints options with defaults and help under --help, without running", function()
    local code, out = run("--help")
    assert.equal(0, code)
    assert.truthy(out:find("train.lr=0.1 +peak learning rate"), out)
    assert.truthy(out:find("teacher=none +trained teacher"), out)
    assert.truthy(out:find("rule=hub +edge rule; hub or coactivation"), out)
    assert.truthy(out:find("students=2 +devices; whole number of at least 2\n"), out)
    assert.truthy(out:find("kd.alpha=0.9 +number from 0 to 1\n"), out)
    assert.truthy(out:find("kd.temperature=4 +of KD; number above 0\n"), out)
    assert.truthy(out:find("big +flip=false train.epochs=40"), out)
    assert.falsy(out:find("fashion%-mnist\ttrue"))
  end)

  it("refuses what the script does not know, with the nearest name and exit code 2", function()
    for arguments, sentence in pairs {
      ["--set train.epoch=2"] = "--set: there is no option `train.epoch`; "
        .. "did you mean `train.epochs`?",
      ["--set preset=bgi"] = "`preset` must be big or quick, not bgi; did you mean `big`?",
      ["--set rule=hubs"] = "`rule` must be hub or coactivation, not hubs; did you mean `hub`?",
      ["--set tries=2.5"] = "`tries` must be a whole number, not 2.5",
      ["--set train.lr=fast"] = "--set train.lr=fast: `train.lr` is a number",
      ["--set flip=maybe"] = "--set flip=maybe: `flip` is a boolean",
      ["--set students=1"] = "--set: `students` must be a whole number of at least 2, not 1",
      ["--set students=2.5"] = "`students` must be a whole number of at least 2, not 2.5",
      ["--set kd.alpha=1.1"] = "`kd.alpha` must be a number from 0 to 1, not 1.1",
      ["--set kd.temperature=0"] = "`kd.temperature` must be a number above 0, not 0",
      ["--set kd.temperature=1e999"] = "`kd.temperature` is a number",
      ["--set seed=-1"] = "`seed` must be a whole number of at least 0, not -1",
      ["--set flip"] = "--set needs KEY=VALUE, not 'flip'",
    } do
      local code, out, err = run(arguments)
      assert.equal(2, code, arguments)
      assert.equal("", out)
      assert.truthy(err:find(sentence, 1, true), err)
    end
  end)

  it("raises mistakes of the script at its line", function()
    for declaration, sentence in pairs {
      ["{ widths = { 1, 2, 3 } }"] = "write a list as",
      ["{ f = print }"] = "`f` cannot be a function",
      ["{ preset = { quick = { lrr = 1 } }, lr = 1 }"] =
        "preset quick: there is no option `lrr`; did you mean `lr`?",
      ["{ preset = { quick = { lr = 'x' } }, lr = 1 }"] =
        "preset quick: `lr` is a number, not the string x",
      ["{ preset = { quick = { n = 3 } }, n = { 1, most = 2 } }"] =
        "preset quick: `n` must be a number of at most 2, not 3",
      ["{ n = { 0, \"help\", least = 1 } }"] = "`n` must be a number of at least 1, not 0",
      ["{ n = { 1, lest = 0 } }"] = "there is no option 'lest'; did you mean `least`?",
      ["{ n = { default = 1, lest = 0 } }"] = "there is no option 'lest'",
      ["3"] = "ea.config takes a table of options, not a number",
    } do
      program.write(folder .. "/bad.lua", "\nlocal cfg = ea.config(" .. declaration .. ")\n")
      local code, _, err = program.run(folder, "run bad.lua")
      assert.equal(1, code)
      assert.truthy(err:find("^edgeai: bad%.lua:2: "), err)
      assert.truthy(err:find(sentence, 1, true), err)
    end
  end)

  it("checks what the config.json of a resumed run holds", function()
    program.write(folder .. "/s2.lua", script .. "ea.run.open('s2', cfg)")
    local function resume(text)
      program.write(folder .. "/kept/config.json", text)
      return program.run(folder, "run s2.lua --resume kept")
    end
    assert.equal(0, (program.run(folder, "run s2.lua --set kd.alpha=0.25 --out kept")))
    for text, sentence in pairs {
      ['{"students": 1}'] = "kept/config.json: `students` must be a whole number of at least 2",
      ['{"data": 3}'] = "kept/config.json: `data` is a string, not the number 3",
      ["[1, 2"] = "kept/config.json does not hold the options of a run",
      ["7"] = "kept/config.json does not hold the options of a run",
    } do
      local code, _, err = resume(text)
      assert.equal(1, code, text)
      assert.truthy(err:find(sentence, 1, true), err)
      assert.equal(text, program.read(folder .. "/kept/config.json"))
    end
    local code, out = resume('{"train.epochs": 9, "of another version": 1}')
    assert.equal(0, code)
    assert.truthy(out:find("\ttrue\t9\t", 1, true), out)
  end)

  it("leaves no --set unheard: scripts without options refuse it", function()
    program.write(folder .. "/deaf.lua", "print('ran')")
    program.write(folder .. "/helper.lua", "return function() return ea.config { x = 1 } end")
    program.write(folder .. "/other.lua", "require 'helper' print('ran')")
    program.write(folder .. "/by_helper.lua", "print(require('helper')().x)")
    local code, out, err = program.run(folder, "run deaf.lua --set x=2")
    assert.equal(2, code)
    assert.equal("", out) -- at once
    assert.truthy(err:find("--set x: deaf.lua has no options: it does not call ea.config", 1, true))
    code, out, err = program.run(folder, "run other.lua --set x=2")
    assert.equal(2, code)
    assert.equal("ran\n", out) -- only its end tells
    assert.truthy(err:find("other.lua has no options", 1, true), err)
    code, out = program.run(folder, "run by_helper.lua --set x=2")
    assert.equal(0, code)
    assert.equal("2\n", out)
  end)

  it("seeds the random numbers", function()
    program.write(folder .. "/r.lua", "ea.config {} print(ea.randn({ 1 }):item())")
    local _, default = program.run(folder, "run r.lua")
    local _, one = program.run(folder, "run r.lua --seed 1")
    local _, two = program.run(folder, "run r.lua --seed 2")
    assert.equal(default, one)
    assert.not_equal(one, two)
  end)

  it("leaves --help of a script without options to say so", function()
    program.write(folder .. "/none.lua", "return 0")
    local code, out = program.run(folder, "run none.lua --help")
    assert.equal(0, code)
    assert.truthy(out:find("declares no options"))
  end)
end)

describe("ea.table", function()
  local tables = require "edgeai.table"

  it("aligns numbers right and names left, with separators", function()
    assert.equal(table.concat({
      "+---------+-----------+-------+",
      "| net     |    params |   acc |",
      "+---------+-----------+-------+",
      "| teacher | 2,748,890 |  94.1 |",
      "+---------+-----------+-------+",
      "| NoNN    |   860,000 | 0.125 |",
      "+---------+-----------+-------+" }, "\n"),
      tables({ "net", "params", "acc" }, { { "teacher", 2748890, 94.1 }, tables.rule,
        { "NoNN", 860000, 0.125 } }, { ascii = true }))
  end)

  it("counts code points, not bytes", function()
    local text = tables({ "é", "b" }, { { "ü", "x" }, { "longer", "y" } }, { ascii = false })
    for line in text:gmatch("[^\n]+") do
      local _, columns = line:gsub("[^\128-\191]", "")
      assert.equal(14, columns)
    end
  end)

  it("refuses rows that are too long", function()
    assert.has_error(function() tables({ "a" }, { { 1, 2 } }) end)
  end)
end)

describe("ea.progress", function()
  local progress = require "edgeai.progress"

  it("writes durations", function()
    assert.equal("0:07", progress.duration(7.2))
    assert.equal("12:05", progress.duration(725))
    assert.equal("1:01:40", progress.duration(3700))
    assert.equal("?", progress.duration(math.huge))
  end)

  it("prints one plain line an epoch where there is no terminal, none with --quiet", function()
    local folder = program.folder()
    finally(function() program.remove(folder) end)
    program.write(folder .. "/p.lua", [[
      local bar = ea.progress { label = "epoch 1/2", total = 100, unit = "batch" }
      for i = 1, 100 do bar:update(i, { loss = 1 / i }) end
      bar:done { acc = 71.25, loss = 0.01, val = 70 }]])
    local code, out, err = program.run(folder, "run p.lua")
    assert.equal(0, code)
    assert.equal("", out)
    assert.equal("epoch 1/2  loss 0.01  acc 71.25  val 70  (0:00)\n", err)
    assert.equal("", select(3, program.run(folder, "run p.lua --quiet")))
  end)

  it("says how far a long loop is where there is no terminal, now and then", function()
    local folder = program.folder()
    finally(function() program.remove(folder) end)
    program.write(folder .. "/p.lua", [[
      require("edgeai.progress").plain_seconds = 0
      local bar = ea.progress { label = "dreams", total = 2, unit = "part" }
      for i = 1, 2 do bar:update(i, { loss = i }) end]])
    local _, _, err = program.run(folder, "run p.lua")
    assert.matches("^dreams  1/2  %S+ part/s  %S+ left  loss 1\ndreams  2/2 [^\n]+loss 2\n$", err)
  end)

  it("is due where it would draw: on a terminal, ten times a second", function()
    local bar = ea.progress { label = "x", total = 3 }
    bar.terminal, bar.quiet, bar.drawn, bar.every = true, false, -math.huge, 0.1
    assert.is_true(bar:due())
    bar.drawn = require("edgeai.ffi").C.ea_clock() + 60
    assert.is_false(bar:due())
    bar.drawn, bar.quiet = -math.huge, true
    assert.is_false(bar:due())
  end)
end)
