-- SPDX-License-Identifier: GPL-3.0-or-later
-- Renderings in a folder: read again, gone on with after an interrupt, more than the memory holds.

local obj = ea.vis.objectives

local function network()
  ea.seed(5)
  local net = ea.nn.resnet { depth = 8, widths = { 4, 4, 8, 8 } }
  net.mean, net.std = { 0.5, 0.5, 0.5 }, { 0.25, 0.25, 0.25 }
  return net
end

--- Options for something quick.
local function quick(more)
  local o = { steps = 6, size = 12, input = 12, quiet = true, seed = 3, redirect = 3 }
  for key, value in pairs(more or {}) do o[key] = value end
  return o
end

local function sentence(fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  return tostring(message)
end

local function same(a, b)
  return (a - b):abs():max():item() == 0
end

describe("a rendering in a folder", function()
  local net = network()
  local program = require "program"

  it("is read again, goes on after an interrupt to the same bytes, refuses another's", function()
    local dir = program.folder()
    local goal = obj.channel("layer2/pre", { 1, 2, 3, 4, 5 })
    local o = quick { batch = 2, steps = 8, thresholds = { 3, 8 } }
    local whole = ea.vis.render(net, goal, o)
    o.out = dir
    o.on_step = function(step)
      if step == 5 then require("edgeai.ffi").C.ea_interrupt_raise(2) end
    end
    local first = ea.vis.render(net, goal, o)
    require("edgeai.ffi").C.ea_interrupt_clear()
    assert.is_true(first.interrupted)
    assert.equal(2, first.done)
    assert.is_true(same(first.thresholds[1]:narrow(1, 1, 2), whole.thresholds[1]:narrow(1, 1, 2)))
    o.on_step = nil
    local second = ea.vis.render(net, goal, o)
    assert.is_true(same(second.images, whole.images))
    assert.is_true(same(second.history.total, whole.history.total))
    assert.is_true(same(second.thresholds[1], whole.thresholds[1]))
    local steps = 0
    o.on_step = function() steps = steps + 1 end
    local third = ea.vis.render(net, goal, o)
    assert.equal(0, steps)
    assert.is_true(same(third.images, whole.images))
    o.seed = 4
    assert.matches("belongs to another rendering", sentence(ea.vis.render, net, goal, o))
    program.remove(dir)
  end)

  it("still knows which images were dead", function()
    local dir, part = program.folder(), network()
    part:requires_grad(false)
    part.bn1.weight[2], part.bn1.bias[2] = 0, -5
    local o = quick { redirect = 0, dead = "keep", transforms = {}, batch = 2, steps = 4,
      out = dir }
    o.on_step = function(step)
      if step == 3 then require("edgeai.ffi").C.ea_interrupt_raise(2) end
    end
    local goal = obj.channel("relu", { 1, 2, 3, 2 })
    assert.is_true(ea.vis.render(part, goal, o).interrupted)
    require("edgeai.ffi").C.ea_interrupt_clear()
    o.on_step = nil
    for _ = 1, 2 do assert.same({ 2, 4 }, ea.vis.render(part, goal, o).dead) end
    program.remove(dir)
  end)

  it("streams many images through a bounded memory", function()
    local targets = ea.rng("targets"):normal { 150, 8 }
    local function rendered(n, more)
      local most, o = 0, quick { steps = 2, memory = 6e5 }
      for key, value in pairs(more) do o[key] = value end
      o.on_step = function()
        collectgarbage()
        most = math.max(most, ea.memory().live)
      end
      local goal = obj.target("layer2/pre", targets:narrow(1, 1, n):clone())
      return ea.vis.render(net, goal, o), most
    end
    local whole, dir = rendered(150, {}), program.folder()
    local r, many = rendered(150, { out = dir, keep = false })
    assert.is_nil(r.images)
    assert.is_true(r.peak <= 6e5)
    assert.is_true(same(r.history.total, whole.history.total))
    local pipe = io.popen(("ls '%s'"):format(dir))
    local files, first = 0, 1
    for name in pipe:lines() do
      local part = ea.io.load(dir .. "/" .. name).images
      assert.is_true(same(part, whole.images:narrow(1, first, part:size(1))))
      files, first = files + 1, first + part:size(1)
    end
    pipe:close()
    assert.equal(151, first)
    assert.is_true(files >= 3)
    program.remove(dir)
    dir = program.folder()
    local _, few = rendered(45, { out = dir, keep = false })
    program.remove(dir)
    local pixels = (150 - 45) * 12 * 12 * 3 * 4
    assert.is_true(many < few + pixels / 2, ("%d bytes, %d"):format(many, few))
  end)

  local opt = ea.vis.optimizer
  for name, optimizer in pairs { ["L-BFGS"] = opt.lbfgs { lr = 0.5, memory = 3 },
    ["momentum"] = opt.sgd { lr = 0.1, momentum = 0.9 }, ["steepest ascent"] = opt.steepest {} } do
    it("goes on exactly with " .. name .. ", wherever it was stopped", function()
      local goal = obj.target("layer2/pre", ea.rng("targets"):normal { 3, 8 })
      local o = quick { batch = 2, steps = 7, optimizer = optimizer, transforms = {} }
      local whole = ea.vis.render(net, goal, o)
      for _, at in ipairs { 1, 2, 6 } do
        local dir = program.folder()
        o.out = dir
        o.on_step = function(step)
          if step == at then require("edgeai.ffi").C.ea_interrupt_raise(2) end
        end
        assert.is_true(ea.vis.render(net, goal, o).interrupted)
        require("edgeai.ffi").C.ea_interrupt_clear()
        local count = 0
        o.on_step = function() count = count + 1 end
        local again = ea.vis.render(net, goal, o)
        assert.equal(2 * 7 - at, count)
        assert.is_true(same(again.images, whole.images))
        assert.is_true(same(again.history.total, whole.history.total))
        program.remove(dir)
      end
    end)
  end
end)
