-- SPDX-License-Identifier: GPL-3.0-or-later
-- pty.lua - for specs: runs this very binary in a terminal of its own, types and reads.
--
--   local t = pty.open { "repl" }     also: environment = { NAME = "value" }, columns =, rows =
--   t:type("1 + 1\n")                 keys; \3 is Ctrl-C, \4 Ctrl-D, \t Tab
--   t:wait("> ")                      what came up to that text (plain, not a pattern); fails after
--                                     `seconds` (20)
--   t:ended()                         is the program gone?
--   t:close()                         exit code, or nil if it had to be killed

local ffi = require "ffi"
local program = require "program"

ffi.cdef [[
  struct ea_test_winsize { unsigned short rows, columns, width, height; };
  struct ea_test_pollfd { int fd; short events, revents; };
  int forkpty(int *master, char *name, const void *term, const struct ea_test_winsize *size);
  int execve(const char *path, const char *const *arguments, const char *const *environment);
  int poll(struct ea_test_pollfd *fds, unsigned long count, int milliseconds);
  long read(int fd, void *to, unsigned long bytes);
  long write(int fd, const void *from, unsigned long bytes);
  int close(int fd);
  int kill(int pid, int signal);
  int waitpid(int pid, int *status, int options);
  void _exit(int code);
]]
local C = ffi.C -- luacheck: ignore

local pty = {}
pty.__index = pty

local function strings(list)
  local array = ffi.new("const char *[?]", #list + 1)
  for i, s in ipairs(list) do array[i - 1] = s end
  return array
end

--- Starts `edgeai ARGUMENTS`. Where no terminal can be made the test is pending.
function pty.open(arguments)
  local variables = { "PATH=" .. os.getenv("PATH"), "TERM=xterm", "LC_ALL=C.UTF-8",
    "INPUTRC=/dev/null" }
  for name, value in pairs(arguments.environment or {}) do
    variables[#variables + 1] = name .. "=" .. value
  end
  local words = { program.path, unpack(arguments) }
  local argv, envp, master = strings(words), strings(variables), ffi.new("int[1]")
  local size = ffi.new("struct ea_test_winsize", arguments.rows or 40, arguments.columns or 200,
    arguments.width or 0, arguments.height or 0)
  local pid = C.forkpty(master, nil, nil, size)
  if pid == 0 then
    C.execve(program.path, argv, envp)
    C._exit(127)
  end
  if pid < 0 then getfenv(2).pending("this system makes no terminals: is /dev/pts there?") end
  return setmetatable({ pid = pid, fd = master[0], text = "", words = words }, pty)
end

--- Types keys.
function pty:type(keys)
  assert(C.write(self.fd, keys, #keys) == #keys)
end

--- Reads what comes within `milliseconds`; false at the end.
local function more(self, milliseconds)
  local wait = ffi.new("struct ea_test_pollfd", self.fd, 1, 0)
  if C.poll(wait, 1, milliseconds) <= 0 then return true end
  local buffer = ffi.new("char[4096]")
  local got = tonumber(C.read(self.fd, buffer, 4096))
  if got <= 0 then return false end
  self.text = self.text .. ffi.string(buffer, got)
  self.text = self.text:gsub("\27%[%?2004[hl]\r?", "") -- how readline asks for pasted text
  return true
end

--- Has the program ended? Takes a fifth of a second where it has not.
function pty:ended() return not more(self, 200) end

--- All that was written up to `text` and with it, once it is there.
function pty:wait(text, seconds)
  local stop = os.time() + (seconds or 20)
  while true do
    local _, last = self.text:find(text, 1, true)
    if last then
      local before = self.text:sub(1, last)
      self.text = self.text:sub(last + 1)
      return before
    end
    if os.time() > stop or not more(self, 100) then
      error(("%q did not come; there is %q"):format(text, self.text), 2)
    end
  end
end

--- Types a line; what is written before the next prompt, plain: without the line itself, colours
-- and what moves the cursor.
function pty:line(line, seconds)
  self:type(line .. "\n")
  local said = self:wait("\n> ", seconds):gsub("\27%[[%d;?]*%a", ""):gsub("\r", "")
  return (said:gsub("^[^\n]*\n", ""):gsub("\n?> $", ""))
end

--- Ends it (Ctrl-D) and returns its exit code; nil if it had to be killed.
function pty:close(seconds)
  C.write(self.fd, "\4", 1)
  local status, stop = ffi.new("int[1]"), os.time() + (seconds or 10)
  while more(self, 20) and os.time() <= stop do end
  C.close(self.fd)
  local killed = os.time() > stop
  if killed then C.kill(self.pid, 9) end
  C.waitpid(self.pid, status, 0)
  if not killed then return bit.rshift(status[0], 8) % 256 end
end

return pty
