-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai repl - the prompt, see edgeai.repl.

local options = require "edgeai.cli.options"
local setup = require "edgeai.cli.setup"

local command = {
  usage = "repl",
  summary = "read, evaluate, print; `ea` is there (also: no command at all)",
  help = "Values of expressions are printed unless the line ends in ;, the first one is then `_`.\n"
    .. "Unfinished input goes on in the next line. :help at the prompt lists its commands. On a\n"
    .. "terminal there are line editing, completion by Tab and a history; Ctrl-C stops what runs,\n"
    .. "Ctrl-D ends. From a pipe, lines are run without a prompt.",
  options = { { "--threads", "N", "worker threads (default 1)" } },
}

function command.run(given, operands)
  if #operands > 0 then
    options.fail(command, "repl takes no arguments; `edgeai run` runs a script")
  end
  setup.threads(options.integer(command, given, "threads", 1, 64))
  setup.globals()
  setup.paths(".")
  require("edgeai.cli.host").catch_signals()
  return require("edgeai.repl").run()
end

return command
