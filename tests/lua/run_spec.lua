-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.run: what a run leaves behind, and how it goes on.

local json = require "edgeai.json"
local program = require "program"

local script = [[
local cfg = ea.config { epochs = 3, train = { lr = 0.1 }, widths = { { 1, 2 }, "widths" } }
local run = ea.run.open("demo", cfg)
if run.resumed then run:rewind(2) end
for step = run.resumed and 3 or 1, cfg.epochs do
  run:log { step = step, loss = 1 / step, val = { accuracy = 50 + step } }
end
run:summary { teacher = { accuracy = 93.25, params = 77850 },
  students = { { params = 1 }, { params = 2 } }, sizes = { 3, 4 }, bad = 0 / 0 }
io.open(run:path("plots/x.txt"), "w"):close()
print(run.dir, run.resumed, cfg.epochs, cfg.train.lr)
]]

describe("ea.run", function()
  local folder

  before_each(function()
    folder = program.folder()
    program.write(folder .. "/s.lua", script)
  end)
  after_each(function() program.remove(folder) end)

  local function run(arguments)
    local code, out, err = program.run(folder, "run s.lua " .. (arguments or ""))
    assert.equal(0, code, err)
    return out:match("^(%S+)\t(%S+)\t(%S+)\t(%S+)\n$")
  end

  local function read(path) return program.read(folder .. "/" .. path) end
  local function decode(path) return json.decode(read(path)) end

  it("makes a folder with the options, the machine, the script and the latest link", function()
    local dir = run("--set epochs=2 --seed 5")
    assert.truthy(dir:find("^runs/demo/%d%d%d%d%d%d%d%d%-%d%d%d%d%d%d$"), dir)
    local config = decode(dir .. "/config.json")
    assert.equal(2, config.epochs)
    assert.equal(0.1, config["train.lr"])
    assert.equal(5, config.seed)
    assert.same({ 1, 2 }, config.widths)
    local env = decode(dir .. "/env.json")
    for _, key in ipairs { "cpu", "blas_core", "conv_engine", "edgeai", "luajit", "date" } do
      assert.equal("string", type(env[key]), key)
    end
    assert.equal(1, env.threads)
    assert.equal("f32", env.precision)
    assert.equal(script, read(dir .. "/script.lua"))
    assert.equal(read(dir .. "/config.json"), read("runs/demo/latest/config.json"))
    assert.equal("", read(dir .. "/plots/x.txt"))
  end)

  it("writes metrics as JSON lines and as a table, and a summary with dotted keys", function()
    local dir = run()
    local lines = {}
    for line in read(dir .. "/metrics.jsonl"):gmatch("[^\n]+") do
      lines[#lines + 1] = json.decode(line)
    end
    assert.equal(3, #lines)
    assert.equal(2, lines[2].step)
    assert.equal(0.5, lines[2].loss)
    assert.equal(52, lines[2]["val.accuracy"])
    assert.equal("step,loss,val.accuracy\n1,1,51\n2,0.5,52\n3,0.333333333,53\n",
      read(dir .. "/metrics.csv"))
    local summary = decode(dir .. "/summary.json")
    assert.equal(93.25, summary["teacher.accuracy"])
    assert.equal(2, summary["students[2].params"])
    assert.same({ 3, 4 }, summary.sizes)
    assert.truthy(tostring(summary.bad):find("nan"))
  end)

  it("gives every run a folder of its own", function()
    assert.not_equal((run()), (run()))
  end)

  it("writes to --out, and does not write over a run that is there", function()
    assert.equal("here", (run("--out here")))
    assert.truthy(read("here/summary.json"))
    local code, _, err = program.run(folder, "run s.lua --out here")
    assert.equal(2, code)
    assert.truthy(err:find("a run is already there"), err)
  end)

  it("begins anew where one was killed at its first file; other files stay", function()
    assert.equal(0, os.execute(("mkdir '%s/out' && cd '%s/out' && "
      .. "touch .config.json.77-0.tmp .mine.77-0.tmp"):format(folder, folder)))
    assert.equal("out", (run "--out out"))
    assert.is_nil(read "out/.config.json.77-0.tmp")
    assert.equal("", read "out/.mine.77-0.tmp")
  end)

  it("resumes the latest run with its options and drops the records made again", function()
    -- The experiment's name is the script's for `--resume` without a folder.
    os.rename(folder .. "/s.lua", folder .. "/demo.lua")
    local function demo(arguments)
      local code, out, err = program.run(folder, "run demo.lua " .. arguments)
      assert.equal(0, code, err)
      return out:match("^(%S+)\t(%S+)\t(%S+)\t(%S+)\n$")
    end
    local dir = demo("--set epochs=4 --set train.lr=0.5")
    local _, resumed, epochs, lr = demo("--resume")
    assert.equal("true", resumed)
    assert.equal("4", epochs)
    assert.equal("0.5", lr)
    assert.equal("step,loss,val.accuracy\n1,1,51\n2,0.5,52\n3,0.333333333,53\n4,0.25,54\n",
      read(dir .. "/metrics.csv"))
    _, _, epochs = demo("--resume --set epochs=5")
    assert.equal("5", epochs)
    local _, count = read(dir .. "/metrics.jsonl"):gsub("\n", "")
    assert.equal(5, count)
  end)

  it("resumes the folder it is told, and survives a line that a crash cut off", function()
    run("--out here")
    local file = io.open(folder .. "/here/metrics.jsonl", "a")
    file:write('{"step": 4, "lo')
    file:close()
    local dir, resumed = run("--resume here")
    assert.equal("here", dir)
    assert.equal("true", resumed)
    assert.equal("step,loss,val.accuracy\n1,1,51\n2,0.5,52\n3,0.333333333,53\n",
      read("here/metrics.csv"))
  end)

  it("says so where there is nothing to resume", function()
    local code, _, err = program.run(folder, "run s.lua --resume")
    assert.equal(2, code)
    assert.truthy(err:find("there is no run in runs/s/latest", 1, true), err)
  end)

  it("takes new columns in the middle of a run", function()
    program.write(folder .. "/c.lua", [[
      local run = ea.run.open("c", {})
      run:log { step = 1, loss = 2 }
      run:log { step = 2, loss = 1, note = 'a "word", two' }
      run:log { step = 3 }
      print(run.dir)]])
    local _, out = program.run(folder, "run c.lua")
    assert.equal('step,loss,note\n1,2,\n2,1,"a ""word"", two"\n3,,\n',
      read(out:gsub("\n", "") .. "/metrics.csv"))
  end)

  it("refuses names that are no folder names", function()
    program.write(folder .. "/n.lua", "\nlocal run = ea.run.open('../x', {})")
    local code, _, err = program.run(folder, "run n.lua")
    assert.equal(1, code)
    assert.truthy(err:find("^edgeai: n%.lua:2: "), err)
  end)

  it("keeps records that can be read, replaced and cut back", function()
    program.write(folder .. "/k.lua", [[
      local run = ea.run.open("k", { lr = 0.5, net = { depth = 10 } })
      run:commit() -- a new run has done so already: nothing is written twice
      for step = 1, 4 do run:log { step = step, val = { loss = 1 / step } } end
      run:rewind(3)
      local records = run:read_records()
      print(#records, records[3]["val.loss"])
      table.remove(records, 1)
      run:write_records(records)
      print(#run:read_records(), run:read_records()[1].step)
      local cfg = ea.run.read_config(run.dir)
      print(cfg.lr, cfg["net.depth"])
      print(ea.run.resume_folder("k"))
      local env = ea.run.environment {}
      print(env.edgeai == ea.version, env.date:match("^%d+-%d+-%d+T") ~= nil, env.luajit)
      print(run.dir)]])
    local code, out, err = program.run(folder, "run k.lua --quiet")
    assert.equal(0, code, err)
    local dir = out:match("([^\n]+)\n$")
    assert.equal(("3\t0.33333333333333\n2\t2\n0.5\t10\nnil\ntrue\ttrue\t%s\n%s\n")
      :format(jit.version, dir), out)
    assert.equal("step,val.loss\n2,0.5\n3,0.333333333\n", read(dir .. "/metrics.csv"))
    program.write(folder .. "/" .. dir .. "/config.json", "3")
    program.write(folder .. "/r.lua", ("ea.run.read_config(%q)"):format(dir))
    code, out, err = program.run(folder, "run r.lua")
    assert.same({ 1, "" }, { code, out })
    assert.truthy(err:find("config.json does not hold the options of a run", 1, true), err)
  end)

  it("notes go to stderr, and nowhere with --quiet", function()
    program.write(folder .. "/note.lua", [[
      local run = ea.run.open("note", {})
      run:note("half of %d", 4)
      run:note("100 %")]])
    local _, _, err = program.run(folder, "run note.lua")
    assert.truthy(err:find("half of 4\n100 %\n", 1, true), err)
    assert.equal("", select(3, program.run(folder, "run note.lua --quiet")))
  end)
end)
