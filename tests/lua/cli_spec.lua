-- SPDX-License-Identifier: GPL-3.0-or-later
-- The command line as a user meets it: every test runs the program.

local program = require "program"

describe("edgeai", function()
  local folder
  local function edgeai(arguments, before) return program.run(folder, arguments, before) end

  setup(function() folder = program.folder() end)
  teardown(function() program.remove(folder) end)

  describe("itself", function()
    it("prints its version, libraries and processor", function()
      local code, out = edgeai("--version")
      assert.equal(0, code)
      assert.truthy(out:find("^edgeai %d+%.%d+%.%d+\n"))
      assert.truthy(out:find("LuaJIT") and out:find("OpenBLAS") and out:find("convolutions by"))
    end)

    it("lists every command under --help, and each has its own", function()
      local code, out = edgeai("--help")
      assert.equal(0, code)
      for _, name in ipairs { "run", "eval", "repl", "test", "data", "info", "doctor" } do
        assert.truthy(out:find("\n  " .. name .. " ?"), name)
        local own_code, own = edgeai(name .. " --help")
        assert.equal(0, own_code)
        assert.truthy(own:find("^Usage: edgeai " .. name), name)
      end
    end)

    it("has an end when it is asked for help with help", function()
      local _, overview = edgeai "--help"
      for _, words in ipairs { "help help", "--help --help", "help -x", "-h -h" } do
        local code, out = edgeai(words, "timeout 60")
        assert.equal(0, code, words)
        assert.equal(overview, out, words)
      end
    end)

    it("names the nearest command and option, and exits with 2", function()
      local code, out, err = edgeai("rnu x.lua")
      assert.equal(2, code)
      assert.equal("", out)
      assert.truthy(err:find("unknown command rnu; did you mean `run`?", 1, true))
      code, out, err = edgeai("run x.lua --sed 3")
      assert.equal(2, code)
      assert.equal("", out)
      assert.truthy(err:find("unknown option --sed; did you mean `--se", 1, true))
      code, out, err = edgeai("run x.lua --threads many")
      assert.equal(2, code)
      assert.equal("", out)
      assert.truthy(err:find("--threads must be a whole number from 1 to 64, not 'many'", 1, true))
      code, out, err = edgeai("run x.lua --seed")
      assert.equal(2, code)
      assert.equal("", out)
      assert.truthy(err:find("--seed needs a value", 1, true))
    end)
  end)

  describe("eval", function()
    it("prints the values of expressions and runs statements", function()
      local code, out = edgeai([[eval '1 + 1, "text", { 1, 2, a = { true } }']])
      assert.equal(0, code)
      assert.equal("2\ntext\n{ 1, 2, a = { true } }\n", out)
      code, out = edgeai("eval 'local x = 3 print(x)'")
      assert.equal(0, code)
      assert.equal("3\n", out)
    end)

    it("has `ea`", function()
      local code, out = edgeai("eval 'ea.ones({ 2, 2 }):sum():item()'")
      assert.equal(0, code)
      assert.equal("4\n", out)
    end)

    it("reports an error with its line and exits with 1", function()
      local code, _, err = edgeai("eval 'local x = error(\"boo\")'")
      assert.equal(1, code)
      assert.truthy(err:find("^edgeai: eval:1: boo\n"))
      code, _, err = edgeai("eval 'ea.ones({ 2 }):item()'")
      assert.equal(1, code)
      assert.truthy(err:find("^edgeai: eval:1: item: expected a tensor of one element"), err)
      code, _, err = edgeai("eval 'x ='")
      assert.equal(1, code)
      assert.truthy(err:find("^edgeai: eval:1: "))
    end)
  end)

  describe("run", function()
    it("gives the script its arguments and finds modules beside it", function()
      program.write(folder .. "/beside.lua", "return { answer = 42 }")
      program.write(folder .. "/a.lua",
        'print(require("beside").answer, arg[0] == "a.lua", arg[2], ...)')
      local code, out = edgeai("run a.lua -- one two")
      assert.equal(0, code)
      assert.equal("42\ttrue\ttwo\tone\ttwo\n", out)
      code, out = program.run("/", ("run %s/a.lua"):format(folder))
      assert.equal(0, code)
      assert.truthy(out:find("^42"))
    end)

    it("does not load modules from the current folder", function()
      os.execute(("mkdir -p '%s/sub'"):format(folder))
      program.write(folder .. "/stranger.lua", "print('loaded')")
      program.write(folder .. "/sub/b.lua", "require 'stranger'")
      local code, out = edgeai("run sub/b.lua")
      assert.equal(1, code)
      assert.equal("", out)
      code = edgeai("run sub/b.lua", "EDGEAI_PATH=" .. folder)
      assert.equal(0, code)
    end)

    it("shows the sentence at the user's line and the user's frames only", function()
      program.write(folder .. "/wrong.lua", table.concat({
        "local ea = require 'edgeai'",
        "local function inner() local y = ea.zeros({ 2, 3 }):reshape({ 4, 4 }) return y end",
        "local function outer() local x = inner() return x end",
        "outer()" }, "\n"))
      local code, out, err = edgeai("run wrong.lua")
      assert.equal(1, code)
      assert.equal("", out)
      assert.truthy(err:find("^edgeai: wrong%.lua:2: "), err)
      local frames = "\n  wrong.lua:2: in function 'inner'\n  wrong.lua:3: in "
      assert.truthy(err:find(frames, 1, true), err)
      assert.falsy(err:find("edgeai/%w+%.lua"), err)
      assert.falsy(err:find("stack traceback"), err)
    end)

    it("reports scripts that are missing, folders, or no Lua", function()
      local code, _, err = edgeai("run nowhere.lua")
      assert.equal(1, code)
      assert.truthy(err:find("nowhere.lua: No such file", 1, true))
      code, _, err = edgeai("run .")
      assert.equal(1, code)
      assert.truthy(err:find("is a folder"))
      program.write(folder .. "/syntax.lua", "local = 3\n")
      code, _, err = edgeai("run syntax.lua")
      assert.equal(1, code)
      assert.truthy(err:find("^edgeai: syntax%.lua:1: "))
    end)

    it("sets seed and threads", function()
      program.write(folder .. "/seed.lua",
        "print(ea.randn({ 1 }):item(), ea.rand({ 1 }):item(), ea.threads())")
      local _, one = edgeai("run seed.lua --seed 7 --threads 2")
      local _, two = edgeai("run seed.lua --seed 7 --threads 2")
      local _, three = edgeai("run seed.lua --seed 8 --threads 2")
      assert.truthy(one:find("\t2\n$"))
      assert.equal(one, two)
      assert.not_equal(one, three)
    end)

    it("returns the number a script returns", function()
      program.write(folder .. "/code.lua", "return 3")
      assert.equal(3, (edgeai("run code.lua")))
    end)

    it("stops at a signal: 130 for Ctrl-C, 143 for SIGTERM", function()
      program.write(folder .. "/loop.lua", [[
        local t = ea.ones({ 64, 64 })
        local file = io.open("started", "w")
        file:close()
        while true do t = ea.tanh(t) end]])
      for signal, expected in pairs { INT = 130, TERM = 143 } do
        os.remove(folder .. "/started")
        -- Through env: a shell gives background jobs an ignored SIGINT, which it cannot undo.
        local pipe = io.popen(([[cd '%s' && perl -e '
          $p = fork; if (!$p) { $SIG{INT} = "DEFAULT"; exec @ARGV }
          select(undef, undef, undef, 0.02) until -e "started";
          kill "%s", $p; waitpid $p, 0; print $? >> 8, " ", $? & 127;
          ' '%s' run loop.lua 2>errors]]):format(folder, signal, program.path))
        local result = pipe:read("*a")
        pipe:close()
        assert.equal(expected .. " 0", result)
        assert.truthy(program.read(folder .. "/errors"):find("interrupted"))
      end
    end)

    it("stops Lua code that calls nothing of the core, too", function()
      program.write(folder .. "/lua_loop.lua", [[
        jit.off()
        io.open("running", "w"):close()
        while true do end]])
      local pipe = io.popen(([[cd '%s' && perl -e '
        $p = fork; if (!$p) { exec @ARGV }
        select(undef, undef, undef, 0.02) until -e "running";
        kill "TERM", $p; waitpid $p, 0; print $? >> 8;
        ' '%s' run lua_loop.lua 2>errors]]):format(folder, program.path))
      local result = pipe:read("*a")
      pipe:close()
      assert.equal("143", result)
    end)
  end)

  describe("test", function()
    it("closes with the counts and exits with 1 on failures", function()
      program.write(folder .. "/x_spec.lua", [[
        describe("a group", function()
          it("holds", function() assert.equal(1, 1) end)
          it("fails", function() assert.equal(1, 2) end)
          it("breaks", function() error("boo") end)
          it("skips", function() pending("no data here") end)
        end)]])
      local code, out = edgeai("test x_spec.lua")
      assert.equal(1, code)
      assert.truthy(out:find("\n1 passed, 2 failed, 1 skipped\n$"), out)
      assert.truthy(out:find("skipped a group skips: no data here", 1, true), out)
      assert.truthy(out:find("FAILED x_spec.lua:3: a group fails", 1, true), out)
      code, out = edgeai("test x_spec.lua --filter holds")
      assert.equal(0, code)
      assert.equal("1 passed, 0 failed, 0 skipped\n", out)
    end)

    it("fails for a spec that does not load, and for a path that is not there", function()
      program.write(folder .. "/broken_spec.lua", "it(")
      local code, out = edgeai("test broken_spec.lua")
      assert.equal(1, code)
      assert.truthy(out:find("0 passed, 1 failed", 1, true), out)
      code = edgeai("test nowhere")
      assert.equal(2, code)
    end)
  end)

  describe("repl without a terminal", function()
    local function repl(lines)
      program.write(folder .. "/input", lines)
      local out = os.tmpname()
      os.execute(("cd '%s' && '%s' <input >%s 2>&1"):format(folder, program.path, out))
      local text = program.read(out)
      os.remove(out)
      return text
    end

    it("prints results, keeps the last one in _, and goes on after errors", function()
      assert.equal("3\n6\n", repl("1 + 2\n_ * 2\n"))
      assert.equal("", repl("x = 4\nx;\n"))
      local text = repl("x = error('boo')\nnil + 1\n7\n")
      assert.truthy(text:find("stdin:1: boo") and text:find("attempt to perform arithmetic"), text)
      assert.truthy(text:find("\n7\n$"), text)
    end)

    it("joins lines until they are complete", function()
      assert.equal("5\n", repl("function f(x)\n  return x + 1\nend\nf(4)\n"))
      assert.truthy(repl("f(\n"):find("<eof>"))
    end)
  end)

  describe("data", function()
    it("lists the data sets", function()
      local code, out = edgeai("data list", "EDGEAI_DATA=/nowhere HOME=" .. folder)
      assert.equal(0, code)
      assert.truthy(out:find("cifar10") and out:find("missing"), out)
    end)

    it("refuses unknown actions and sets", function()
      assert.equal(2, (edgeai("data list cifar10")))
      local code, _, err = edgeai("data lsit")
      assert.equal(2, code)
      assert.truthy(err:find("did you mean `list`?", 1, true))
      code, _, err = edgeai("data verify cifar11")
      assert.equal(1, code)
      assert.truthy(err:find("cifar10", 1, true))
    end)
  end)

  describe("info", function()
    it("lists tensors and metadata of a safetensors file", function()
      local code, _, err = edgeai([[eval '
        ea.io.save("m.safetensors", { ["fc.weight"] = ea.zeros({ 10, 64 }),
          ["bn.running_mean"] = ea.zeros({ 64 }) })']])
      assert.equal(0, code, err)
      local out
      code, out = edgeai("info m.safetensors")
      assert.equal(0, code)
      assert.truthy(out:find("fc.weight", 1, true) and out:find("10 x 64", 1, true), out)
      assert.truthy(out:find("640 parameters", 1, true), out)
    end)

    it("says what is wrong with other files", function()
      program.write(folder .. "/not.safetensors", "hello, this is no model\n")
      local code, out, err = edgeai("info not.safetensors")
      assert.equal(1, code)
      assert.equal("", out)
      assert.truthy(err:find("^edgeai: [^\n]*not.safetensors[^\n]*\n$"), err)
      code, out, err = edgeai("info nowhere.safetensors")
      assert.equal(1, code)
      assert.equal("", out)
      assert.truthy(err:find("nowhere.safetensors", 1, true))
    end)
  end)
end)
