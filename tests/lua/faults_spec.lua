-- SPDX-License-Identifier: GPL-3.0-or-later
-- Every writer on a disk that fails: full, broken, read-only, too small a limit, short writes. One
-- sentence and exit code 1; in the file's place is the old one or the whole new one; nothing is
-- left beside it; and with a disk that works everything goes on. tests/faults/shim.c makes the n-th
-- call fail; EDGEAI_LONG=1 (`make check-long`) tries each n, else some.

local program = require "program"
local training = require "training"

local long = os.getenv "EDGEAI_LONG"
local sanitized = os.getenv "EDGEAI_SANITIZED"
local has_gnuplot = io.popen("command -v gnuplot"):read("*l") ~= nil
local errors = { [28] = "No space left on device", [5] = "Input/output error" }

-- name, file, what writes it; `v` is 1 for the old file and 2 for the new.
local writers = {
  { "safetensors", "a.safetensors", "ea.io.save('a.safetensors', { x = ea.full({ v * 9000 }, v), "
    .. "b = ea.ones({ v }, 'u8') }, { note = 'version ' .. v })" },
  { "npy", "a.npy", "ea.io.save('a.npy', ea.full({ v * 20000 }, v))" },
  { "npz", "a.npz", "ea.io.save('a.npz', { x = ea.full({ v * 9000 }, v), y = ea.ones { v } })" },
  { "png", "a.png", "ea.io.save('a.png', (ea.rng('p', { seed = v }):uniform({ 99, 99, 3 }, 0, "
    .. "255)):to('u8'))" },
  { "a network", "net.safetensors", "ea.seed(v) ea.nn.lenet5 {}:save('net.safetensors', "
    .. "{ mean = { v } })" },
  { "a picture", "grid.png", "ea.image.save('grid.png', ea.image.grid(ea.rng('i', { seed = v })"
    .. ":uniform { 4, 28, 28, 1 }))" },
}
if has_gnuplot then
  writers[#writers + 1] = { "a plot", "plot.png", "local ok, why = ea.plot.lines('plot.png', "
    .. "{ series = { { y = { v, 2, 3 } } } }) if not ok then error(why) end" }
  writers[#writers + 1] = { "a network's drawing", "draw.png", "local ok, why = ea.draw.network("
    .. "'draw.png', { weights = ea.ones { 3 + v, 3 + v }, membership = ea.ones({ 3 + v }, 'i32') "
    .. "}) if not ok then error(why) end" }
end

local function code_of(writer, version)
  return ("local v = %d %s"):format(version, writer[3])
end

describe("on a disk that fails", function()
  local folder, shim

  setup(function()
    folder = program.folder()
    shim = folder .. "/shim.so"
    assert.equal(0, os.execute(("cc -shared -fPIC -o '%s' '%s/tests/faults/shim.c' -ldl"):format(
      shim, program.root)))
    program.write(folder .. "/r.lua", [[
      local run = ea.run.open("r", ea.config {})
      run:log { step = 1, loss = 2.5 }
      run:log { step = 2, loss = 1.5, val = { accuracy = 90 } }
      run:summary { accuracy = 90 }
      ea.io.save(run:path("net.safetensors"), { x = ea.ones { 1000 } })]])
    program.write(folder .. "/train.lua", training.script)
  end)
  teardown(function() program.remove(folder) end)

  --- A new folder for files, and another for what tells about them.
  local function place(name)
    local dir = ("%s/%s"):format(folder, name:gsub("%W", "-"))
    assert.equal(0, os.execute(("rm -rf '%s' && mkdir '%s'"):format(dir, dir)))
    return dir
  end

  local function list(dir)
    local pipe = io.popen(("ls -A '%s'"):format(dir))
    local names = pipe:read("*a")
    pipe:close()
    return names
  end

  --- Runs edgeai in `dir` with the n-th call failing. Returns exit code, standard error, and
  -- whether it came to that.
  local function run_broken(dir, arguments, n, errno, before)
    local log = folder .. "/log"
    os.remove(log)
    local code, _, err = program.run(dir, arguments, (before or "") .. (" env LD_PRELOAD='%s' "
      .. "FAULT_DIR='%s' FAULT_AT=%d FAULT_ERRNO=%d FAULT_LOG='%s'"):format(shim, dir, n, errno,
      log))
    return code, err, program.read(log) ~= nil
  end

  local function says(err, code, errno, what)
    assert.equal(1, code, what .. ": " .. err)
    assert.truthy(err:find("^edgeai: [^\n]+\n$"), what .. ": " .. err)
    if errno then assert.truthy(err:find(errors[errno], 1, true), what .. ": " .. err) end
  end

  --- Which calls to break: all of them, or the first ones and then ever fewer.
  local function next_call(n) return long and n + 1 or 2 * n end

  -- ---- one file --------------------------------------------------------------------------------

  local function versions(writer, dir)
    local bytes = {}
    for version = 1, 2 do
      local code, _, err = program.run(dir, ('eval "%s"'):format(code_of(writer, version)))
      assert.equal(0, code, err)
      bytes[version] = assert(program.read(dir .. "/" .. writer[2]))
    end
    assert.is_false(bytes[1] == bytes[2])
    return bytes[1], bytes[2]
  end

  for _, writer in ipairs(writers) do
    it("keeps the old file or has the whole new one: " .. writer[1], function()
      if sanitized then return pending("sanitizers come before any other library") end
      local dir = place(writer[1])
      local path = dir .. "/" .. writer[2]
      local old, new = versions(writer, dir)
      local by_gnuplot = writer[3]:find("why", 1, true) -- whose own reasons come in its own words
      for _, errno in ipairs(long and { 28, 5 } or { 28 }) do
        local n, reached = 1, 0
        while true do
          program.write(path, old)
          local what = ("%s, call %d, errno %d"):format(writer[1], n, errno)
          local code, err, broken = run_broken(dir, ('eval "%s"'):format(code_of(writer, 2)), n,
            errno)
          local now = program.read(path)
          assert.is_true(now == old or now == new, what)
          assert.equal(writer[2] .. "\n", list(dir), what)
          if not broken then break end
          if by_gnuplot and code == 0 then -- gnuplot's own call, behind the last that matters
            assert.is_true(now == new, what)
          else
            says(err, code, not by_gnuplot and errno, what)
          end
          n, reached = next_call(n), reached + 1
        end
        assert.is_true(reached >= (long and 5 or 3), writer[1])
        assert.is_true(program.read(path) == new)
      end
    end)
  end

  it("keeps the old lines of a history of benchmarks", function()
    if sanitized then return pending("sanitizers come before any other library") end
    local dir, n, reached = place "history", 1, 0
    local path, old = dir .. "/h.jsonl", '{"name":"a"}\n'
    while true do
      program.write(path, old)
      local code, err, broken = run_broken(dir, [[eval "require('edgeai.bench.history').append(]]
        .. [['h.jsonl', { { name = 'b' } })"]], n, 28)
      local now = program.read(path)
      assert.equal(old, now:sub(1, #old))
      if not broken then
        assert.equal(old .. '{"name":"b"}\n', now)
        break
      end
      says(err, code, 28, "call " .. n)
      n, reached = n + 1, reached + 1
    end
    assert.is_true(reached >= 2)
  end)

  it("keeps the prompt's history, of which a session goes on without", function()
    if sanitized then return pending("sanitizers come before any other library") end
    local dir, n, reached = place "prompt", 1, 0
    local path, old = dir .. "/h", ("a\nb\nb\nc\n"):rep(3)
    while true do
      program.write(path, old)
      local code, err, broken = run_broken(dir,
        [[eval "local h, t = require('edgeai.repl.history')]]
        .. [[, require('edgeai.cli.terminal') h.most = 3 h.load('h', t.append) ]]
        .. [[t.append('h', h.encode('new'))"]], n, 28)
      local now = program.read(path)
      assert.equal(0, code, err)
      assert.equal("h\n", list(dir), "call " .. n)
      if not broken then
        assert.equal("a\nb\nc\nnew\n", now)
        break
      end
      assert.truthy(({ [old] = 1, [old .. "new\n"] = 1, ["a\nb\nc\n"] = 1 })[now], now)
      n, reached = n + 1, reached + 1
    end
    assert.is_true(reached >= 3)
  end)

  it("loses nothing by short writes", function()
    if sanitized then return pending("sanitizers come before any other library") end
    for _, k in ipairs { 1, 3, 4 } do
      local writer = writers[k]
      local dir = place("short " .. writer[1])
      local _, new = versions(writer, dir)
      for n = 1, 4 do
        os.remove(dir .. "/" .. writer[2])
        local code, err = run_broken(dir, ('eval "%s"'):format(code_of(writer, 2)), n, 0)
        assert.equal(0, code, err)
        assert.is_true(program.read(dir .. "/" .. writer[2]) == new, writer[1])
      end
    end
  end)

  it("takes no file for whole that a limit cut off, at any length", function()
    if sanitized then return pending("sanitizers take their time to start") end
    for _, writer in ipairs(writers) do
      local dir = place("limit " .. writer[1])
      local path = dir .. "/" .. writer[2]
      local old, new = versions(writer, dir)
      for _, bytes in ipairs(long and { 0, 1, 8, 100, 1000, math.floor(#new / 2), #new - 1 }
        or { 0, #new - 1 }) do
        program.write(path, old)
        local pipe = io.popen(("cd '%s' && { prlimit --core=0 --fsize=%d '%s' eval \"%s\"; "
          .. "echo $?; } 2>&1 </dev/null"):format(dir, bytes, program.path, code_of(writer, 2)))
        local output = pipe:read("*a")
        pipe:close()
        local err, code = output:match("^(.-)(%d+)\n$")
        says(err, tonumber(code), nil, ("%s, %d bytes"):format(writer[1], bytes))
        assert.is_true(program.read(path) == old, writer[1])
        assert.equal(writer[2] .. "\n", list(dir))
      end
    end
  end)

  it("says so of a disk that is read-only or full, and keeps the old files", function()
    local lines = { ("edgeai() { '%s' \"$@\"; }"):format(program.path),
      "mkdir disk && mount -t tmpfs -o size=2m tmpfs disk || exit 9", "cd disk" }
    for version = 1, 2 do
      if version == 2 then
        lines[#lines + 1] = "sum=$(cat * | cksum); mount -o remount,ro ../disk; how=ro"
        lines[#lines + 1] = "again() {"
      end
      for _, writer in ipairs(writers) do
        local told = (' 2>../err && echo "no failure: %s" || { echo "$how $?: $(cat ../err)"; }')
          :format(writer[1])
        lines[#lines + 1] = ('edgeai eval "%s"%s'):format(code_of(writer, version),
          version == 2 and told or "")
      end
    end
    lines[#lines + 1] = '[ "$(cat * | cksum)" = "$sum" ] && echo "$how: same"; ls -A | grep tmp; }'
    lines[#lines + 1] = "again; mount -o remount,rw ../disk; how=full"
    lines[#lines + 1] = "cat /dev/zero >../disk/zz 2>/dev/null; sum=$(cat * | cksum); again"
    local dir = place "mounts"
    program.write(dir .. "/disk.sh", table.concat(lines, "\n"))
    local pipe = io.popen(("cd '%s' && unshare -rm sh disk.sh 2>&1"):format(dir))
    local output = pipe:read("*a")
    pipe:close()
    if output == "" or output:find("^unshare") or output:find("^mount") then
      return pending("a small disk cannot be mounted")
    end
    local counts = { ro = 0, full = 0 }
    for line in output:gmatch("[^\n]+") do
      local how, code, sentence = line:match("^(%a+) (%d): edgeai: (.+)$")
      if how then
        counts[how] = counts[how] + 1
        assert.equal("1", code, line)
        assert.truthy(sentence:find(how == "ro" and "Read-only file system" or "No space left", 1,
          true) or sentence:find("was not drawn", 1, true), line)
      else
        assert.truthy(line == "ro: same" or line == "full: same", output)
      end
    end
    assert.same({ ro = #writers, full = #writers }, counts)
  end)

  -- ---- runs ------------------------------------------------------------------------------------

  it("leaves the folder of a run whole, from which the next goes on", function()
    if sanitized then return pending("sanitizers come before any other library") end
    local n, reached = 1, 0
    while true do
      local dir, what = place "run", "call " .. n
      local code, err, broken = run_broken(dir, "run ../r.lua --quiet", n, 28)
      local runs = dir .. "/runs/r"
      local latest = runs .. "/latest"
      if broken then
        reached = reached + 1
        says(err, code, nil, what)
        training.whole(latest)
        local again, _, message = program.run(dir, "run ../r.lua --quiet --out other")
        assert.equal(0, again, message)
        if program.read(latest .. "/config.json") then
          again, _, message = program.run(dir, "run ../r.lua --quiet --resume")
          assert.equal(0, again, what .. ": " .. message)
          assert.equal("", training.leftovers(latest), what)
        end
      end
      if code == 0 then break end
      n = next_call(n)
    end
    assert.is_true(reached >= 4)
  end)

  it("goes on to the same bytes after any failed call in a training", function()
    if sanitized then return pending("sanitizers come before any other library") end
    local dir = place "training"
    local code, _, err = program.run(dir, "run ../train.lua --quiet --out want", training.here)
    assert.equal(0, code, err)
    local want = training.outcome(dir .. "/want")
    local seed = tonumber(os.getenv "EDGEAI_CRASH_SEED") or os.time() % 1000000
    local calls = ea.rng("faults", { seed = seed }):uniform({ long and 60 or 4 }, 1, 400)
    for k = 1, calls.shape[1] do
      local n = math.floor(calls[k])
      local what = ("EDGEAI_CRASH_SEED=%d, call %d"):format(seed, n)
      os.execute(("rm -rf '%s/a'"):format(dir))
      local broken
      code, err, broken = run_broken(dir, "run ../train.lua --quiet --out a", n, 28, training.here)
      if broken then
        assert.equal(1, code, what)
        assert.truthy(err:find("^edgeai: [^\n]*No space left on device"), what .. ": " .. err)
      end
      training.whole(dir .. "/a")
      local there = program.read(dir .. "/a/config.json")
      code, _, err = program.run(dir, "run ../train.lua --quiet " .. (there and "--resume a"
        or "--out a"), training.here)
      assert.equal(0, code, what .. ": " .. err)
      training.same(want, dir .. "/a", what)
      assert.equal("", training.leftovers(dir .. "/a"), what)
    end
  end)

  it("has a data set whole or not at all", function()
    if sanitized then return pending("sanitizers come before any other library") end
    local from = place "source"
    assert.equal(0, os.execute(("cd '%s' && mkdir tiny-set && head -c 30730 /dev/zero "
      .. ">tiny-set/batch.bin && tar -cf tiny.tar tiny-set"):format(from)))
    local md5 = io.popen(("md5sum '%s/tiny.tar'"):format(from)):read("*a"):match("^%x+")
    program.write(folder .. "/fetch.lua", ([[
      ea.data.register { name = "tiny", title = "Tiny", folder = "tiny-set", md5 = "%s",
        url = "file://%s/tiny.tar", files = { { name = "batch.bin", bytes = 30730 } },
        shape = { 32, 32, 3 }, classes = 10, names = {}, counts = { train = 10, test = 0 },
        mean = { 0, 0, 0 }, std = { 1, 1, 1 }, read = function() end }
      ea.data.fetch("tiny", { root = "data" })]]):format(md5, from))
    local n = 1
    while true do
      local dir = place "fetch"
      local code, err, broken = run_broken(dir, "run ../fetch.lua", n, 28)
      local bytes = program.read(dir .. "/data/tiny-set/batch.bin")
      assert.is_true(bytes == nil or #bytes == 30730, "call " .. n)
      if broken and code ~= 0 then
        assert.equal(1, code, err)
        assert.truthy(err:find("edgeai: [^\n]+\n$"), err)
      end
      local again, _, message = program.run(dir, "run ../fetch.lua")
      assert.equal(0, again, message)
      assert.equal("tiny-set\n", list(dir .. "/data"))
      if not broken then break end
      n = next_call(n)
    end
    assert.is_true(n >= 4)
  end)
end)
