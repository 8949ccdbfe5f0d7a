-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.shell - runs the programs that fetching needs (curl, md5sum, find, tar, rm).

local text = require "edgeai.text"

local shell = {}

--- shell.run("tar", "-xf", path): words are quoted. Returns the exit status (128 + n after signal
-- n) and what the program printed on standard output; its errors go where ours go.
function shell.run(...)
  local words = {}
  for i = 1, select("#", ...) do words[i] = text.shell((select(i, ...))) end
  local pipe = io.popen(table.concat(words, " ") .. "; echo \" $?\"")
  local output = pipe and pipe:read "*a" or ""
  if pipe then pipe:close() end
  local printed, status = output:match "^(.*) (%d+)\n$"
  return tonumber(status) or 130, printed or output -- no status: the shell itself was stopped
end

--- MD5 of a file in hexadecimal digits, or nil if there is no such file.
function shell.md5(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  file:close()
  local _, line = shell.run("md5sum", "--", path)
  return line:match "^\\?(%x+)"
end

return shell
