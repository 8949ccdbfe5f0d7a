-- SPDX-License-Identifier: GPL-3.0-or-later
-- Training that is killed, stopped or runs out of disk: it goes on to the same bytes, or says in
-- one sentence why it cannot. Everything runs through the real program, as a user would.

local program = require "program"
local training = require "training"

describe("a training run", function()
  local folder, want

  local function run(arguments, before)
    return program.run(folder, "run s.lua --quiet " .. arguments, training.here .. (before or ""))
  end

  local function read(path) return program.read(folder .. "/" .. path) end

  local function same(dir, what) training.same(want, folder .. "/" .. dir, what) end

  local function finish(dir, what)
    local code, _, err = run("--resume " .. dir)
    assert.equal(0, code, what .. ": " .. err)
    same(dir, what)
  end

  setup(function()
    folder = program.folder()
    program.write(folder .. "/s.lua", training.script)
    program.write(folder .. "/count.lua", training.script .. "io.write(calls)\n")
    local code, _, err = run("--out want")
    assert.equal(0, code, err)
    want = training.outcome(folder .. "/want")
  end)
  teardown(function() program.remove(folder) end)

  it("repeats itself, and leaves what it should", function()
    assert.equal(6, #want.records)
    assert.equal(training.steps / 2, want.summary["teacher.steps"])
    local code, _, err = run("--out again --threads 2")
    assert.equal(0, code, err)
    same("again", "two threads")
    code, _, err = run("--resume again")
    assert.equal(0, code, err)
    same("again", "resumed when it was done")
  end)

  it("goes on to the same bytes after kill -9 at any step", function()
    for i, step in ipairs { 1, 6, 7, 19, 31, training.steps } do
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
    assert.equal("", training.leftovers(folder .. "/often"))
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
      code, left, err = program.run(folder, "run count.lua --quiet --resume " .. name,
        training.here)
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
