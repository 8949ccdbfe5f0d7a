-- SPDX-License-Identifier: GPL-3.0-or-later
-- Lua is loaded as text only, whatever way it comes: bytecode is refused with a sentence.

local program = require "program"

describe("bytecode", function()
  local folder
  local says = "is Lua bytecode; only text is loaded: give the source"
  local code = string.dump(function() print("it ran") end)

  local function refused(status, out, err)
    assert.equal(1, status)
    assert.falsy(out:find("it ran", 1, true))
    assert.truthy((out .. err):find(says, 1, true), out .. err)
  end

  setup(function()
    folder = program.folder()
    program.write(folder .. "/bytes.lua", code)
    program.write(folder .. "/bytes_spec.lua", code)
    program.write(folder .. "/hashed.lua", "#!/usr/bin/env edgeai\n" .. code)
  end)
  teardown(function() program.remove(folder) end)

  it("is no script, behind #! neither, nor from standard input", function()
    refused(program.run(folder, "run bytes.lua"))
    refused(program.run(folder, "run hashed.lua"))
    refused(program.run(folder, "run -", nil, code))
  end)

  it("is no module, beside the script or in $EDGEAI_PATH", function()
    program.write(folder .. "/user.lua", "require 'bytes'")
    refused(program.run(folder, "run user.lua"))
    os.execute(("mkdir -p '%s/sub' && cp '%s/user.lua' '%s/sub'"):format(folder, folder, folder))
    refused(program.run(folder, "run sub/user.lua", "EDGEAI_PATH=" .. folder))
  end)

  it("is no spec", function() refused(program.run(folder, "test bytes_spec.lua")) end)

  it("is no code for the functions that load code", function()
    for i, line in ipairs { "assert(loadfile('bytes.lua'))", "dofile('bytes.lua')",
      "assert(loadfile('bytes.lua', 'b'))",
      "assert(load(io.open('bytes.lua', 'rb'):read('*a')))()",
      "assert(load(io.open('bytes.lua', 'rb'):read('*a'), 'x', 'b'))()",
      "local f = io.open('bytes.lua', 'rb') assert(load(function() return f:read(16) end))()",
      "assert(loadstring(string.dump(function() print('it ran') end)))()" } do
      program.write(("%s/%d.lua"):format(folder, i), line)
      refused(program.run(folder, ("run %d.lua"):format(i)))
      refused(program.run(folder, "eval '" .. line:gsub("'", '"') .. "'"))
    end
  end)

  it("is no line of the REPL", function()
    local _, out, err = program.run(folder, "repl", nil, code .. "\n")
    assert.falsy(out:find("it ran", 1, true))
    assert.truthy(err:find(says, 1, true), err)
  end)
end)

describe("text", function()
  local folder
  setup(function() folder = program.folder() end)
  teardown(function() program.remove(folder) end)

  it("is loaded by the same functions as ever", function()
    program.write(folder .. "/two.lua", "#!/usr/bin/env edgeai\nreturn 2, ...")
    program.write(folder .. "/env.lua", "return x")
    program.write(folder .. "/main.lua", [[
      print(dofile("two.lua"), loadfile("two.lua")(3))
      print(loadfile("env.lua", "t", { x = 4 })(), load("return x", "n", "t", { x = 5 })())
      print(loadstring("return 6")(), load(function() end), require("two"))
      print(select(2, load("x =", "=name")), select(2, loadfile("none.lua")))
      print(pcall(dofile, "none.lua"))]])
    local status, out, err = program.run(folder, "run main.lua")
    assert.equal(0, status, err)
    local lines = {}
    for line in out:gmatch("[^\n]+") do lines[#lines + 1] = line end
    assert.equal("2\t2\t3", lines[1])
    assert.equal("4\t5", lines[2])
    assert.truthy(lines[3]:find("^6\tfunction: %S+\t2$"), lines[3])
    assert.truthy(lines[4]:find("^name:1: unexpected symbol near '<eof>'\tnone.lua: No such file"))
    assert.truthy(lines[5]:find("^false\tnone.lua: No such file"))
  end)

  it("that is no Lua names its file and line, as a module too", function()
    program.write(folder .. "/broken.lua", "local x = 1\nlocal = 3\n")
    program.write(folder .. "/user.lua", "require 'broken'")
    local status, _, err = program.run(folder, "run user.lua")
    assert.equal(1, status)
    assert.truthy(err:find("broken.lua:2: ", 1, true), err)
  end)
end)
