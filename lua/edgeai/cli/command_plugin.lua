-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai plugin list|new|build|test - what users have added: see edgeai.plugin.

local options = require "edgeai.cli.options"
local text = require "edgeai.text"

local command = {
  usage = "plugin list | new NAME [--kind KIND | --native] [--in DIR] | build NAME... "
    .. "| test NAME...",
  brief = "plugin list|new|build|test [NAME]...",
  summary = "list, begin, compile and test plugins",
  help = "A plugin is a folder NAME with an init.lua. They are looked for in plugins/ beside the\n"
    .. "script, in ./plugins, in the folders of $EDGEAI_PLUGINS (joined by colons), in\n"
    .. "~/.local/share/edgeai/plugins and where edgeai is installed. NAME may also be the path of\n"
    .. "the folder, with a /.\n"
    .. "build compiles NAME.c with $CC (cc) and $CFLAGS (-O3 -march=native); test compiles what\n"
    .. "has changed, checks the ops' gradients and runs the specs in the folder.",
  options = {
    { "--kind", "KIND", "new: of what: layer (default), objective, parameterisation, transform" },
    { "--native", nil, "new: with an op in C" },
    { "--in", "DIR", "new: the folder to make it in (default plugins)" },
  },
}

local actions = {}

local singular = { layers = "layer", losses = "loss", ops = "op", commands = "command",
  architectures = "architecture", distillations = "distillation loss", data = "data set",
  objectives = "objective", parameterisations = "parameterisation", transforms = "transform" }

--- "layer squeeze_excite; op fake_quantize"
local function words_of(brings)
  local words = {}
  for _, kind in ipairs(text.keys(brings)) do
    local names = brings[kind]
    words[#words + 1] = (#names == 1 and singular[kind] or kind) .. " " .. table.concat(names, ", ")
  end
  return table.concat(words, "; ")
end

function actions.list(plugin)
  local list = plugin.list()
  for _, p in ipairs(list) do
    local where = p.link and p.folder .. " -> " .. p.link or p.folder
    if p.hidden_by then
      print(("%-16s hidden: %s comes first; %s"):format(p.name, p.hidden_by, where))
    elseif p.problem then
      print(("%-16s broken: %s"):format(p.name, p.problem))
    else
      print(("%-16s %s; %s%s"):format(p.name, words_of(p.brings), where,
        p.native and ", native" or ""))
    end
    if p.about then print((" "):rep(17) .. p.about) end
  end
  if #list == 0 then print("There are no plugins; `edgeai plugin new NAME` begins one.") end
  return 0
end

local places = { layer = "layers", op = "ops", objective = "objectives",
  parameterisation = "parameterisations", transform = "transforms" }

--- What a name would clash with, or nil.
local function taken(name, kind)
  local kinds = require "edgeai.plugin.kinds"
  for _, place in ipairs { places[kind], "layers", "ops" } do
    if kinds[place].taken(name) then return kinds[place].as .. name end
  end
end

--- Of what kind the new plugin is to be.
local function kind_of(given)
  if given.native and given.kind then
    options.fail(command, "plugin new: --native is of a kind of its own, an op; take one of both")
  end
  local kind = given.kind or "layer"
  if given.native then return "op" end
  if kind == "op" then options.fail(command, "plugin new: an op needs C: take --native") end
  if not places[kind] then
    options.fail(command, "plugin new: there is no kind '%s'%s; there are layer, objective, "
      .. "parameterisation and transform", kind, text.suggest(kind, text.keys(places)))
  end
  return kind
end

function actions.new(_, given, names)
  local F = require "edgeai.ffi"
  local name, at = names[1], given["in"] or "plugins"
  if #names > 1 then
    options.fail(command, "plugin new makes one plugin; it got %d names", #names)
  end
  if not require("edgeai.plugin.place").is_name(name) then
    options.fail(command, "plugin new: a name is made of small letters, digits and _, not '%s'",
      name)
  end
  local kind = kind_of(given)
  local clash = taken(name, kind)
  if clash then
    options.fail(command, "plugin new: there is %s already; choose another name", clash)
  end
  local folder = at .. "/" .. name
  if F.C.ea_file_exists(folder) ~= 0 then
    options.fail(command, "plugin new: %s is there already", folder)
  end
  F.check(F.C.ea_make_folder(folder))
  for _, file in ipairs(require("edgeai.cli.plugin_new").files(name, kind)) do
    F.check(F.C.ea_file_write(folder .. "/" .. file[1], file[2], #file[2]))
    print(folder .. "/" .. file[1])
  end
  print(("Try `edgeai plugin test %s`, then change it."):format(given["in"] and folder or name))
  return 0
end

local function build(record)
  local ok, message = require("edgeai.cli.plugin_build").compile(record)
  if ok then
    print(("%s: built %s/%s.so"):format(record.name, record.folder, record.name))
  else
    io.stderr:write(("edgeai: plugin %s: %s\n"):format(record.name, message))
  end
  return ok
end

function actions.build(plugin, _, names)
  local status, native = 0, require "edgeai.plugin.native"
  for _, name in ipairs(names) do
    local record = plugin.record(name)
    if not native.has(record) then
      print(("%s: there is nothing to build, no %s"):format(record.name, (native.files(record))))
    elseif not build(record) then
      status = 1
    end
  end
  return status
end

--- Checks the ops of a loaded plugin; returns how many are wrong.
local function check_ops(record)
  local failed, native = 0, require "edgeai.plugin.native"
  for _, name in ipairs(text.keys(record.ops or {})) do
    io.write(("op %s: "):format(name)) -- before, in case that it crashes
    io.flush()
    local ok, worst = pcall(native.check, name, record.ops[name].check)
    if not ok then
      failed = failed + 1
      print("FAILED\n  " .. tostring(worst))
    elseif worst then
      print(("its gradient is right to %.0e"):format(worst))
    else
      print("has no gradient")
    end
  end
  return failed
end

function actions.test(plugin, _, names)
  local setup = require "edgeai.cli.setup"
  setup.globals()
  local folders, failed = {}, 0
  for i, name in ipairs(names) do
    local record = plugin.record(name)
    if require("edgeai.plugin.native").has(record)
      and not require("edgeai.cli.plugin_build").is_current(record) and not build(record) then
      return 1
    end
    plugin.use(record.name)
    failed = failed + check_ops(record)
    folders[i] = record.folder
  end
  local status = require("edgeai.cli.command_test").run({}, folders)
  if failed > 0 then print(("%s failed the check"):format(text.count(failed, "op"))) end
  return failed > 0 and 1 or status
end

function command.run(given, operands)
  local action, names = options.action(command, actions, operands,
    { "plugin", "plugins", actions = "list, new, build or test" })
  if action ~= "new" and (given.native or given.kind or given["in"]) then
    options.fail(command, "--native, --kind and --in are for plugin new")
  end
  require("edgeai.cli.host").catch_signals()
  return actions[action](require "edgeai.plugin", given, names)
end

return command
