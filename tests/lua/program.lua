-- SPDX-License-Identifier: GPL-3.0-or-later
-- program.lua - for specs: runs this very binary as a user would, in a folder of its own.

local program = {}

local function capture(command)
  local pipe = assert(io.popen(command))
  local output = pipe:read("*a")
  pipe:close()
  return output
end

program.path = capture("readlink -f /proc/$PPID/exe"):gsub("\n", "")
program.root = capture("pwd"):gsub("\n", "")

--- A new empty folder; program.remove(folder) deletes it.
function program.folder()
  return (capture("mktemp -d"):gsub("\n", ""))
end

function program.remove(folder)
  assert(folder:find("^/tmp/"))
  os.execute("rm -rf '" .. folder .. "'")
end

function program.write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

function program.read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return text
end

--- Runs `edgeai ARGUMENTS` (shell words) in `folder`: exit code, standard output, standard error.
-- `before` is put in front of the command, e.g. "EDGEAI_DATA=/nowhere"; `input` is a text for its
-- standard input.
function program.run(folder, arguments, before, input)
  local out, err, from = os.tmpname(), os.tmpname(), "/dev/null"
  if input then
    from = os.tmpname()
    program.write(from, input)
  end
  local code = capture(("cd '%s' && %s '%s' %s >%s 2>%s <%s; echo $?"):format(folder,
    before or "", program.path, arguments, out, err, from))
  local output, errors = program.read(out), program.read(err)
  os.remove(out)
  os.remove(err)
  if input then os.remove(from) end
  return tonumber(code), output, errors
end

return program
