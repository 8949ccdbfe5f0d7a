-- SPDX-License-Identifier: GPL-3.0-or-later
-- training.lua - for specs: a training run of a second that has everything a run can have, and what
-- of its outcome must be the same however often it was stopped.

local json = require "edgeai.json"
local program = require "program"

local training = {}

-- A teacher, then two students by the NoNN objective, with all that has a state: momentum, dropout,
-- augmentation, random numbers of the script's own. HURT=what:moment makes the process hurt itself.
training.script = [[
local ffi = require "ffi"
local tiny = require "tiny"
local checkpoint = require "edgeai.train.checkpoint"
ffi.cdef "int kill(int, int); int getpid(void);"
local cfg = ea.config { epochs = 3, save_every = 0, lr = 0.1, batch = 16,
  widths = { { 4, 4, 8 }, "of the teacher" }, students = { widths = { { 4, 4, 4 }, "theirs" } } }
local run = ea.run.open("resume", cfg)

local what, moment = (os.getenv "HURT" or ""):match("^(%w+):(%d+)$")
local signals = { KILL = 9, INT = 2, TERM = 15 }
local function hurt(now)
  if signals[what] and now == tonumber(moment) then ffi.C.kill(ffi.C.getpid(), signals[what]) end
end
local saves, save = 0, checkpoint.save
function checkpoint.save(...)
  saves = saves + 1
  if what == "before" and saves == tonumber(moment) then ffi.C.kill(ffi.C.getpid(), 9) end
  save(...)
  if what == "after" and saves == tonumber(moment) then ffi.C.kill(ffi.C.getpid(), 9) end
end

local calls = 0
local function fit(net, label, objective)
  local one_cycle = ea.schedule.one_cycle { peak = cfg.lr, epochs = cfg.epochs }
  local result = ea.train.fit(net, tiny.split(96, 1), { run = run, label = label,
    epochs = cfg.epochs, batch = cfg.batch, validate = tiny.split(64, 2), seed = cfg.seed,
    objective = objective, save_every = cfg.save_every, precision = cfg.precision, clip = 5,
    augment = { crop_pad = 2, flip = "alternating", cutout = 3 },
    optimizer = ea.optim.sgd(net, { momentum = 0.9, nesterov = true, weight_decay = 1e-4 }),
    schedule = function(t) calls = calls + 1; hurt(calls); return one_cycle(t) end,
    on_epoch = function() ea.randn { 3 } end })
  net:save(run:path(label .. ".safetensors"))
  run:summary { [label] = { accuracy = result.best, epoch = result.best_epoch,
    steps = result.steps, epochs = #result.history, random = ea.rand({ 1 }):item() } }
end

local teacher = ea.nn.wrn { depth = 10, widths = cfg.widths, channels = 1, classes = 4,
  dropout = 0.2 }:set_precision(cfg.precision)
fit(teacher, "teacher")
local parts = { { 1, 2, 5 }, { 3, 4, 6, 7, 8 } }
local students = ea.nonn.students { parts = parts, classes = 4,
  arch = { depth = 10, widths = cfg.students.widths, channels = 1 } }:set_precision(cfg.precision)
fit(students, "students", ea.nonn.objective(students, teacher, parts, { beta = 10 }))
]]

training.steps = 2 * 3 * 6 -- both fits, epochs, batches

--- What makes a run of the script find its helpers: in front of the command.
training.here = "EDGEAI_PATH=" .. program.root .. "/tests/lua "

local function without_seconds(value)
  for key in pairs(value) do
    if key:find("seconds") then value[key] = nil end
  end
  return value
end

--- metrics.csv without the columns of times.
local function table_of(text)
  local lines, skip = {}, {}
  for line in text:gmatch("[^\n]+") do
    local cells = {}
    for cell in (line .. ","):gmatch("([^,]*),") do
      if #lines == 0 then skip[#cells + 1] = cell:find("seconds") ~= nil end
      cells[#cells + 1] = skip[#cells + 1] and "" or cell
    end
    lines[#lines + 1] = table.concat(cells, ",")
  end
  return table.concat(lines, "\n")
end

--- All that must be the same: the models' bytes, the metrics but for the time, the results.
function training.outcome(dir)
  local function read(name) return assert(program.read(dir .. "/" .. name), name) end
  local result = { records = {}, summary = json.decode(read "summary.json") }
  for _, label in ipairs { "teacher", "students" } do
    result[label] = read(label .. ".safetensors")
  end
  for line in read("metrics.jsonl"):gmatch("[^\n]+") do
    table.insert(result.records, without_seconds(json.decode(line)))
  end
  result.table = table_of(read "metrics.csv")
  return result
end

--- Raises unless the outcome in `dir` is `want`.
function training.same(want, dir, what)
  local got = training.outcome(dir)
  for _, label in ipairs { "teacher", "students" } do
    assert(got[label] == want[label], what .. ": " .. label .. " differs")
  end
  local say = require "luassert"
  say.same(want.records, got.records, what)
  say.same(want.summary, got.summary, what)
  say.equal(want.table, got.table, what)
end

--- Raises unless everything that lies in the folder of a run is whole, but for the end of what is
-- appended to.
function training.whole(dir)
  local pipe = assert(io.popen(("ls -A '%s' 2>/dev/null"):format(dir)))
  for name in pipe:lines() do
    local path = dir .. "/" .. name
    local hidden = name:find("^%.") -- a temporary file; the next start removes it
    if not hidden and (name:find("%.safetensors$") or name:find("%.png$")) then
      ea.io.load(path)
    elseif not hidden and name:find("%.json$") then
      assert(type(json.decode(program.read(path))) == "table", path)
    elseif name == "metrics.jsonl" then
      for line in program.read(path):gmatch("([^\n]*)\n") do json.decode(line) end
    end
  end
  pipe:close()
end

--- Names of the temporary files in a folder, one a line.
function training.leftovers(dir)
  local pipe = assert(io.popen(("ls -A '%s' | grep tmp"):format(dir)))
  local names = pipe:read("*a")
  pipe:close()
  return names
end

return training
