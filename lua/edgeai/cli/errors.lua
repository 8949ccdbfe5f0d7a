-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.cli.errors - shows an error of a user's code: the sentence at the user's line, then the
-- user's own frames. Frames inside edgeai's Lua files are left out: they are recognised by their
-- chunk names ("@edgeai/...").

local errors = {}

-- The prompt wraps whole chunks into functions.
local function is_chunk(f)
  local interruptible = package.loaded["edgeai.repl.interruptible"]
  return interruptible and interruptible.is_chunk(f)
end

--- Is this chunk name one of edgeai's own files?
function errors.is_internal(source)
  return source:find("^@edgeai/") ~= nil
end

local function frames_from(level)
  local frames = {}
  while true do
    local info = debug.getinfo(level, "Slnf")
    if not info then return frames end
    if info.source:find("^@edgeai/cli/") and #frames > 0 then return frames end
    if info.what ~= "C" and info.currentline > 0 and not errors.is_internal(info.source)
      and not info.source:find("^@/usr/share/lua/") then
      local name = (info.what == "main" or is_chunk(info.func)) and "main chunk"
        or info.name and ("function '%s'"):format(info.name) or "a function"
      frames[#frames + 1] = { where = ("%s:%d"):format(info.short_src, info.currentline),
        name = name }
    end
    level = level + 1
  end
end

--- Message handler for xpcall: returns { message = sentence at the user's line, frames = list }.
function errors.handler(value)
  if type(value) == "table" and value.frames then return value end
  local message = value
  if type(value) ~= "string" then
    local meta = debug.getmetatable(value)
    message = meta and meta.__tostring and tostring(value)
      or value == nil and "error(nil)" or ("error with a %s value"):format(type(value))
  end
  message = message:gsub("(module '[^']*' not found):\n.*", "%1 beside the script, in $EDGEAI_PATH "
    .. "or where Lua modules are installed")
  local frames = frames_from(3)
  local inside, rest = message:match("^(edgeai/[%w_/]+%.lua:%d+): (.*)$")
  if inside and frames[1] then
    message = ("%s: %s [%s]"):format(frames[1].where, rest, inside)
  end
  return { message = message, frames = frames, value = value }
end

--- Writes the report of a handled error to `out` (stderr).
function errors.report(failure, out)
  out = out or io.stderr
  if type(failure) ~= "table" then failure = { message = tostring(failure), frames = {} } end
  io.stdout:flush()
  out:write("edgeai: ", failure.message, "\n")
  local frames = failure.frames
  local first = frames[1]
  local place = #frames == 1 and first.where and first.where .. ":"
  if place and failure.message:sub(1, #place) == place then return end
  for i = 1, math.min(#frames, 8) do
    local f = frames[i]
    if f.code then
      out:write(("  in %s%s:  %s\n"):format(f.name, f.line and ", line " .. f.line or "", f.code))
    else
      out:write(("  %s: in %s\n"):format(f.where, f.name))
    end
  end
  if #frames > 8 then out:write(("  ... and %d more\n"):format(#frames - 8)) end
end

return errors
