-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.registry - objectives by name, the built-in ones and those of plugins.
--
--   ea.vis.register_objective("brightness", {
--     help = "mean of the image's pixels",
--     arguments = { "scale" },           -- options that may come first, without a name
--     options = { scale = 1 },           -- all options with their values if not given
--     compute = function(T, o) return T:mean(T "input") * o.scale end,
--   })
--   ea.vis.objectives.brightness(2), ea.vis.objectives.brightness { scale = 2 }
--
-- A spec's fields: compute; help; arguments; options; check (options to check its gradient with;
-- false: it has none to check, since it says itself which way to go); coupled (an image's value
-- depends on the other images; a boolean or a function of the options); images (a function of the
-- options: for how many images it is).
-- `options` as declared.lua says.

local F = require "edgeai.ffi"
local check = require "edgeai.vis.check"
local declared = require "edgeai.vis.declared"
local doc = require "edgeai.doc"
local objective = require "edgeai.vis.objective"
local tensor = require "edgeai.tensor"
local text = require "edgeai.text"

local registry = { constructors = {}, specs = {} }

registry.needed = declared.needed

--- Is t a table without a list in it? Then it holds options.
local function is_named(t)
  return type(t) == "table" and not objective.is(t) and t[1] == nil
end

--- The options of a call with `count` arguments: some by position, at the end a table by name.
local function options_of(name, spec, count, ...)
  local given, defaults = {}, {}
  for i = 1, count do
    local value, key = (select(i, ...)), spec.arguments[i]
    if i == count and is_named(value) then
      for k, v in pairs(value) do given[k] = v end
    elseif not key then
      F.raise("%s: expected at most %d arguments without a name, then { name = value }; got more",
        name, #spec.arguments)
    else
      given[key] = value
    end
  end
  for key, value in pairs(spec.options) do
    defaults[key] = value == registry.needed and F.none or value
  end
  local o = F.options(given, defaults, name)
  declared.check(name, spec.declared, o)
  return o
end

local function word(value)
  if F.is_tensor(value) then return F.describe(value) end
  if type(value) ~= "table" then return tostring(value) end
  if #value == 0 or #value > 4 or type(value[1]) == "table" then return "..." end
  local parts = {}
  for i, v in ipairs(value) do parts[i] = word(v) end
  return "{" .. table.concat(parts, ", ") .. "}"
end

--- "channel(group3, 12, batch=2)"
local function describe(name, spec, o)
  local parts, shown = {}, {}
  for _, key in ipairs(spec.arguments) do
    if o[key] == nil then break end
    shown[key] = true
    parts[#parts + 1] = word(o[key])
  end
  for _, key in ipairs(text.keys(o)) do
    if not shown[key] and o[key] ~= spec.options[key] then
      parts[#parts + 1] = key .. "=" .. word(o[key])
    end
  end
  return ("%s(%s)"):format(name, table.concat(parts, ", "))
end

--- Hashes of the tensors and lists among the options, whose contents a name does not show.
local function fingerprint(o)
  local parts = {}
  for _, key in ipairs(text.keys(o)) do
    local value = o[key]
    if type(value) == "table" and type(value[1]) ~= "string" then
      local ok, t = pcall(tensor.tensor, value, "f64")
      value = ok and t or value
    end
    if F.is_tensor(value) then parts[#parts + 1] = key .. " " .. value:contiguous():hash() end
  end
  return #parts > 0 and table.concat(parts, ", ") or nil
end

local spec_fields = { compute = F.none, help = "", arguments = {}, options = {}, check = {},
  coupled = false, images = F.none, builtin = false, where = F.none }

--- Built-in options: those that must be given; what they may be, their objectives say.
local function builtin(options)
  local list = {}
  for key, value in pairs(options) do
    list[key] = { type = "any", required = value == registry.needed }
  end
  return list
end

--- Makes an objective known as ea.vis.objectives.NAME. See the top of this file. Its gradient is
-- compared with differences first, in f64 on made-up activations; an error says where they differ.
function registry.register(name, given)
  if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
    F.raise("register_objective: expected a name of letters, digits and _, got %s", tostring(name))
  end
  local spec = F.options(given, spec_fields, "objective " .. name)
  if type(spec.compute) ~= "function" then
    F.raise("objective %s: expected compute = function(T, options)", name)
  end
  if registry.specs[name] then
    F.raise("register_objective: there is an objective '%s' already; unregister it first", name)
  end
  for _, key in ipairs(spec.arguments) do
    if spec.options[key] == nil then
      F.raise("objective %s: the argument '%s' must be among its options", name, tostring(key))
    end
  end
  if spec.builtin then
    spec.declared = builtin(spec.options)
  else
    spec.declared, spec.options = declared.read(("objective %s: the option "):format(name),
      spec.options)
  end
  local function make(...)
    local o = options_of(name, spec, select("#", ...), ...)
    local coupled = spec.coupled
    if type(coupled) == "function" then coupled = coupled(o) end
    return objective.term(describe(name, spec, o), function(T) return spec.compute(T, o) end,
      { coupled = coupled, images = spec.images and spec.images(o), fingerprint = fingerprint(o) })
  end
  if not spec.builtin and spec.check ~= false then
    check.objective(make(spec.check), name)
  end
  registry.specs[name], registry.constructors[name] = spec, make
  doc.link(make, { parameters = "(" .. table.concat(spec.arguments, ", ") .. ", { ... })",
    text = declared.about(spec.help, spec.declared), where = spec.where or "objective",
    options = spec.declared })
  return make
end

--- Takes an objective away again.
function registry.unregister(name)
  registry.specs[name], registry.constructors[name] = nil, nil
end

--- The objective of that name with those arguments.
function registry.make(name, ...) return registry.constructors[name](...) end

--- ea.vis.objectives: constructors by name; a wrong name suggests the nearest.
registry.objectives = setmetatable({}, {
  modules = registry.constructors, -- what the prompt completes
  __index = function(_, name)
    local make = registry.constructors[name]
    if not make and type(name) == "string" then
      require("edgeai.plugin").offer(name)
      make = registry.constructors[name]
    end
    if make then return make end
    F.raise("there is no objective '%s'%s", tostring(name),
      text.suggest(tostring(name), text.keys(registry.specs)))
  end,
})

return registry
