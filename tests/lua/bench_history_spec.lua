-- SPDX-License-Identifier: GPL-3.0-or-later
-- The history of benchmarks: what is kept, what counts as slower.

local history = require "edgeai.bench.history"
local program = require "program"

local function record(given, more)
  local r = { name = "train.wrn-16-1", batch = 128, threads = 1, precision = "f32",
    machine = "a CPU, 2 processors", engine = "portable", value = 100, low = 95, high = 103 }
  for key, value in pairs(given or {}) do r[key] = value end
  for key, value in pairs(more or {}) do r[key] = value end
  return r
end

describe("edgeai.bench.history", function()
  it("calls slower what fell by more than the spread of both runs", function()
    local function is_slower(before, now)
      local list, compared = history.slower({ record(before) }, { record(now) })
      assert.equal(1, compared)
      return #list == 1
    end
    assert.is_true(is_slower({}, { value = 91.9, low = 91, high = 92 }))
    assert.is_false(is_slower({}, { value = 92.1, low = 91, high = 93 }))
    assert.is_false(is_slower({}, { value = 90, low = 80, high = 95 }))
    assert.is_false(is_slower({}, { value = 150, low = 149, high = 151 }))
    local still = { low = 100, high = 100 }
    assert.is_true(is_slower(still, { value = 97.9, low = 97.9, high = 97.9 }))
    assert.is_false(is_slower(still, { value = 98.1, low = 98.1, high = 98.1 }))
  end)

  it("says by how much", function()
    local list = history.slower({ record() }, { record { value = 75 } })
    assert.near(0.25, list[1].change, 1e-12)
    assert.equal(100, list[1].before.value)
    assert.equal(75, list[1].now.value)
  end)

  it("compares with the last run of the same work on the same machine", function()
    local old = { record { value = 300 }, record { value = 100 } }
    for key, other in pairs { name = "train.wrn-40-4", batch = 64, threads = 2, precision = "bf16",
      machine = "another CPU, 2 processors", engine = "oneDNN 2.6.3" } do
      old[#old + 1] = record { value = 300, [key] = other }
    end
    assert.same({ {}, 1 }, { history.slower(old, { record() }) })
    assert.same({ {}, 0 }, { history.slower(old, { record { threads = 4 } }) })
  end)

  it("keeps records, and passes over lines that are none", function()
    local folder = program.folder()
    local path = folder .. "/kept/history.jsonl"
    assert.same({}, history.read(path))
    history.append(path, { record { value = 1 }, record { value = 2 } })
    local file = io.open(path, "a")
    file:write('[]\n3\n{"name":"x"}\n{"name":"train.wr') -- killed here
    file:close()
    history.append(path, { record { value = 3 } })
    local values = {}
    for i, r in ipairs(history.read(path)) do values[i] = r.value end
    assert.same({ 1, 2, 3 }, values)
    program.remove(folder)
  end)

  it("signs results with machine, engine and date, and no host's name", function()
    local signed = history.sign({ { name = "x", value = 1 } })[1]
    assert.equal("x", signed.name)
    assert.truthy(signed.machine:find("%d+ processors$"))
    assert.truthy(signed.date:find("^%d%d%d%d%-%d%d%-%d%dT"))
    assert.is_string(signed.engine)
    assert.is_string(signed.version)
  end)
end)

describe("edgeai bench --history", function()
  it("adds the results, and says what got slower than the last run", function()
    local folder = program.folder()
    local function bench()
      local code, out, err = program.run(folder, "bench louvain.256 --seconds 0 --history h.jsonl")
      assert.equal(0, code, err)
      return out
    end
    assert.truthy(bench():find("nothing to compare with", 1, true))
    local kept = history.read(folder .. "/h.jsonl")
    assert.equal(1, #kept)
    local fast = record(kept[1])
    for _, key in ipairs { "value", "low", "high" } do fast[key] = 1e9 end
    history.append(folder .. "/h.jsonl", { fast })
    assert.truthy(bench():find("slower.*before.*now.*louvain%.256.*100%.0 %%"))
    assert.equal(3, #history.read(folder .. "/h.jsonl"))
    history.append(folder .. "/h.jsonl", { record(kept[1], { value = 1e-9 }) })
    assert.truthy(bench():find("nothing is slower than in the last run", 1, true))
    program.remove(folder)
  end)

  it("does not mix with --json", function()
    local code, _, err = program.run(program.root, "bench startup --json --history /dev/null")
    assert.equal(2, code)
    assert.truthy(err:find("--history prints words", 1, true))
  end)
end)
