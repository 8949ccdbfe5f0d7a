-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai run SCRIPT - runs a Lua script with the options it declares through ea.config.

local options = require "edgeai.cli.options"
local session = require "edgeai.session"
local setup = require "edgeai.cli.setup"
local source = require "edgeai.source"

local command = {
  usage = "run SCRIPT [options]",
  summary = "run a script, as in `edgeai run experiments/nonn2s.lua`",
  help = "`edgeai run SCRIPT --help` lists the script's own options for --set. SCRIPT may be -\n"
    .. "for standard input. Words behind -- are the script's arguments (`...`).",
  options = {
    { "--set", "KEY=VALUE", "set an option of the script; may be repeated", many = true },
    { "--seed", "N", "seed of all random numbers" },
    { "--out", "DIR", "folder for the run's results instead of runs/NAME/STAMP" },
    { "--resume", "[DIR]", "go on with the latest run of this script, or the one in DIR" },
    { "--threads", "N", "worker threads (default 1); results do not depend on it" },
    { "--precision", "f32|bf16|auto", "type of the activations (default: the script's)" },
    { "--quiet", nil, "no progress" },
  },
  own_help = true,
}

local function fill_session(given, script)
  for _, setting in ipairs(given.set or {}) do
    local key, value = setting:match("^([^=]+)=(.*)$")
    if not key then options.fail(command, "--set needs KEY=VALUE, not '%s'", setting) end
    table.insert(session.settings, { key, value })
  end
  session.script = script
  session.seed = options.integer(command, given, "seed", 0, 2 ^ 53)
  session.threads = options.integer(command, given, "threads", 1, 64)
  session.precision = given.precision
  if given.precision and not ({ f32 = 1, bf16 = 1, auto = 1 })[given.precision] then
    options.fail(command, "--precision must be f32, bf16 or auto, not '%s'", given.precision)
  end
  session.out, session.resume = given.out, given.resume
  session.quiet = given.quiet or false
  session.help = given.help or false
end

-- --set is for ea.config: refused before the script runs where its text has no such call, and loads
-- no other file that could make it; else, if there was none, at its end.
local function refuse_settings(script, text)
  if #session.settings == 0 or session.configured then return end
  local other = text:gsub("require%s*%(?%s*[\"']edgeai[\"']", "")
  for _, word in ipairs { "config", "require", "dofile", "loadfile" } do
    if other:find("%f[%w_]" .. word .. "%f[^%w_]") then return end
  end
  options.fail(command, "--set %s: %s has no options: it does not call ea.config",
    session.settings[1][1], script)
end

function command.run(given, operands)
  local script = operands[1]
  if not script then options.fail(command, "run needs a script") end
  fill_session(given, script)
  local chunk, message, text = source.load(script ~= "-" and script or nil)
  if not chunk then
    io.stderr:write("edgeai: ", message, "\n")
    return 1
  end
  refuse_settings(script, text)
  setup.paths(script:match("^(.*)/[^/]*$") or ".")
  setup.globals()
  require("edgeai.cli.host").catch_signals()
  setup.threads(session.threads)
  if session.seed then require("edgeai").seed(session.seed) end
  arg = { [0] = script, unpack(operands, 2) }
  local code = chunk(unpack(operands, 2))
  if session.help then
    print(("%s declares no options (it does not call ea.config)."):format(script))
  end
  refuse_settings(script, "")
  return type(code) == "number" and code or 0
end

return command
