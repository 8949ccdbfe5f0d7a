-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.plugin.kinds - the kinds of things that a plugin can bring, and where each becomes known.
--
-- A kind whose things are functions in a table of edgeai is one line here,
--   objectives = fields("objective", "edgeai.vis.objectives", "ea.vis.objectives"),
-- and the module that owns the table ends with
--   return require "edgeai.plugin.miss"(objectives)
-- so that a name which is not there is looked for in the plugins. Any other kind is a table:
--   what         "layer", for sentences
--   as           what users write before the name: "ea.nn."
--   read(name, given)         what the plugin says -> what add takes; raises by thing.bad
--   taken(name)  is there a built-in of that name?
--   add(name, read, where)    makes it known; remove(name) undoes that
--   any_name     names may have a - in them

local F = require "edgeai.ffi"
local doc = require "edgeai.doc"
local ops = require "edgeai.ops"
local tensor = require "edgeai.tensor"
local thing = require "edgeai.plugin.thing"

local kinds = {}

--- Functions that become fields of a module's table; result(name, value) may look at what they
-- return.
local function fields(what, module, as, result)
  local kind = { what = what, as = as .. "." }
  function kind.read(name, given) return thing.read(what, name, given) end
  function kind.taken(name) return rawget(require(module), name) ~= nil end
  function kind.add(name, read, where)
    local call = thing.wrap(name, read, where)
    rawset(require(module), name, result and result(name, call) or call)
  end
  function kind.remove(name) rawset(require(module), name, nil) end
  return kind
end

-- ---- ea.nn -------------------------------------------------------------------------------------

local function layer(name, call)
  local function make(...)
    local made = call(...)
    if not require("edgeai.nn").is_module(made) then
      F.raise("nn.%s: the plugin made a %s, not a layer", name, type(made))
    end
    return made
  end
  doc.link(make, call)
  return make
end

kinds.layers = fields("layer", "edgeai.nn", "ea.nn", layer)
kinds.distillations = fields("distillation loss", "edgeai.distill", "ea.distill")

kinds.architectures = fields("architecture", "edgeai.nn", "ea.nn")
function kinds.architectures.add(name, read, where)
  require("edgeai.nn").register(name, thing.wrap(name, read, where))
end
function kinds.architectures.remove(name) require("edgeai.nn").unregister(name) end

-- ---- ea.vis ------------------------------------------------------------------------------------

--- As ea.vis.register_WORD takes them, which also checks their gradients. main: the function that
-- they must have; taken(name): is it edgeai's own?
local function of_vis(what, as, word, main, taken)
  local kind = { what = what, as = as }
  function kind.read(name, given)
    if type(given) ~= "table" or type(given[main]) ~= "function" then
      thing.bad(name, "the %s `%s` must be a table with `%s`, a function", what, name, main)
    end
    return given
  end
  function kind.taken(name)
    require "edgeai.vis"
    return taken(name)
  end
  function kind.add(name, given, where)
    local spec = {}
    for key, value in pairs(given) do spec[key] = value end
    spec.where = where
    require("edgeai.vis")["register_" .. word](name, spec)
  end
  function kind.remove(name) require("edgeai.vis")["unregister_" .. word](name) end
  return kind
end

kinds.objectives = of_vis("objective", "ea.vis.objectives.", "objective", "compute",
  function(name) return require("edgeai.vis.registry").specs[name] end)
kinds.parameterisations = of_vis("parameterisation", "ea.vis.param.", "param", "make",
  function(name) return rawget(require "edgeai.vis.param", name) end)
kinds.transforms = of_vis("transform", "ea.vis.transform.", "transform", "apply",
  function(name) return rawget(require "edgeai.vis.transform", name) end)

-- ---- ea.NAME and t:NAME ------------------------------------------------------------------------

local function of_tensors(kind)
  local add, remove = kind.add, kind.remove
  function kind.taken(name)
    local ea = require "edgeai"
    return rawget(ea, name) ~= nil or getmetatable(ea).modules[name] or tensor.has(name)
  end
  function kind.add(name, read, where)
    add(name, read, where)
    tensor.methods[name] = rawget(require "edgeai", name)
  end
  function kind.remove(name)
    remove(name)
    tensor.methods[name] = nil
  end
  return kind
end

kinds.losses = of_tensors(fields("loss", "edgeai", "ea"))

local op = fields("op", "edgeai", "ea")
function op.read(name, given)
  thing.check_keys("op", name, given, { help = "string", check = "any" })
  local check = given.check
  for _, one in ipairs(type(check) == "table" and check or { check or false }) do
    if type(one) ~= "function" then check = nil end
  end
  if not check or type(check) == "table" and #check == 0 then
    thing.bad(name, "the op `%s` needs `check`, a function of `random` that returns a list of "
      .. "inputs and a table of attributes, for checking its gradient; or a list of such functions",
      name)
  end
  return given
end
function op.add(name, read, where) -- native.lua has bound it
  local call = ops.functions[name]
  doc.link(call, { op = ops.by_name[name], parameters = doc.op_parameters(ops.by_name[name]),
    text = read.help, where = where })
  require("edgeai")[name] = call
end
kinds.ops = of_tensors(op)

-- ---- data sets and commands --------------------------------------------------------------------

kinds.data = { what = "data set", as = "ea.data.load ", any_name = true }

function kinds.data.read(name, given)
  if type(given) ~= "table" then
    thing.bad(name, "the data set `%s` must be a source, a table, not a %s", name, type(given))
  end
  local source = {}
  for key, value in pairs(given) do source[key] = value end
  source.name = name
  thing.options("data set", name, given.options)
  local wrong = require("edgeai.data").wrong(source)
  if wrong then thing.bad(name, "the data set %s", wrong) end
  return source
end
function kinds.data.taken(name) return require("edgeai.data").known(name) end
function kinds.data.add(_, source) require("edgeai.data").register(source) end
function kinds.data.remove(name) require("edgeai.data").unregister(name) end

--- known: name -> what was read of it, for edgeai.cli.plugin_command.
local command = { what = "command", as = "edgeai ", known = {} }

function command.read(name, given)
  thing.check_keys("command", name, given, { call = "function", help = "string",
    usage = "string", options = "table" })
  if not given.call or not given.help then
    thing.bad(name, "the command `%s` must have `call`, a function of its options and a list of "
      .. "the other words, and `help`, one line", name)
  end
  return { name = name, call = given.call, summary = given.help, usage = given.usage or name,
    options = thing.options("command", name, given.options) }
end
function command.taken(name)
  return name == "help" or (pcall(require, "edgeai.cli.command_" .. name))
end
function command.add(name, read) command.known[name] = read end
function command.remove(name) command.known[name] = nil end
kinds.commands = command

return kinds
