-- SPDX-License-Identifier: GPL-3.0-or-later
-- `make install`: the program away from the build, plain luajit over libedgeai.so, C through
-- pkg-config; and `make uninstall` leaves nothing.

local program = require "program"
local tiny = require "tiny"

local build = program.path:match("^" .. program.root:gsub("%p", "%%%0") .. "/([^/]+)/edgeai$")

describe("make install", function()
  local prefix

  local function shell(command)
    local pipe = assert(io.popen(("cd / && { %s; } 2>&1; echo \" $?\""):format(command)))
    local output, code = pipe:read("*a"):match("^(.*) (%d+)\n$")
    pipe:close()
    return tonumber(code), output
  end

  local function make(target)
    local code, output = shell(("make -s -C '%s' %s BUILD='%s' PREFIX='%s'"):format(program.root,
      target, build, prefix))
    assert.equal(0, code, output)
  end

  if not build or os.getenv("EDGEAI_SANITIZED") then
    pending("is tried from a plain build: this program is sanitized or not in its build folder")
    return
  end

  setup(function()
    prefix = program.folder()
    make("install")
  end)
  teardown(function() program.remove(prefix) end)

  it("gives a program that runs anywhere", function()
    local code, output = shell(("'%s/bin/edgeai' eval 'ea.ones({ 3 }):sum():item()'")
      :format(prefix))
    assert.equal(0, code, output)
    assert.equal("3\n", output)
  end)

  it("gives plain luajit the same library, errors at the user's line included", function()
    program.write(prefix .. "/s.lua", table.concat({ "local ea = require 'edgeai'",
      "print(ea.ones({ 3 }):sum():item() + ea.nn.lenet5 { classes = 10 }:parameter_count())",
      "local x = ea.zeros({ 2, 3 }):reshape({ 4, 4 })", "print(x)" }, "\n"))
    local code, output = shell(("LUA_PATH='%s/share/lua/5.1/?.lua' luajit '%s/s.lua'"):format(
      prefix, prefix))
    assert.equal(1, code)
    assert.truthy(output:find("61709\n", 1, true), output)
    assert.truthy(output:find("s.lua:3: reshape: ", 1, true), output)
  end)

  -- Every file that is installed, and an experiment from data to report.
  it("gives plain luajit every module, and an experiment's very bytes", function()
    local count = 0
    local _, list = shell(("cd '%s/share/lua/5.1' && find edgeai -name '*.lua'"):format(prefix))
    local script = { "local ea = require 'edgeai'" }
    for path in list:gmatch("[^\n]+") do
      count = count + 1
      script[#script + 1] = ("require %q"):format(path:gsub("%.lua$", ""):gsub("/init$", "")
        :gsub("/", "."))
    end
    assert.is_true(count > 70)
    local set = { ["teacher_net.widths"] = "8,8,8,16", ["student_net.widths"] = "4,4,4,8",
      ["train.epochs"] = "1", ["distil.epochs"] = "1", batch = "64", precision = "f32" }
    local words = {}
    script[#script + 1] = "local session = require 'edgeai.session'"
    script[#script + 1] = "session.quiet, session.out = true, 'plain'"
    for key, value in pairs(set) do
      words[#words + 1] = ("--set %s=%s"):format(key, value)
      script[#script + 1] = ("table.insert(session.settings, { %q, %q })"):format(key, value)
    end
    script[#script + 1] = ("dofile '%s/experiments/nonn2s.lua'"):format(program.root)
    program.write(prefix .. "/plain.lua", table.concat(script, "\n"))
    tiny.fashion_mnist(prefix .. "/data")
    local code, output = shell(("cd '%s' && EDGEAI_DATA=data LUA_PATH=share/lua/5.1/?.lua "
      .. "luajit plain.lua && EDGEAI_DATA=data bin/edgeai run '%s/experiments/nonn2s.lua' --quiet "
      .. "--out program %s"):format(prefix, program.root, table.concat(words, " ")))
    assert.equal(0, code, output)
    for _, name in ipairs { "teacher.safetensors", "nonn.safetensors", "summary.json" } do
      local plain = program.read(("%s/plain/%s"):format(prefix, name))
      local other = program.read(("%s/program/%s"):format(prefix, name))
      if name == "summary.json" then
        plain, other = plain:gsub('"[%w_.]*seconds": [%d.e-]+', ""),
          other:gsub('"[%w_.]*seconds": [%d.e-]+', "")
      end
      assert.is_true(plain ~= nil and plain == other, name)
    end
  end)

  it("gives its plugins, the native ones compiled", function()
    local code = "ea.fake_quantize(ea.tensor { 0.3 }, ea.tensor { 0.25 }):item() + "
      .. "ea.nn.mobilenet_v3({}):parameter_count()"
    local status, output = shell(("XDG_DATA_HOME=/nonexistent '%s/bin/edgeai' eval '%s'"):format(
      prefix, code))
    assert.equal(0, status, output)
    assert.equal("1528106.25\n", output)
    status, output = shell(("LUA_PATH='%s/share/lua/5.1/?.lua' XDG_DATA_HOME=/nonexistent luajit "
      .. "-e 'ea = require \"edgeai\" print(%s)'"):format(prefix, code))
    assert.equal(0, status, output)
    assert.equal("1528106.25\n", output)
  end)

  it("gives LuaRocks a rock that plain luajit loads", function()
    if os.execute("command -v luarocks >/dev/null") ~= 0 or build ~= "build" then
      return pending("luarocks is not installed, or the program is not in build/")
    end
    local rocks = program.folder()
    local code, output = shell(("cd '%s' && luarocks make --tree='%s' edgeai-scm-1.rockspec")
      :format(program.root, rocks))
    assert.equal(0, code, output)
    code, output = shell(("eval $(luarocks --tree='%s' path) && luajit -e 'ea = require \"edgeai\" "
      .. "print(ea.ones({ 3 }):sum():item(), package.searchpath(\"edgeai.nn\", package.path))' && "
      .. "'%s/bin/edgeai' eval 2+2"):format(rocks, rocks))
    program.remove(rocks)
    assert.equal(("3\t%s/share/lua/5.1/edgeai/nn/init.lua\n4\n"):format(rocks), output)
    assert.equal(0, code)
  end)

  it("gives C a header, a library and a pkg-config file", function()
    program.write(prefix .. "/t.c", [[
      #include <edgeai.h>
      #include <edgeai_op.h>
      #include <stdio.h>
      int main(void) { printf("%d %s\n", ea_abi() == EA_ABI, ea_version()); return 0; }]])
    local code, output = shell(([[cd '%s' && export PKG_CONFIG_PATH=lib/pkgconfig &&
      gcc t.c $(pkg-config --cflags --libs edgeai) -Wl,-rpath,'%s/lib' -o t && ./t &&
      pkg-config --modversion edgeai]]):format(prefix, prefix))
    assert.equal(0, code, output)
    local version = output:match("^1 (%S+)\n")
    assert.equal(("1 %s\n%s\n"):format(version, version), output)
  end)

  it("is undone by make uninstall", function()
    local other = prefix
    prefix = program.folder()
    make("install")
    make("uninstall")
    local _, output = shell(("find '%s' -type f -o -type l"):format(prefix))
    program.remove(prefix)
    prefix = other
    assert.equal("", output)
  end)
end)
