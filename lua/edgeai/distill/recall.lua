-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.recall(teacher, split, opts) - a teacher's answers to every image of a split, computed
-- once and kept, in memory and in a file: where the images do not change from epoch to epoch, the
-- teacher, often five times as dear as the student's whole step, need not run again.
--
--   local views = split:views { views = 4, augment = { crop_pad = 4, flip = true }, seed = 1 }
--   local recall = ea.distill.recall(teacher, views, { path = run:path("answers.safetensors") })
--   ea.train.fit(student, views, { objective = ea.distill.objective(student, teacher,
--     { kd = { weight = 1 } }, { recall = recall }) })
--
-- Augmentation by the loader would show the student other images than those answered for: give
-- ea.train.fit no `augment`, and take Split:views for a few fixed augmented copies instead.
--
-- opts: layers ({}: only logits; those named must give vectors {n, c}), batch (256), dtype ("f32",
-- of the images), path. A file made by the same weights from the same images, normalisation, layers
-- and dtype is read; any other is replaced. recall(id, names): activations by name, logits, for
-- positions id (i32 {n}, as loaders give them); also inside captured graphs.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local evaluate = require "edgeai.train.evaluate"
local io_files = require "edgeai.io"
local ops = require "edgeai.ops"
local raw = require "edgeai.data.raw"
local tensor = require "edgeai.tensor"

local Recall = {}
Recall.__index = Recall

--- What the answers depend on, in one line.
local function key_of(teacher, split, o)
  return table.concat({ teacher:hash(), split.images:hash(),
    split.index and split.index:hash() or "all", table.concat(split.mean, " "),
    table.concat(split.std, " "), table.concat(o.layers, " "), o.dtype }, "; ")
end

local function compute(teacher, split, o)
  local tables = {}
  evaluate.batches(teacher, split, { batch = o.batch, dtype = o.dtype, fn = function(x)
    local found, logits = teacher:features(x, o.layers)
    local list = { logits:to("f32") }
    for i, layer in ipairs(o.layers) do list[i + 1] = found[layer]:to("f32") end
    return unpack(list)
  end }, function(outputs, _, valid, first)
    for i, out in ipairs(outputs) do
      if out.ndim ~= 2 then
        F.raise("recall: '%s' gives %d dimensions; only vectors {n, c} are kept, maps would fill "
          .. "the disk", o.layers[i - 1] or "the network", out.ndim)
      end
      tables[i] = tables[i] or tensor.empty { split.count, out:size(2) }
      tables[i]:narrow(1, first, valid):copy(out:narrow(1, 1, valid))
    end
  end)
  return tables
end

local function file_name(o, i) return i == 1 and "logits" or "layer." .. o.layers[i - 1] end

local function load(o, key)
  if not o.path or F.C.ea_file_exists(o.path) ~= 1 then return nil end
  local found, meta = io_files.load_named(o.path, "recall")
  if meta["edgeai.recall"] ~= key then return nil end
  local tables = {}
  for i = 1, #o.layers + 1 do tables[i] = found[file_name(o, i)] end
  return #tables == #o.layers + 1 and tables or nil
end

local function save(o, key, tables)
  local list = {}
  for i, t in ipairs(tables) do list[i] = { name = file_name(o, i), tensor = t } end
  io_files.save(o.path, list, { ["edgeai.recall"] = key })
end

--- Rows in the split's order to rows by the image's position.
local function by_position(t, split)
  if not split.index then return t end
  local width, at = t:size(2), F.data(split.index)
  local all = tensor.zeros { raw.count(split.images), width }
  for i = 0, split.count - 1 do
    ffi.copy(F.data(all) + (at[i] - 1) * width, F.data(t) + i * width, 4 * width)
  end
  return all
end

--- See above.
function Recall:__call(id, names)
  local found = {}
  for _, name in ipairs(names or {}) do
    if not self.tables[name] then
      F.raise("recall: the answers of '%s' were not kept; give layers = { \"%s\" } to recall", name,
        name)
    end
    found[name] = ops.functions.index_select(self.tables[name], id, { axis = 1 })
  end
  return found, ops.functions.index_select(self.logits, id, { axis = 1 })
end

return function(teacher, split, opts)
  local o = F.options(opts, { layers = {}, batch = 256, dtype = "f32", path = F.none }, "recall")
  if type(split) ~= "table" or not split.loader then
    F.raise("recall: expected a split of images, got a %s", type(split))
  end
  local key = key_of(teacher, split, o)
  local tables = load(o, key)
  local self = setmetatable({ tables = {}, read = tables ~= nil }, Recall)
  if not tables then
    tables = compute(teacher, split, o)
    if o.path then save(o, key, tables) end
  end
  self.logits = by_position(tables[1], split)
  for i, layer in ipairs(o.layers) do self.tables[layer] = by_position(tables[i + 1], split) end
  return self
end
