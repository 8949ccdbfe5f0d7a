-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.json: values there and back, stable text, what JSON cannot hold.
local ea = require "edgeai"
local json = ea.json

local function refused(says, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_truthy(message:find(says, 1, true), message)
end

describe("ea.json", function()
  it("writes plain values", function()
    assert.are.equal("null", json.encode(json.null))
    assert.are.equal("[1,-2,0.5,true,false]", json.encode { 1, -2, 0.5, true, false })
    assert.are.equal('"a\\"b\\\\c\\n\\u0001\\u007fé"', json.encode('a"b\\c\n\1\127é'))
    assert.are.equal("{}", json.encode {})
    assert.are.equal("[]", json.encode(json.array {}))
    assert.are.equal("9007199254740991", json.encode(2 ^ 53 - 1))
    assert.are.equal('{"a":{"b":[]},"c":1}', json.encode { c = 1, a = { b = json.array() } })
  end)

  it("writes numbers that read back as the same", function()
    for _, x in ipairs { 0.1, 1 / 3, 1e300, 5e-324, -2.5e-8, 1e22, 2 ^ 60, math.pi } do
      assert.are.equal(x, json.decode(json.encode(x)))
    end
    assert.are.equal("0.1", json.encode(0.1))
  end)

  it("indents on request", function()
    assert.are.equal('{\n  "a": [1, 2],\n  "b": {\n    "c": []\n  },\n'
      .. '  "d": [\n    {\n      "e": 1\n    }\n  ]\n}',
      json.encode({ a = { 1, 2 }, b = { c = json.array() }, d = { { e = 1 } } }, { pretty = true }))
    local long = {}
    for i = 1, 100 do long[i] = i end
    assert.is_truthy(json.encode(long, { pretty = true }):find("^%[\n  1,\n  2,\n"))
  end)

  it("reads what it wrote", function()
    local value = { name = "x", list = { 1, 2, { deep = true } }, none = json.null, text = "é\0z" }
    assert.are.same(value, json.decode(json.encode(value)))
    assert.are.same(value, json.decode(json.encode(value, { pretty = true, sort = false })))
    assert.are.equal(json.null, json.decode("[null]")[1])
    assert.are.equal("[]", json.encode(json.decode("[]")))
  end)

  it("refuses what JSON cannot hold and names the place", function()
    refused("NaN has no form in JSON at loss.train[2]", json.encode,
      { loss = { train = { 1, 0 / 0 } } })
    refused("an infinity has no form in JSON at the value itself", json.encode, -math.huge)
    refused("a function has no form in JSON at a", json.encode, { a = print })
    refused("both numbers and names", json.encode, { 1, a = 2 })
    refused("holes", json.encode, { [1] = 1, [3] = 3 })
    refused("a key is a boolean", json.encode, { [true] = 1 })
    refused("not UTF-8", json.encode, { a = "\255" })
    refused("not UTF-8", json.encode, "\237\160\128")
    refused("t:tolist()", json.encode, { x = ea.ones { 2 } })
    local loop = {}
    loop.loop = loop
    refused("contain itself", json.encode, loop)
    refused("there is no option 'prety'", json.encode, 1, { prety = true })
  end)

  it("refuses texts that are not JSON", function()
    refused("line 2, column", json.decode, '{"a": 1,\n "a": 2}')
    refused("not valid JSON", json.decode, "{")
    refused("expected a string, got a table", json.decode, {})
    refused("256 deep", json.decode, ("["):rep(300) .. ("]"):rep(300))
  end)

  it("gives all memory back", function()
    collectgarbage() -- what other specs left goes now, not in between
    collectgarbage("stop")
    local live = ea.memory().live
    for _ = 1, 20 do
      json.decode('{"a":[1,2,3]}')
      pcall(json.decode, '{"a":[1,2,3}')
    end
    local now = ea.memory().live
    collectgarbage("restart")
    assert.are.equal(live, now)
  end)
end)
