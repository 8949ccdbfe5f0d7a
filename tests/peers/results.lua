-- SPDX-License-Identifier: GPL-3.0-or-later
-- results.lua - the records of compare.lua as RESULTS.md, and the README's table out of it.

local F = require "edgeai.ffi"
local history = require "edgeai.bench.history"
local run = require "edgeai.run"
local compare = require "compare"

local results = {}

local OLD, NEW = "old PyTorch", "new PyTorch"

--- The command of a run, with what is not as by default (see run.lua).
local function command(cfg)
  local words = {}
  for _, pair in ipairs { { "compile", true }, { "clock", "wall" }, { "rounds", 7 },
    { "seconds", 2 } } do
    local value = cfg[pair[1]]
    if value ~= nil and value ~= pair[2] then
      words[#words + 1] = ("--set %s=%s"):format(pair[1], tostring(value))
    end
  end
  if #words == 0 then return "make bench-peers" end
  return ("make bench-peers ARGS='%s'"):format(table.concat(words, " "))
end

--- What the results are of: machine, versions, date, how it was measured. No host's name.
function results.about(cfg)
  local env, signed = run.environment(), history.sign({ {} })[1]
  local file = io.open("/proc/loadavg")
  return { machine = signed.machine, features = env.cpu_flags, date = env.date,
    revision = env.git_revision or "unknown", edgeai = env.edgeai, engine = env.conv_engine,
    blas = env.blas_core, os = env.os, seconds = cfg.seconds, rounds = cfg.rounds,
    command = command(cfg),
    clock = cfg.clock == "cpu" and "the process's own time (the machine was busy)" or "wall",
    load = file and file:read("*l"):match("^%S+") or "unknown" }
end

-- ---- reading records ----------------------------------------------------------------------------

local function finder(records)
  return function(group, task, net, who, precision, threads)
    for _, r in ipairs(records) do
      if r.group == group and r.task == task and r.net == net and r.who == who
        and r.precision == precision and r.threads == (threads or 1) then
        return r
      end
    end
  end
end

--- The works of a group, in order: { task, net, batch }.
local function works(records, group)
  local list, seen = {}, {}
  for _, r in ipairs(records) do
    local key = r.task .. r.net
    if r.group == group and not seen[key] then
      seen[key], list[#list + 1] = true, r
    end
  end
  return list
end

--- How much faster a was than b: the median over the rounds, in each of which both had a turn.
function results.ratio(a, b)
  if not (a and b and a.value and b.value) then return nil end
  local list = {}
  for i = 1, math.min(#a.rates, #b.rates) do list[i] = a.rates[i] / b.rates[i] end
  return compare.median(list)
end

-- ---- words --------------------------------------------------------------------------------------

local function rate(r)
  if not (r and r.value) then return "-" end
  return (r.value >= 100 and "%.0f" or r.value >= 1 and "%.1f" or "%.2g"):format(r.value)
end

local function times(ratio) return ratio and ("%.2f"):format(ratio) or "-" end
local function megabytes(r) return r and r.peak and ("%.0f"):format(r.peak / 1e6) or "-" end
local function share(a, b) return times(a and b and a.peak and b.peak and a.peak / b.peak) end

--- "train WRN-40-4, batch 32"
local function title(r) return ("%s %s, batch %d"):format(r.task, r.net:upper(), r.batch) end

--- "PyTorch 2.15.0 f32"
local function namer(records)
  local version = {}
  for _, r in ipairs(records) do version[r.who] = version[r.who] or r.version end
  return function(who, precision)
    local plain = who:gsub("^%l+ PyTorch$", "PyTorch")
    local known = version[who] or who == OLD and "of Debian" or who == NEW and "of PyPI"
    if who == "edgeai" then known = nil end
    return plain .. (known and " " .. known or "") .. (precision and " " .. precision or "")
  end
end

local function markdown(header, rows)
  local lines = { "| " .. table.concat(header, " | ") .. " |", "|---" .. ("|---:"):rep(#header - 1)
    .. "|" }
  for _, row in ipairs(rows) do lines[#lines + 1] = "| " .. table.concat(row, " | ") .. " |" end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- the tables ---------------------------------------------------------------------------------

--- The table of one thread: images per second, and edgeai's ratios to both PyTorches.
function results.summary(records)
  local find, name, rows = finder(records), namer(records), {}
  for _, w in ipairs(works(records, "one thread")) do
    local function of(who, precision) return find(w.group, w.task, w.net, who, precision) end
    local a, b, old = of("edgeai", "f32"), of("edgeai", "bf16"), of(OLD, "f32")
    local c, d = of(NEW, "f32"), of(NEW, "bf16")
    rows[#rows + 1] = { title(w), rate(a), rate(b), rate(old), rate(c), rate(d),
      times(results.ratio(a, old)), times(results.ratio(b, old)), times(results.ratio(a, c)),
      times(results.ratio(b, d)) }
  end
  local old, new = name(OLD, "f32"), name(NEW, "f32")
  return markdown({ "images/s, one thread", "edgeai f32", "edgeai bf16", old, new,
    name(NEW, "bf16"), "f32 to " .. old, "bf16 to " .. old, "f32 to " .. new,
    "bf16 to " .. name(NEW, "bf16") }, rows)
end

local ENGINES = { "ONNX Runtime", "OpenVINO", "ncnn", "darknet" }

local function engines(records)
  local find, name, rows = finder(records), namer(records), {}
  local header = { "images/s (edgeai is so many times faster)", "edgeai" }
  for _, who in ipairs(ENGINES) do header[#header + 1] = name(who) end
  for _, w in ipairs(works(records, "one thread")) do
    for _, precision in ipairs(w.task == "infer" and { "f32", "bf16" } or {}) do
      local ours = find(w.group, w.task, w.net, "edgeai", precision)
      local row = { title(w) .. ", " .. precision, rate(ours) }
      for _, who in ipairs(ENGINES) do
        local r = find(w.group, w.task, w.net, who, precision)
        local ratio = results.ratio(ours, r)
        row[#row + 1] = ratio and ("%s (%.2f)"):format(rate(r), ratio) or "-"
      end
      rows[#rows + 1] = row
    end
  end
  return markdown(header, rows)
end

local function memory(records)
  local find, name, rows = finder(records), namer(records), {}
  for _, w in ipairs(works(records, "one thread")) do
    local function of(who, precision) return find(w.group, w.task, w.net, who, precision) end
    local a, b, old = of("edgeai", "f32"), of("edgeai", "bf16"), of(OLD, "f32")
    local c, d = of(NEW, "f32"), of(NEW, "bf16")
    if w.task == "train" then
      rows[#rows + 1] = { title(w), megabytes(a), megabytes(b), megabytes(old), megabytes(c),
        megabytes(d), share(a, old), share(b, old), share(a, c), share(b, d) }
    end
  end
  local old, new = name(OLD, "f32"), name(NEW, "f32")
  return markdown({ "MB", "edgeai f32", "edgeai bf16", old, new, name(NEW, "bf16"),
    "f32 to " .. old, "bf16 to " .. old, "f32 to " .. new, "bf16 to " .. name(NEW, "bf16") }, rows)
end

local function portable(records)
  local find, name, rows = finder(records), namer(records), {}
  for _, w in ipairs(works(records, "portable")) do
    local function of(who) return find(w.group, w.task, w.net, who, "f32") end
    local a, b, c = of "edgeai", of(OLD), of(NEW)
    rows[#rows + 1] = { title(w), rate(a), rate(b), rate(c), times(results.ratio(a, b)),
      times(results.ratio(a, c)) }
  end
  return markdown({ "images/s, f32", "edgeai, OpenBLAS", name(OLD), name(NEW), "to " .. name(OLD),
    "to " .. name(NEW) }, rows)
end

local function threads(records)
  local find, name, rows = finder(records), namer(records), {}
  local columns = { { "edgeai", "f32" }, { "edgeai", "bf16" }, { OLD, "f32" }, { NEW, "f32" },
    { NEW, "bf16" } }
  local header = { "two threads over one", "the machine" }
  for _, c in ipairs(columns) do header[#header + 1] = name(c[1], c[2]) end
  for _, w in ipairs(works(records, "threads")) do
    local row = { title(w), times(w.capacity) }
    for _, c in ipairs(columns) do
      row[#row + 1] = times(results.ratio(find(w.group, w.task, w.net, c[1], c[2], 2),
        find(w.group, w.task, w.net, c[1], c[2], 1)))
    end
    rows[#rows + 1] = row
  end
  return markdown(header, rows)
end

local function modes(records)
  local name, rows = namer(records), {}
  for _, r in ipairs(records) do
    for _, m in ipairs(#r.modes > 1 and r.modes or {}) do
      if not m.absent then
        rows[#rows + 1] = { ("%s, %s"):format(title(r), name(r.who, r.precision)), r.threads,
          m.mode .. (m.mode == r.mode and " *" or ""), rate(m), megabytes(m) }
      end
    end
  end
  return markdown({ "work", "threads", "mode", "images/s, first turn", "MB" }, rows)
end

local function likeness(records)
  local name, most, order = namer(records), {}, {}
  for _, r in ipairs(records) do
    local who = name(r.who, r.precision)
    if r.difference and not (r.who == "edgeai" and r.precision == "f32") then
      if not most[who] then order[#order + 1] = who end
      most[who] = math.max(most[who] or 0, r.difference)
    end
  end
  local rows = {}
  for i, who in ipairs(order) do rows[i] = { who, ("%.1e"):format(most[who]) } end
  return markdown({ "largest difference to edgeai f32", "of the largest value" }, rows)
end

local function absent(records)
  local name, lines, seen = namer(records), {}, {}
  local function add(who, reason)
    local line = ("- %s: %s\n"):format(who, reason)
    if not seen[line] then lines[#lines + 1], seen[line] = line, true end
  end
  for _, r in ipairs(records) do
    local who = name(r.who, r.precision)
    if r.absent then add(who, r.absent) end
    for _, m in ipairs(r.modes) do
      if m.absent and not r.absent then
        add(("%s, %s, %s"):format(title(r), who, m.mode), m.absent)
      end
    end
  end
  return #lines > 0 and table.concat(lines) or "Nothing was.\n"
end

local TEXT = [[
<!-- SPDX-License-Identifier: GPL-3.0-or-later -->
# edgeai beside its peers

Written by `make bench-peers`; do not edit. Everything here is the same work in every program: the
same network (the number of parameters is checked), the same weights and images out of one file, the
same batch; training is SGD with momentum 0.9 and weight decay 5e-4, dreaming Adam on the images
alone, toward a target of the pooled features, the network frozen. Each program's first losses, or
its answers, are checked against edgeai's. The programs are all there at once and take turns of
$seconds s, in $rounds rounds; a rate is the median over the rounds, a ratio the median of the
rounds' ratios. Of a program's modes (layout, eager or compiled, autocast or weights in bf16), tried
for a turn first, the fastest is compared.

| | |
|---|---|
| machine | $machine |
| features | $features |
| load before | $load |
| clock | $clock |
| date | $date |
| edgeai | $edgeai, revision $revision, $engine, OpenBLAS for $blas |
| command | `$command` |

## One thread

$summary
## Inference beside programs that only infer

$engines
ncnn and darknet have no batches worth the name; they get the images one by one.

## Memory of a training step

By how much a process's resident memory at its peak exceeds what it was before the network was made:
weights, gradients, momentum, activations, scratch. The least of a program's modes.

$memory
## Without oneDNN

edgeai with `EDGEAI_CONV=portable` (im2col and OpenBLAS), PyTorch with
`torch.backends.mkldnn.flags(enabled=False)`.

$portable
## Two threads

The machine: what two processes with one thread each reach at once, over one alone.

$threads
## How alike the results are

$likeness
## The modes tried

The fastest, which was compared, has a star.

$modes
## Absent

$absent]]

--- The text of RESULTS.md.
function results.markdown(about, records)
  local tables = { summary = results.summary, engines = engines, memory = memory,
    portable = portable, threads = threads, likeness = likeness, modes = modes, absent = absent }
  return (TEXT:gsub("%$(%l+)", function(word)
    if tables[word] then return tables[word](records) end
    local value = about[word]
    return type(value) == "table" and table.concat(value, ", ") or tostring(value)
  end))
end

-- ---- the README ---------------------------------------------------------------------------------

local MARK = "<!-- speed: the first table of tests/peers/RESULTS.md -->\n"

--- The lines of a table from there on.
local function table_from(text, from)
  local lines = {}
  for line in text:sub(from):gmatch("[^\n]*\n") do
    if line:sub(1, 1) ~= "|" then break end
    lines[#lines + 1] = line
  end
  return table.concat(lines)
end

--- The table of one thread out of the text of RESULTS.md.
function results.summary_of(text)
  local _, from = text:find("\n## One thread\n\n", 1, true)
  return table_from(text, (from or #text) + 1)
end

--- Where the README's speed table begins.
local function place(readme)
  local _, from = readme:find(MARK, 1, true)
  return from and from + 1 or F.raise("README.md has no line %s", MARK:sub(1, -2))
end

--- The README's speed table.
function results.readme_table(readme) return table_from(readme, place(readme)) end

--- The README with its speed table replaced by that of RESULTS.md.
function results.into_readme(readme, found)
  local from = place(readme)
  local rest = readme:sub(from + #table_from(readme, from))
  return readme:sub(1, from - 1) .. results.summary_of(found) .. rest
end

return results
