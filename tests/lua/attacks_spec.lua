-- SPDX-License-Identifier: GPL-3.0-or-later
-- Every hostile file of tests/attacks is refused with a sentence, within a second of the processor
-- and 256 MiB; so are scripts, folders of runs and links that were made to hurt.
local ea = require "edgeai"
local ffi = require "ffi"
local F = require "edgeai.ffi"
local program = require "program"

local MOST_BYTES, MOST_SECONDS = 256 * 2 ^ 20, 1
local sanitized = os.getenv "EDGEAI_SANITIZED"

--- VmRSS or VmHWM of this process, in bytes.
local function memory(what)
  return tonumber(program.read("/proc/self/status"):match(what .. ":%s*(%d+) kB")) * 1024
end

local function out(type) return ffi.new(type .. "[1]") end

--- A model's text, held against a file without tensors and applied to zeros.
local function run_model(path)
  local archive, model = out "ea_archive *", out "ea_model *"
  F.check(F.C.ea_archive_new(archive))
  local function attempt()
    F.check(F.C.ea_archive_set_meta(archive[0], "edgeai.graph", program.read(path)))
    F.check(F.C.ea_model_new(archive[0], model))
    local dtype, size = ffi.new "int[1]", ffi.new "int64_t[8]"
    local ndim, sizes = F.check(F.C.ea_model_input_shape(model[0], 0, dtype, size)), {}
    for d = 1, ndim do sizes[d] = tonumber(size[d - 1]) end
    local inputs, outputs = F.out(), F.out()
    local x = ea.zeros(sizes)
    inputs[0] = x
    F.check(F.C.ea_model_apply(model[0], 1, inputs, outputs))
    F.own(outputs[0])
  end
  local ok, message = pcall(attempt)
  if model[0] ~= nil then F.C.ea_model_free(model[0]) end
  F.C.ea_archive_free(archive[0])
  if not ok then error(path .. ": " .. message, 0) end
end

local readers = {
  idx = function(path) F.check(F.C.ea_idx_load(path, F.out())) end,
  cifar = function(path) F.check(F.C.ea_cifar_load(path, 1, F.out(), F.out())) end,
  json = function(path)
    local ok, message = pcall(ea.json.decode, program.read(path))
    if not ok then error(path .. ": " .. message, 0) end
  end,
  model = run_model,
}

describe("attacks", function()
  local here = debug.getinfo(1, "S").source:match("^@(.*)tests/lua/[^/]*$") or ""
  local attacks = assert(loadfile(here .. "tests/attacks/files.lua"))()
  local folder
  setup(function() folder = program.folder() end)
  teardown(function() program.remove(folder) end)

  it("are at least 100", function() assert.is_true(#attacks >= 100) end)

  for _, attack in ipairs(attacks) do
    it("refuses " .. attack.name, function()
      local path = folder .. "/" .. attack.name
      program.write(path, attack.bytes)
      attack.bytes = nil
      collectgarbage()
      collectgarbage()
      local load = readers[attack.name:match("%w+$")] or ea.io.load
      local live, rss = ea.memory().live, memory "VmRSS"
      F.C.ea_memory_reset_peak()
      os.execute("echo 5 >/proc/$PPID/clear_refs 2>/dev/null") -- the peak starts anew
      local start = os.clock()
      local ok, message = pcall(load, path)
      local seconds = os.clock() - start
      local high = memory "VmHWM"
      collectgarbage()
      collectgarbage()
      assert.is_false(ok)
      assert.is_truthy(message:find(attack.says, 1, true), message)
      assert.is_truthy(message:find(path, 1, true), message)
      assert.is_nil(message:find("[%z\1-\9\11-\31\127]"))
      assert.are.equal(live, ea.memory().live)
      assert.is_true(ea.memory().peak - live < MOST_BYTES, "bytes")
      if not sanitized then
        assert.is_true(high - rss < MOST_BYTES, ("%.0f MiB"):format((high - rss) / 2 ^ 20))
        assert.is_true(seconds < MOST_SECONDS, ("%.2f s"):format(seconds))
      end
    end)
  end

  it("refuses devices, pipes, folders and links in a ring in place of files", function()
    for _, case in ipairs { { "zero.npy", "ln -s /dev/zero", "device" },
      { "d.png", "mkdir", "folder" }, { "pipe.safetensors", "mkfifo", "device or pipe" },
      { "ring.npz", "ln -s ring.npz", "symbolic links" },
      { "ring.jpg", "ln -s ring.jpg", "symbolic links" } } do
      local path = folder .. "/" .. case[1]
      assert.are.equal(0, os.execute(("cd '%s' && %s %s"):format(folder, case[2], case[1])))
      local ok, message = pcall(ea.io.load, path)
      assert.is_false(ok)
      assert.is_truthy(message:find(case[3], 1, true) or message:find("No such file", 1, true),
        message)
    end
  end)

  it("refuses pictures that are pipes in a folder of classes", function()
    assert.are.equal(0, os.execute(("mkdir -p '%s/set/a' '%s/set/b' && mkfifo '%s/set/a/x.png' "
      .. "'%s/set/b/x.png'"):format(folder, folder, folder, folder)))
    local ok, message = pcall(ea.data.load, folder .. "/set")
    assert.is_false(ok)
    assert.is_truthy(message:find("pipe", 1, true), message)
  end)
end)

describe("hostile scripts", function()
  local folder
  setup(function() folder = program.folder() end)
  teardown(function() program.remove(folder) end)

  local function refuses(words, code, arguments, before)
    local status, _, err = program.run(folder, arguments, before)
    assert.equal(code, status, err)
    assert.truthy(err:find("^edgeai: [^\n]+\n"), err)
    assert.truthy(err:find(words, 1, true), err)
  end

  it("are text, and have an end", function()
    program.write(folder .. "/b.lua", string.dump(function() return 1 end))
    refuses("bytecode", 1, "run b.lua")
    program.write(folder .. "/c.lua", "#!/usr/bin/edgeai\n" .. string.dump(function() return 1 end))
    refuses("bytecode", 1, "run c.lua")
    program.write(folder .. "/m.lua", string.dump(function() return {} end))
    program.write(folder .. "/r.lua", "require 'm'")
    refuses("bytecode", 1, "run r.lua")
    os.execute(("cd '%s' && ln -s /dev/zero z.lua && ln -s l.lua l.lua && mkdir d.lua"):format(
      folder))
    refuses("longer than 64 MiB", 1, "run z.lua")
    refuses("l.lua", 1, "run l.lua")
    refuses("folder", 1, "run d.lua")
  end)
end)

describe("the folder of a run that was tampered with", function()
  local folder, good
  local checkpoint = "run/t.checkpoint.safetensors"

  local function resume() return program.run(folder, "run s.lua --quiet --resume run",
    "EDGEAI_PATH='" .. program.root .. "/tests/lua'") end

  setup(function()
    folder = program.folder()
    program.write(folder .. "/s.lua", [[
      local tiny = require "tiny"
      local cfg = ea.config { epochs = 2, widths = { { 1, 2 }, "list" }, name = "x" }
      local run = ea.run.open("t", cfg)
      local net = ea.nn.sequential { ea.nn.flatten {}, { "fc", ea.nn.linear { 144, 4 } } }
      local fit = ea.train.fit(net, tiny.split(96, 1), { run = run, label = "t", batch = 48,
        epochs = cfg.epochs, optimizer = tiny.sgd(net, 0.01) })
      run:summary { loss = fit.history[#fit.history].loss }]])
    local code, _, err = program.run(folder, "run s.lua --quiet --out run",
      "EDGEAI_PATH='" .. program.root .. "/tests/lua'")
    assert.equal(0, code, err)
    good = {}
    for _, name in ipairs { "run/config.json", "run/summary.json", "run/metrics.jsonl",
      checkpoint } do
      good[name] = program.read(folder .. "/" .. name)
    end
  end)
  teardown(function() program.remove(folder) end)

  local function with(name, bytes, codes)
    program.write(folder .. "/" .. name, bytes)
    local code, _, err = resume()
    program.write(folder .. "/" .. name, good[name])
    assert.truthy(codes[code], ("%s: %d: %s"):format(bytes:sub(1, 200), code, err))
    if code ~= 0 then assert.truthy(err:find("^edgeai: [^\n]+\n"), err) end
    assert.falsy(err:find("edgeai/[%w_/]+%.lua:%d+"), err) -- no error of ours
    return err
  end

  it("is refused for its options, in one sentence", function()
    local refused = { [1] = true, [2] = true }
    for _, text in ipairs { "", "[]x", "3", '"x"', "null", ("["):rep(10000), '{"epochs":"two"}',
      '{"epochs":1e999}', '{"epochs":{"a":1}}', '{"widths":3}', '{"seed":-1}', '{"seed":0.5}',
      '{"name":[1]}', '{"precision":"f16"}', '{"epochs":null}' } do
      local err = with("run/config.json", text, refused)
      assert.truthy(err:find("run/config.json", 1, true), err)
    end
  end)

  it("is refused for its results, and its records do no harm", function()
    for _, text in ipairs { "", "[1", "3", '"x"', "null", ("["):rep(10000) } do
      local err = with("run/summary.json", text, { [1] = true })
      assert.truthy(err:find("run/summary.json", 1, true), err)
    end
    for _, text in ipairs { "", "3\n", "[[[[]]]]\n", '{"step":{"a":[{"b":1}]}}\n',
      '{"t.epoch":[1]}\n',
      '{"t.epoch":"x","t":null}\n', ("["):rep(10000), "\0\0\0", '{"a":[[1],[2]]}\n' } do
      with("run/metrics.jsonl", text, { [0] = true })
    end
  end)

  it("is refused for the numbers in its checkpoint, in one sentence", function()
    local tensors, meta, names = ea.io.load(folder .. "/" .. checkpoint)
    local state, list = meta["edgeai.checkpoint"], {}
    for i, name in ipairs(names) do list[i] = { name = name, tensor = tensors[name] } end
    local changes = { { "^.*$", "3" }, { "^.*$", "[]" }, { "^.*$", "{" }, { "^.*$", "null" } }
    for _, key in ipairs { "epoch", "batch", "step", "right", "batches", "seed", "loss",
      "seconds" } do
      for _, value in ipairs { '"x"', "null", "-1", "1e300", "{}" } do
        changes[#changes + 1] = { '"' .. key .. '":[%d.e%-+]+', ('"%s":%s'):format(key, value) }
      end
    end
    for _, key in ipairs { "optimizer", "random" } do
      for _, value in ipairs { "3", "{}", '{"steps":"x"}', '{"seed":-1,"index":[]}' } do
        changes[#changes + 1] = { '"' .. key .. '":{[^}]*}', ('"%s":%s'):format(key, value) }
      end
    end
    changes[#changes + 1] = { '"history":%[.*%]', '"history":[1,2]' }
    changes[#changes + 1] = { '"history":%[.*%]', '"history":[]' }
    for k, change in ipairs(changes) do
      local text, count = state:gsub(change[1], (change[2]:gsub("%%", "%%%%")))
      assert.is_true(count > 0, change[1] .. " in " .. state)
      -- a negative loss and such numbers are not impossible: then it goes on
      if k <= 4 or k % (os.getenv "EDGEAI_LONG" and 1 or 5) == 0 then
        ea.io.save(folder .. "/bad.safetensors", list, { ["edgeai.checkpoint"] = text })
        local err = with(checkpoint, program.read(folder .. "/bad.safetensors"),
          { [0] = change[2]:find("^\"loss\"") ~= nil or change[2]:find("^\"seconds\"") ~= nil,
            [1] = true })
        if err ~= "" then assert.truthy(err:find(checkpoint, 1, true), err) end
      end
    end
  end)
end)
