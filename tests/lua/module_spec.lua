-- SPDX-License-Identifier: GPL-3.0-or-later
-- What a layer's author builds with: declaring and checking options, children, observing runs.

local Module = require "edgeai.nn.module"

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

describe("Module", function()
  it("check_count takes whole numbers from `least` on", function()
    Module.check_count("pair", { n = 3 }, "n")
    Module.check_count("pair", { n = 0 }, "n", 0)
    for _, wrong in ipairs { 0, -1, 1.5, "3", false } do
      fails(function() Module.check_count("pair", { n = wrong }, "n") end,
        "pair: 'n' must be a whole number of at least 1, got " .. tostring(wrong))
    end
  end)

  it("options go by place or by name, and unknown or missing ones are refused", function()
    local defaults = { inp = Module.needed, out = 4 }
    assert.same({ inp = 3, out = 4 }, Module.options("l", { 3 }, { "inp", "out" }, defaults))
    assert.same({ inp = 1, out = 2 }, Module.options("l", { out = 2, inp = 1 }, {}, defaults))
    fails(function() Module.options("l", {}, { "inp" }, defaults) end,
      "l: the option 'inp' must be given")
    fails(function() Module.options("l", { 1, 2 }, { "inp" }, defaults) end,
      "l: expected at most 1 options without a name, got one more")
    fails(function() Module.options("l", 3, { "inp" }, defaults) end,
      "l: expected a table of options, as in l{...}, got a number")
  end)

  it("layer_list takes layers with and without names, and no holes", function()
    local a, b = ea.nn.relu {}, ea.nn.tanh {}
    local items = Module.layer_list("chain", { a, { "second", b } })
    assert.equal(a, items[1].module)
    assert.is_nil(items[1].name)
    assert.same({ "second", b }, { items[2].name, items[2].module })
    fails(function() Module.layer_list("chain", { a, [3] = b }) end, "without holes")
    fails(function() Module.layer_list("chain", { a, 3 }) end,
      "chain: item 2 must be a layer or { \"name\", layer }")
    fails(function() Module.layer_list("chain", a) end, "chain: expected a list of layers")
  end)

  it("materialise gives all parameters memory, once and outside of any ea.scope", function()
    local net = ea.nn.sequential { ea.nn.linear { 3, 2 }, ea.nn.relu {}, ea.nn.linear { 2, 1 } }
    local before = ea.memory().live
    ea.scope(function() net:materialise() end)
    assert.is_true(ea.memory().live > before)
    local weight = net:get("0").weight
    net:materialise()
    assert.is_true(weight == net:get("0").weight)
    assert.equal(6, weight:numel()) -- alive
  end)

  it("enter makes parameters and converts the input to the network's precision", function()
    local net = ea.nn.linear { 3, 2 }:set_precision("bf16")
    assert.equal("bf16", net:enter(ea.ones { 1, 3 }).dtype)
    assert.equal("i32", net:enter(ea.ones({ 1, 3 }, "i32")).dtype)
    assert.equal("f32", net:set_precision("f32"):enter(ea.ones { 1, 3 }).dtype)
  end)

  it("outside_scope keeps what it makes, and raises what it raises", function()
    local kept
    ea.scope(function() Module.outside_scope(function() kept = ea.ones { 2 } end) end)
    assert.equal(2, kept:sum():item())
    fails(function()
      ea.scope(function() Module.outside_scope(function() error("oh no", 0) end) end)
    end, "oh no")
    local inside
    ea.scope(function() inside = ea.ones { 2 } end) -- the scope came back after the error
    fails(function() return inside:sum() end, "this tensor was dropped")
  end)

  it("observe is told of every layer's call, inner ones first, also within each other", function()
    local net = ea.nn.sequential { { "fc", ea.nn.linear { 3, 2 } }, { "act", ea.nn.relu {} } }
    local seen, outer = {}, 0
    local y = Module.observe(function() outer = outer + 1 end, function()
      return Module.observe(function(m, x, out)
        seen[#seen + 1] = ("%s %d>%d"):format(m:path() or "net", x:size(2), out:size(2))
      end, function() return net(ea.ones { 1, 3 }) end)
    end)
    assert.same({ 1, 2 }, y.shape)
    assert.same({ "fc 3>2", "act 2>2", "net 3>2" }, seen)
    assert.equal(3, outer)
    net(ea.ones { 1, 3 })
    assert.equal(3, #seen) -- no longer
  end)

  it("named_modules lists everything below in order", function()
    local names = {}
    for _, entry in ipairs(ea.nn.wrn { depth = 10, head = false }:named_modules()) do
      assert.is_true(Module.is(entry.module))
      names[#names + 1] = entry.name
    end
    assert.same({ "conv0", "group1", "group1.0", "group1.0.bn1" }, { unpack(names, 1, 4) })
  end)

  it("summary_table is what a summary prints", function()
    local summary = ea.nn.lenet5 {}:summary()
    local text = ea.nn.Module.summary_table(summary)
    assert.equal(tostring(summary), text)
    assert.truthy(text:find("fc3 +linear +{1, 10} +850"), text)
  end)

  it("declares parameters and buffers; walk visits all, the network itself first", function()
    local Counter = Module.class("counter")
    function Counter:forward(x) return x + self.count end
    local c = Counter.new()
    c:buffer("count", { 2 }, 7)
    c:parameter("step", { 2 }, function(_, size) return ea.ones(size) end)
    local net = ea.nn.sequential { { "c", c } }
    local visited = {}
    net:walk(function(name, m)
      assert.is_true(ea.nn.is_module(m))
      visited[#visited + 1] = name
    end)
    assert.same({ "", "c" }, visited)
    assert.is_false(ea.nn.is_module { children = 3 })
    assert.same({ 8, 9 }, net(ea.tensor { 1, 2 }):tolist())
    assert.same({ "c.count", "c.step" }, { net:buffers()[1].name, net:parameters()[1].name })
    assert.equal(2, net:parameter_count())
  end)
end)
