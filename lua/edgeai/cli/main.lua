-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.cli.main - the command line: `edgeai COMMAND ...`. Each command is a file beside this one
-- returning { usage, summary, options, run = function(given, operands) -> exit code }.
-- Exit codes: 0 done, 1 failed, 2 wrong usage, 130 and 143 stopped by Ctrl-C and SIGTERM.

local errors = require "edgeai.cli.errors"
local options = require "edgeai.cli.options"
local session = require "edgeai.session"
local text = require "edgeai.text"
require "edgeai.cli.text_only"

local order = { "run", "eval", "repl", "test", "data", "info", "bench", "doctor",
  "plugin" }

local function load_command(name)
  return require("edgeai.cli.command_" .. name)
end

local function overview()
  local lines = { "Usage: edgeai COMMAND [arguments]",
    "       edgeai            the same as edgeai repl", "", "Commands:" }
  for _, name in ipairs(order) do
    local command = load_command(name)
    lines[#lines + 1] = ("  %-34s %s"):format(command.brief or command.usage, command.summary)
  end
  for _, name in ipairs(require("edgeai.plugin").names "commands") do
    local command = require "edgeai.cli.plugin_command"(name)
    lines[#lines + 1] = ("  %-34s %s"):format(command.usage, command.summary)
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "Options:"
  lines[#lines + 1] = ("  %-34s %s"):format("--help", "this text; behind a command: its own")
  lines[#lines + 1] = ("  %-34s %s"):format("--version", "version, libraries and processor")
  return table.concat(lines, "\n") .. "\n"
end

local function version()
  local F, string_of = require "edgeai.ffi", require("ffi").string
  print("edgeai " .. string_of(F.C.ea_version()))
  print(("%s, OpenBLAS for %s, convolutions by %s, bf16 %s"):format(jit.version,
    string_of(F.C.ea_blas_core()), string_of(F.C.ea_conv_engine()),
    F.C.ea_cpu_has_bf16() ~= 0 and "in hardware" or "emulated"))
end

local function dispatch(args)
  local name = args[1] or "repl"
  if name == "--help" or name == "-h" or name == "help" then
    local about = args[2]
    if about and about ~= "help" and about:sub(1, 1) ~= "-" then
      return dispatch { about, "--help" }
    end
    io.write(overview())
    return 0
  elseif name == "--version" then
    version()
    return 0
  end
  local command
  for _, candidate in ipairs(order) do
    if candidate == name then command = load_command(name) end
  end
  if not command and name:find("^%l") then command = require "edgeai.cli.plugin_command"(name) end
  if not command then
    local what = name:sub(1, 1) == "-" and "option" or "command"
    local candidates = what == "command" and order or { "--help", "--version" }
    options.fail(nil, "unknown %s %s%s", what, name, text.suggest(name, candidates))
  end
  local given, operands = options.parse(command, { unpack(args, 2) })
  if given.help and not (command.own_help and #operands > 0) then
    io.write(options.help(command))
    return 0
  end
  return command.run(given, operands) or 0
end

return function(args)
  local ok, result = xpcall(function() return dispatch(args) end, errors.handler)
  if ok then return result end
  if session.is_usage_error(result) then
    io.stdout:flush()
    io.stderr:write("edgeai: ", result.message, "\n", ("Try `edgeai %s`.\n"):format(result.ask))
    return 2
  end
  local signal = require("edgeai.cli.host").interrupted()
  if signal ~= 0 then
    local message = type(result) == "table" and tostring(result.message) or ""
    local sentence = message:match("interrupted.*") or "interrupted"
    sentence = sentence:gsub(" %[edgeai/[%w_/]+%.lua:%d+%]", "") -- where it came is of no use
    if session.run and not sentence:find("--resume", 1, true) then
      sentence = sentence .. "; go on with --resume " .. session.run
    end
    io.stdout:flush()
    io.stderr:write("edgeai: ", sentence, "\n")
    return 128 + signal
  end
  errors.report(result)
  return 1
end
