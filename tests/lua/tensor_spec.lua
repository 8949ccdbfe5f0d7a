-- SPDX-License-Identifier: GPL-3.0-or-later
-- What a newcomer gets wrong with tensors: one sentence that names the function.

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

describe("tensors refuse", function()
  it("sizes that are no list, by the name of the function called", function()
    for _, name in ipairs { "zeros", "ones", "empty", "rand", "randn" } do
      fails(function() ea[name](2, 3) end, name .. ": expected a list of sizes, as in ea." .. name)
    end
  end)

  it("values that are no numbers", function()
    fails(function() ea.full({ 2 }, "x") end, "full: expected a number, got a string")
    fails(function() ea.full { 2 } end, "full: expected a number, got a nil")
    fails(function() ea.ones({ 2 }):fill("x") end, "fill: expected a number, got a string")
    fails(function() ea.ones({ 2 }):set(1, "x") end, "set: expected a number, got a string")
    fails(function() ea.threads("two") end, "threads: expected a whole number, got two")
  end)

  it("a step of 0", function()
    fails(function() ea.arange(1, 10, 0) end, "arange: the step must not be 0")
  end)

  it("to be changed in place while their gradient is recorded", function()
    local x = ea.ones({ 3 }):require_grad()
    fails(function() x[1] = 2 end, "cannot be changed in place")
    ea.no_grad(function() x[1] = 2 end)
    assert.equal(2, x:get(1))
  end)
end)

describe("ea.capture refuses", function()
  it("what is no function, and functions without results", function()
    fails(function() ea.capture(3) end, "capture: expected a function of tensors, got a number")
    fails(function() ea.capture(function() end, {}) end, "capture: the function returned no tensor")
    fails(function() ea.capture(function(x) return x end, 3) end, "capture: expected a list of")
  end)
end)
