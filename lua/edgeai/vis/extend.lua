-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.extend - parameterisations and transforms of the user's own, in a script or brought by
-- a plugin (kinds `parameterisations` and `transforms`).
--
--   ea.vis.register_transform("grain", {
--     help = "noise of one grey for all colours",
--     arguments = { "sd" },               -- options that may come first, without a name
--     options = { sd = { 0.1, "deviation", least = 0 } },
--     apply = function(T, x, o, rng)
--       return x + rng:normal({ x:size(2), x:size(3), 1 }, 0, o.sd)
--     end,
--   })
--   ea.vis.transform.grain(0.2)
--
-- apply takes images x {n, h, w, c} and gives images, also of another size; T is as objectives have
-- it, rng:uniform(size, low, high) and rng:normal(size, mean, sd) draw for each image from a stream
-- of its own, anew in every step.
--
--   ea.vis.register_param("stripes", {
--     help = "columns of one colour",
--     options = { period = { 1, "pixels of one", type = "integer", least = 1 } },
--     make = function(o)                  -- o.size {h, w}, o.channels, o.sd too
--       local m = math.ceil(o.size[2] / o.period)
--       return { leaves = { ea.vis.param.normal("columns", { 1, m, o.channels }, o.sd) },
--         raw = function(values, T) ... end }   -- {n, 1, m, c} -> {n, h, w, c}
--     end,
--   })
--   ea.vis.param.stripes { period = 2, colour = false }
--
-- make and what it returns: param/init.lua. Options as declared.lua says. Both are checked when
-- they are registered (check.lua), with the options `check`; false: not.

local F = require "edgeai.ffi"
local check = require "edgeai.vis.check"
local declared = require "edgeai.vis.declared"
local doc = require "edgeai.doc"
local param = require "edgeai.vis.param"
local transform = require "edgeai.vis.transform"

local extend = {}

local function check_name(what, name, taken)
  if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
    F.raise("register_%s: expected a name of letters, digits and _, got %s", what, tostring(name))
  end
  if taken then
    F.raise("register_%s: there is %s '%s' already; unregister it first", what,
      what == "param" and "a parameterisation" or "a transform", name)
  end
end

-- ---- transforms --------------------------------------------------------------------------------

--- The options of a call: some by position, at the end a table by name.
local function options_of(name, spec, ...)
  local given = {}
  for i = 1, select("#", ...) do
    local value, key = (select(i, ...)), spec.arguments[i]
    if i == select("#", ...) and type(value) == "table" and value[1] == nil then
      for k, v in pairs(value) do given[k] = v end
    elseif not key then
      F.raise("transform.%s: expected at most %d arguments without a name", name, #spec.arguments)
    else
      given[key] = value
    end
  end
  local defaults = {}
  for key, value in pairs(spec.defaults) do
    defaults[key] = value == declared.needed and F.none or value
  end
  local o = F.options(given, defaults, "transform." .. name)
  declared.check("transform." .. name, spec.declared, o)
  return o
end

--- Makes a transform known as ea.vis.transform.NAME: see the top of this file.
function extend.register_transform(name, given)
  check_name("transform", name, transform.known(name) or rawget(transform, name))
  local spec = F.options(given, { help = "", arguments = {}, options = {}, apply = F.none,
    check = {}, where = F.none }, "transform " .. name)
  if type(spec.apply) ~= "function" then
    F.raise("transform %s: expected apply = function(T, x, options, rng)", name)
  end
  spec.declared, spec.defaults = declared.read(("transform %s: the option "):format(name),
    spec.options)
  for _, key in ipairs(spec.arguments) do
    if not spec.declared[key] then
      F.raise("transform %s: the argument '%s' must be among its options", name, tostring(key))
    end
  end
  if spec.declared.name then F.raise("transform %s: no option can be called `name`", name) end
  local function apply(T, t, x, stream)
    local y = spec.apply(T, x, t, T:rng_of(stream .. "/"))
    if not F.is_tensor(y) or y.ndim ~= 4 then
      F.raise("transform %s: expected images {n, h, w, c} of it, got %s", name,
        F.is_tensor(y) and F.describe(y) or "a " .. type(y))
    end
    return y
  end
  local function make(...)
    local t = options_of(name, spec, ...)
    t.name = name
    return t
  end
  if spec.check ~= false then
    local t = make(spec.check)
    check.transform(function(T, x) return apply(T, t, x, "vis/transform/1") end, name)
  end
  transform.add(name, make, apply)
  doc.link(make, { parameters = "(" .. table.concat(spec.arguments, ", ") .. ", { ... })",
    text = declared.about(spec.help, spec.declared), where = spec.where or "transform",
    options = spec.declared })
  return make
end

--- Takes a transform of the user's own away again.
extend.unregister_transform = transform.remove

-- ---- parameterisations -------------------------------------------------------------------------

--- Makes a parameterisation known as ea.vis.param.NAME: see the top of this file.
function extend.register_param(name, given)
  check_name("param", name, rawget(param, name))
  local spec = F.options(given, { help = "", options = {}, make = F.none, check = {},
    where = F.none }, "parameterisation " .. name)
  if type(spec.make) ~= "function" then
    F.raise("parameterisation %s: expected make = function(options)", name)
  end
  local list, defaults = declared.read(("parameterisation %s: the option "):format(name),
    spec.options)
  for key in pairs(list) do
    if param.common[key] ~= nil then
      F.raise("parameterisation %s: the option `%s` is one that all have", name, key)
    end
  end
  param.register(name, defaults, function(o)
    local made = spec.make(o)
    if type(made) ~= "table" or type(made.leaves) ~= "table" or type(made.raw) ~= "function" then
      F.raise("parameterisation %s: expected { leaves = { ... }, raw = function(values, T) } of "
        .. "its make, got a %s", name, type(made))
    end
    return made
  end, { help = declared.about(spec.help, list), where = spec.where, declared = list })
  local ok, message = pcall(function()
    if spec.check then check.param(param[name](spec.check):build({ 5, 6 }, 3), name) end
  end)
  if not ok then
    param.remove(name)
    error(message, 0)
  end
  return param[name]
end

--- Takes a parameterisation of the user's own away again.
extend.unregister_param = param.remove

return extend
