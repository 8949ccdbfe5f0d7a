-- SPDX-License-Identifier: GPL-3.0-or-later
-- The same work in edgeai and in its peers, by turns, on the same machine: `make bench-peers`.
-- Writes RESULTS.md and, from it, the table of README.md.
local ea = require "edgeai"
local F = require "edgeai.ffi"
local session = require "edgeai.session"
local compare = require "compare"
local entries = require "entries"
local results = require "results"
local write_inputs = require "inputs"

local cfg = ea.config {
  preset = { default = "full", full = {},
    quick = { seconds = 0.2, rounds = 2, write = "build/peers/quick.md", readme = "" },
    tiny = { seconds = 0, rounds = 2, nets = { "wrn-10-1" }, batch = 2, readme = "" } },
  seconds = { 2, "of a turn", least = 0 }, rounds = { 7, type = "integer", least = 1 },
  clock = { default = "wall", choices = { "wall", "cpu" },
    help = "cpu: a program's own seconds, for one thread on a machine that is busy" },
  groups = { { "one thread", "portable", "threads" }, "what to compare" },
  tasks = { { "train", "infer", "dream" }, "of train, infer, dream" },
  nets = { { "wrn-40-4", "wrn-16-1" }, "networks: wrn-DEPTH-WIDTH" },
  batch = { type = "integer", least = 1, help = "images in a step; 32 for wrn-40-4, else 128" },
  compile = { true, "torch.compile too, which takes minutes for each network" },
  patience = { 15, "minutes until a program must be ready; torch.compile may not be", above = 0 },
  folder = { "build/peers", "for what it needs meanwhile, and the records" },
  python = { "build/peers/venv/bin/python", "with the peers of PyPI" },
  debian_python = { "/usr/bin/python3", "with Debian's PyTorch" },
  write = { "tests/peers/RESULTS.md", "the file to write" },
  readme = { "README.md", "whose table to replace; none if empty" },
  go_on = { false, "keep the records that are there, run only the other groups" },
}

local function note(format, ...)
  if not session.quiet then io.stderr:write(format:format(...), "\n") end
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function write(path, text) F.check(F.C.ea_file_write(path, text, #text)) end

F.check(F.C.ea_make_folder(cfg.folder))
local about = results.about(cfg)
local kept = cfg.folder .. "/records.jsonl"
local records, known = {}, {}
if cfg.go_on and F.C.ea_file_exists(kept) == 1 then
  for line in io.lines(kept) do
    local r = ea.json.decode(line)
    records[#records + 1], known[r.group .. r.task .. r.net] = r, true
  end
end

local function keep(list)
  local lines = {}
  for _, r in ipairs(list) do records[#records + 1] = r end
  for i, r in ipairs(records) do lines[i] = ea.json.encode(r, { sort = true }) .. "\n" end
  write(kept, table.concat(lines))
end

local o = { seconds = cfg.seconds, rounds = cfg.rounds, folder = cfg.folder, clock = cfg.clock,
  patience = cfg.patience, note = note }
for _, group in ipairs(entries(cfg)) do
  if not known[group.name .. group.task .. group.net] then
    group.batch = cfg.batch or group.net == "wrn-40-4" and 32 or 128
    group.file = ("%s/%s.safetensors"):format(cfg.folder, group.net)
    group.params = write_inputs(group.net, group.batch, group.file)
    local list = compare.run(group, o)
    if group.name == "threads" then list[1].capacity = compare.capacity(group, o) end
    keep(list)
  end
end

local text = results.markdown(about, records)
write(cfg.write, text)
if cfg.readme ~= "" then write(cfg.readme, results.into_readme(read(cfg.readme), text)) end
note("%s is written", cfg.write)
