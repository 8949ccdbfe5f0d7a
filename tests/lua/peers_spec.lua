-- SPDX-License-Identifier: GPL-3.0-or-later
-- tests/peers without Python: how programs take turns, and what is written. No timing decides
-- anything here.

local program = require "program"

package.path = program.root .. "/tests/peers/?.lua;" .. package.path
local compare = require "compare"
local process = require "process"
local results = require "results"

describe("tests/peers: another program", function()
  local log = os.tmpname()
  teardown(function() os.remove(log) end)

  it("is asked and answers in lines; what is no JSON object is passed over", function()
    local p = process.start({ "sh", "-c", "while read x; do [ $x = quit ] && exit; "
      .. "echo chatter; echo '{broken'; echo '{\"got\": '$x'}'; done" }, {}, log)
    p:write("3")
    assert.same({ got = 3 }, p:answer())
    p:write("4")
    assert.same({ got = 4 }, p:answer())
    p:stop()
  end)

  it("has the environment it is given, and not what is taken from it", function()
    local p = process.start({ "sh", "-c",
      "echo '{\"a\": \"'$A'\", \"home\": \"'$HOME'\"}'; read x" },
      { A = "it's one", HOME = false }, log)
    assert.same({ a = "it's one", home = "" }, p:answer())
    p:stop()
  end)

  it("that has ended is known by the last words it left", function()
    local p = process.start({ "sh", "-c", "echo first >&2; echo 'no such thing' >&2" }, {}, log)
    assert.same({ nil, "no such thing" }, { p:answer() })
  end)
end)

--- An entry whose program is a table: answers `ready` first, then the step times, one list a turn.
local function fake(who, precision, ready, turns)
  local started = {}
  return { who = who, precision = precision, threads = 1, modes = ready.modes or { "" },
    started = started, start = function(_, mode)
      local at, turn = turns[mode] or turns, 0
      local p = { stopped = false }
      function p.write() turn = turn + 1 end
      function p.answer()
        if turn == 0 then return ready[mode] or ready end
        if not at[turn] then return nil, "killed" end
        return { seconds = at[turn], images = 10, peak = 1e6 * turn }
      end
      function p.stop() p.stopped = true end
      started[mode] = p
      return p
    end }
end

local function run(entries, rounds)
  return compare.run({ name = "one thread", task = "train", net = "wrn-16-1", batch = 10,
    params = 5, file = "", entries = entries },
    { seconds = 0, rounds = rounds or 3, folder = "", note = function() end })
end

describe("tests/peers: turns", function()
  local good = { params = 5, check = { 1, 2 }, version = "1.0" }

  it("give medians, and ratios within each round", function()
    local ours = fake("edgeai", "f32", good, { { 1 }, { 2 }, { 1 }, { 4, 4, 90 } })
    local peer = fake("old PyTorch", "f32", good, { { 1 }, { 4 }, { 3 }, { 8 } })
    local records = run { ours, peer }
    assert.same({ 5, 10, 2.5 }, records[1].rates)
    assert.equal(5, records[1].value)
    assert.equal(2, results.ratio(records[1], records[2]))
    assert.is_true(ours.started[""].stopped and peer.started[""].stopped)
  end)

  it("are of the fastest mode, with the least memory of any", function()
    local peer = fake("old PyTorch", "f32", { modes = { "a", "b", "c" }, a = good, b = good,
      c = { absent = "no compiler" } },
      { a = { { 2 } }, b = { { 1 }, { 1 }, { 1 }, { 1 } } })
    local r = run({ fake("edgeai", "f32", good, { { 1 }, { 1 }, { 1 }, { 1 } }), peer })[2]
    assert.equal("b", r.mode)
    assert.same({ 10, 10, 10 }, r.rates)
    assert.equal(1e6, r.peak)
    assert.same({ mode = "c", absent = "no compiler" }, r.modes[3])
    assert.is_true(peer.started.a.stopped)
  end)

  it("are refused to who computes something else, or a net of another size", function()
    local function absent(ready, precision)
      return run({ fake("edgeai", "f32", good, { { 1 }, { 1 } }),
        fake("ncnn", precision or "f32", ready, { { 1 }, { 1 } }) }, 1)[2].absent
    end
    assert.equal("computes something else: differs by 0.05",
      absent { params = 5, check = { 1.1, 2 } })
    assert.is_nil(absent({ params = 5, check = { 1.05, 2 } }, "bf16"))
    assert.truthy(absent { params = 5, check = { 0 / 0, 2 } })
    assert.truthy(absent { params = 5, check = {} })
    assert.equal("its network has 6 parameters, not 5", absent { params = 6, check = { 1, 2 } })
    assert.equal("not installed", absent { absent = "not installed" })
  end)

  it("end for who dies, and go on for the others", function()
    local records = run { fake("edgeai", "f32", good, { { 1 }, { 1 }, { 1 }, { 1 } }),
      fake("ncnn", "f32", good, { { 1 }, { 1 } }) }
    assert.equal("ended: killed", records[2].absent)
    assert.is_nil(records[2].value)
    assert.equal(3, #records[1].rates)
  end)
end)

describe("tests/peers: RESULTS.md", function()
  local function record(who, precision, rates, more)
    local r = { who = who, precision = precision, threads = 1, group = "one thread",
      task = "train", net = "wrn-40-4", batch = 32, version = who == "edgeai" and "9" or "1.2",
      mode = "eager", rates = rates, value = compare.median(rates), peak = 1e6 * rates[1],
      difference = 0.01, modes = {} }
    for key, value in pairs(more or {}) do r[key] = value end
    return r
  end
  local records = { record("edgeai", "f32", { 30, 33 }), record("edgeai", "bf16", { 60, 60 }),
    record("old PyTorch", "f32", { 20, 11 }), record("new PyTorch", "f32", { 15, 15 }),
    { who = "new PyTorch", precision = "bf16", threads = 1, group = "one thread", task = "train",
      net = "wrn-40-4", batch = 32, rates = {}, modes = {}, absent = "no bf16 here" },
    record("edgeai", "f32", { 10, 10 }, { group = "threads", capacity = 1.8 }),
    record("edgeai", "f32", { 19, 19 }, { group = "threads", threads = 2 }) }
  local about = results.about { seconds = 2, rounds = 2 }
  local text = results.markdown(about, records)

  it("has medians and ratios, and a dash where there is nothing", function()
    local table_text = results.summary_of(text)
    assert.truthy(table_text:find("| train WRN-40-4, batch 32 | 31.5 | 60.0 | 15.5 | 15.0 | - "
      .. "| 2.25 | 4.23 | 2.10 | - |", 1, true), table_text)
    assert.truthy(table_text:find("PyTorch 1.2 f32", 1, true))
  end)

  it("has memory, threads and who is absent", function()
    assert.truthy(text:find("| train WRN-40-4, batch 32 | 30 | 60 | 20 | 15 | - | 1.50 |", 1, true))
    assert.truthy(text:find("| train WRN-40-4, batch 32 | 1.80 | 1.90 | - |", 1, true))
    assert.truthy(text:find("PyTorch 1.2 bf16: no bf16 here", 1, true))
  end)

  it("says on which machine, and not whose", function()
    assert.truthy(text:find(about.machine, 1, true))
    assert.truthy(text:find("| command | `make bench-peers ARGS='--set rounds=2'` |", 1, true))
    local pipe = io.popen("hostname 2>/dev/null || uname -n")
    local host = pipe:read("*l")
    pipe:close()
    assert.falsy(text:find("%f[%w]" .. host:gsub("%p", "%%%0") .. "%f[^%w]"))
    assert.falsy(text:find("$", 1, true))
  end)

  it("goes into the README, in the place of the table that was there", function()
    local mark = "<!-- speed: the first table of tests/peers/RESULTS.md -->\n"
    local once = results.into_readme("# x\n\n" .. mark .. "\nrest | of | it\n", text)
    assert.equal("# x\n\n" .. mark .. results.summary(records) .. "\nrest | of | it\n", once)
    assert.equal(once, results.into_readme(once, text))
    assert.error_matches(function() results.into_readme("# x\n", text) end, "has no line", 1, true)
  end)
end)

describe("tests/peers/run.lua", function()
  it("measures edgeai where no peer is, and says that none is", function()
    local folder = program.folder()
    local command = "run tests/peers/run.lua --quiet --set preset=tiny --set nets=wrn-10-1 "
      .. "--set python=/nowhere/python --set debian_python=/nowhere/python3 --set rounds=1 "
      .. ("--set folder=%s/work --set write=%s/RESULTS.md"):format(folder, folder)
    local code, _, err = program.run(program.root, command)
    assert.equal(0, code, err)
    local text = program.read(folder .. "/RESULTS.md")
    local summary = results.summary_of(text)
    for _, task in ipairs { "train", "infer", "dream" } do
      assert.truthy(summary:find("| " .. task
        .. " WRN%-10%-1, batch 2 | [%d.]+ | [%d.]+ | %- | %- |"), summary)
    end
    assert.truthy(text:find("- PyTorch of PyPI f32: ended: .*nowhere/python"))
    -- What is there is not measured again.
    local before = program.read(folder .. "/work/records.jsonl")
    code, _, err = program.run(program.root, command .. " --set go_on=true")
    assert.equal(0, code, err)
    assert.equal(before, program.read(folder .. "/work/records.jsonl"))
    program.remove(folder)
  end)
end)

describe("tests/peers/RESULTS.md", function()
  it("has the table that README.md shows", function()
    local readme = program.read(program.root .. "/README.md")
    local written = program.read(program.root .. "/tests/peers/RESULTS.md")
    assert.truthy(#results.summary_of(written) > 100)
    assert.equal(results.summary_of(written), results.readme_table(readme))
  end)
end)

describe("experiments/bf16_accuracy.lua", function()
  it("runs all seeds in both precisions once, and gives means and deviations", function()
    local folder = program.folder()
    os.execute(("ln -s '%s/experiments' '%s/experiments'"):format(program.root, folder))
    require("tiny").fashion_mnist(folder .. "/data")
    local words = require("tiny").nonn2s:gsub("^run %S+ %-%-quiet", "")
      :gsub("%-%-set precision=f32", "")
    local function start(more)
      return program.run(folder, "run experiments/bf16_accuracy.lua --quiet --set seeds=1,2 "
        .. more, "EDGEAI_DATA=data")
    end
    -- Three runs are given; the fourth is made.
    for name, accuracy in pairs { ["f32-1"] = 90, ["f32-2"] = 92, ["bf16-1"] = 91 } do
      require("edgeai.ffi").C.ea_make_folder(folder .. "/runs/bf16_accuracy/quick-" .. name)
      program.write(("%s/runs/bf16_accuracy/quick-%s/summary.json"):format(folder, name),
        ea.json.encode { ["teacher.accuracy"] = accuracy, ["nonn.accuracy"] = accuracy - 1 })
    end
    local code, out, err = start(("--set words='%s'"):format(words))
    assert.equal(0, code, err)
    assert.truthy(out:find("91.00, 1.41", 1, true) and out:find("90.00, 1.41", 1, true), out)
    local made = ea.json.decode(program.read(folder
      .. "/runs/bf16_accuracy/quick-bf16-2/config.json"))
    assert.same({ "bf16", 2, 1 }, { made.precision, made.seed, made["train.epochs"] })
    local again_code, again = start("--set words='--set no.such=1'") -- nothing is left to run
    assert.equal(0, again_code)
    assert.equal(out, again)
    program.remove(folder)
  end)
end)
