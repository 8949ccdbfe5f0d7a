-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream.redraw(folder, opts) - the pictures of a finished run of experiments/dream.lua, figure 2
-- of Dream Distillation among them, drawn again from what is in its folder. opts: class (1), whose
-- clusters are drawn, points (600) and perplexity (30) of the t-SNE. Returns the files' names.

local F = require "edgeai.ffi"
local data = require "edgeai.data"
local json = require "edgeai.json"
local metadata = require "edgeai.dream.metadata"
local pictures = require "edgeai.dream.pictures"
local runs = require "edgeai.run"
local zoo = require "edgeai.zoo"

--- A run that only says where its files are.
local Folder = {}
Folder.__index = Folder
--- The path of a file in it.
function Folder:path(name) return self.dir .. "/" .. name end
--- Says on stderr what could not be drawn.
function Folder:note(format, ...) -- luacheck: no self
  io.stderr:write(format:format(...), "\n")
end

--- summary.json's accuracies: [student][set].
local function accuracies(path)
  local file = io.open(path, "rb")
  if not file then F.raise("dream.redraw: %s is missing; let the run finish first", path) end
  local summary = json.decode(file:read("*a"))
  file:close()
  local found = {}
  for key, value in pairs(summary) do
    local name, set = key:match("^student%.(.+)%.accuracy%.(%w+)$")
    if name then
      found[name] = found[name] or {}
      found[name][set] = value
    end
  end
  return found
end

--- Those of a list that a table knows, in the list's order.
local function known(list, by)
  local kept = {}
  for _, name in ipairs(list) do
    if by[name] then kept[#kept + 1] = name end
  end
  return kept
end

return function(folder, opts)
  local o = F.options(opts, { class = 1, points = 600, perplexity = 30 }, "dream.redraw")
  local run = setmetatable({ dir = folder }, Folder)
  if F.C.ea_file_exists(run:path("config.json")) ~= 1 then
    F.raise("dream.redraw: there is no run in %s (no config.json)", folder)
  end
  local cfg, accuracy = runs.read_config(folder), accuracies(run:path("summary.json"))
  local teacher = zoo.load(cfg.teacher or run:path("teacher.safetensors"))
    :set_precision(cfg.precision)
  local d = data.load(cfg.data, { val = 0, seed = cfg.seed })
  d:normalise_as(teacher)
  local path = run:path("metadata.npz")
  local meta = F.C.ea_file_exists(path) == 1 and metadata.read_metadata(path):check(teacher) or nil
  local students = known(cfg.students, accuracy)
  if #students == 0 then F.raise("dream.redraw: %s/summary.json has no students", folder) end
  return pictures(run, { teacher = teacher, data = d, metadata = meta, students = students,
    split = cfg["metadata.share"] == 1 and d.train
      or d.train:part(cfg["metadata.share"], { seed = cfg.seed }),
    report = { folder = run:path("dreams") }, sets = known(cfg.sets, accuracy[students[1]]),
    accuracy = accuracy, class = o.class, points = o.points, perplexity = o.perplexity,
    scale = cfg["dreams.scale"], seed = cfg.seed, precision = cfg.precision })
end
