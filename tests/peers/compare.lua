-- SPDX-License-Identifier: GPL-3.0-or-later
-- compare.lua - runs one piece of work in several programs by turns, and says how fast each was.
--
-- A group is the same work (task, net, batch) for a list of entries: { who = "edgeai" (a row or
-- column of the results), precision, threads, modes = list of words, start = function(spec) ->
-- process }. Of an entry's modes, each tried for one turn, only the fastest goes on; then the
-- entries take turns for some rounds, so that what disturbs the machine disturbs all of them.

local compare = {}

-- How far losses and logits may be from edgeai's in f32, relative to the largest of them.
local TOLERANCE = { f32 = 1e-3, bf16 = 5e-2 }

local function median(list)
  local s = { unpack(list) }
  table.sort(s)
  local n = #s
  return (s[math.floor((n + 1) / 2)] + s[math.floor(n / 2) + 1]) / 2
end
compare.median = median

--- The largest difference of two lists, relative to the largest number of the second; the first
-- may be shorter (a peer that computes only some images).
function compare.difference(list, reference)
  local most, scale = 0, 0
  for i, x in ipairs(list) do
    most = math.max(most, math.abs(x - reference[i]))
    if x ~= x then return math.huge end
  end
  for _, x in ipairs(reference) do scale = math.max(scale, math.abs(x)) end
  return #list > 0 and most / scale or math.huge
end

--- One turn: images per second by the median step, and the peak of memory; or nil and why not.
local function turn(process, seconds)
  process:write(tostring(seconds))
  local r, why = process:answer()
  if not r then return nil, why end
  return r.images / median(r.seconds), r.peak
end

--- What a program is told, but for the mode: see peer.py.
local function spec_of(entry, group, o)
  return { task = group.task, net = group.net, batch = group.batch, file = group.file,
    params = group.params, folder = o.folder, threads = entry.threads,
    precision = entry.precision, clock = entry.threads == 1 and o.clock or "wall",
    patience = o.patience }
end

--- Starts an entry in one mode: process and its first answer; or nil and why it cannot be.
local function start(entry, mode, spec, reference)
  local process = entry.start(spec, mode)
  local ready, why = process:answer()
  if not ready then return nil, "ended: " .. why end
  if ready.absent then return nil, ready.absent end
  if ready.params ~= spec.params then
    why = ("its network has %d parameters, not %d"):format(ready.params, spec.params)
  else
    ready.difference = compare.difference(ready.check, reference or ready.check)
    if ready.difference > TOLERANCE[spec.precision] then
      why = ("computes something else: differs by %.2g"):format(ready.difference)
    end
  end
  if not why then return process, ready end
  process:stop()
  return nil, why
end

--- Tries all modes of an entry; the best goes on as entry.process. Fills record.
local function choose(entry, group, record, reference, o)
  for _, mode in ipairs(entry.modes) do
    local spec = spec_of(entry, group, o)
    o.note("%s, %s %s: %s %s, %d threads %s", group.name, group.task, group.net, entry.who,
      entry.precision, entry.threads, mode)
    local process, ready = start(entry, mode, spec, reference)
    local rate, peak
    if process then
      rate, peak = turn(process, o.seconds)
      if not rate then process, ready = nil, "ended: " .. peak end
    end
    o.note("  %s", process and ("%.4g images/s"):format(rate) or ready)
    if process then
      record.modes[#record.modes + 1] = { mode = mode, value = rate, peak = peak,
        difference = ready.difference }
      record.version, record.planned = ready.version, ready.planned
      record.check = record.check or ready.check
      record.peak = math.min(record.peak or peak, peak)
      local loser = process
      if rate > (record.trial or 0) then
        loser, entry.process = entry.process, process
        record.trial, record.mode, record.difference = rate, mode, ready.difference
      end
      if loser then loser:stop() end
    else
      record.modes[#record.modes + 1] = { mode = mode, absent = ready }
    end
  end
  if not entry.process then record.absent = record.modes[1].absent end
end

--- Runs a group. Options: seconds of a turn, rounds, clock, patience, note = function. Returns
-- records, one an entry: who, precision, threads, task, net, batch, group, version, mode, rates
-- (one a round), value (their median), peak (the least of all modes'), difference, modes; or
-- absent = why. The first entry is edgeai in f32: what the others are checked against.
function compare.run(group, o)
  local records, reference = {}, nil
  for i, entry in ipairs(group.entries) do
    local record = { who = entry.who, precision = entry.precision, threads = entry.threads,
      group = group.name, task = group.task, net = group.net, batch = group.batch, modes = {},
      rates = {} }
    choose(entry, group, record, reference, o)
    if i == 1 then reference = assert(record.check, record.absent) end
    record.check, record.trial = nil, nil
    records[i] = record
  end
  for _ = 1, o.rounds do
    for i, entry in ipairs(group.entries) do
      if entry.process then
        local rate, why = turn(entry.process, o.seconds)
        if rate then
          table.insert(records[i].rates, rate)
        else
          records[i].absent, entry.process = "ended: " .. why, nil
        end
      end
    end
  end
  for i, entry in ipairs(group.entries) do
    if entry.process then
      records[i].value = median(records[i].rates)
      entry.process:stop()
      entry.process = nil
    end
  end
  return records
end

--- What two processes of a group's first entry reach at once, over what one reaches alone: how much
-- of a second processor the machine gives.
function compare.capacity(group, o)
  local entry = group.entries[1]
  local spec = spec_of(entry, group, o)
  local a, b = entry.start(spec, ""), entry.start(spec, "")
  assert(a:answer() and b:answer())
  local shares = {}
  for i = 1, o.rounds do
    local alone = turn(a, o.seconds)
    b:write(tostring(1.2 * o.seconds)) -- begins first and ends last
    local first = turn(a, o.seconds)
    local other = b:answer()
    shares[i] = (first + other.images / median(other.seconds)) / alone
  end
  a:stop()
  b:stop()
  return median(shares)
end

return compare
