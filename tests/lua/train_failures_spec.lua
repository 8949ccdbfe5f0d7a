-- SPDX-License-Identifier: GPL-3.0-or-later
-- Training that cannot go on: NaN, wrong or damaged checkpoints, a full disk, no memory. One
-- sentence, exit code 1, and the last good checkpoint stays. All through the real program.

local program = require "program"

local script = [[
local tiny = require "tiny"
local cfg = ea.config { epochs = 2, batch = 16, filters = 8, lr = 0.1, late_lr = 0.1, big = 1,
  loss = "plain", save_every = 0, side = 12 }
local run = ea.run.open("t", cfg)
local net = ea.nn.sequential {
  { "conv1", ea.nn.conv2d { 1, cfg.filters } }, { "bn1", ea.nn.batch_norm { cfg.filters } },
  ea.nn.relu {}, { "conv2", ea.nn.conv2d { cfg.filters, 8 } }, { "pool", ea.nn.global_avg_pool {} },
  { "fc", ea.nn.linear { 8, 4 } } }
if cfg.big > 1 then net:get("conv2").weight:fill(cfg.big) end
local objectives = { log = function(x, y)
  local logits = net(x)
  return logits:cross_entropy(y) + (logits - logits):log():mean(), logits
end }
local result = ea.train.fit(net, tiny.split(96, 1, cfg.side), { run = run, label = "t",
  epochs = cfg.epochs, batch = cfg.batch, objective = objectives[cfg.loss],
  validate = tiny.split(64, 2, cfg.side), save_every = cfg.save_every,
  schedule = function(t) return t >= 1 and cfg.late_lr or cfg.lr end })
run:summary { steps = result.steps }
]]

describe("a training run that cannot go on", function()
  local folder

  local function run(arguments, before)
    return program.run(folder, "run s.lua --quiet " .. arguments,
      "EDGEAI_PATH=" .. program.root .. "/tests/lua " .. (before or ""))
  end

  --- Runs `edgeai run s.lua ARGUMENTS` in a shell where `limit` is in force.
  local function run_limited(limit, arguments)
    local command = ("cd '%s' && { %s; EDGEAI_PATH='%s/tests/lua' '%s' run s.lua --quiet %s; } "
      .. "2>&1 </dev/null; echo $?"):format(folder, limit, program.root, program.path, arguments)
    local pipe = io.popen("timeout -s KILL 60 sh -c " .. "'" .. command:gsub("'", "'\\''") .. "'")
    local output = pipe:read("*a")
    pipe:close()
    local text, code = output:match("^(.-)(%d+)\n$")
    assert(code, output)
    return tonumber(code), text
  end

  local function read(path) return program.read(folder .. "/" .. path) end

  local function one_sentence(text)
    assert.truthy(text:find("^edgeai: [^\n]+\n$"), text)
  end

  local function says(text, ...)
    one_sentence(text)
    for _, words in ipairs { ... } do assert.truthy(text:find(words, 1, true), text) end
  end

  local checkpoint = "t.checkpoint.safetensors"

  before_each(function()
    folder = program.folder()
    program.write(folder .. "/s.lua", script)
  end)
  after_each(function() program.remove(folder) end)

  -- ---- NaN --------------------------------------------------------------------------------------

  it("stops at NaN, says where, and keeps the last good checkpoint", function()
    local code, _, err = run("--out a --set late_lr=1e30 --set save_every=1000")
    assert.equal(1, code)
    says(err, "s.lua:", "epoch 2, batch ", "a lower learning rate may help; "
      .. "the last good checkpoint is a/" .. checkpoint)
    local ok, tensors = pcall(ea.io.load, folder .. "/a/" .. checkpoint)
    assert.is_true(ok, tensors)
    for name, t in pairs(tensors) do assert.equal(0, t:count_nonfinite(), name) end
    code, _, err = run("--resume a --set late_lr=0.05")
    assert.equal(0, code, err)
    assert.truthy(read("a/summary.json"):find('"steps": 12', 1, true))
  end)

  it("never saves NaN, even when it saves after every step", function()
    local code, _, err = run("--out a --set late_lr=1e38")
    assert.equal(1, code)
    one_sentence(err)
    local tensors = ea.io.load(folder .. "/a/" .. checkpoint)
    for name, t in pairs(tensors) do assert.equal(0, t:count_nonfinite(), name) end
  end)

  it("names the layer or the objective that NaN comes from", function()
    local code, _, err = run("--out a --set loss=log")
    assert.equal(1, code)
    says(err, "the loss of t became infinite at epoch 1, batch 1 (first in the objective, not the "
      .. "network)")
    code, _, err = run("--out b --set big=3e38")
    assert.equal(1, code)
    says(err, "epoch 1, batch 1 (first in the output of conv2)")
  end)

  -- ---- checkpoints ------------------------------------------------------------------------------

  it("refuses damaged checkpoints and those of something else", function()
    assert.equal(0, (run("--out a")))
    local path = folder .. "/a/" .. checkpoint
    local good = program.read(path)
    for _, bytes in ipairs { 0, 5, 100, math.floor(#good / 2), #good - 1 } do
      program.write(path, good:sub(1, bytes))
      local code, _, err = run("--resume a --set epochs=3")
      assert.equal(1, code)
      says(err, "a/" .. checkpoint)
      assert.equal(bytes, #program.read(path))
    end
    program.write(path, "no checkpoint at all, but some text")
    assert.equal(1, (run("--resume a")))
    program.write(path, good)
    local code, _, err = run("--resume a --set filters=4")
    assert.equal(1, code)
    says(err, "the checkpoint a/" .. checkpoint .. " is of another network: its net.conv1.weight "
      .. "is f32 {8, 1, 3, 3}, here it is f32 {4, 1, 3, 3}")
    code, _, err = run("--resume a --set filters=8 --set batch=8")
    assert.equal(1, code)
    says(err, "6 batches an epoch and seed 1, here there are 12")
    code, _, err = run("--resume a --set batch=16 --set epochs=3")
    assert.equal(0, code, err)
  end)

  it("refuses a model file in the checkpoint's place", function()
    assert.equal(0, (run("--out a")))
    local net = ea.nn.mlp { inp = 4, hidden = {}, classes = 2 }
    net:save(folder .. "/a/" .. checkpoint)
    local code, _, err = run("--resume a")
    assert.equal(1, code)
    says(err, "a/" .. checkpoint .. " is not a checkpoint")
  end)

  -- ---- the disk ---------------------------------------------------------------------------------

  it("says that a file cannot grow, and keeps the checkpoint", function()
    assert.equal(0, (run("--out a --set epochs=1")))
    local before = read("a/" .. checkpoint)
    local blocks = math.floor(#before / 1024) -- of 512 bytes: half a checkpoint
    local code, text = run_limited("ulimit -f " .. blocks, "--resume a --set epochs=2")
    assert.equal(1, code)
    says(text, "cannot write a/" .. checkpoint, "File too large")
    assert.is_true(before == read("a/" .. checkpoint))
    assert.equal("", (io.popen("ls -A " .. folder .. "/a | grep tmp"):read("*a")))
    local left, _, err = run("--resume a --set epochs=2")
    assert.equal(0, left, err)
  end)

  it("says that the disk is full, and keeps the checkpoint", function()
    if os.execute("unshare -rm true 2>/dev/null") ~= 0 then
      return pending("there is no unshare -rm to mount a small disk with")
    end
    -- 6 steps fit; then the disk is filled up, leaving less than a checkpoint; then there is room.
    program.write(folder .. "/disk.sh", ([[
      export EDGEAI_PATH='%s/tests/lua'
      mkdir disk && mount -t tmpfs -o size=400k tmpfs disk || exit 9
      edgeai() { '%s' "$@"; }
      edgeai run s.lua --quiet --out disk/a --set epochs=1; echo $?
      sum() { cksum <disk/a/t.checkpoint.safetensors; }
      was=$(sum)
      cat /dev/zero >disk/fill 2>/dev/null; truncate -s -%d disk/fill
      edgeai run s.lua --quiet --resume disk/a --set epochs=2; echo $?
      [ "$was" = "$(sum)" ] && echo same
      rm disk/fill
      edgeai run s.lua --quiet --resume disk/a --set epochs=2; echo $?
    ]]):format(program.root, program.path, 8192))
    local pipe = io.popen(("cd '%s' && unshare -rm sh disk.sh 2>&1"):format(folder))
    local output = pipe:read("*a")
    pipe:close()
    if output == "" or output:find("mount:", 1, true) then
      return pending("a tmpfs cannot be mounted")
    end
    local sentence = output:match("^0\n(edgeai: [^\n]+\n)1\nsame\n0\n$")
    assert.truthy(sentence, output)
    says(sentence, "cannot write disk/a/", "No space left on device")
  end)

  it("says that standard output cannot be written", function()
    program.write(folder .. "/s.lua", "print(1)")
    local code, text = run_limited("true", "--quiet >/dev/full")
    assert.equal(1, code)
    says(text, "cannot write the output: No space left on device")
  end)

  -- ---- memory -----------------------------------------------------------------------------------

  it("says that there is no memory, whatever it is missing for", function()
    if os.getenv "EDGEAI_SANITIZED" then return pending("sanitizers need their address space") end
    -- Where the libraries and Lua just fit, up to where everything does.
    local refused = 0
    for megabytes = 160, 640, 60 do
      os.execute("rm -rf " .. folder .. "/a")
      local code, text = run_limited("ulimit -v " .. megabytes * 1000,
        "--out a --set epochs=1 --set batch=64 --set side=24")
      if code ~= 0 and code ~= 127 then -- 127: not even the libraries
        assert.equal(1, code, megabytes .. " MB: " .. text)
        local line = text:match("^edgeai: ([^\n]+)\n")
        assert.truthy(line and (line:find("memory", 1, true) or line:find("cannot start", 1, true)),
          ("%d MB: %s"):format(megabytes, text))
        refused = refused + 1
      end
    end
    assert.is_true(refused > 0)
  end)
end)
