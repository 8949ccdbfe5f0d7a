-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai data list|fetch|verify - which data sets are here; gets one; checks its files.

local options = require "edgeai.cli.options"
local text = require "edgeai.text"

local command = {
  usage = "data list | fetch NAME... [--url URL] | verify NAME...",
  brief = "data list|fetch|verify [NAME]...",
  summary = "list, download and check data sets",
  options = {
    { "--url", "URL", "fetch from here instead of the official address; the MD5 must be the same" },
  },
}

local actions = {}

local function describe(set)
  local images = ("%s + %s"):format(text.grouped(set.train), text.grouped(set.test))
  local shape = ("%dx%dx%d"):format(set.shape[1], set.shape[2], set.shape[3])
  return { set.name, set.state, set.where or "", images, shape, tostring(set.classes) }
end

function actions.list(data)
  local rows = {}
  require("edgeai.plugin").names "data" -- all of them are loaded then
  for i, set in ipairs(data.list()) do rows[i] = describe(set) end
  print(require("edgeai.table")({ "data set", "state", "where", "images", "size", "classes" }, rows,
    { align = { "left", "left", "left", "right", "right", "right" } }))
  for _, set in ipairs(data.list()) do
    if set.problem then print(set.problem) end
  end
  return 0
end

function actions.fetch(data, given, names)
  for _, name in ipairs(names) do
    print(("%s: ready in %s"):format(name, data.fetch(name, { url = given.url })))
  end
  return 0
end

function actions.verify(data, _, names)
  local status = 0
  for _, name in ipairs(names) do
    local result = data.verify(name)
    if result.ok then
      print(("%s: as published, in %s"):format(name, result.where))
    else
      status = 1
      for _, problem in ipairs(result.problems) do io.stderr:write("edgeai: ", problem, "\n") end
    end
  end
  return status
end

function command.run(given, operands)
  local action, names = options.action(command, actions, operands,
    { "data set", "data sets", actions = "list, fetch or verify" })
  require("edgeai.cli.host").catch_signals()
  return actions[action](require "edgeai.data", given, names)
end

return command
