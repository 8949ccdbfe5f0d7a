-- SPDX-License-Identifier: GPL-3.0-or-later
-- process.lua - another program with which one talks in lines: what it reads goes through a named
-- pipe, what it prints comes back through io.popen.
--
--   local p = process.start({ "python3", "peer.py", "{...}" }, { OMP_NUM_THREADS = "1" }, "x.log")
--   p:write("2.5")        a line
--   p:answer()            the next line that is a JSON object, decoded; nil and the last words of
--                         the log if the program has ended
--   p:stop()              says quit, waits for its end
--
-- In the environment, false takes a variable away. Standard error goes to the log.

local ea = require "edgeai"
local text = require "edgeai.text"

local process = {}
local object = {}
object.__index = object

--- Starts a program: words of its command, environment by name, path of its log.
function process.start(words, environment, log)
  local parts = { "exec env" }
  for _, name in ipairs(text.keys(environment)) do
    local value = environment[name]
    if not value then table.insert(parts, 2, "-u " .. name) end
    if value then parts[#parts + 1] = text.shell(name .. "=" .. value) end
  end
  for _, word in ipairs(words) do parts[#parts + 1] = text.shell(word) end
  local pipe = os.tmpname()
  os.remove(pipe)
  assert(os.execute("mkfifo " .. text.shell(pipe)) == 0, "no named pipe at " .. pipe)
  local output = assert(io.popen(("%s <%s 2>%s"):format(table.concat(parts, " "), text.shell(pipe),
    text.shell(log))))
  local input = assert(io.open(pipe, "w")) -- waits until the other side has opened it
  os.remove(pipe)
  return setmetatable({ input = input, output = output, log = log }, object)
end

--- A line to the program; one that has ended does not hear it.
function object:write(line)
  self.input:write(line, "\n")
  self.input:flush()
end

--- The last line of the log that says anything.
local function last_words(path)
  local last = "it said nothing"
  for line in io.lines(path) do
    if line:find("%S") then last = line end
  end
  return last
end

--- The program's next answer.
function object:answer()
  for line in self.output:lines() do
    if line:sub(1, 1) == "{" then
      local ok, value = pcall(ea.json.decode, line)
      if ok then return value end
    end
  end
  return nil, last_words(self.log)
end

--- Ends the program.
function object:stop()
  self:write("quit")
  self.input:close()
  self.output:close()
end

return process
