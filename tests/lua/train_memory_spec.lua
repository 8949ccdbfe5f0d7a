-- SPDX-License-Identifier: GPL-3.0-or-later
-- The memory of training: planned, constant, and where there is none, a sentence.

local F = require "edgeai.ffi"
local program = require "program"
local session = require "edgeai.session"
local tiny = require "tiny"

local fit, sgd, wrn = tiny.fit, tiny.sgd, tiny.wrn

describe("the memory of ea.train.fit", function()
  local quiet = session.quiet
  setup(function() session.quiet = true end)
  teardown(function() session.quiet = quiet end)

  it("allocates nothing per step", function()
    local net = wrn("f32", 0.1)
    local counts = {}
    fit(net, { split = tiny.split(160, 1, 16), epochs = 1, clip = 1,
      augment = { crop_pad = 2, flip = true }, schedule = function()
        counts[#counts + 1] = ea.memory().count
        return 0.01
      end })
    assert.equal(10, #counts)
    assert.equal(counts[2], counts[10])
  end)

  local function resident()
    return tonumber(program.read("/proc/self/status"):match("VmRSS:%s*(%d+)")) * 1024
  end

  it("keeps memory flat over 10,000 steps", function()
    local function sizes()
      collectgarbage()
      collectgarbage()
      return { live = ea.memory().live, lua = collectgarbage("count") * 1024,
        resident = resident(), count = ea.memory().count }
    end
    local net = tiny.net(0.1)
    local step, early, late = 0, nil, nil
    fit(net, { split = tiny.split(400, 1, 6), epochs = 100, batch = 4, clip = 1,
      augment = { flip = true }, schedule = function()
        step = step + 1
        if step == 500 then early = sizes() end
        if step == 9999 then late = sizes() end
        return 1e-3
      end })
    assert.equal(10000, step)
    assert.equal(early.live, late.live)
    assert.is_true(late.lua - early.lua < 256e3, "Lua grew by " .. late.lua - early.lua)
    -- (the address sanitizer holds back what was freed)
    assert.is_true(late.resident - early.resident < 4e6 or os.getenv "EDGEAI_SANITIZED" ~= nil,
      "the process grew by " .. late.resident - early.resident)
    assert.is_true(late.count - early.count < 2000) -- each epoch has a bar and a loader's start
  end)

  it("plans the memory it takes, within a tenth", function()
    for _, precision in ipairs { "f32", "bf16" } do
      for _, training in ipairs { true, false } do
        local net = ea.nn.wrn { depth = 10 }:set_precision(precision):train(training)
        local own = 0
        for _, item in ipairs(net:state_dict()) do own = own + item.tensor:bytes() end
        local x, y = ea.zeros({ 32, 32, 32, 3 }, precision), ea.ones({ 32 }, "i32")
        collectgarbage()
        collectgarbage()
        local before = ea.memory().live - own
        F.C.ea_memory_reset_peak()
        local g = training
          and ea.capture(function(a, b) return net(a):to("f32"):cross_entropy(b) end, { x, y })
          or ea.no_grad(ea.capture, function(a) return net(a) end, { x })
        local planned = g.peak
        g.inputs[1]:copy(x)
        if training then g.inputs[2]:copy(y) end
        for step = 1, 2 do
          g:forward(step)
          if training then g:backward() end
        end
        local used = ea.memory().peak - before
        assert.is_true(planned > 0.9 * used and planned < 1.1 * used,
          ("%s %s: %d planned, %d used"):format(precision, training and "training" or "inference",
            planned, used))
        assert.equal(planned, g.peak)
        g:free()
      end
    end
  end)

  it("survives the failure of any allocation", function()
    local net = tiny.net(0.1)
    local split = tiny.split(32, 1)
    local opt = sgd(net)
    local function train()
      return fit(net, { split = split, epochs = 1, optimizer = opt, validate = split, clip = 1 })
    end
    train()
    local count = ea.memory().count
    train()
    local most = ea.memory().count - count
    for n = 1, most do
      F.C.ea_memory_fail_at(n)
      local ok, message = pcall(train)
      F.C.ea_memory_fail_at(0)
      assert.is_false(ok, n .. " of " .. most)
      assert.truthy(message:find("out of memory", 1, true), message)
      assert.is_nil(message:find("\n", 1, true), message)
    end
    collectgarbage()
    collectgarbage()
    local live = ea.memory().live
    for _ = 1, 3 do
      F.C.ea_memory_fail_at(most - 5)
      pcall(train)
      F.C.ea_memory_fail_at(0)
    end
    collectgarbage()
    collectgarbage()
    assert.is_true(ea.memory().live <= live, "a failed training leaks")
    train()
  end)
end)
