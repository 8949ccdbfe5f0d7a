-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.repl.commands - what begins with a colon at the prompt, `? f` and `$ command`.

local F = require "edgeai.ffi"
local chunk = require "edgeai.repl.chunk"
local doc = require "edgeai.doc"
local print_values = require "edgeai.repl.print"
local source = require "edgeai.source"
local text = require "edgeai.text"

local commands = {} -- name -> { argument, help, run = function(argument, session) }

--- Raised by a command: a sentence without a place in the code.
local refused = { __tostring = function(e) return e[1] end }
local function refuse(format, ...) error(setmetatable({ format:format(...) }, refused), 0) end

local function evaluate(code)
  local run, message = chunk.compile(code, "=:")
  if not run then refuse("%s", message and message:gsub("^:%d+: ", "") or "that is not whole") end
  return run()
end

-- ---- :help -------------------------------------------------------------------------------------

local function overview()
  local lines = { "Type Lua. Results are printed unless ; ends the line; _ is the last one, ea the "
    .. "library.",
    "Tab completes, the arrow keys go back in the history, Ctrl-C stops, Ctrl-D ends.", "" }
  local function add(left, right) lines[#lines + 1] = ("  %-16s %s"):format(left, right) end
  for _, name in ipairs(commands.order) do
    local c = commands[name]
    add(":" .. name .. (c.argument and " " .. c.argument or ""), c.help)
  end
  add("$ command", "a command of the shell")
  add("show(x)", "draw a tensor, pictures, curves, a graph of filters or a network")
  return table.concat(lines, "\n")
end

--- What stands in a file's head about itself, without the line of the file's name.
local function head_of(value)
  for name, module in pairs(package.loaded) do
    if module == value and type(name) == "string" and name:find("^edgeai") then
      local base = "@" .. name:gsub("%.", "/")
      local parsed = doc.file(base .. "/init.lua") or doc.file(base .. ".lua")
      return parsed and parsed.head
    end
  end
end

local function help_text(words, value)
  local found = doc.of(value)
  local name = words:match("([%w_.:]+)%s*$") or words
  if found then
    local lines = { name .. (found.parameters or "()") }
    lines[2] = found.text or found.head or "There is no comment above it."
    if found.where then lines[3] = "(" .. found.where .. ")" end
    return table.concat(lines, "\n\n", 1, 2) .. (lines[3] and "\n\n" .. lines[3] or "")
  end
  local head = type(value) == "table" and head_of(value)
  if head then return head end
  if F.is_tensor(value) then
    return ("%s is a tensor %s. Type %s: and press Tab for its methods, `:help %s.NAME` for one.")
      :format(name, F.describe(value), name, name)
  end
  if type(value) == "function" then return name .. " is a function of Lua: see Lua's manual." end
  if type(value) == "table" then
    local keys = {}
    for _, key in ipairs(text.keys(value)) do keys[#keys + 1] = tostring(key) end
    return ("%s is a table of %s: %s"):format(name, text.count(#keys, "field"),
      table.concat(keys, " ", 1, math.min(40, #keys)))
  end
  return ("%s is a %s: %s"):format(name, type(value), print_values.describe(value))
end

local function help(words)
  if words == "" then return print(overview()) end
  local name = words:match("^:?(%a+)$")
  if commands[name] and (words:sub(1, 1) == ":" or rawget(_G, name) == nil) then
    return print((":%s %s  %s"):format(name, commands[name].argument or "", commands[name].help))
  end
  -- A method is asked for by either sign: net:fit, net.fit.
  local value = evaluate(words:gsub(":([%a_][%w_]*)%s*$", ".%1"))
  if value == nil then refuse("there is nothing called %s", words) end
  print(help_text(words, value))
end

-- ---- :time, :mem, :who -------------------------------------------------------------------------

local function seconds_text(s)
  if s < 1e-3 then return ("%.1f us"):format(s * 1e6) end
  if s < 1 then return ("%.1f ms"):format(s * 1e3) end
  return ("%.2f s"):format(s)
end

local function bytes_text(n)
  if n < 1000 then return text.count(n, "byte") end
  if n < 1e6 then return ("%.1f kB"):format(n / 1e3) end
  if n < 1e9 then return ("%.1f MB"):format(n / 1e6) end
  return ("%.2f GB"):format(n / 1e9)
end

local function time(code, session)
  if code == "" then refuse("time what? As in `:time ea.rand { 1000, 1000 }:sum()`") end
  local run, quiet = chunk.compile(code, "=:")
  if not run then refuse("%s", quiet and quiet:gsub("^:%d+: ", "") or "that is not whole") end
  local began, made = F.C.ea_clock(), tonumber(F.C.ea_memory_count())
  local results = { n = 0 }
  local function keep(...) results = { n = select("#", ...), ... } end
  keep(run())
  local took = F.C.ea_clock() - began
  session.show_results(quiet, unpack(results, 1, results.n))
  print(("%s, %s"):format(seconds_text(took),
    text.count(tonumber(F.C.ea_memory_count()) - made, "allocation") .. " of native memory"))
end

local function memory()
  collectgarbage()
  collectgarbage()
  print(("Lua       %10s"):format(bytes_text(collectgarbage("count") * 1024)))
  print(("tensors   %10s   at most %s, %s so far"):format(
    bytes_text(tonumber(F.C.ea_memory_live())), bytes_text(tonumber(F.C.ea_memory_peak())),
    text.count(tonumber(F.C.ea_memory_count()), "allocation")))
end

local function what_is(value)
  if F.is_tensor(value) then
    if value.p == nil then return "a dropped tensor" end
    return ("tensor %s, %s%s"):format(F.describe(value), bytes_text(value:bytes()),
      value.requires_grad and ", requires grad" or "")
  end
  local Module = package.loaded["edgeai.nn.module"]
  if Module and Module.is(value) then
    return ("network %s, %s"):format(value.kind, text.count(value:parameter_count(), "parameter"))
  end
  if type(value) == "table" then return "table, " .. text.count(#text.keys(value), "field") end
  if type(value) == "function" then
    local found = doc.of(value)
    return "function" .. (found and " " .. found.parameters or "")
  end
  local said = print_values.describe(value):gsub("\n.*", " ...")
  return type(value) .. " " .. (#said > 60 and said:sub(1, 57) .. "..." or said)
end

local function who(_, session)
  local count = 0
  for _, name in ipairs(text.keys(_G)) do
    if type(name) == "string" and not session.given[name] and name ~= "_" and name ~= "ea" then
      print(("%-12s %s"):format(name, what_is(rawget(_G, name))))
      count = count + 1
    end
  end
  if count == 0 then print("Nothing of yours yet: `x = 1` makes a variable.") end
end

-- ---- :load, :edit, :quit -----------------------------------------------------------------------

local function load_file(path, session)
  path = path:gsub("^~/", (os.getenv("HOME") or "~") .. "/"):gsub("^[\"'](.*)[\"']$", "%1")
  if path == "" then path = session.loaded end
  if not path then refuse("load which file? As in `:load experiments/nonn2s.lua`") end
  local run, message = source.load(path)
  if not run then refuse("%s", message) end
  session.loaded = path
  session.show_results(true, run())
end

local function edit(path, session)
  local editor = os.getenv("VISUAL") or os.getenv("EDITOR") or "editor"
  local own = path == ""
  if own then
    path = os.tmpname()
    os.rename(path, path .. ".lua")
    path = path .. ".lua"
    local file = assert(io.open(path, "w"))
    file:write(session.last_entry or "-- What you write here runs when the editor ends.", "\n")
    file:close()
  end
  local status = os.execute(("%s %s"):format(editor, text.shell(path)))
  local code = source.read(path)
  if own then os.remove(path) end
  if status ~= 0 and status ~= true then
    refuse("the editor `%s` failed; $EDITOR says which one to use", editor)
  end
  if not code or not code:find("%S") then refuse("%s is empty, nothing was run", path) end
  if not own then return load_file(path, session) end
  code = code:gsub("%s+$", "")
  print(code)
  session.remember(code)
  session.evaluate(code)
end

-- ---- the list ----------------------------------------------------------------------------------

commands.order = { "help", "time", "mem", "who", "load", "edit", "quit" }
commands.names = {}
for _, name in ipairs(commands.order) do commands.names[name] = true end
commands.help = { argument = "[f]", help = "this; or what f is and takes (also: ? f)", run = help }
commands.time = { argument = "code", help = "run it once and say how long it took", run = time }
commands.mem = { help = "bytes in Lua's heap and in tensors", run = memory }
commands.who = { help = "your variables", run = who }
commands.load = { argument = "[file]", help = "run a file; without a name, the last one again",
  run = load_file }
commands.edit = { argument = "[file]", run = edit,
  help = "edit the last entry, or a file, in $EDITOR, then run it" }
commands.quit = { help = "end (also: Ctrl-D)", run = function(_, session) session.over = true end }

local function shell(words)
  io.stdout:flush()
  local status = os.execute(words)
  if status ~= 0 and status ~= true then
    local code = type(status) == "number" and status >= 256 and status / 256 or status
    print(("(exit code %s)"):format(tostring(code)))
  end
end

--- What to run for a line that is no Lua: a function without arguments; nil for Lua.
function commands.find(line, session)
  local words = line:match("^%s*%$%s*(.-)%s*$")
  if words then return function() shell(words) end end
  words = line:match("^%s*%?%s*(.-)%s*$")
  if words then return function() help(words) end end
  local name, argument = line:match("^%s*:([%a_]+)%s*(.-)%s*$")
  if not name then return nil end
  local command = commands[name]
  if type(command) ~= "table" or not command.run then
    return function()
      refuse("there is no command :%s%s; :help lists them", name,
        text.suggest(name, commands.order))
    end
  end
  return function() command.run(argument, session) end
end

return commands
