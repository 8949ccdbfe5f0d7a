-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai repl - reads, evaluates and prints. On a terminal with line editing and a history kept
-- in $XDG_STATE_HOME/edgeai/history; otherwise lines from standard input, without a prompt.

local errors = require "edgeai.cli.errors"
local options = require "edgeai.cli.options"
local setup = require "edgeai.cli.setup"
local show = require "edgeai.cli.show"

local command = {
  usage = "repl",
  summary = "read, evaluate, print; `ea` is there (also: no command at all)",
  help = "Values of expressions are printed unless the line ends in ;, the first one is then `_`.\n"
    .. "Unfinished input goes on in the next line. Ctrl-C drops it, Ctrl-D ends.",
  options = { { "--threads", "N", "worker threads (default 1)" } },
}

-- A chunk, or nil and a message, or nil, nil if more lines are needed.
local function compile(source)
  local chunk = load("return " .. source, "=stdin", "t")
  if chunk then return chunk end
  local message
  chunk, message = load(source, "=stdin", "t")
  if chunk then return chunk end
  if message:find("near '<eof>'$") or message:find("unfinished long") then return nil end
  return nil, message
end

local function finish(quiet, ok, ...)
  if not ok then return errors.report((...)) end
  if select("#", ...) == 0 then return end
  rawset(_G, "_", (...))
  if not quiet then
    local shown, failure = xpcall(show.values, errors.handler, ...)
    if not shown then errors.report(failure) end
  end
end

local function evaluate(source, F)
  local chunk, message = compile(source)
  if not chunk and not message then return false end
  if not chunk then
    io.stderr:write("edgeai: ", message, "\n")
  else
    finish(source:find(";%s*$") ~= nil, xpcall(chunk, errors.handler))
    F.C.ea_interrupt_clear()
  end
  return true
end

local function history_path(F)
  local state = os.getenv("XDG_STATE_HOME")
  if not state or state == "" then state = (os.getenv("HOME") or "/tmp") .. "/.local/state" end
  if F.C.ea_make_folder(state .. "/edgeai") < 0 then return nil end
  return state .. "/edgeai/history"
end

function command.run(given, operands)
  if #operands > 0 then
    options.fail(command, "repl takes no arguments; `edgeai run` runs a script")
  end
  local host, F = require "edgeai.cli.host", require "edgeai.ffi"
  setup.threads(options.integer(command, given, "threads", 1, 64))
  setup.globals()
  setup.paths(".")
  host.catch_signals()
  local terminal = F.C.ea_isatty(0) ~= 0
  local history = terminal and history_path(F)
  if history then host.history_load(history) end
  if terminal then print("edgeai: `ea` is the library, Ctrl-D ends") end

  local pending = ""
  while true do
    local line
    if terminal then
      line = host.readline(pending == "" and "> " or ">> ")
    else
      line = io.read("*l")
    end
    local signal = F.C.ea_interrupt_pending()
    if line == nil or signal == 15 then
      if pending ~= "" and line == nil then
        local _, message = load(pending, "=stdin", "t")
        io.stderr:write("edgeai: ", message or "unfinished input", "\n")
      end
      if history then host.history_save(history) end
      if terminal and line == nil then print() end
      return signal == 15 and 143 or 0
    elseif line == false then
      pending = ""
    else
      local source = pending .. line
      if not source:find("%S") or evaluate(source, F) then
        if terminal and source:find("%S") then host.history_add((source:gsub("\n", " "))) end
        pending = ""
      else
        pending = source .. "\n"
      end
    end
  end
end

return command
