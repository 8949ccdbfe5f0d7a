-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.cli.options - reads a command's arguments.
--
-- A command is a table:
--   usage    "run SCRIPT [options]"      summary  one line      help  more text (optional)
--   brief    usage in the list of all commands, where it is too long for that (optional)
--   options  list of { "--seed", "N", "text" }: name, name of its value (nil: a switch, "[X]": may
--            be left out), help; also { ..., many = true } for one that may come again
-- Every command knows --help.

local session = require "edgeai.session"
local text = require "edgeai.text"

local options = {}

--- Wrong usage of a command (nil: of the program).
function options.fail(command, format, ...)
  local name = command and command.usage:match("^%S+")
  session.fail_usage((name and name .. " " or "") .. "--help", format, ...)
end

--- Splits arguments into given options (keys without dashes; true for switches; a list where many)
-- and operands. "--" ends the options; "-" is an operand.
function options.parse(command, args)
  local given, operands = {}, {}
  local by_name, names = { ["--help"] = { "--help" } }, { "--help" }
  for _, option in ipairs(command.options or {}) do
    by_name[option[1]] = option
    names[#names + 1] = option[1]
  end
  local i, only_operands = 1, false
  while i <= #args do
    local word = args[i]
    if word == "-h" then word = "--help" end
    if only_operands or word == "-" or word:sub(1, 1) ~= "-" then
      operands[#operands + 1] = word
    elseif word == "--" then
      only_operands = true
    else
      local name, value = word:match("^(%-%-[^=]+)=(.*)$")
      name = name or word
      local option = by_name[name]
      if not option then
        options.fail(command, "unknown option %s%s", name, text.suggest(name, names))
      end
      local wants, key = option[2], name:sub(3)
      if not wants then
        if value then options.fail(command, "%s takes no value", name) end
        value = true
      elseif wants:sub(1, 1) == "[" then
        local following = args[i + 1]
        if not value and following and following:sub(1, 1) ~= "-" and #operands > 0 then
          value, i = following, i + 1
        end
        value = value or true
      elseif not value then
        value, i = args[i + 1], i + 1
        if not value then options.fail(command, "%s needs a value: %s %s", name, name, wants) end
      end
      if option.many then
        given[key] = given[key] or {}
        table.insert(given[key], value)
      else
        given[key] = value
      end
    end
    i = i + 1
  end
  return given, operands
end

--- A whole number from an option's value, or a usage error.
function options.integer(command, given, key, least, most)
  if given[key] == nil then return nil end
  local value = tonumber(given[key])
  if not value or value ~= math.floor(value) or value < least or value > most then
    options.fail(command, "--%s must be a whole number from %.0f to %.0f, not '%s'",
      key, least, most, given[key])
  end
  return value
end

--- The first operand as one of the command's actions, and the names behind it; `list` takes none,
-- every other action at least one. things: what it is about and what can be done, { "data set",
-- "data sets", actions = "list, fetch or verify" }.
function options.action(command, actions, operands, things)
  local word, action, names = command.usage:match("^%S+"), operands[1], { unpack(operands, 2) }
  if not action then
    options.fail(command, "%s needs an action: %s", word, things.actions)
  end
  if not actions[action] then
    options.fail(command, "unknown action %s%s", action, text.suggest(action, text.keys(actions)))
  end
  if action == "list" and #names > 0 then
    options.fail(command, "%s list takes no names; it lists all %s", word, things[2])
  end
  if action ~= "list" and #names == 0 then
    options.fail(command, "%s %s needs the name of a %s", word, action, things[1])
  end
  return action, names
end

--- The text of `edgeai COMMAND --help`.
function options.help(command)
  local lines = { "Usage: edgeai " .. command.usage, "", command.summary .. "." }
  if command.help then lines[#lines + 1] = "\n" .. command.help end
  lines[#lines + 1] = "\nOptions:"
  local function line(name, value, what)
    local left = "  " .. name .. (value and " " .. value or "")
    lines[#lines + 1] = ("%-24s  %s"):format(left, what)
  end
  for _, option in ipairs(command.options or {}) do line(option[1], option[2], option[3]) end
  line("--help", nil, "print this and exit")
  return table.concat(lines, "\n") .. "\n"
end

return options
