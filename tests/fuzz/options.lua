-- SPDX-License-Identifier: GPL-3.0-or-later
-- What fuzz_options.c calls with a text of one word a line: the program's main with these words as
-- its arguments. Options are read, checked and refused as always, those of a script by ea.config;
-- what commands then do is left out. Raises if an error is not the user's.

local build = os.getenv "EDGEAI_BUILD" or "build"
jit.off() -- compiled code has no hooks: no coverage

-- The program's own files, under the names that they have in it.
table.insert(package.loaders, 2, function(module)
  local name = module:gsub("%.", "/")
  for _, path in ipairs { name .. ".lua", name .. "/init.lua" } do
    for _, folder in ipairs { "lua/", build .. "/lua/" } do
      local file = io.open(folder .. path, "rb")
      if file then
        local text = file:read("*a")
        file:close()
        return assert(loadstring(text, "@" .. path))
      end
    end
  end
end)

local function nothing() end
package.preload["edgeai.cli.host"] = function()
  return { catch_signals = nothing, interrupted = function() return 0 end }
end

local errors = require "edgeai.cli.errors"
local options = require "edgeai.cli.options"
local session = require "edgeai.session"
local setup = require "edgeai.cli.setup"
local source = require "edgeai.source"
local main = require "edgeai.cli.main"
local config = require "edgeai.config"

-- A script with options of every kind.
local declarations = {
  preset = { default = "quick", quick = {}, long = { train = { epochs = 40 } } },
  data = { "fashion-mnist", "data set" }, count = { 2, "whole", type = "integer", least = 2 },
  train = { epochs = 3, lr = { 0.1, "rate", above = 0, most = 10 } },
  rule = { default = "hub", choices = { "hub", "random" } }, file = { type = "string" },
  widths = { { 16, 32 }, "list" }, names = { { "a", "b" }, "list of words" }, flag = false,
}

--- A number as the options of a run have it, or the script's default.
local function check_values(cfg)
  assert(cfg.count >= 2 and cfg.count % 1 == 0 and cfg.train.lr > 0 and cfg.train.lr <= 10)
  assert(type(cfg.flag) == "boolean" and (cfg.rule == "hub" or cfg.rule == "random"))
  assert(type(cfg.widths) == "table" and type(cfg.data) == "string")
end

function source.load(path)
  if path and not path:find("^s") then return nil, "cannot read " .. path end
  return function() check_values(config.resolve(declarations)) end, nil, "ea.config"
end
for _, name in ipairs { "paths", "globals", "threads" } do setup[name] = nothing end
package.loaded["edgeai.data"] = { list = function() return {} end, fetch = tostring,
  verify = function() return { ok = true, where = "" } end }
package.loaded["edgeai.table"] = setmetatable({}, { __call = function() return "" end })

-- These are whole without their deeds; of the others only the options are read.
local whole = { run = true, data = true }
for name in io.popen("ls lua/edgeai/cli"):read("*a"):gmatch("command_([%w_]+)%.lua") do
  local command = require("edgeai.cli.command_" .. name)
  if not whole[name] then
    command.run = function(given, operands)
      assert(type(given) == "table" and type(operands) == "table")
      for key, value in pairs(given) do
        if type(value) == "string" then options.integer(command, given, key, 1, 64) end
      end
    end
  end
end

local finding
function errors.report(failure)
  local message = type(failure) == "table" and failure.message or failure
  if tostring(message):find("edgeai/[%w_/]+%.lua:%d+") then finding = message end
end
print, io.write = nothing, nothing -- luacheck: ignore
os.exit = function() error("exit", 0) end -- luacheck: ignore
local quiet = { write = nothing, flush = nothing }
io.stderr, io.stdout = quiet, quiet -- luacheck: ignore

return function(text)
  for key, value in pairs(session) do
    if type(value) ~= "function" then session[key] = nil end
  end
  session.settings, session.quiet, session.help = {}, false, false
  local words = {}
  for word in text:gmatch("[^\n]+") do words[#words + 1] = word end
  local code = main(words)
  if finding then error(finding, 0) end
  if code ~= 0 and code ~= 1 and code ~= 2 then error("exit code " .. tostring(code), 0) end
end
