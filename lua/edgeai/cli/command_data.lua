-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai data list|fetch|verify - which data sets are here; gets one; checks its files.

local options = require "edgeai.cli.options"
local text = require "edgeai.text"

local command = {
  usage = "data list | fetch NAME... | verify NAME...",
  summary = "list, download and check data sets",
  options = {},
}

local actions = { "list", "fetch", "verify" }

function command.run(_, operands)
  local action = operands[1]
  if not action then options.fail(command, "data needs an action: list, fetch or verify") end
  if action ~= "list" and action ~= "fetch" and action ~= "verify" then
    options.fail(command, "unknown action %s%s", action, text.suggest(action, actions))
  end
  require("edgeai.cli.host").catch_signals()
  local data = require "edgeai.data"
  if action == "list" then
    local rows = {}
    for i, set in ipairs(data.list()) do
      rows[i] = { set.name, set.state or "", set.folder or "", set.about or "" }
    end
    print(require("edgeai.table")({ "data set", "state", "folder", "" }, rows))
    return 0
  end
  if not operands[2] then options.fail(command, "data %s needs the name of a data set", action) end
  for i = 2, #operands do
    local result = data[action](operands[i])
    print(("%s: %s"):format(operands[i], type(result) == "string" and result or "ready"))
  end
  return 0
end

return command
