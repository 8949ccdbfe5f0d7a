-- SPDX-License-Identifier: GPL-3.0-or-later
-- `make install`: the program away from the build, plain luajit over libedgeai.so, C through
-- pkg-config; and `make uninstall` leaves nothing.

local program = require "program"

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
