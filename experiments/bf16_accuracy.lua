-- SPDX-License-Identifier: GPL-3.0-or-later
-- Does bf16 train to the same accuracy as f32? The whole of experiments/nonn2s.lua for some seeds
-- in both, each run in a folder of its own; runs that are finished are not made again, one that was
-- stopped goes on. Prints every run, mean and standard deviation, and the difference of the means.
local ea = require "edgeai"
local F = require "edgeai.ffi"
local session = require "edgeai.session"
local text = require "edgeai.text"

local cfg = ea.config {
  preset = { default = "quick", quick = {}, cifar10 = {} },
  seeds = { { 1, 2, 3 }, "seeds to run" },
  folder = { "runs/bf16_accuracy", "for the runs, PRECISION-SEED each" },
  words = { "", "more words for every run, as \"--set train.epochs=1\"" },
}

local pipe = io.popen("readlink /proc/$PPID/exe")
local program = pipe:read("*l")
pipe:close()

local function read(path)
  local file = io.open(path)
  if not file then return nil end
  local all = ea.json.decode(file:read("*a"))
  file:close()
  return all
end

--- What a run found, made now unless it is there: teacher's and NoNN's accuracy [%].
local function result(precision, seed)
  local folder = ("%s/%s-%s-%d"):format(cfg.folder, cfg.preset, precision, seed)
  local found = read(folder .. "/summary.json")
  if not (found and found["nonn.accuracy"]) then
    local stopped = F.C.ea_file_exists(folder .. "/config.json") == 1
    local words = stopped and ("--resume %s"):format(text.shell(folder))
      or ("--out %s --seed %d --precision %s --set preset=%s %s"):format(text.shell(folder), seed,
        precision, cfg.preset, cfg.words)
    local code = os.execute(("%s run experiments/nonn2s.lua --threads %d %s %s >&2"):format(
      text.shell(program), F.C.ea_threads(), session.quiet and "--quiet" or "", words))
    if code ~= 0 then error(("the run in %s failed or was stopped"):format(folder), 0) end
    found = assert(read(folder .. "/summary.json"), "no summary.json in " .. folder)
  end
  return found["teacher.accuracy"], found["nonn.accuracy"]
end

local function mean_and_deviation(list)
  local sum, squares = 0, 0
  for _, x in ipairs(list) do sum = sum + x end
  local mean = sum / #list
  for _, x in ipairs(list) do squares = squares + (x - mean) ^ 2 end
  return mean, #list > 1 and math.sqrt(squares / (#list - 1)) or 0
end

local networks = { "teacher", "NoNN" }
local found, rows = {}, {}
for _, precision in ipairs { "f32", "bf16" } do
  found[precision] = { teacher = {}, NoNN = {} }
  for i, seed in ipairs(cfg.seeds) do
    local teacher, nonn = result(precision, seed)
    found[precision].teacher[i], found[precision].NoNN[i] = teacher, nonn
    rows[#rows + 1] = { precision, ("seed %d"):format(seed), ("%.2f"):format(teacher),
      ("%.2f"):format(nonn) }
  end
  local row = { precision, "mean, deviation" }
  for _, name in ipairs(networks) do
    row[#row + 1] = ("%.2f, %.2f"):format(mean_and_deviation(found[precision][name]))
  end
  rows[#rows + 1] = row
  rows[#rows + 1] = ea.table.rule
end
local row = { "bf16 less f32", "and its standard error" }
for _, name in ipairs(networks) do
  local a, sa = mean_and_deviation(found.f32[name])
  local b, sb = mean_and_deviation(found.bf16[name])
  row[#row + 1] = ("%+.2f, %.2f"):format(b - a, math.sqrt((sa ^ 2 + sb ^ 2) / #cfg.seeds))
end
rows[#rows + 1] = row
print(ea.table({ "precision", "run", "teacher [%]", "NoNN [%]" }, rows,
  { title = ("Test accuracy, preset %s of experiments/nonn2s.lua"):format(cfg.preset),
    align = { "left", "left", "right", "right" } }))
