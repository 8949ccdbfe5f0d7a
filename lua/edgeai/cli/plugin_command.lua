-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.cli.plugin_command - the commands that plugins bring, in the form of edgeai.cli.options.
-- Their options are declared as for ea.config: `--side 8`; a boolean that is false unless given is
-- a switch.

local declare = require "edgeai.declare"
local options = require "edgeai.cli.options"
local text = require "edgeai.text"

local words = { number = "X", integer = "N", string = "TEXT", list = "A,B,...", boolean = "BOOL" }

local function is_switch(option) return option.type == "boolean" and not option.default end

local function listed(read)
  local list = {}
  for _, key in ipairs(text.keys(read.options)) do
    local option = read.options[key]
    local about = declare.about(option)
    if option.default ~= nil and not is_switch(option) then
      about = ("%s (default %s)"):format(about, declare.word_of(option.default))
    end
    list[#list + 1] = { "--" .. key, not is_switch(option) and words[option.type] or nil, about }
  end
  return list
end

local function values(command, read, given)
  local o = {}
  for key, option in pairs(read.options) do
    local word = given[key]
    if word == nil then
      o[key] = option.default
      if o[key] == nil and option.required then options.fail(command, "--%s must be given", key) end
    elseif is_switch(option) then
      o[key] = true
    else
      o[key] = declare.parse(option, word)
      local wrong = o[key] == nil and ("is a %s, not '%s'"):format(option.type, word)
        or declare.wrong(option, o[key])
      if wrong then options.fail(command, "--%s %s", key, wrong) end
    end
  end
  return o
end

--- The command of that name as a table for edgeai.cli.options, nil if no plugin has it.
local function of(name)
  require("edgeai.plugin").offer(name)
  local read = require("edgeai.plugin.kinds").commands.known[name]
  if not read then return nil end
  local command = { usage = read.usage, summary = read.summary, options = listed(read) }
  function command.run(given, operands)
    local setup = require "edgeai.cli.setup"
    setup.globals()
    setup.paths(".")
    require("edgeai.cli.host").catch_signals()
    local code = read.call(values(command, read, given), operands)
    return type(code) == "number" and code or 0
  end
  return command
end

return of
