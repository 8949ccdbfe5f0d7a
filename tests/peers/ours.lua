-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai, asked and answering as the peers do: see peer.py. What runs is `edgeai bench`'s own.
local ea = require "edgeai"
local F = require "edgeai.ffi"

local s = ea.json.decode((...))

local function memory(key)
  for line in io.lines("/proc/self/status") do
    local kb = line:match("^" .. key .. ":%s*(%d+) kB")
    if kb then return 1024 * tonumber(kb) end
  end
end

local function say(answer)
  io.write(ea.json.encode(answer), "\n")
  io.flush()
end

local now = s.clock == "cpu" and os.clock or F.C.ea_clock
ea.threads(s.threads)
local base = memory "VmRSS"
local case = ea.bench.open(("%s.%s"):format(s.task, s.net),
  { batch = s.batch, precision = s.precision })

-- The weights of the file, which the peers read, are the ones that the benchmark made itself.
local given = ea.io.load(s.file)
for _, item in ipairs(case.net:state_dict()) do
  assert(given[item.name]:hash() == item.tensor:hash(), item.name)
end

local check = {}
if s.task == "infer" then
  check = case.step():to("f32"):reshape(-1):tolist()
else
  for i = 1, 3 do check[i] = case.step():item() end
end
for _ = 1, 2 do case.step() end
say { version = ea.version, params = case.net:parameter_count(), check = check,
  planned = case.peak }

for line in io.lines() do
  if line == "quit" then break end
  local seconds, stop = {}, now() + tonumber(line)
  repeat
    local start = now()
    case.step()
    seconds[#seconds + 1] = now() - start
  until now() > stop and #seconds >= 3
  say { seconds = seconds, images = s.batch, peak = memory "VmHWM" - base }
end
