-- SPDX-License-Identifier: GPL-3.0-or-later
-- The pieces of the prompt: what is whole, what completes, what is remembered, how loops stop.

local chunk = require "edgeai.repl.chunk"
local complete = require "edgeai.repl.complete"
local history = require "edgeai.repl.history"
local interruptible = require "edgeai.repl.interruptible"
local lexer = require "edgeai.repl.lexer"
local members = require "edgeai.repl.members"
local program = require "program"

--- "whole", "more" or the sentence.
local function state(text)
  local run, message = chunk.compile(text, "=x")
  return run and "whole" or message or "more"
end

describe("repl.lexer", function()
  it("finds tokens, also in unfinished text", function()
    local kinds = {}
    for _, token in ipairs(lexer.tokens("local x=1e-3..[[a]] --c\n'b")) do
      kinds[#kinds + 1] = token.kind .. " " .. token.text
    end
    assert.same({ "keyword local", "name x", "op =", "number 1e-3", "op ..", "string [[a]]",
      "comment --c", "string 'b" }, kinds)
    local tokens = lexer.tokens("a('b\\'c")
    assert.is_true(tokens[#tokens].open)
    assert.is_nil(lexer.tokens("'ab'")[1].open)
    assert.is_true(lexer.tokens("--[==[ a ]]")[1].open)
  end)
end)

describe("repl.chunk", function()
  before_each(function() interruptible.prepare(function() end) end)

  it("knows when input is whole", function()
    for _, text in ipairs { "x", "x = 1", "f(1)", "for i = 1, 3 do end", "return 1", "x;",
      "s = [[a\nb]]", "1 + 1 -- c", "function f()\nend", "local x", "goto_x = 1" } do
      assert.equal("whole", state(text), text)
    end
    for _, text in ipairs { "f(", "x =", "1 +", "function f()", "for i = 1, 3 do", "s = [[a",
      "if x then\ny = 1", "{ 1,", "--[[ a", "x = {\n", "f(function()", "repeat", "'a\\\n" } do
      assert.equal("more", state(text), text)
    end
    for _, text in ipairs { "x = = 1", "end", "f(]", "x y", "'abc", "1 1" } do
      assert.truthy(state(text):find("^x:1: "), text)
    end
    assert.truthy(state("\27LJ"):find("bytecode") or state("\27LJ"):find("x:1"))
  end)

  it("gives the values of expressions, and quiet ones behind ;", function()
    local run, quiet = chunk.compile("1, 2, nil", "=x")
    assert.equal(3, select("#", run()))
    assert.is_false(quiet)
    run, quiet = chunk.compile("7; -- quiet", "=x")
    assert.equal(7, run())
    assert.is_true(quiet)
    assert.is_false(select(2, chunk.compile("x = ';' -- ;", "=x")))
  end)

  it("keeps the outermost locals, and only those", function()
    assert.equal("      x = 1", chunk.share_locals("local x = 1"))
    assert.equal("      a, b = nil; c = 1", chunk.share_locals("local a, b; c = 1"))
    assert.equal("      function f() local y = 1 end",
      chunk.share_locals("local function f() local y = 1 end"))
    for _, text in ipairs { "do local x = 1 end", "if a then local x end", "s = 'local x'",
      "for i = 1, 2 do local x = i end", "repeat local x until x", "-- local x" } do
      assert.equal(text, chunk.share_locals(text))
    end
    assert.equal("while a do local b end       c = 1",
      chunk.share_locals("while a do local b end local c = 1"))
  end)
end)

describe("repl.interruptible", function()
  local seen

  before_each(function()
    seen = 0
    interruptible.prepare(function()
      seen = seen + 1
      if seen > 20 then error("stopped", 0) end
      return 8
    end)
  end)

  local function run(text, ...)
    return interruptible.chunk(text, "=x", assert(loadstring(text)))(...)
  end

  it("changes nothing but that", function()
    assert.same({ 3, "a", 6 }, { run([[
      local sum, n = 0, select("#", ...)
      for i = 1, 3 do
        if i == 5 then goto skip end
        sum = sum + i
        ::skip::
      end
      return n, (...), sum]], "a", nil, nil) })
    local _, message = pcall(run, "\n\nlocal f = function(a, ...)\n  return a .. nil end f(1)")
    assert.truthy(message:find("^x:4: "), message)
    assert.equal("end do repeat", run("return 'end do repeat'"))
  end)

  it("stops loops of every kind, compiled or not", function()
    for _, text in ipairs { "while true do end", "repeat until false", "for i = 1, 1e12 do end",
      "::a:: goto a", "local function f() return f() end f()",
      "local n = 0 while true do n = n + 1 end" } do
      seen = 0
      local ok, message = pcall(run, text)
      assert.is_false(ok)
      assert.equal("stopped", message, text)
    end
  end)

  it("falls back to what is never compiled where it does not fit", function()
    local names = {}
    for i = 1, 60 do names[i] = "v" .. i end
    local text = "local " .. table.concat(names, ", ") .. "\nreturn function() while true do "
      .. "return { " .. table.concat(names, ", ") .. " } end end"
    assert.same({}, run(text)())
    assert.equal(0, seen)
  end)
end)

describe("repl.complete", function()
  local function words(before) return (complete.at(before, { help = true, mem = true })) end
  local function has(list, word)
    for _, w in ipairs(list) do
      if w == word then return true end
    end
    return false
  end

  setup(function()
    rawset(_G, "spec_t", ea.ones { 2, 3 })
    rawset(_G, "spec_net", ea.nn.mlp { inp = 4, hidden = { 3 }, classes = 2 })
    rawset(_G, "spec_list", { inner = { ea.ones { 1 } }, _hidden = 1 })
  end)
  teardown(function()
    for _, name in ipairs { "spec_t", "spec_net", "spec_list" } do rawset(_G, name, nil) end
  end)

  it("globals and keywords", function()
    assert.same({ "spec_list", "spec_net", "spec_t" }, words("x = spec_"))
    assert.same({ "function" }, words("func"))
    assert.is_true(has(words("e"), "ea"))
    assert.same({}, words("x = 1 -- spec"))
    assert.same({}, words(""))
  end)

  it("fields, and methods behind a colon", function()
    assert.same({ "rand", "randn", "randperm" }, words("ea.rand"))
    assert.same({ "optim" }, words("ea.opt"))
    assert.same({ "softmax" }, words("spec_t:softm"))
    assert.same({ "shape" }, words("spec_t.sha"))
    assert.same({}, words("spec_t:sha"))
    assert.same({ "parameter_count", "parameters" }, { unpack(words("spec_net:parameter"), 2) })
    assert.same({ "upper" }, words("'a':up"))
    assert.is_true(has(words("spec_list.inner[1]:"), "sum"))
    assert.same({ "inner" }, words("spec_list."))
    assert.same({ "_hidden" }, words("spec_list._"))
    assert.same({}, words("nosuch.thing."))
    assert.same({ "rand", "randn", "randperm" }, words("f(1,\n  ea.rand"))
  end)

  it("options inside the { of a call", function()
    assert.same({ "kernel = " }, words("ea.nn.conv2d { 3, 8, ker"))
    assert.same({ "momentum = " }, words("ea.optim.sgd(spec_net, { lr = 0.1, mom"))
    assert.is_true(has(words("ea.train.fit(spec_net, d.train, { "), "epochs = "))
    assert.is_true(has(words("ea.image.grid(x, {"), "columns = "))
    assert.same({ "axis = " }, words("spec_t:softmax { a"))
    assert.same({ "stride = " }, words("ea.conv2d(x, w, { pad = 1, str"))
    assert.is_true(has(words("ea.nn.wrn { "), "depth = "))
    assert.same({ "spec_t" }, words("f { spec_t"), "values are values")
    assert.same({ "spec_t" }, words("ea.nn.conv2d { kernel = spec_t"))
  end)

  it("names of files in strings and behind :load, data sets in ea.data.load", function()
    local list, ends = complete.at("ea.image.load('docs/", {})
    assert.is_nil(list)
    assert.equal("\"'", ends)
    assert.is_nil((complete.at(":load exp", {})))
    assert.is_nil((complete.at("$ ls do", {})))
    assert.same({ "cifar10", "cifar100" }, words("ea.data.load('cif"))
    assert.is_nil(words("ea.data.load('my/"))
  end)

  it("commands", function()
    assert.same({ "mem" }, words(":m"))
    assert.same({ "rand", "randn", "randperm" }, words(":time ea.rand"))
  end)

  it("knows every option that a function declares", function()
    assert.same({ inp = true, out = true, bias = true }, members.options(ea.nn.linear))
    assert.same({}, members.options(print))
  end)

  it("knows what plugins bring, and its options, before it is used", function()
    local layers = members.of(ea.nn)
    assert.is_true(layers.squeeze_excite and layers.mobilenet_v3 and layers.conv2d)
    assert.is_true(members.of(ea).fake_quantize)
    assert.same({ channels = true, squeeze = true }, members.options(ea.nn.squeeze_excite))
    assert.is_true(members.of(ea.vis.objectives).channel)
  end)
end)

describe("repl.history", function()
  it("keeps entries of several lines whole, and each once", function()
    local entries = { "x = 1", "function f()\n  return 1\nend", "y\n\n= 2", "#t" }
    local text = {}
    for i, entry in ipairs(entries) do text[i] = history.encode(entry) end
    assert.same(entries, (history.decode(table.concat(text))))
    local list, count = history.decode("a\nb\na\n\n\tc\n")
    assert.same({ "b", "a\nc" }, { list[#list - 1], list[#list] })
    assert.equal(3, count)
    assert.same({ "b", "a" }, (history.decode("a\nb\na\n")))
    assert.same({}, (history.decode("")))
  end)

  it("writes a file that has grown too long anew", function()
    local folder = program.folder()
    local path, before = folder .. "/history", history.most
    history.most = 3
    program.write(path, "a\nb\nc\nd\ne\nd\nf\n")
    local list = history.load(path, function(name, text) program.write(name, text) return true end)
    history.most = before
    assert.same({ "e", "d", "f" }, list)
    assert.equal("e\nd\nf\n", program.read(path))
    assert.same({}, history.load(folder .. "/nothing"))
    program.remove(folder)
  end)
end)
