-- SPDX-License-Identifier: GPL-3.0-or-later
-- Training that is killed (kill -9) at random instants, over and over: whatever lies in the folder
-- is whole, the last checkpoint loads, and in the end there are the bytes of the run that was left
-- alone. EDGEAI_KILLS says how often (`make check-long`: 200), EDGEAI_CRASH_SEED when.

local program = require "program"
local training = require "training"

local kills = tonumber(os.getenv "EDGEAI_KILLS") or 6
local seed = tonumber(os.getenv "EDGEAI_CRASH_SEED") or os.time() % 1000000

describe("a run that is killed at random instants", function()
  local folder, want, milliseconds

  local function run(arguments, before)
    return program.run(folder, "run s.lua --quiet " .. arguments, training.here .. (before or ""))
  end

  setup(function()
    folder = program.folder()
    program.write(folder .. "/s.lua", training.script)
    local clock = require("edgeai.ffi").C.ea_clock
    local start = clock()
    local code, _, err = run "--out want"
    assert.equal(0, code, err)
    milliseconds = math.ceil(1000 * (clock() - start))
    want = training.outcome(folder .. "/want")
  end)
  teardown(function() program.remove(folder) end)

  it(("ends in the same bytes (EDGEAI_CRASH_SEED=%d, %d kills)"):format(seed, kills), function()
    print(("crash_spec: EDGEAI_CRASH_SEED=%d EDGEAI_KILLS=%d"):format(seed, kills))
    local instants = ea.rng("kills", { seed = seed }):uniform({ kills }, 0, 1.1 * milliseconds)
    local killed, runs, finished = 0, 1, false
    local function what(ms)
      return ("seed %d, kill %d after %.0f ms, run %d"):format(seed, killed, ms or 0, runs)
    end
    local function go_on(before, ms)
      local dir = "r" .. runs
      local there = program.read(("%s/%s/config.json"):format(folder, dir)) ~= nil
      local code, _, err = run((there and "--resume " or "--out ") .. dir, before)
      training.whole(folder .. "/" .. dir)
      if code == 137 then return end
      assert.equal(0, code, what(ms) .. ": " .. err)
      training.same(want, folder .. "/" .. dir, what(ms))
      assert.equal("", training.leftovers(folder .. "/" .. dir), what(ms))
      runs, finished = runs + 1, true
    end
    while killed < kills do
      killed = killed + 1
      local ms = instants[killed]
      go_on(("timeout -s KILL %.3f"):format(ms / 1000), ms)
    end
    finished = false
    go_on()
    assert.is_true(finished)
  end)
end)
