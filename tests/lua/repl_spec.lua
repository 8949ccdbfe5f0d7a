-- SPDX-License-Identifier: GPL-3.0-or-later
-- The prompt, driven through a terminal (pty.lua), and as the end of a pipe.

local program = require "program"
local pty = require "pty"
local tiny = require "tiny"

local folder
setup(function() folder = program.folder() end)
teardown(function() program.remove(folder) end)

local function open(environment)
  local variables = { XDG_STATE_HOME = folder, HOME = folder, EDGEAI_GRAPHICS = "blocks" }
  for name, value in pairs(environment or {}) do variables[name] = value end
  local t = pty.open { "repl", environment = variables }
  t.greeting = t:wait("> ")
  return t
end

--- Types each line and compares what comes, "" for nothing.
local function session(t, lines)
  for _, pair in ipairs(lines) do assert.equal(pair[2], t:line(pair[1]), pair[1]) end
end

describe("the prompt", function()
  it("greets with one line, prints results, and ends with Ctrl-D", function()
    local t = open()
    assert.truthy(t.greeting:find("^edgeai [%d.]+: `ea` is the library, [^\n]*\r\n> $"), t.greeting)
    session(t, { { "1 + 2", "3" }, { "_ * 2", "6" }, { "x = 4", "" }, { "x;", "" }, { "_", "4" },
      { "x, 'a', nil", '4\na\nnil' }, { "local y = 5 -- stays", "" }, { "y", "5" },
      { "print(1)", "1" }, { "{ 1, a = 2 }", "{ 1, a = 2 }" },
      { "ea.ones { 2 }", "tensor {2} f32\n{ 1  1 }" } })
    assert.equal(0, t:close())
  end)

  it("goes on in the next line until an entry is whole", function()
    local t = open()
    t:type("function f(x)\n")
    t:wait(">> ")
    t:type("return x + 1\n")
    t:wait(">> ")
    session(t, { { "end", "" }, { "f(4)", "5" } })
    t:type("f(\n")
    t:wait(">> ")
    t:type("\3") -- drops it
    t:wait("\n> ")
    session(t, { { "7", "7" } })
    t:type("f(\n")
    t:wait(">> ")
    t:type("\4") -- so does Ctrl-D
    t:wait("\n> ")
    t:type("\27[200~a = 1\nb = 2\27[201~\n") -- pasted
    t:wait("\n> ")
    assert.truthy(t:line("a + b"):find("3$"))
    assert.equal(0, t:close())
  end)

  it("tells errors by the typed lines, and lives on", function()
    local t = open()
    session(t, {
      { "nil + 1", "edgeai: attempt to perform arithmetic on a nil value" },
      { "x = = 1", "edgeai: unexpected symbol near '='" },
      { "nosuch.field", "edgeai: attempt to index global 'nosuch' (a nil value)" },
      { "function f() return ea.ones { 2 } + ea.ones { 3 } end", "" },
      { "f()", "edgeai: add: {2} f32 and {3} f32 do not broadcast: sizes, counted from the last "
        .. "axis, must be equal or 1\n  in function 'f':  "
        .. "function f() return ea.ones { 2 } + ea.ones { 3 } end" },
      { "error({})", "edgeai: error with a table value" },
      { "ea.nosuch()", "edgeai: attempt to call field 'nosuch' (a nil value)" },
      { "1", "1" } })
    assert.equal(0, t:close())
  end)

  it("leaks nothing when something fails", function()
    local t = open()
    local function live() return tonumber(t:line("collectgarbage() collectgarbage() "
      .. "print(ea.memory().live)")) end
    t:line("function fail() local x = ea.ones { 100, 100 }:require_grad(); "
      .. "return (x:exp() * x):sum():backward(nil, x + ea.ones { 3 }) end")
    t:line("fail()")
    local before = live()
    for _ = 1, 3 do t:line("fail()") end
    assert.equal(before, live())
    assert.equal(0, t:close())
  end)

  it("completes by Tab", function()
    program.write(folder .. "/some_file.txt", "")
    local t = open()
    t:type("ea.randp\t")
    t:wait("ea.randperm")
    t:type("(3);\n")
    t:wait("\n> ")
    t:type("ea.nn.conv2d { 3, 8, ker\t")
    t:wait("kernel = ")
    t:type("5 }.opts.kernel\n")
    assert.truthy(t:wait("\n> "):find("\n5\r\n"))
    t:type(("io.open('%s/some_f\t"):format(folder))
    t:wait("some_file.txt")
    t:type("'):close()\n")
    t:wait("\n> ")
    t:type("ea.rand\t")
    t:wait("randperm") -- the list
    t:wait("> ea.rand")
    t:type("\3")
    t:wait("\n> ")
    assert.equal(0, t:close())
  end)

  it("remembers entries from one session to the next, whole and once", function()
    local state = folder .. "/state"
    local t = open { XDG_STATE_HOME = state }
    session(t, { { "1", "1" }, { "2", "2" }, { "1", "1" } })
    t:type("for i = 1, 1 do\n")
    t:wait(">> ")
    t:type("print('i' .. i)\n")
    t:wait(">> ")
    session(t, { { "end", "i1" } })
    assert.equal(0, t:close())
    assert.equal("1\n2\n1\nfor i = 1, 1 do\n\tprint('i' .. i)\n\tend\n",
      program.read(state .. "/edgeai/history"))
    t = open { XDG_STATE_HOME = state }
    t:type("\27[A\n")
    assert.truthy(t:wait("\n> "):find("i1"))
    t:type("\27[A\27[A\27[A\n") -- the loop, 1, 2
    assert.truthy(t:wait("\n> "):find("\n2\r\n"))
    assert.equal(0, t:close())
    local pipe = io.popen(("stat -c %%a '%s/edgeai/history'"):format(state))
    assert.equal("600\n", pipe:read("*a"))
    pipe:close()
  end)

  it("offers pictures and draws", function()
    local t = open()
    assert.truthy(t:line("ea.rand { 8, 8, 3 }"):find("\na picture? show(_) draws it", 1, true))
    assert.falsy(t:line("ea.rand { 8, 7 }"):find("picture"))
    local _, blocks = t:line("show(ea.rand { 32, 32 })"):gsub("▀", "")
    assert.equal(32 * 16, blocks)
    assert.equal("edgeai: show: expected a tensor, curves, a graph, a network or a path, got a "
      .. "number", t:line("show(3)"))
    assert.equal(0, t:close())
  end)
end)

describe("Ctrl-C at the prompt", function()
  --- Types code that never ends; once it runs, presses Ctrl-C.
  local function stop(t, code, presses)
    t:type(code .. "\n")
    t:wait("running")
    for i = 1, presses or 1 do
      if i > 1 then t:wait("running") end -- it was caught
      t:type("\3")
    end
    return (t:wait("\n> ", 60):gsub("\r", ""))
  end

  it("stops Lua code, compiled too, and keeps what it computed", function()
    local t = open()
    t:line("n = 0; function run() io.write('runn', 'ing\\n') io.flush() end")
    for _, code in ipairs { "while true do n = n + 1 if n == 5e3 then run() end end",
      "run() repeat until false", "run() for i = 1, 1e15 do m = i end",
      "run() ::a:: goto a", "function f(a) return f(a) end run() f()",
      "run() while true do ('x'):rep(10) end", "run() load('while true do end')()",
      "run() coroutine.wrap(function() while true do end end)()" } do
      assert.truthy(stop(t, code):find("edgeai: interrupted\n> $"), code)
    end
    assert.equal("true", t:line("n > 1000"))
    program.write(folder .. "/endless.lua", "run() while true do n = n + 1 end")
    assert.truthy(stop(t, (":load %s/endless.lua"):format(folder)):find("interrupted"))
    assert.equal("1", t:line("1"))
    assert.equal(0, t:close())
  end)

  it("stops ops, also in the middle of a long one, and training", function()
    local t = open()
    t:line("function run() io.write('runn', 'ing\\n') io.flush() end")
    t:line("a = ea.rand { 3000, 3000 }; live = ea.memory().live;")
    for _, code in ipairs { "run() while true do b = a:tanh() end",
      "run() for i = 1, 100 do b = a:matmul(a) end",
      "run() while true do b = a:reshape(9e6):sort() end" } do
      assert.truthy(stop(t, code):find("edgeai: interrupted\n> $"), code)
    end
    t:line("net = ea.nn.mlp { inp = 3000, hidden = { 2000 }, classes = 3000 }")
    assert.truthy(stop(t, "run() while true do net(a):sum():backward() end")
      :find("edgeai: interrupted\n> $"))
    assert.equal("true", t:line("a:count_nonfinite() == 0 and net:parameters()[1].tensor"
      .. ":detach():count_nonfinite() == 0"))
    assert.equal(0, t:close())
  end)

  it("stops training, and the network keeps what it has learnt", function()
    tiny.fashion_mnist(folder .. "/data")
    local t = open { EDGEAI_DATA = folder .. "/data" }
    t:line("d = ea.data.load('fashion-mnist', { val = 0.1 }); net = ea.nn.mlp { inp = 784, "
      .. "hidden = { 8 } }; before = net:snapshot()[1].tensor:clone();")
    t:type("ea.train.fit(net, d.train, { epochs = 1e6, batch = 16, "
      .. "optimizer = ea.optim.sgd(net, { lr = 1e-4 }) })\n")
    t:wait("train 3/1000000") -- the third epoch's line: there were steps
    t:type("\3")
    local said = t:wait("\n> ", 60)
    assert.truthy(said:find("edgeai: interrupted in train, epoch %d+ of 1000000"), said)
    assert.equal("false\ttrue\ttrue", t:line("p = net:parameters()[1].tensor:detach(); "
      .. "print(net.training, p:count_nonfinite() == 0, (p - before):abs():max():item() > 0)"))
    assert.equal("1", t:line("1"))
    assert.equal(0, t:close())
  end)

  it("ends the process where nothing else helps, the sixth time", function()
    local t = open()
    t:line("s, p = ('x'):rep(1e4), ('.-'):rep(9) .. 'y'")
    local ended
    repeat
      t:type("io.write('runn', 'ing\\n'); s:find(p)\n")
      t:wait("running")
      repeat -- the first may come before the search begins: then there is a prompt again
        t:type("\3")
        ended = t:ended()
      until ended or t.text:find("\n> ", 1, true)
    until ended
    assert.equal(130, t:close())
  end)

  it("is not lost on code that catches it: the second one is raised until it ends", function()
    local t = open()
    t:line("function run() io.write('runn', 'ing\\n') io.flush() end")
    t:line("function tidy() local ok = pcall(function() run() while true do end end) "
      .. "print('tidied', ok) end")
    assert.truthy(stop(t, "tidy()"):find("tidied\tfalse\n> $"))
    assert.truthy(stop(t, "while true do pcall(function() run() while true do end end) end", 2)
      :find("edgeai: interrupted\n> $"))
    assert.equal("1", t:line("1"))
    assert.equal(0, t:close())
  end)

  it("drops what is being typed", function()
    local t = open()
    t:type("x = 1 +")
    t:wait("1 +")
    t:type("\3")
    t:wait("\n> ")
    assert.equal("nil", t:line("x"))
    assert.equal(0, t:close())
  end)
end)

describe("commands of the prompt", function()
  it("help, time, mem, who, load, edit, quit, and the shell", function()
    program.write(folder .. "/load.lua", "local hidden = 1\nloaded = 42\nreturn 'done'")
    program.write(folder .. "/broken.lua", "x = 1\nlocal y = nil + 1")
    program.write(folder .. "/editor", "#!/bin/sh\necho 'edited = (edited or 0) + 1' > \"$1\"\n")
    os.execute(("chmod +x '%s/editor'"):format(folder))
    local t = open { EDITOR = folder .. "/editor", VISUAL = folder .. "/editor" }
    local function says(line, ...)
      local said = t:line(line)
      for _, words in ipairs { ... } do
        assert.truthy(said:find(words, 1, true), line .. ": " .. said)
      end
    end
    says(":help", ":time code", ":who", "$ command", "show(x)")
    says(":help ea.nn.conv2d", "nn.conv2d{inp, out, kernel=3", "edgeai/nn/conv2d.lua")
    says("? ea.matmul", "core/ops/matmul.c")
    says(":help show", "a picture")
    says(":help ea.train", "training")
    says("x = ea.ones { 2, 3 };", "")
    says(":help x:narrow", "Elements start")
    says(":help nosuch", "edgeai: there is nothing called nosuch")
    says(":help time", "run it once")
    says(":time x:sum()", "tensor {} f32: 6", " allocation")
    says(":time nil + 1", "edgeai: attempt to perform arithmetic")
    says(":time (", "not whole")
    says(":mem", "Lua", "tensors", " at most ")
    says(":who", "x            tensor {2, 3} f32, 24 bytes")
    says((":load %s/load.lua"):format(folder), "")
    says("loaded, hidden", "42\nnil")
    says("loaded = nil", "")
    says(":load", "")
    says("loaded", "42")
    says((":load %s/broken.lua"):format(folder), "broken.lua:2: attempt to perform")
    says(":load /nowhere.lua", "No such file")
    says(":edit", "edited = (edited or 0) + 1")
    says("edited", "1")
    says("$ echo a b", "a b")
    says("$ exit 3", "(exit code 3)")
    says(":tiem 1", "there is no command :tiem; did you mean `time`?")
    says("::a::", "")
    t:type(":quit\n")
    assert.equal(0, t:close())
  end)
end)

describe("the prompt's other end, a pipe", function()
  local function piped(text)
    local code, out, err = program.run(folder, "", nil, text)
    return out .. err, code
  end

  it("runs a script without prompts, with its line numbers", function()
    assert.equal("3\n6\n", (piped("local a = 1 + 2\na\n_ * 2\n")))
    local said, code = piped("#!/usr/bin/env edgeai\nfunction f()\n  return nil + 1\nend\n\n"
      .. "f()\n7\n")
    assert.truthy(said:find("^7\nedgeai: stdin:3: attempt to perform arithmetic"), said)
    assert.truthy(said:find("stdin:6: in main chunk", 1, true), said)
    assert.equal(0, code)
    said, code = piped("x = 1\nf(\n")
    assert.truthy(said:find("stdin:3: unexpected symbol near '<eof>'", 1, true)
      or said:find("stdin:2: unexpected symbol near '<eof>'", 1, true), said)
    assert.equal(1, code)
    assert.equal("", (piped("show(ea.rand { 9, 9 })\nea.rand { 9, 9 };\n")))
  end)
end)
