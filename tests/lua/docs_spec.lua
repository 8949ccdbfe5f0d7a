-- SPDX-License-Identifier: GPL-3.0-or-later
-- The documents are true: every fenced example in README.md, CONTRIBUTING.md, docs/*.md and the
-- plugins' README.md runs and
-- prints what it says, in order and in one folder for each document; the files they name are there.

local F = require "edgeai.ffi"
local program = require "program"
local tiny = require "tiny"

local build = program.path:match("^" .. program.root:gsub("%p", "%%%0") .. "/([^/]+)/edgeai$")
local plain_build = build and not os.getenv("EDGEAI_SANITIZED")

local documents = { "README.md", "CONTRIBUTING.md" }
local pipe = assert(io.popen("ls docs/*.md plugins/*/README.md 2>/dev/null"))
for path in pipe:lines() do documents[#documents + 1] = path end
pipe:close()

--- The fenced blocks: list of { kind =, text =, line = }.
local function blocks_of(text)
  local list, at, open = {}, 0, nil
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do
    at = at + 1
    local fence = line:match("^%s*```(.*)$")
    if fence and open then
      open.text = table.concat(open, "\n") .. "\n"
      list[#list + 1], open = open, nil
    elseif fence then
      open = { kind = fence, line = at }
    elseif open then
      open[#open + 1] = line
    end
  end
  assert(not open, "a fence is not closed")
  return list
end

local folder

local function run(arguments, input)
  return program.run(folder, arguments, "EDGEAI_DATA=data", input)
end

local examples = {} -- kind -> function(block, title): makes its tests

function examples.lua(block, title)
  it(title .. ": " .. block.text:match("[^\n]+"), function()
    local name = ("block%d.lua"):format(block.line)
    program.write(folder .. "/" .. name, block.text)
    local code, out, err = run(("run %s --quiet"):format(name))
    assert.equal(0, code, err)
    if block.text:find("print(", 1, true) then assert.truthy(#out > 0) end
  end)
end

function examples.c(block, title)
  it(title .. ": a C program", function()
    if not plain_build then return pending("is tried from a plain build") end
    program.write(folder .. "/block.c", block.text)
    local output = io.popen(("cd '%s' && { gcc -std=c99 -Wall -Wextra -Werror -I'%s/core' block.c "
      .. "-o block -L'%s/%s' -ledgeai -Wl,-rpath,'%s/%s' && ./block; } 2>&1; echo \" $?\""):format(
      folder, program.root, program.root, build, program.root, build))
    local said, code = output:read("*a"):match("^(.*) (%d+)\n$")
    output:close()
    assert.equal("0", code, said)
    assert.truthy(#said > 0)
  end)
end

local makefiles = program.read(program.root .. "/Makefile")
  .. program.read(program.root .. "/tests/check.mk")
  .. program.read(program.root .. "/tests/fuzz/Makefile.inc")
  .. program.read(program.root .. "/tests/peers/Makefile.inc")

--- `make TARGET` is looked up; `build/edgeai ...` runs, unless it is said to take minutes.
function examples.sh(block, title)
  for line in block.text:gmatch("[^\n]+") do
    local command, remark = line:match("^(.-)%s*#%s*(.*)$")
    command, remark = command or line, remark or ""
    local target = command:match("^make (%S+)$") or command == "make" and "all"
    local arguments = command:match("^build/edgeai (.*)$")
    it(title .. ": " .. command, function()
      assert.truthy(target or arguments, "neither make nor build/edgeai: " .. line)
      if target then
        return assert.truthy(makefiles:find("\n" .. target .. ":", 1, true), "no such target")
      end
      if remark:find("^minutes") then return end
      local set = arguments:match("^data verify (%S+)")
      for _, known in ipairs(set and ea.data.list() or {}) do
        if known.name == set and known.state ~= "ready" then
          return pending(set .. " is not here")
        end
      end
      local code, _, err = program.run(folder, arguments)
      assert.equal(0, code, err)
    end)
  end
end

--- $ build/edgeai ..., and what it prints; after `> ` what is typed.
function examples.console(block, title)
  for session in ("\n" .. block.text):gsub("\n%$ ", "\n\0"):gmatch("%z([^%z]+)") do
    local arguments, shown = session:match("^build/edgeai ([^\n]*)\n(.*)$")
    it(title .. " prints: " .. arguments, function()
      local input, expected = {}, {}
      for line in shown:gmatch("[^\n]+") do
        local typed = line:match("^> (.*)$")
        table.insert(typed and input or expected, typed or line)
      end
      local _, out, err = run(arguments, table.concat(input, "\n") .. "\n")
      assert.equal(table.concat(expected, "\n") .. "\n", out .. err)
    end)
  end
end

function examples.text() end -- shows, does not run

for _, document in ipairs(documents) do
  describe(document, function()
    local text = assert(program.read(program.root .. "/" .. document), "run from the top")

    setup(function()
      folder = program.folder()
      for _, name in ipairs { "experiments", "tests" } do
        os.execute(("[ ! -e '%s/%s' ] || ln -s '%s/%s' '%s/%s'"):format(program.root, name,
          program.root, name, folder, name))
      end
      os.execute(("mkdir '%s/plugins' && ln -s '%s'/plugins/* '%s/plugins'"):format(folder,
        program.root, folder)) -- examples make new ones beside them
      tiny.fashion_mnist(folder .. "/data")
    end)
    teardown(function() program.remove(folder) end)

    for _, block in ipairs(blocks_of(text)) do
      local title = ("line %d"):format(block.line)
      local example = examples[block.kind]
      if example then
        example(block, title)
      else
        it(title, function() error("a block of unknown kind: ```" .. block.kind) end)
      end
    end

    it("names files that are there", function()
      local top = { core = true, lua = true, experiments = true, tests = true, docs = true,
        plugins = true, LICENSE = true, LICENSES = true }
      local seen = 0
      local function check(path)
        if not top[path:match("^[^/]+")]
          or path:find("%u%u%u%u", 1) and not path:find("LICENSE") then
          return
        end
        seen = seen + 1
        assert.is_true(F.C.ea_file_exists(program.root .. "/" .. path) > 0
          or F.C.ea_file_exists(folder .. "/" .. path) > 0, path) -- or made by an example
      end
      for path in text:gmatch("[`(]([%w_./-]+)[`)]") do check(path) end
      for path in text:gmatch("%f[%w](%l+/[%w_./-]+%.lua)") do check(path) end
      assert.is_true(document:find("/") ~= nil or seen > 10)
    end)
  end)
end
