-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.declared - the options of an objective, a parameterisation or a transform of the
-- user's own: { scale = 1, layer = ea.vis.needed, mask = ea.vis.none,
--   weight = { 1, "of the second part", least = 0 } }
-- A value alone, or with words and bounds, as ea.config has them; ea.vis.needed marks what must be
-- given, ea.vis.none what may be missing: both can be anything.

local F = require "edgeai.ffi"
local declare = require "edgeai.declare"
local text = require "edgeai.text"

local declared = {}

declared.needed = setmetatable({}, { __tostring = function() return "needed" end })

local function option_of(what, key, given)
  if given == declared.needed then return { type = "any", required = true } end
  if given == F.none then return { type = "any" } end
  return declare.option(what, key, given, true)
end

--- The options described by name, and their values if not given: declared.needed or F.none where
-- there is none. what: in front of errors.
function declared.read(what, options)
  local list, defaults = {}, {}
  for _, key in ipairs(text.keys(options)) do
    declare.check_name(what, key)
    local option = option_of(what, key, options[key])
    list[key] = option
    defaults[key] = option.default
    if defaults[key] == nil then
      defaults[key] = option.required and declared.needed or F.none
    end
  end
  return list, defaults
end

--- Raises what is wrong with the values o of the options.
function declared.check(where, list, o)
  for _, key in ipairs(text.keys(list)) do
    local wrong = o[key] ~= nil and declare.wrong(list[key], o[key])
    if wrong then F.raise("%s: '%s' %s", where, key, wrong) end
    if o[key] == nil and list[key].required then F.raise("%s: '%s' must be given", where, key) end
  end
end

--- Help and a line for each option that says more than its name.
function declared.about(help, list)
  local lines, width = { help }, 0
  for key in pairs(list) do width = math.max(width, #key) end
  for _, key in ipairs(text.keys(list)) do
    local about = declare.about(list[key])
    if about ~= "" then lines[#lines + 1] = ("  %-" .. width .. "s  %s"):format(key, about) end
  end
  return table.concat(lines, "\n")
end

--- "{ decay = 1, sd = 0.01 }" of values by name, those that must be given first.
function declared.words(defaults)
  local first, rest = {}, {}
  for _, key in ipairs(text.keys(defaults)) do
    local value = defaults[key]
    if value == declared.needed then
      first[#first + 1] = key
    elseif value == F.none or type(value) == "table" then
      rest[#rest + 1] = key
    else
      rest[#rest + 1] = ("%s = %s"):format(key, declare.word_of(value))
    end
  end
  for _, word in ipairs(rest) do first[#first + 1] = word end
  return #first > 0 and "{ " .. table.concat(first, ", ") .. " }" or "{}"
end

return declared
