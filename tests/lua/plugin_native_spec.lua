-- SPDX-License-Identifier: GPL-3.0-or-later
-- `edgeai plugin new|build|test`, the native parts of plugins, and the plugins of this repository.

local program = require "program"

local folder

local function run(arguments, before)
  return program.run(folder, arguments, "XDG_DATA_HOME=/nonexistent XDG_CACHE_HOME='" .. folder
    .. "/cache' " .. (before or "CFLAGS=-O1"))
end

--- Runs it; it must end so and say that.
local function says(status, words, arguments, before)
  local got, out, err = run(arguments, before)
  assert.equal(status, got, out .. err)
  assert.truthy((out .. err):find(words, 1, true), out .. err)
end

--- Replaces a text in a file.
local function change(file, from, to)
  local path = folder .. "/" .. file
  local text = program.read(path)
  local first, last = text:find(from, 1, true)
  assert(first, from)
  program.write(path, text:sub(1, first - 1) .. to .. text:sub(last + 1))
end

before_each(function() folder = program.folder() end)
after_each(function() program.remove(folder) end)

describe("plugin new", function()
  it("writes one that works, with spec and README", function()
    local status, out = run "plugin new my_scale"
    assert.equal(0, status)
    assert.equal("plugins/my_scale/init.lua\nplugins/my_scale/my_scale_spec.lua\n"
      .. "plugins/my_scale/README.md\nTry `edgeai plugin test my_scale`, then change it.\n", out)
    says(0, "3 passed, 0 failed, 0 skipped", "plugin test my_scale")
    says(0, "my_scale         layer my_scale; plugins/my_scale\n", "plugin list")
    says(0, "there is nothing to build, no plugins/my_scale/my_scale.c", "plugin build my_scale")
    local code = program.read(folder .. "/plugins/my_scale/README.md"):match("```lua\n(.-)```")
    program.write(folder .. "/readme.lua", "local ea = require 'edgeai' " .. code)
    says(0, "my_scale{16}", "run readme.lua")
  end)

  it("writes one with an op in C that works, elsewhere too", function()
    says(0, "there/softer/softer.c\n", "plugin new softer --native --in there")
    says(1, "there is no plugin 'softer'", "plugin test softer")
    says(0, "op softer: its gradient is right to", "plugin test there/softer")
    says(0, "softer           op softer; there/softer, native", "plugin list",
      "EDGEAI_PLUGINS=there")
    local code = program.read(folder .. "/there/softer/README.md"):match("```lua\n(.-)```")
    program.write(folder .. "/readme.lua", "local ea = require 'edgeai' " .. code)
    says(0, "{2, 3} f32", "run readme.lua", "EDGEAI_PLUGINS=there")
  end)

  it("writes objectives, parameterisations and transforms that work", function()
    for kind, passed in pairs { objective = 3, parameterisation = 2, transform = 2 } do
      local name = "my_" .. kind
      says(0, "plugins/" .. name .. "/README.md\n", ("plugin new %s --kind %s"):format(name, kind))
      says(0, passed .. " passed, 0 failed, 0 skipped", "plugin test " .. name)
      says(0, ("%-16s %s %s; plugins/%s\n"):format(name, kind, name, name), "plugin list")
      local code = program.read(("%s/plugins/%s/README.md"):format(folder, name))
        :match("```lua\n(.-)```")
      program.write(folder .. "/readme.lua", "local ea = require 'edgeai' " .. code)
      assert.equal(0, (run "run readme.lua"))
    end
    says(2, "there is no kind 'objectiv'; did you mean `objective`?",
      "plugin new x --kind objectiv")
    says(2, "an op needs C: take --native", "plugin new x --kind op")
    says(2, "--native is of a kind of its own", "plugin new x --kind layer --native")
    says(2, "there is ea.vis.transform.jitter already", "plugin new jitter --kind transform")
  end)

  it("writes over nothing and makes no clash", function()
    assert.equal(0, (run "plugin new one"))
    says(2, "plugins/one is there already", "plugin new one")
    says(2, "there is ea.nn.relu already; choose another name", "plugin new relu")
    says(2, "there is ea.mse already", "plugin new mse")
    says(2, "made of small letters, digits and _, not '../x'", "plugin new ../x")
    says(2, "makes one plugin; it got 2 names", "plugin new a b")
  end)
end)

describe("edgeai plugin", function()
  it("wants an action, and what belongs to it", function()
    says(2, "plugin needs an action: list, new, build or test", "plugin")
    says(2, "unknown action tst; did you mean `test`?", "plugin tst")
    says(2, "plugin list takes no names", "plugin list x")
    says(2, "plugin build needs the name of a plugin", "plugin build")
    says(2, "--native, --kind and --in are for plugin new", "plugin list --native")
    says(1, "there is no plugin 'none'", "plugin build none")
    says(1, "plugin none: ./none/init.lua: there is no ./none/init.lua", "plugin test ./none")
  end)

  it("test finds a failing spec", function()
    assert.equal(0, (run "plugin new one"))
    change("plugins/one/one_spec.lua", "{ 4, 6 }", "{ 4, 7 }")
    says(1, "2 passed, 1 failed, 0 skipped", "plugin test one")
    os.remove(folder .. "/plugins/one/one_spec.lua")
    says(2, "no *_spec.lua in plugins/one", "plugin test one")
  end)
end)

describe("the native part of a plugin", function()
  local c_file, init = "plugins/soft/soft.c", "plugins/soft/init.lua"

  before_each(function() assert(run "plugin new soft --native" == 0) end)

  it("is used only once it is compiled, and from that C file", function()
    says(1, "plugin soft: plugins/soft/init.lua:5: its C file is not compiled yet: `edgeai plugin "
      .. "build soft` does it", [[eval 'ea.plugin.use "soft"']])
    says(0, "soft: built plugins/soft/soft.so", "plugin build soft")
    says(0, "{ 0, 1.5 }", "eval 'ea.soft(ea.tensor { 0.5, 2 }):tolist()'")
    says(0, "{ 0, 1.5 }", "eval 'ea.tensor({ 0.5, 2 }):soft():tolist()'")
    change(c_file, 'attrs = "threshold:f=0.5"', 'attrs = "threshold:f=0.25"')
    says(1, "plugins/soft/soft.so was built from another version of its C file; build it again",
      [[eval 'ea.plugin.use "soft"']])
    says(0, "soft: built", "plugin test soft") -- by itself
    says(0, "{ 0.25, 1.75 }", "eval 'ea.soft(ea.tensor { 0.5, 2 }):tolist()'")
  end)

  it("runs in captured graphs, and its documentation is there", function()
    assert.equal(0, (run "plugin build soft"))
    says(0, "2.25\t1\n", [[eval 'local w = ea.tensor({ 1.25 }):require_grad()
      local g = ea.capture(function(x) return (x * w):soft():sum() end, { { size = { 1 } } })
      g.inputs[1]:fill(2.2) print(("%.4g"):format(g:forward():item())) g:backward()
      print(2.25, w.grad:item() > 2 and 1)']])
    says(0, "(x, { threshold = 0.5 })\nx moved towards 0", [[eval 'local d =
      require("edgeai.doc").of(ea.soft) print(d.parameters .. "\n" .. d.text)']])
    says(0, "nil\tnil", [[eval 'ea.plugin.use "soft" ea.plugin.drop "soft"
      print(rawget(ea, "soft"), require("edgeai.ops").by_name.soft)']])
  end)

  it("that does not compile shows why", function()
    change(c_file, "return EA_OK;", "return EA_OKAY;")
    says(1, "EA_OKAY", "plugin build soft")
    says(1, "edgeai: plugin soft: plugins/soft/soft.c does not compile: the compiler's words are "
      .. "above", "plugin test soft")
    says(1, "there is no C compiler `no-such-cc`: install gcc, or say which in $CC",
      "plugin build soft", "CC=no-such-cc")
    assert.is_nil(program.read(folder .. "/plugins/soft/soft.so"))
    local pipe = io.popen(("ls -A '%s/plugins/soft'"):format(folder)) -- and leaves nothing
    assert.equal("README.md\ninit.lua\nsoft.c\nsoft_spec.lua\n", pipe:read("*a"))
    pipe:close()
  end)

  it("with a wrong gradient fails the test", function()
    change(c_file, "x[i] < -t ? g[i] : 0", "x[i] < -t ? 1.01 * g[i] : 0")
    local status, out = run "plugin test soft"
    assert.equal(1, status)
    assert.truthy(out:find("op soft: FAILED\n  [^\n]*gradcheck: input 1, element "), out)
    assert.truthy(out:find("2 passed, 0 failed, 0 skipped\n1 op failed the check\n", 1, true), out)
  end)

  it("that reads what it does not say it reads fails the test", function()
    change(c_file, ".need_in = 1, ", "")
    local status, out = run "plugin test soft" -- it may crash
    assert.is_true(status ~= 0)
    assert.truthy(out:find("op soft: ", 1, true), out)
  end)

  it("that is exact in f64 only fails the test", function()
    change(c_file, "ea_tensor_write(ea_call_out(arg, 0), begin, n, x);",
      "if (ea_tensor_dtype(ea_call_in(arg, 0)) != EA_F64) x[0] += 0.1;\n"
      .. "    ea_tensor_write(ea_call_out(arg, 0), begin, n, x);")
    says(1, "soft: output 1 in f32 is 0.0", "plugin test soft")
  end)

  it("of another ABI is refused", function()
    change(c_file, "EA_PLUGIN(&op);", "static const ea_op *const ops[] = {&op};\n"
      .. "EA_API const ea_plugin ea_plugin_entry = {EA_OP_ABI + 1, EA_ABI, EA_PLUGIN_SOURCE, 1,\n"
      .. "  ops};")
    assert.equal(0, (run "plugin build soft"))
    says(1, "plugins/soft/soft.so was built for another edgeai (op ABI 2, library ABI 1; here they "
      .. "are 1 and 1); build it again", [[eval 'ea.plugin.use "soft"']])
    says(0, "soft             broken: plugin soft: plugins/soft/init.lua:5: ", "plugin list")
  end)

  it("that needs what is nowhere is refused", function()
    change(c_file, "static int shape(ea_call *c) {", "int nowhere_to_be_found(void);\n"
      .. "static int shape(ea_call *c) {\n  if (nowhere_to_be_found()) return EA_OK;")
    assert.equal(0, (run "plugin build soft"))
    says(1, "undefined symbol: nowhere_to_be_found", [[eval 'ea.plugin.use "soft"']])
  end)

  it("must have the ops that init.lua says, and no others", function()
    change(c_file, '.name = "soft"', '.name = "hard"')
    assert.equal(0, (run "plugin build soft"))
    says(1, "init.lua:5: the op `hard` of its C file is not in `ops`",
      [[eval 'ea.plugin.use "soft"']])
    says(0, "nil\tnil", [[eval 'pcall(ea.plugin.use, "soft")
      print(rawget(ea, "soft"), require("edgeai.ops").by_name.hard)']])
    change(init, "soft = { --", "soft = { check = print }, hard = { --")
    says(1, "the op `soft` is not in its C file", [[eval 'ea.plugin.use "soft"']])
    change(init, "ops = {", "data = {")
    program.write(folder .. "/" .. init, "return {}")
    says(1, "there is a soft.c, but no `ops` that says what ops are in it",
      [[eval 'ea.plugin.use "soft"']])
  end)

  it("must say how its gradient is checked, and say it right", function()
    change(init, "check = function(random) return { random { 3, 200 } }", "check = function() "
      .. "return { ea.ones { 3 } }")
    says(1, "soft: check must return a list of inputs of which one at least is f64",
      "plugin test soft")
    change(init, "check = function", "-- check = function")
    says(1, "init.lua:6: the op `soft` needs `check`, a function of `random` that returns",
      "plugin test soft")
  end)

  it("must be there", function()
    os.remove(folder .. "/" .. c_file)
    says(1, "it brings ops, but there is no plugins/soft/soft.c", [[eval 'ea.plugin.use "soft"']])
  end)
end)

describe("the plugins of this repository", function()
  it("pass their tests", function()
    local names, pipe = {}, io.popen("ls -d plugins/*/")
    for path in pipe:lines() do names[#names + 1] = path:match("([^/]+)/$") end
    pipe:close()
    assert.is_true(#names >= 2)
    local status, out, err = program.run(program.root, "plugin test " .. table.concat(names, " "),
      "XDG_DATA_HOME=/nonexistent XDG_CACHE_HOME='" .. folder .. "'")
    assert.equal(0, status, out .. err)
    assert.truthy(out:find("op fake_quantize: its gradient is right to ", 1, true), out)
    assert.is_true(tonumber(out:match("(%d+) passed, 0 failed, 0 skipped\n$")) >= 15)
  end)
end)
