-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai eval CODE - runs a piece of Lua in which `ea` is there; prints an expression's values.

local options = require "edgeai.cli.options"
local print_values = require "edgeai.repl.print"

local command = {
  usage = "eval CODE",
  summary = "run a piece of Lua; `ea` is there, an expression's values are printed",
  options = { { "--threads", "N", "worker threads (default 1)" } },
}

function command.run(given, operands)
  if #operands ~= 1 then
    options.fail(command, "eval takes one piece of code, in quotes; it got %d", #operands)
  end
  local setup = require "edgeai.cli.setup"
  setup.threads(options.integer(command, given, "threads", 1, 64))
  setup.globals()
  setup.paths(".")
  local code = operands[1]
  -- Handed to a function and not returned, or a tail call would take the line from errors.
  local chunk = load("return (...)(" .. code .. "\n)", "=eval", "t")
  local message
  if not chunk then chunk, message = load(code, "=eval", "t") end
  if not chunk then
    io.stderr:write("edgeai: ", message, "\n")
    return 1
  end
  require("edgeai.cli.host").catch_signals()
  print_values.values(chunk(function(...) return ... end))
  return 0
end

return command
