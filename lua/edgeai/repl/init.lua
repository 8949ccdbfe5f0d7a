-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.repl - the prompt: reads, evaluates, prints, and goes on whatever happens.

local F = require "edgeai.ffi"
local chunk = require "edgeai.repl.chunk"
local commands = require "edgeai.repl.commands"
local errors = require "edgeai.cli.errors"
local host = require "edgeai.cli.host"
local interruptible = require "edgeai.repl.interruptible"
local print_values = require "edgeai.repl.print"

local repl = {}

-- ---- one entry ---------------------------------------------------------------------------------

local session = { given = {}, count = 0, entries = {} }

--- Prints results and keeps the first as `_`.
function session.show_results(quiet, ...)
  if select("#", ...) == 0 then return end
  rawset(_G, "_", (...))
  if quiet then return end
  print_values.values(...)
  if session.terminal then print_values.offer(...) end
end

--- A failure as it is told at the prompt: with the text of the lines that were typed instead of
-- their numbers, and without the line that stands right above.
local function explain(failure, name)
  if name == "=stdin" or type(failure) ~= "table" then return failure end
  local message, frames = failure.message, {}
  for _, frame in ipairs(failure.frames) do
    local from, line = frame.where:match("^(%[%d+%]):(%d+)$")
    local lines = from and session.entries[from]
    local code = lines and (lines[tonumber(line)] or lines[#lines]) -- chunk.lua adds a line
    if not code then
      frames[#frames + 1] = not frame.where:find("^::%d+$") and frame or nil
    elseif #lines > 1 or name ~= "=" .. from or frame.name ~= "main chunk" then
      frames[#frames + 1] = { name = frame.name, code = code:gsub("^%s+", ""),
        line = #lines > 1 and line or nil }
    end
  end
  local place, line, rest = message:match("^(%[%d+%]):(%d+): (.*)$")
  if rest then
    message = #failure.frames == 0 and #session.entries[place] > 1
      and ("line %s: %s"):format(line, rest) or rest
  end
  return { message = message:gsub("^::%d+: ", ""), frames = frames }
end

--- After Ctrl-C it does not matter where it was.
local function report(failure, name)
  if host.interrupted() ~= 0 and type(failure) == "table" then
    local said = tostring(failure.message):match("interrupted.*") or "interrupted"
    session.stopped = true
    failure = { message = said:gsub(" %[edgeai/[%w_/]+%.lua:%d+%]", ""), frames = {} }
  end
  host.calm()
  errors.report(explain(failure, name))
end

local function finish(name, quiet, ok, ...)
  if not ok then return report((...), name) end
  local shown, failure = xpcall(session.show_results, errors.handler, quiet, ...)
  if not shown then report(failure, name) end
  host.calm()
end

--- Runs a whole entry of Lua or a command. False where it needs more lines.
function session.evaluate(text, name)
  session.count = session.count + 1
  if not name then
    local place = ("[%d]"):format(session.count)
    local lines = {}
    for line in (text .. "\n"):gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
    session.entries[place], name = lines, "=" .. place
  end
  local run, quiet = commands.find(text, session), true
  if not run then run, quiet = chunk.compile(text, name) end
  if not run and not quiet then return false end
  if not run then
    errors.report(explain({ message = quiet, frames = {} }, name))
    return true
  end
  io.stdout:flush()
  finish(name, quiet, xpcall(run, errors.handler))
  return true
end

-- ---- reading -----------------------------------------------------------------------------------

local function blank(text) return not text:find("[^%s;]") end

--- Lines from a pipe or a file, with their numbers in errors; a script that ends unfinished fails.
local function read_all()
  local pending, number, first = "", 0, 1
  for line in io.lines() do
    number = number + 1
    if pending == "" then first = number end
    local text = pending .. line
    if number == 1 and text:find("^#!") then text = "" end
    if blank(text) or session.evaluate(("\n"):rep(first - 1) .. text, "=stdin") then
      pending = ""
    else
      pending = text .. "\n"
    end
    if F.C.ea_interrupt_pending() == 15 then return 143 end
    if session.stopped then return 130 end
    if session.over then return 0 end
  end
  if pending == "" then return 0 end
  local _, message = load(("\n"):rep(first - 1) .. pending, "=stdin", "t")
  io.stderr:write("edgeai: ", message or "unfinished input", "\n")
  return 1
end

local function complete_with(pending)
  local complete = require "edgeai.repl.complete"
  return function(before) return complete.at(pending .. before, commands.names) end
end

local function read_terminal()
  local terminal = require "edgeai.cli.terminal"
  local history = require "edgeai.repl.history"
  local path = history.path()
  for _, entry in ipairs(path and history.load(path, terminal.append) or {}) do
    terminal.remember(entry)
  end
  --- Puts an entry into the history.
  session.remember = function(text)
    session.last_entry = text
    terminal.remember(text)
    if path and not blank(text) then terminal.append(path, history.encode(text)) end
  end
  local pending = ""
  while not session.over do
    local line = terminal.read_line(pending == "" and "> " or ">> ", complete_with(pending))
    local signal = F.C.ea_interrupt_pending()
    host.calm()
    if signal == 15 then return 143 end
    if line == nil and pending == "" then
      print()
      return 0
    elseif not line then
      pending = "" -- Ctrl-C, or Ctrl-D within an entry
      if line == nil then print() end
    else
      local text = pending .. line
      if blank(text) then
        pending = ""
      elseif session.evaluate(text) then
        if not text:find("^%s*:edit") then session.remember(text) end
        pending = ""
      else
        pending = text .. "\n"
      end
    end
  end
  return 0
end

--- Reads until the input ends; returns the exit code.
function repl.run()
  session.terminal = F.C.ea_isatty(0) ~= 0 and F.C.ea_isatty(1) ~= 0
  --- Here there is no history but the last entry, for :edit.
  session.remember = function(text) session.last_entry = text end
  interruptible.start()
  rawset(_G, "show", function(x) return require "edgeai.show"(x) end)
  require("edgeai.doc").link(_G.show, { parameters = "(x)", where = "edgeai/show/init.lua",
    head = require("edgeai.doc").file("@edgeai/show/init.lua").head })
  for name in pairs(_G) do session.given[name] = true end
  if not session.terminal then return read_all() end
  print(("edgeai %s: `ea` is the library, :help says more, Ctrl-D ends"):format(
    require("ffi").string(F.C.ea_version())))
  return read_terminal()
end

return repl
