-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.shell - runs the programs that fetching needs (curl, md5sum, tar, mv, rm).

local text = require "edgeai.text"

local shell = {}

--- shell.run("tar", "-xf", path): words are quoted. Returns the exit status (128+n for a signal);
-- output goes where ours goes.
function shell.run(...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = text.shell((select(i, ...))) end
  local first, _, code = os.execute(table.concat(words, " "))
  if code then return code end                   -- Lua 5.2's three results
  if type(first) == "number" then return first >= 256 and math.floor(first / 256) or first end
  return first and 0 or 1
end

--- First line of what a program prints, or nil.
function shell.line(...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = text.shell((select(i, ...))) end
  local pipe = io.popen(table.concat(words, " ") .. " 2>/dev/null")
  local line = pipe and pipe:read "*l"
  if pipe then pipe:close() end
  return line
end

--- MD5 of a file in hexadecimal digits, or nil if it cannot be read.
function shell.md5(path)
  local line = shell.line("md5sum", "--", path)
  return line and line:match "^\\?(%x+)"
end

return shell
