-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.machine - what this machine is and what is installed on it, as the system tells.

local text = require "edgeai.text"

local machine = {}

local wanted_flags = { "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16",
  "amx_bf16", "amx_int8", "asimd", "bf16", "i8mm" }

--- All of a file, also of those under /proc; nil if it cannot be read.
function machine.read(path)
  local file = io.open(path, "rb")
  local data = file and file:read("*a")
  if file then file:close() end
  return data
end

--- The processor's name, and which of the instructions that matter here it has, as /proc/cpuinfo
-- calls them.
function machine.processor()
  local info = machine.read("/proc/cpuinfo")
  if not info then return "unknown", {} end
  local present, flags = {}, {}
  local listed = info:match("\nflags%s*:([^\n]*)") or info:match("\nFeatures%s*:([^\n]*)") or ""
  for flag in listed:gmatch("%S+") do present[flag] = true end
  for _, flag in ipairs(wanted_flags) do
    if present[flag] then flags[#flags + 1] = flag end
  end
  return info:match("\nmodel name%s*:%s*([^\n]*)") or "unknown", flags
end

--- What a shell command prints, without the last line's end; "" if it fails.
function machine.output(command)
  local pipe = io.popen(command .. " 2>/dev/null")
  local output = pipe and pipe:read("*a") or ""
  if pipe then pipe:close() end
  return (output:gsub("\n$", ""))
end

--- How many processors this process may use, and how many there are.
function machine.processors()
  local free = "env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc" -- nproc obeys these two
  return tonumber(machine.output(free)) or 1, tonumber(machine.output(free .. " --all")) or 1
end

--- The path of an installed program, or nil.
function machine.program(name)
  local path = machine.output("command -v " .. text.shell(name))
  return path ~= "" and path or nil
end

return machine
