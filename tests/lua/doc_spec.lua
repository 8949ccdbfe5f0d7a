-- SPDX-License-Identifier: GPL-3.0-or-later
-- Documentation read out of the comments in the sources.

local doc = require "edgeai.doc"

local source = [[
#!/usr/bin/env edgeai
-- SPDX-License-Identifier: MIT
-- thing.lua - things.
--
--   local t = thing.new{}

-- not part of the head
local thing = {}

-- ---- making ------------------------------------------------------------------------------------

--- A new thing. It is
-- empty.
--   indented
function thing.new(given) return given end

-- no doc comment
local function helper(a,
  b) return a, b end

  --- Inside.
  thing[1] = function(...) return ... end
function thing:method(x) return helper(x) end
--- What the file returns.
return function() end]]

describe("doc.parse", function()
  local parsed = doc.parse(source)

  it("finds the head behind the SPDX line, and nothing else", function()
    assert.equal("thing.lua - things.\n\n  local t = thing.new{}", parsed.head)
    assert.is_nil(doc.parse("local x = 1\n-- later\n").head)
    assert.is_nil(doc.parse("").head)
  end)

  it("finds every function with its parameters, line and doc comment", function()
    assert.same({
      { name = "thing.new", parameters = "(given)", line = 15,
        text = "A new thing. It is\nempty.\n  indented" },
      { name = "helper", parameters = "(a, b)", line = 18 },
      { name = "thing[1]", parameters = "(...)", line = 22, text = "Inside." },
      { name = "thing:method", parameters = "(x)", line = 23 },
      { name = "", parameters = "()", line = 25, text = "What the file returns." },
    }, parsed.entries)
  end)
end)

describe("doc.of", function()
  it("finds a function's comment and place", function()
    local found = doc.of(ea.gradcheck)
    assert.truthy(found.text:find("differences") or found.text:find("gradient"), found.text)
    assert.equal("edgeai/grad.lua", found.where:match("^[^:]+"))
    assert.truthy(found.parameters:find("^%(fn, "))
    found = doc.of(ea.zeros { 1 }.copy)
    assert.equal("(t, src)", found.parameters)
    assert.truthy(found.text:find("same shape"))
  end)

  it("finds the head of the file where a constructor has no comment of its own", function()
    local found = doc.of(ea.nn.conv2d)
    assert.is_nil(found.text)
    assert.truthy(found.head:find("^nn%.conv2d{inp, out"))
  end)

  it("looks through functions that code made", function()
    assert.truthy(doc.of(ea.nn.wrn).head:find("^nn%.wrn{depth=16"))
    assert.truthy(doc.of(ea.plot.lines).text:find("^Curves%."))
    local made = function() end
    doc.link(made, { parameters = "(x)", text = "Made." })
    assert.same({ parameters = "(x)", text = "Made." }, doc.of(made))
    doc.link(made, ea.gradcheck)
    assert.same(doc.of(ea.gradcheck), doc.of(made))
  end)

  it("has the formulas of every op", function()
    for _, op in ipairs(require("edgeai.ops").list) do
      local found = doc.of(require("edgeai.ops").functions[op.name])
      assert.truthy(found.text and #found.text > 40, op.name)
      assert.truthy(found.where:find("^core/ops/.*%.c$"))
    end
    assert.equal("(x1, x2, [x3], { stride = 1, pad = 0, groups = 1, dilation = 1 })",
      doc.of(ea.conv2d).parameters)
    assert.truthy(doc.of(ea.conv2d).text:find("cross-correlation", 1, true))
  end)

  it("follows callable tables, and knows nothing of C functions and other values", function()
    assert.truthy(doc.of(ea.progress).head:find("how far a loop is"))
    assert.equal("(options)", doc.of(ea.progress).parameters)
    for _, value in ipairs { print, 3, "text", {} } do assert.is_nil(doc.of(value)) end
    assert.is_nil(doc.of(nil))
    assert.is_nil(doc.of(load("return 1")))
  end)
end)

it("doc.sentence is the first sentence", function()
  assert.equal("One sentence.", doc.sentence("One\nsentence. Another."))
  assert.equal("No end", doc.sentence("No end\n\nbut more"))
  assert.equal("As 0.5 is", doc.sentence("As 0.5 is"))
end)
