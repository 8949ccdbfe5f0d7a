-- SPDX-License-Identifier: GPL-3.0-or-later
-- Training that is killed, stopped or runs out of disk: it goes on to the same bytes, or says in
-- one sentence why it cannot. Everything runs through the real program, as a user would.

local json = require "edgeai.json"
local program = require "program"

-- A teacher, then two students by the NoNN objective, with all that has a state: momentum, dropout,
-- augmentation, random numbers of the script's own. HURT=what:moment makes the process hurt itself.
local script = [[
local ffi = require "ffi"
local tiny = require "tiny"
local checkpoint = require "edgeai.train.checkpoint"
ffi.cdef "int kill(int, int); int getpid(void);"
local cfg = ea.config { epochs = 3, save_every = 0, lr = 0.1, batch = 16,
  widths = { { 4, 4, 8 }, "of the teacher" }, students = { widths = { { 4, 4, 4 }, "theirs" } } }
local run = ea.run.open("resume", cfg)

local what, moment = (os.getenv "HURT" or ""):match("^(%w+):(%d+)$")
local signals = { KILL = 9, INT = 2, TERM = 15 }
local function hurt(now)
  if signals[what] and now == tonumber(moment) then ffi.C.kill(ffi.C.getpid(), signals[what]) end
end
local saves, save = 0, checkpoint.save
function checkpoint.save(...)
  saves = saves + 1
  if what == "before" and saves == tonumber(moment) then ffi.C.kill(ffi.C.getpid(), 9) end
  save(...)
  if what == "after" and saves == tonumber(moment) then ffi.C.kill(ffi.C.getpid(), 9) end
end

local calls = 0
local function fit(net, label, objective)
  local one_cycle = ea.schedule.one_cycle { peak = cfg.lr, epochs = cfg.epochs }
  local result = ea.train.fit(net, tiny.split(96, 1), { run = run, label = label,
    epochs = cfg.epochs, batch = cfg.batch, validate = tiny.split(64, 2), seed = cfg.seed,
    objective = objective, save_every = cfg.save_every, precision = cfg.precision, clip = 5,
    augment = { crop_pad = 2, flip = "alternating", cutout = 3 },
    optimizer = ea.optim.sgd(net, { momentum = 0.9, nesterov = true, weight_decay = 1e-4 }),
    schedule = function(t) calls = calls + 1; hurt(calls); return one_cycle(t) end,
    on_epoch = function() ea.randn { 3 } end })
  net:save(run:path(label .. ".safetensors"))
  run:summary { [label] = { accuracy = result.best, epoch = result.best_epoch,
    steps = result.steps, epochs = #result.history, random = ea.rand({ 1 }):item() } }
end

local teacher = ea.nn.wrn { depth = 10, widths = cfg.widths, channels = 1, classes = 4,
  dropout = 0.2 }:set_precision(cfg.precision)
fit(teacher, "teacher")
local parts = { { 1, 2, 5 }, { 3, 4, 6, 7, 8 } }
local students = ea.nonn.students { parts = parts, classes = 4,
  arch = { depth = 10, widths = cfg.students.widths, channels = 1 } }:set_precision(cfg.precision)
fit(students, "students", ea.nonn.objective(students, teacher, parts, { beta = 10 }))
]]

local steps = 2 * 3 * 6 -- both fits, epochs, batches

local function without_seconds(value)
  for key in pairs(value) do
    if key:find("seconds") then value[key] = nil end
  end
  return value
end

describe("a training run", function()
  local folder, want
  local here = "EDGEAI_PATH=" .. program.root .. "/tests/lua "

  local function run(arguments, before)
    return program.run(folder, "run s.lua --quiet " .. arguments, here .. (before or ""))
  end

  local function read(path) return program.read(folder .. "/" .. path) end

  --- All that must be the same: the models' bytes, the metrics but for the time, the results.
  local function outcome(dir)
    local result = { records = {}, summary = json.decode(read(dir .. "/summary.json")) }
    for _, label in ipairs { "teacher", "students" } do
      result[label] = assert(read(("%s/%s.safetensors"):format(dir, label)))
    end
    for line in read(dir .. "/metrics.jsonl"):gmatch("[^\n]+") do
      table.insert(result.records, without_seconds(json.decode(line)))
    end
    local lines, skip = {}, {}
    for line in read(dir .. "/metrics.csv"):gmatch("[^\n]+") do
      local cells = {}
      for cell in (line .. ","):gmatch("([^,]*),") do
        if #lines == 0 then skip[#cells + 1] = cell:find("seconds") ~= nil end
        cells[#cells + 1] = skip[#cells + 1] and "" or cell
      end
      lines[#lines + 1] = table.concat(cells, ",")
    end
    result.table = table.concat(lines, "\n")
    return result
  end

  local function same(dir, what)
    local got = outcome(dir)
    for _, label in ipairs { "teacher", "students" } do
      assert.is_true(got[label] == want[label], what .. ": " .. label .. " differs")
    end
    assert.same(want.records, got.records, what)
    assert.same(want.summary, got.summary, what)
    assert.equal(want.table, got.table, what)
  end

  local function finish(dir, what)
    local code, _, err = run("--resume " .. dir)
    assert.equal(0, code, what .. ": " .. err)
    same(dir, what)
  end

  setup(function()
    folder = program.folder()
    program.write(folder .. "/s.lua", script)
    program.write(folder .. "/count.lua", script .. "io.write(calls)\n")
    local code, _, err = run("--out want")
    assert.equal(0, code, err)
    want = outcome("want")
  end)
  teardown(function() program.remove(folder) end)

  it("repeats itself, and leaves what it should", function()
    assert.equal(6, #want.records)
    assert.equal(steps / 2, want.summary["teacher.steps"])
    local code, _, err = run("--out again --threads 2")
    assert.equal(0, code, err)
    same("again", "two threads")
    code, _, err = run("--resume again")
    assert.equal(0, code, err)
    same("again", "resumed when it was done")
  end)

  it("goes on to the same bytes after kill -9 at any step", function()
    for i, step in ipairs { 1, 6, 7, 19, 31, steps } do
      local dir = "step" .. i
      assert.equal(137, (run("--out " .. dir, "HURT=KILL:" .. step)))
      finish(dir, "killed in step " .. step)
    end
  end)

  it("goes on to the same bytes after kill -9 before and after a checkpoint is written", function()
    -- Saves 7, 14, ...: at the end of an epoch, behind the metrics; the others inside one.
    for i, moment in ipairs { "before:1", "after:6", "before:7", "after:7", "after:21",
      "before:28" } do
      local dir = "save" .. i
      assert.equal(137, (run("--out " .. dir, "HURT=" .. moment)))
      finish(dir, "killed " .. moment)
    end
  end)

  it("goes on to the same bytes however often it is killed, whenever", function()
    for attempt, milliseconds in ipairs { 137, 251, 89, 170, 307, 211 } do
      local how = attempt == 1 and "--out often" or "--resume often"
      local code, _, err = run(how, ("timeout -s KILL %.3f"):format(milliseconds / 1000))
      if code == 2 then -- killed before there was a config.json
        assert.truthy(err:find("there is no run in often", 1, true), err)
        run("--out often", ("timeout -s KILL %.3f"):format(milliseconds / 1000))
      else
        assert.is_true(code == 137 or code == 0, err)
      end
    end
    if not read("often/config.json") then run("--out often", "timeout -s KILL 1") end
    finish("often", "killed at odd times")
    assert.equal("", (io.popen("ls -A " .. folder .. "/often | grep tmp"):read("*a")))
  end)

  it("goes on from checkpoints that are further apart", function()
    assert.equal(137, (run("--out apart --set save_every=1000", "HURT=KILL:22")))
    finish("apart", "checkpoints after epochs only")
  end)

  it("leaves the folder as it was where it cannot go on", function()
    assert.equal(137, (run("--out refused", "HURT=KILL:27"))) -- the students' training
    local function files()
      local pipe = io.popen(("cd '%s/refused' && stat -c '%%n %%i %%y' * && sha256sum *")
        :format(folder))
      local text = pipe:read("*a")
      pipe:close()
      return text
    end
    local before = files()
    for setting, sentence in pairs {
      ["batch=8"] = "of a training with 6 batches an epoch and seed 1, here there are 12",
      ["widths=4,4,12"] = "is of another network",
      ["students.widths=4,4,5"] = "students.checkpoint.safetensors is of another network",
      ["epochs=none"] = "`epochs` is a number",
    } do
      local code, _, err = run("--resume refused --set " .. setting)
      assert.is_true(code == 1 or code == 2, err)
      assert.truthy(err:find(sentence, 1, true), err)
      -- The finished teacher is saved again, as it was.
      local after = files():gsub("teacher%.safetensors %d+ [^\n]+", "")
      assert.equal((before:gsub("teacher%.safetensors %d+ [^\n]+", "")), after, setting)
    end
    finish("refused", "refused before")
  end)

  it("saves on Ctrl-C and SIGTERM, says how to go on, and exits with 130 and 143", function()
    for name, expected in pairs { INT = 130, TERM = 143 } do
      local code, out, err = run("--out " .. name .. " --set save_every=1000",
        "HURT=" .. name .. ":9")
      assert.equal(expected, code, err)
      assert.equal("", out)
      assert.equal("edgeai: interrupted in teacher, epoch 2 of 3 after batch 3 of 6; go on with "
        .. "--resume " .. name .. "\n", err)
      -- The step was finished and saved: 27 of 36 are left.
      local left
      code, left, err = program.run(folder, "run count.lua --quiet --resume " .. name, here)
      assert.equal(0, code, err)
      assert.equal(27, tonumber(left))
      same(name, "stopped by SIG" .. name)
    end
  end)

  it("stops after an epoch too", function()
    for i, step in ipairs { 6, 18, 36 } do
      local dir = "end" .. i
      local code, _, err = run("--out " .. dir, "HURT=INT:" .. step)
      assert.equal(130, code, err)
      assert.truthy(err:find("go on with --resume " .. dir, 1, true), err)
      finish(dir, "stopped at the end of an epoch")
    end
  end)

  it("says how to go on where it is stopped outside of the training too", function()
    program.write(folder .. "/o.lua", [[
      local ffi = require "ffi"
      ffi.cdef "int kill(int, int); int getpid(void);"
      local run = ea.run.open("o", ea.config {})
      ffi.C.kill(ffi.C.getpid(), 2)
      for _ = 1, 1e6 do ea.zeros { 10 }:exp() end]])
    local code, _, err = program.run(folder, "run o.lua --out o")
    assert.equal(130, code)
    assert.equal("edgeai: interrupted; go on with --resume o\n", err)
  end)
end)
