-- SPDX-License-Identifier: GPL-3.0-or-later
-- README.md is true: its tables list what exists, a run writes what it says. docs_spec.lua runs its
-- examples. The data set is a small one made here.

local F = require "edgeai.ffi"
local json = require "edgeai.json"
local program = require "program"
local tiny = require "tiny"

local readme = assert(program.read(program.root .. "/README.md"), "run from the repository's top")

-- ---- reading it --------------------------------------------------------------------------------

local function cells(line)
  local list = {}
  for cell in line:gsub("\\|", "\0"):gmatch("|([^|]*)") do
    list[#list + 1] = cell:gsub("%z", "|"):match("^%s*(.-)%s*$")
  end
  if list[#list] == "" and line:find("|%s*$") then list[#list] = nil end
  return list
end

--- Rows (lists of cells) of the table whose header line starts so.
local function rows(header)
  local from = assert(readme:find("\n" .. header, 1, true), "no table " .. header)
  local list = {}
  for line in readme:sub(from + 1):gmatch("([^\n]*)\n") do
    if line:sub(1, 1) ~= "|" then break end
    list[#list + 1] = cells(line)
  end
  return { unpack(list, 3) }
end

local function quoted(text)
  local names = {}
  for name in text:gmatch("`([^`]+)`") do names[#names + 1] = name end
  return names
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function sorted(list)
  table.sort(list)
  return list
end

-- ---- where it is tried -------------------------------------------------------------------------

local folder

setup(function()
  folder = program.folder()
  for _, name in ipairs { "experiments", "tests" } do
    os.execute(("ln -s '%s/%s' '%s/%s'"):format(program.root, name, folder, name))
  end
  tiny.fashion_mnist(folder .. "/data")
end)
teardown(function() program.remove(folder) end)

local function run(arguments, input)
  return program.run(folder, arguments, "EDGEAI_DATA=data", input)
end

-- ---- commands ----------------------------------------------------------------------------------

describe("README.md: command", function()
  it("table lists all commands and their options", function()
    local names = {}
    for _, row in ipairs(rows("| command | what it does |")) do
      local name = row[1]:match("^`(%l+)")
      names[name] = true
      local code, help = run(name .. " --help")
      assert.equal(0, code)
      for option in row[2]:gmatch("%-%-[%l-]+") do
        assert.truthy(help:find("\n  " .. option .. " ", 1, true), name .. " has no " .. option)
      end
      for option in help:gmatch("\n  (%-%-[%l-]+)") do
        assert.truthy(option == "--help" or row[2]:find(option, 1, true),
          ("%s %s is not mentioned"):format(name, option))
      end
    end
    local _, overview = run("--help")
    for name in overview:match("Commands:\n(.-)\n\n"):gmatch("%f[^\n%z]  (%l+)") do
      assert.is_true(names[name], name .. " is not in the table")
    end
  end)
end)

-- ---- the main job ------------------------------------------------------------------------------

describe("README.md: a run", function()
  local found

  setup(function()
    local code, _, err = run(tiny.nonn2s .. "--out one")
    assert(code == 0, err)
    found = json.decode(program.read(folder .. "/one/summary.json"))
  end)

  it("has the documented keys in summary.json", function()
    local expected, got = {}, {}
    for _, row in ipairs(rows("| key | unit | meaning |")) do
      expected[quoted(row[1])[1]] = true
    end
    for key in pairs(found) do got[key:gsub("%[%d+%]", "[i]")] = true end
    assert.same(sorted_keys(expected), sorted_keys(got))
  end)

  it("has the documented files", function()
    local expected, got = {}, {}
    for _, row in ipairs(rows("| file | what it holds |")) do
      for _, name in ipairs(quoted(row[1])) do expected[name] = true end
    end
    if not program.read(folder .. "/one/training.png") then
      return pending("no pictures were drawn: gnuplot is missing")
    end
    local pipe = io.popen(("ls '%s/one'"):format(folder))
    for name in pipe:lines() do got[name] = true end
    pipe:close()
    assert.same(sorted_keys(expected), sorted_keys(got))
  end)

  it("gives the same bytes with another number of threads", function()
    local code, _, err = run(tiny.nonn2s .. "--out three --threads 3")
    assert.equal(0, code, err)
    for _, name in ipairs { "teacher.safetensors", "nonn.safetensors" } do
      assert.is_true(program.read(folder .. "/one/" .. name)
        == program.read(folder .. "/three/" .. name), name)
    end
  end)

  it("has the documented presets", function()
    local _, help = run("run experiments/nonn2s.lua --help")
    local defaults, presets = help:match("defaults:\n(.-)\n\nPresets[^\n]*\n(.-)\n\n")
    local function options(text, into)
      for key, value in text:gmatch("%s([%w_.]+)=(%S+)") do into[key] = value end
      return into
    end
    for _, row in ipairs(rows("| preset | data | teacher | each")) do
      local name = quoted(row[1])[1]
      local lines = ("\n" .. presets .. "\n  x"):match("\n  " .. name .. "(.-)\n  %f[%w]")
      local o = options(lines or "", options("\n" .. defaults, {}))
      local function net(arch, job)
        return ("WRN-%s {%s}, %s epochs"):format(o[arch .. ".depth"],
          o[arch .. ".widths"]:gsub(",", ", "), o[job .. ".epochs"])
      end
      assert.same({ o.data, net("teacher_net", "train"), net("student_net", "distil"), "2" },
        { row[2], row[3], row[4], o.students }, name)
    end
  end)
end)

-- ---- what exists -------------------------------------------------------------------------------

describe("README.md: tables", function()
  it("list all ops in their groups", function()
    local groups, group = {}, nil
    for line in program.read(program.root .. "/core/ops/ops.def"):gmatch("[^\n]+") do
      local op = line:match("^EA_OP%(([%w_]+)%)")
      if op then table.insert(groups[group], op) else group = line:match("^/%* (.-) %*/$") end
      if group then groups[group] = groups[group] or {} end
    end
    local count = 0
    for _, row in ipairs(rows("| group | ops |")) do
      assert.same(groups[row[1]], quoted(row[2]), row[1])
      count = count + #quoted(row[2])
    end
    assert.equal(F.C.ea_op_count(), count)
  end)

  it("give the architectures' parameters and MFLOP", function()
    local named = {}
    for _, row in ipairs(rows("| `ea.nn.` | parameters | MFLOP |")) do
      local text = quoted(row[1])[1]
      named[text:match("^[%w_]+")] = true
      local net = assert(load("return ea.nn." .. text))()
      assert.equal(row[2], require("edgeai.table").number(net:parameter_count()), text)
      assert.equal(row[3], ("%.1f"):format(net:mflop()), text)
    end
    assert.same(ea.nn.architectures(), sorted_keys(named))
  end)

  it("list all layers", function()
    local other = { Module = true, is_module = true, register = true, unregister = true,
      architectures = true,
      build = true, by_name = true, load = true, from_state = true }
    for _, name in ipairs(ea.nn.architectures()) do other[name] = true end
    local expected, got = {}, {}
    for name in pairs(ea.nn) do
      if not other[name] then expected[name] = true end
    end
    for _, row in ipairs(rows("| layer | options |")) do
      for _, name in ipairs(quoted(row[1])) do got[name] = true end
    end
    assert.same(sorted_keys(expected), sorted_keys(got))
  end)

  it("list optimisers, schedules, losses, communities, data sets", function()
    local there = { optim = sorted_keys(ea.optim), schedule = sorted_keys(ea.schedule),
      distill = sorted_keys(ea.distill), graph = sorted_keys(ea.graph),
      plot = sorted_keys(ea.plot), draw = sorted_keys(ea.draw), image = sorted_keys(ea.image),
      data = sorted(ea.data.names()), dream = sorted_keys(ea.dream), dfkd = sorted_keys(ea.dfkd),
      vis = sorted_keys(ea.vis and require("edgeai.vis.registry").specs) }
    local seen = 0
    for _, row in ipairs(rows("| what | there are |")) do
      local module = row[1]:match("`ea%.(%l+)")
      assert.same(there[module], sorted(quoted(row[2])), module)
      seen = seen + 1
    end
    assert.equal(11, seen)
  end)

  it("list the kinds of files", function()
    for _, row in ipairs(rows("| file | read | written | holds |")) do
      for _, extension in ipairs(quoted(row[1])) do
        local path = folder .. "/nothing/x" .. extension
        local ok, message = pcall(ea.io.load, path)
        assert.is_false(ok)
        assert.truthy(message:find("cannot read", 1, true), message)
        ok, message = pcall(ea.io.save, path,
          extension:find("[zs]") and {} or ea.zeros({ 1, 1, 1 }, "u8"))
        assert.is_false(ok)
        assert.equal(row[3] == "no", message:find("is only read", 1, true) ~= nil, message)
      end
    end
  end)
end)
