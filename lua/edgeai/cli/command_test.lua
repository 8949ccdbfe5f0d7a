-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai test PATH... - runs busted specs inside this binary. Closes with
-- "N passed, N failed, N skipped" and exits with 1 if one failed or none was found.

local options = require "edgeai.cli.options"
local setup = require "edgeai.cli.setup"

local command = {
  usage = "test PATH...",
  summary = "run busted specs: files, or folders with *_spec.lua",
  options = {
    { "--filter", "PATTERN", "only tests whose full name matches this Lua pattern" },
    { "--verbose", nil, "name every test and its time" },
    { "--leaks", nil, "fail tests that keep memory, handles, files or threads" },
    { "--gc-stress", nil, "collect garbage all the time, to find what is freed too early" },
  },
}

local function spec_files(operands)
  local path, dir = require "pl.path", require "pl.dir"
  local files = {}
  for _, operand in ipairs(operands) do
    if operand:find("^edgeai/") then operand = "./" .. operand end -- not one of our own chunks
    if path.isdir(operand) then
      local found = {}
      for _, name in ipairs(dir.getallfiles(operand, "*_spec.lua")) do found[#found + 1] = name end
      table.sort(found)
      if #found == 0 then options.fail(command, "no *_spec.lua in %s", operand) end
      for _, name in ipairs(found) do files[#files + 1] = name end
    elseif path.isfile(operand) then
      files[#files + 1] = operand
    else
      options.fail(command, "there is no file or folder %s", operand)
    end
  end
  return files
end

local function full_name(busted, element)
  local names = {}
  while element do
    if element.descriptor ~= "file" and element.descriptor ~= "suite" then
      table.insert(names, 1, element.name or element.descriptor)
    end
    element = busted.context.parent(element)
  end
  return table.concat(names, " ")
end

--- Counts, and prints each failure as it happens.
local function report(busted, verbose)
  local counts = { passed = 0, failed = 0, skipped = 0 }
  local clock = os.clock
  local started, failing, reason

  local function complain(element, message, trace)
    if counts.silent then return end
    local info = element.trace or trace
    local where = info and info.short_src
      and ("%s:%d: "):format(info.short_src, info.currentline) or ""
    if element.descriptor == "file" then where = (element.name or "") .. ": " end
    if type(message) ~= "string" then
      message = message == nil and "nil error" or require("pl.pretty").write(message)
    end
    if message:sub(1, #where) == where then message = message:sub(#where + 1) end
    message = message:gsub("\n", "\n  ")
    print(("FAILED %s%s\n  %s"):format(where, full_name(busted, element), message))
  end

  local function failure(element, _, message, trace)
    failing = true
    if element.descriptor ~= "it" then counts.failed = counts.failed + 1 end
    complain(element, message, trace)
    return nil, true
  end

  busted.subscribe({ "failure" }, failure)
  busted.subscribe({ "error" }, failure)
  busted.subscribe({ "pending" }, function(_, _, message)
    reason = type(message) == "string" and message:gsub("^[^%s:]+:%d+: ", "") or nil
    return nil, true
  end)
  busted.subscribe({ "test", "start" }, function()
    started, failing, reason = clock(), false, nil
    return nil, true
  end)
  busted.subscribe({ "test", "end" }, function(element, _, status)
    if status == "pending" then
      counts.skipped = counts.skipped + 1
      if counts.silent then return nil, true end
      print(("skipped %s%s"):format(full_name(busted, element), reason and ": " .. reason or ""))
    elseif status == "success" and not failing then
      counts.passed = counts.passed + 1
    else
      counts.failed = counts.failed + 1
    end
    if verbose and not counts.silent and status ~= "pending" then
      print(("%-6s %7.1f ms  %s"):format(status == "success" and "ok" or status,
        (clock() - started) * 1e3, full_name(busted, element)))
    end
    return nil, true
  end)
  return counts
end

--- Tests, with what is called before and after each, fail where they keep memory, files or threads.
local function watch_leaks(busted, counts)
  local leaks = require "edgeai.cli.leaks"
  local register = busted.register
  busted.register = function(kind, run, ...)
    if kind ~= "it" then return register(kind, run, ...) end
    busted.register = register
    return register(kind, function(element)
      local passed, failed, skipped
      local left = leaks.of(function(round)
        counts.silent = round > 1
        run(element)
        if round == 1 then
          passed, failed, skipped = counts.passed, counts.failed, counts.skipped
        end
        counts.passed, counts.failed, counts.skipped = passed, failed, skipped
      end)
      counts.silent = false
      if left then
        counts.passed, counts.failed = counts.passed - 1, counts.failed + 1
        print(("FAILED %s\n  each run of it leaks %s"):format(full_name(busted, element), left))
      end
    end, ...)
  end
end

local function filter_names(busted, pattern)
  for _, kind in ipairs { "it", "pending" } do
    busted.subscribe({ "register", kind }, function(name)
      local names, parent = { name }, busted.context.get()
      while parent and parent.name and parent.descriptor ~= "file" do
        table.insert(names, 1, parent.name)
        parent = busted.context.parent(parent)
      end
      return nil, table.concat(names, " "):find(pattern) ~= nil
    end, { priority = 1 })
  end
end

function command.run(given, operands)
  if #operands == 0 then options.fail(command, "test needs files or folders") end
  local found, new = pcall(require, "busted.core")
  if not found then
    io.stderr:write("edgeai: the tests need busted, which is missing; `make deps` installs it\n")
    return 1
  end
  local files = spec_files(operands)
  local folders, seen = {}, {}
  for _, file in ipairs(files) do
    local folder = file:match("^(.*)/[^/]*$") or "."
    if not seen[folder] then folders[#folders + 1], seen[folder] = folder, true end
  end
  setup.paths(unpack(folders)) -- helpers lie beside the specs
  local busted = new()
  local counts = report(busted, given.verbose)
  if given.leaks then watch_leaks(busted, counts) end
  require "busted"(busted)
  -- Without busted's insulation of files: it would load edgeai's modules again for each file, and
  -- FFI types can be declared only once.
  busted.register("file", "file", {})
  if given.filter then filter_names(busted, given.filter) end
  setup.globals()
  require("edgeai.cli.host").catch_signals()
  if given["gc-stress"] then
    collectgarbage("setpause", 1) -- the next collection starts when one ends,
    collectgarbage("setstepmul", 400) -- and works faster than memory is taken
  end
  local load_files = require "busted.modules.test_file_loader"(busted, { "lua" })
  load_files(files, { "_spec" }, { excludes = {}, recursive = true })
  require "busted.execute"(busted)(1, {})
  print(("%d passed, %d failed, %d skipped"):format(counts.passed, counts.failed, counts.skipped))
  return (counts.failed > 0 or counts.passed + counts.skipped == 0) and 1 or 0
end

return command
