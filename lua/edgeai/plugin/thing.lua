-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.plugin.thing - one thing that a plugin brings: a function, or a table
--   call = function(inputs..., o)   what it does
--   help = "one or more sentences"
--   inputs = { "logits", "labels" } its arguments before the options (default: none)
--   options = { gamma = { 2, "focus", least = 0 } }   declared as for ea.config; type = "any" too
--   positions = { "channels" }      options that may be given without a name, in order
-- A function alone gets its arguments as they come, and is documented by the comment above it.

local F = require "edgeai.ffi"
local declare = require "edgeai.declare"
local doc = require "edgeai.doc"
local text = require "edgeai.text"

local thing = {}

--- Raises what is wrong with a plugin; `word` is looked for in its init.lua, to name the line.
function thing.bad(word, format, ...)
  error({ word = word, sentence = format:format(...) }, 0)
end

--- Checks a table's keys and their types: { key = type }.
function thing.check_keys(what, name, given, types)
  if type(given) ~= "table" then
    thing.bad(name, "the %s `%s` must be a table, not a %s", what, name, type(given))
  end
  for _, key in ipairs(text.keys(given)) do
    local wanted = types[key]
    if not wanted then
      thing.bad(tostring(key), "the %s `%s` has an unknown key `%s`%s", what, name, tostring(key),
        text.suggest(tostring(key), text.keys(types)))
    end
    if wanted ~= "any" and type(given[key]) ~= wanted then
      thing.bad(key, "`%s` of the %s `%s` must be a %s, not a %s", key, what, name, wanted,
        type(given[key]))
    end
  end
end

--- The declared options, described by name.
function thing.options(what, name, given)
  local options, where = {}, ("the %s `%s`: the option "):format(what, name)
  for _, key in ipairs(text.keys(given or {})) do
    declare.check_name(("the %s `%s`: "):format(what, name), key)
    options[key] = declare.option(where, key, given[key], true)
  end
  return options
end

local types = { call = "function", help = "string", inputs = "table", options = "table",
  positions = "table" }

--- Reads what the plugin says of a thing; raises what is wrong with it.
function thing.read(what, name, given)
  if type(given) == "function" then return { call = given } end
  thing.check_keys(what, name, given, types)
  if not given.call then
    thing.bad(name, "the %s `%s` has no `call`, the function that it is", what, name)
  end
  local read = { call = given.call, help = given.help, inputs = given.inputs or {},
    positions = given.positions or {}, options = thing.options(what, name, given.options) }
  for _, key in ipairs(read.positions) do
    if not read.options[key] then
      thing.bad(key, "the %s `%s`: the position `%s` is no option", what, name, tostring(key))
    end
  end
  return read
end

-- ---- documentation -----------------------------------------------------------------------------

local function in_order(read)
  local order, seen = {}, {}
  for _, key in ipairs(read.positions or {}) do
    order[#order + 1], seen[key] = key, true
  end
  for _, key in ipairs(text.keys(read.options)) do
    if not seen[key] then order[#order + 1] = key end
  end
  return order
end

--- "{channels, ratio = 4}" where there are no inputs, else "(x, labels, { gamma = 2 })".
local function parameters(read)
  local words = {}
  for i, key in ipairs(in_order(read)) do
    local default = read.options[key].default
    words[i] = default == nil and key or ("%s = %s"):format(key, declare.word_of(default))
  end
  local options = #words > 0 and table.concat(words, ", ")
  if #read.inputs == 0 then return "{" .. (options or "") .. "}" end
  local inputs = table.concat(read.inputs, ", ")
  return "(" .. inputs .. (options and ", { " .. options .. " }" or "") .. ")"
end

--- Help and one line for each option.
function thing.about(read)
  local lines, width = { read.help }, 0
  local order = in_order(read)
  for _, key in ipairs(order) do width = math.max(width, #key) end
  for _, key in ipairs(order) do
    lines[#lines + 1] = ("  %-" .. width .. "s  %s"):format(key, declare.about(read.options[key]))
  end
  return table.concat(lines, "\n")
end

-- ---- calling -----------------------------------------------------------------------------------

--- Options given by name and position, as a table by name.
local function by_name(name, read, given)
  if given ~= nil and type(given) ~= "table" or F.is_tensor(given) then
    F.raise("%s: expected a table of options, got a %s", name, type(given))
  end
  local named = {}
  for key, value in pairs(given or {}) do
    local option = type(key) == "number" and read.positions[key] or key
    if type(option) == "number" then
      F.raise("%s: expected at most %s without a name, got one more", name,
        text.count(#read.positions, "option"))
    end
    named[option] = value
  end
  return named
end

--- The function that users call: inputs are counted, options checked and filled in. where: file and
-- line, for the documentation.
function thing.wrap(name, read, where)
  if not read.options then return read.call end
  local count = #read.inputs
  local function call(...)
    local args, given = { ... }, select("#", ...)
    for i = 1, count do
      if args[i] == nil then
        F.raise("%s: expected %s, got %d", name, text.list(read.inputs, "and"),
          math.min(given, i - 1))
      end
    end
    if given > count + 1 then
      local words = { unpack(read.inputs) }
      words[count + 1] = "a table of options"
      F.raise("%s: expected %s, got %d arguments", name, text.list(words, "and"), given)
    end
    args[count + 1] = declare.resolve(name, read.options, by_name(name, read, args[count + 1]))
    return read.call(unpack(args, 1, count + 1))
  end
  doc.link(call, { parameters = parameters(read), text = thing.about(read), where = where,
    options = read.options })
  return call
end

return thing
