-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.cli.leaks - does a piece of work give back what it took? For `edgeai test --leaks`.

local ffi = require "ffi"
local F = require "edgeai.ffi"

local leaks = {}

local function entries(folder)
  local names = ffi.new("char *[1]")
  F.check(F.C.ea_list_folder(folder, names))
  local _, count = ffi.string(names[0]):gsub("[^\n]+", "")
  F.C.ea_buffer_free(names[0])
  return count
end

local function measure()
  repeat -- a finalizer may let go of what has one of its own
    local live = F.C.ea_memory_live()
    collectgarbage()
  until F.C.ea_memory_live() == live
  local threads = F.C.ea_threads()
  F.C.ea_set_threads(1) -- ends the pool's workers
  F.C.ea_set_threads(threads)
  return {
    bytes = tonumber(F.C.ea_memory_live()),
    handles = tonumber(F.C.ea_memory_blocks()), -- every object of the core is an allocation or more
    files = entries("/proc/self/fd"),
    threads = entries("/proc/self/task"),
  }
end

local before

--- Runs work(i), i = 1, 2, ..., as long as it ends with more than it began with, three times at
-- most: the first time may fill caches, or variables that outlive it. What happened since the last
-- call counts as work. Returns what the last time left behind, "12 bytes, 1 handles", or nil.
function leaks.of(work)
  local left
  before = before or measure()
  for i = 1, 3 do
    work(i)
    local now = measure()
    left = {}
    for _, what in ipairs { "bytes", "handles", "files", "threads" } do
      if now[what] > before[what] then
        left[#left + 1] = ("%d %s"):format(now[what] - before[what], what)
      end
    end
    before = now
    if #left == 0 then return nil end
  end
  return table.concat(left, ", ")
end

return leaks
