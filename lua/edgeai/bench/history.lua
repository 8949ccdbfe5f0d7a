-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.bench.history - results of benchmarks kept as JSON lines, and what got slower since.
--
-- A line is a result of bench.run with where it comes from: date, revision (of git), version,
-- machine (the processor's name and how many there are), engine (of convolutions).

local F = require "edgeai.ffi"
local json = require "edgeai.json"
local run = require "edgeai.run"

local history = {}

-- Two results are of the same work if these agree.
local same = { "name", "batch", "threads", "precision", "machine", "engine" }
local numbers = { "value", "low", "high" }

local LEAST = 0.02 -- a smaller change is no change: no two runs of a program are alike

local function is_record(r)
  if type(r) ~= "table" then return false end
  for _, key in ipairs(same) do
    if r[key] == nil then return false end
  end
  for _, key in ipairs(numbers) do
    if type(r[key]) ~= "number" then return false end
  end
  return true
end

--- The records of a file, oldest first; none if there is no such file. Lines that are no records
-- (a run was killed while it wrote) are passed over.
function history.read(path)
  local list, file = {}, io.open(path)
  for line in file and file:lines() or function() end do
    local ok, record = pcall(json.decode, line)
    if ok and is_record(record) then list[#list + 1] = record end
  end
  if file then file:close() end
  return list
end

local function processors()
  local count, file = 0, io.open("/proc/cpuinfo")
  for line in file and file:lines() or function() end do
    if line:find("^processor%s*:") then count = count + 1 end
  end
  if file then file:close() end
  return count
end

--- Copies of results with where they come from.
function history.sign(results)
  local env = run.environment()
  local list = {}
  for i, r in ipairs(results) do
    local signed = { date = env.date, revision = env.git_revision, version = env.edgeai,
      machine = ("%s, %d processors"):format(env.cpu, processors()), engine = env.conv_engine }
    for key, value in pairs(r) do signed[key] = value end
    list[i] = signed
  end
  return list
end

--- Appends records to the file, which is made with its folder if it is not there.
function history.append(path, records)
  local folder = path:match("^(.+)/[^/]*$")
  if folder then F.check(F.C.ea_make_folder(folder)) end
  local file, message = io.open(path, "a+")
  if not file then F.raise("cannot write %s", message) end
  local lines = {}
  if file:seek("end") > 0 then -- a line that was cut off ends here
    file:seek("end", -1)
    if file:read(1) ~= "\n" then lines[1] = "" end
  end
  for _, r in ipairs(records) do lines[#lines + 1] = json.encode(r, { sort = true }) end
  local ok
  ok, message = file:write(table.concat(lines, "\n"), "\n")
  if ok then ok, message = file:flush() end -- a full disk is met here
  file:close()
  if not ok then F.raise("cannot write %s: %s", path, message) end
end

local function is_same(a, b)
  for _, key in ipairs(same) do
    if a[key] ~= b[key] then return false end
  end
  return true
end

--- Sets the new records against the last of the same work among the old ones: the list of what got
-- slower, { now =, before =, change = (0.1: a tenth slower) }, and how many could be compared.
-- Slower: the median fell by more than the spread of either run (high - low: half of its steps lie
-- within), and by more than 2 %.
function history.slower(old, new)
  local list, compared = {}, 0
  for _, now in ipairs(new) do
    local before
    for _, r in ipairs(old) do
      if is_same(r, now) then before = r end
    end
    if before then
      compared = compared + 1
      local spread = math.max(before.high - before.low, now.high - now.low, LEAST * before.value)
      if before.value - now.value > spread then
        list[#list + 1] = { now = now, before = before, change = 1 - now.value / before.value }
      end
    end
  end
  return list, compared
end

return history
