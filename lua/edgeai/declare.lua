-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.declare - options that are declared once: of a script (ea.config) and of what a plugin
-- brings. A declaration is a value (number, boolean, string), a pair { value, "help" }, or a
-- description; see config.lua.

local F = require "edgeai.ffi"
local text = require "edgeai.text"

local declare = {}

local kinds = { number = true, integer = true, boolean = true, string = true, list = true }

local fields = { default = F.none, type = F.none, choices = F.none, help = F.none,
  required = F.none, least = F.none, most = F.none, above = F.none }

local function describe(what, key, given)
  local kind = type(given)
  if kind ~= "table" then return { default = given, type = kind } end
  local named = {}
  for name, value in pairs(given) do
    if type(name) ~= "number" then named[name] = value end
  end
  if #given > 0 then
    if #given > 2 or type(given[2] or next(named)) ~= "string" then
      F.raise("%s`%s` must be a value or { value, \"help\" }; write a list as "
        .. "{ { 1, 2, 3 }, \"help\" }", what, key)
    end
    named.default, named.help = given[1], given[2]
  end
  local option = F.options(named, fields, ("%s`%s`"):format(what, key))
  kind = type(option.default)
  option.type = option.type or (kind == "table" and "list" or kind)
  return option
end

--- Is it a number, whole or not?
function declare.is_number(option) return option.type == "number" or option.type == "integer" end

--- What a number must be: "a whole number of at least 2", "a number from 0 to 1".
function declare.bounds(option)
  local words = option.type == "integer" and "a whole number" or "a number"
  if option.least and option.most then
    return ("%s from %g to %g"):format(words, option.least, option.most)
  end
  if option.above then words = ("%s above %g"):format(words, option.above) end
  if option.least then words = ("%s of at least %g"):format(words, option.least) end
  if option.most then words = ("%s of at most %g"):format(words, option.most) end
  return words
end

local function within(option, value)
  return (option.type ~= "integer" or value % 1 == 0) and value >= (option.least or -math.huge)
    and value <= (option.most or math.huge) and value > (option.above or -math.huge)
end

--- What is wrong with a value, as the end of a sentence ("must be a or b, not c"); nil: nothing.
function declare.wrong(option, value)
  if option.type == "any" then return nil end
  local kind = type(value) == "table" and "list" or type(value)
  local wanted = declare.is_number(option) and "number" or option.type
  if kind ~= wanted then
    return ("is a %s, not the %s %s"):format(option.type, kind, tostring(value))
  end
  if wanted == "number" and not within(option, value) then
    return ("must be %s, not %s"):format(declare.bounds(option), tostring(value))
  end
  if not option.choices then return nil end
  local names = {}
  for i, choice in ipairs(option.choices) do
    if choice == value then return nil end
    names[i] = tostring(choice)
  end
  return ("must be %s, not %s%s"):format(text.list(names), tostring(value),
    type(value) == "string" and text.suggest(value, names) or "")
end

local booleans = { ["true"] = true, yes = true, on = true, ["1"] = true,
  ["false"] = false, no = false, off = false, ["0"] = false }

local function number_of(word)
  local value = word:find("^[%+%-]?[%d%.]") and tonumber(word)
  return value and math.abs(value) < math.huge and value or nil
end

--- The value that a word of the command line means; nil if it is none of that type.
function declare.parse(option, word)
  if declare.is_number(option) then return number_of(word) end
  if option.type == "boolean" then return booleans[word:lower()] end
  if option.type ~= "list" then return word end
  local value = {}
  local numbers = type(option.default) ~= "table" or type(option.default[1]) ~= "string"
  for item in (word .. ","):gmatch("([^,]*),") do
    if item ~= "" then value[#value + 1] = numbers and number_of(item) or item end
  end
  return value
end

--- The description of one declaration: { default, help, type, choices, required, least, most,
-- above }. what: in front of errors. any: a type for values that no command line can give.
function declare.option(what, key, given, any)
  local option = describe(what, key, given)
  if not kinds[option.type] and not (any and option.type == "any") then
    F.raise("%s`%s` cannot be a %s; options are numbers, booleans, strings and lists", what, key,
      option.type)
  end
  local wrong = option.default ~= nil and declare.wrong(option, option.default)
  if wrong then F.raise("%s`%s` %s", what, key, wrong) end
  return option
end

--- Is the key one that can be typed?
function declare.check_name(what, name)
  if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
    F.raise("%soption names are words, not %s", what, tostring(name))
  end
end

--- A value as it is typed on the command line.
function declare.word_of(value)
  if value == nil then return "none" end
  if type(value) == "number" then return ("%.10g"):format(value) end
  if type(value) ~= "table" then return value == "" and '""' or tostring(value) end
  local words = {}
  for i, item in ipairs(value) do words[i] = tostring(item) end
  return table.concat(words, ",")
end

--- Help, choices and bounds of an option in one line.
function declare.about(option)
  local words = { option.help }
  if option.required then words[#words + 1] = "must be given" end
  if option.choices then
    local names = {}
    for i, choice in ipairs(option.choices) do names[i] = tostring(choice) end
    words[#words + 1] = text.list(names)
  end
  if option.least or option.most or option.above then
    words[#words + 1] = declare.bounds(option):gsub("^a ", "")
  end
  return table.concat(words, "; ")
end

--- `given` (a table by name) with the defaults of the options filled in; a key that is not there, a
-- value that does not fit or a required one that is missing is refused: "WHERE: ...".
function declare.resolve(where, options, given)
  local out = {}
  for name, option in pairs(options) do out[name] = option.default end
  for _, name in ipairs(text.keys(given)) do
    local option = options[name]
    if not option then
      F.raise("%s: there is no option '%s'%s", where, tostring(name),
        text.suggest(tostring(name), text.keys(options)))
    end
    local wrong = declare.wrong(option, given[name])
    if wrong then F.raise("%s: '%s' %s", where, name, wrong) end
    out[name] = given[name]
  end
  for _, name in ipairs(text.keys(options)) do
    if options[name].required and out[name] == nil then
      F.raise("%s: the option '%s' must be given", where, name)
    end
  end
  return out
end

return declare
