-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.dream.files - dreams on the disk, in parts: FOLDER/dreams-00001.npz, dreams-00002.npz, ...
--
--   images    {n, h, w, c} u8
--   labels    {n} i32     the class that the image was to be of, from 0
--   targets   {n, f} f32  the activation that it was to have
--   reached   {n, f} f32  the activation that it has
--   logits    {n, classes} f32  the teacher's answer
--   key       {16} u8     ASCII: what made it (network, metadata, options)

local ffi = require "ffi"
local F = require "edgeai.ffi"
local data = require "edgeai.data"
local io_files = require "edgeai.io"
local raw = require "edgeai.data.raw"
local tensor = require "edgeai.tensor"

local files = {}

--- The path of part k (from 1).
function files.part(folder, k) return ("%s/dreams-%05d.npz"):format(folder, k) end

--- Writes part k: { images, labels (from 1), targets, reached, logits }, and its key.
function files.save(folder, k, part, key)
  local text = tensor.empty({ 16 }, "u8")
  ffi.copy(F.data(text), key, 16)
  local list = { key = text, labels = raw.shifted(part.labels, -1) }
  for _, name in ipairs { "images", "targets", "reached", "logits" } do list[name] = part[name] end
  io_files.save(files.part(folder, k), list)
end

--- A part, or any npz of images: tensors by name, labels from 1, key as text.
function files.read(path)
  local found = io_files.load_named(path, "dream.load")
  local images, labels = found.images, found.labels
  if not images or images.dtype ~= "u8" or images.ndim ~= 4 then
    F.raise("%s holds no dreams: expected images {n, h, w, c} u8, got %s", path,
      images and F.describe(images) or "none")
  end
  if labels and (labels.dtype ~= "i32" or labels.ndim ~= 1
    or labels:size(1) ~= images:size(1)) then
    F.raise("%s: expected labels {%d} i32, got %s", path, images:size(1), F.describe(labels))
  end
  found.labels = labels and raw.shifted(labels, 1)
  if found.key and found.key.dtype == "u8" and found.key:numel() == 16 then
    found.key = ffi.string(F.data(found.key), 16)
  end
  return found
end

--- Part k if it is there and was made by `key`; nil otherwise.
function files.load(folder, k, key)
  local path = files.part(folder, k)
  if F.C.ea_file_exists(path) ~= 1 then return nil end
  local part = files.read(path)
  if part.key ~= key then
    F.raise("%s was made by other options, metadata or weights; take another folder or remove it",
      path)
  end
  return part
end

--- ea.dream.load(path, like): the dreams of a file, or of all parts in a folder, as a split with
-- mean, std and classes of `like` (a data set). Any npz of images u8 {n, h, w, c}, with or without
-- labels i32 {n} from 0, will do.
function files.load_all(path, like)
  local list, images, labels = { path }, {}, {}
  if F.C.ea_file_exists(path) == 2 then
    list = {}
    while F.C.ea_file_exists(files.part(path, #list + 1)) == 1 do
      list[#list + 1] = files.part(path, #list + 1)
    end
    if #list == 0 then F.raise("dream.load: %s holds no dreams-00001.npz", path) end
  end
  for i, name in ipairs(list) do
    local part = files.read(name)
    images[i], labels[i] = part.images, part.labels
    for d = 2, 4 do
      if part.images:size(d) ~= images[1]:size(d) then
        F.raise("%s: its images are %s, those of %s %s", name, F.describe(part.images), list[1],
          F.describe(images[1]))
      end
    end
    if part.labels then
      for n = 0, part.labels:size(1) - 1 do
        local label = F.data(part.labels)[n]
        if label < 1 or label > like.classes then
          F.raise("%s: label %d, but there are %d classes", name, label - 1, like.classes)
        end
      end
    end
  end
  return data.given(like, raw.concat(images), #labels == #images and raw.concat(labels) or nil,
    path)
end

return files
