-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.io - tensors from and to files, by the file's extension.
--
--   .npy                a tensor
--   .npz  .safetensors  named tensors
--   .png                a picture: u8 {height, width, channels}
--   .jpg  .jpeg         the same, only read

local ffi = require "ffi"
local F = require "edgeai.ffi"

local C = F.C
local files = {}

-- ---- archives ----------------------------------------------------------------------------------

--- Fills the list with { name =, tensor = } from a map or such a list; map names in bytewise order.
local function named_tensors(x, path)
  if #x > 0 then
    for i, item in ipairs(x) do
      if type(item) ~= "table" or type(item.name) ~= "string" or not F.is_tensor(item.tensor) then
        F.raise("io.save: item %d for %s is not of the form { name = , tensor = }", i, path)
      end
    end
    return x
  end
  local list = {}
  for name, tensor in pairs(x) do
    if type(name) ~= "string" or not F.is_tensor(tensor) then
      F.raise("io.save: expected tensors by name for %s, got a %s at %s", path, type(tensor),
        tostring(name))
    end
    list[#list + 1] = { name = name, tensor = tensor }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function save_archive(save, path, x, meta)
  if F.is_tensor(x) then
    F.raise("io.save: %s holds tensors by name; give { name = tensor }", path)
  end
  if type(x) ~= "table" then
    F.raise("io.save: expected tensors by name for %s, got a %s", path, type(x))
  end
  local list = named_tensors(x, path)
  local out = ffi.new("ea_archive *[1]")
  F.check(C.ea_archive_new(out))
  local archive = ffi.gc(out[0], C.ea_archive_free)
  for _, item in ipairs(list) do F.check(C.ea_archive_add(archive, item.name, item.tensor)) end
  for _, key in ipairs(meta and sorted_keys(meta) or {}) do
    if type(key) ~= "string" or type(meta[key]) ~= "string" then
      F.raise("io.save: metadata must be strings by name; %s is a %s", tostring(key),
        type(meta[key]))
    end
    F.check(C.ea_archive_set_meta(archive, key, meta[key]))
  end
  local status = save(path, archive)
  C.ea_archive_free(ffi.gc(archive, nil))
  F.check(status)
end

--- name -> tensor, key -> text, names in the file's order.
local function load_archive(load, path)
  local out = ffi.new("ea_archive *[1]")
  F.check(load(path, out))
  local archive = ffi.gc(out[0], C.ea_archive_free)
  local tensors, meta, names = {}, {}, {}
  for i = 0, C.ea_archive_count(archive) - 1 do
    names[i + 1] = ffi.string(C.ea_archive_name(archive, i))
    tensors[names[i + 1]] = F.share(C.ea_archive_tensor(archive, i))
  end
  for i = 0, C.ea_archive_meta_count(archive) - 1 do
    meta[ffi.string(C.ea_archive_meta_key(archive, i))] =
      ffi.string(C.ea_archive_meta_value(archive, i))
  end
  C.ea_archive_free(ffi.gc(archive, nil))
  return tensors, meta, names
end

-- ---- by extension ------------------------------------------------------------------------------

local function load_picture(load, path)
  local out = F.out()
  F.check(load(path, 0, out))
  return F.own(out[0])
end

local function need_one(x, path)
  if not F.is_tensor(x) then F.raise("io.save: %s holds one tensor, got a %s", path, type(x)) end
end

local function load_jpeg(path) return load_picture(C.ea_jpeg_load, path) end

local kinds = {
  npy = {
    load = function(path)
      local out = F.out()
      F.check(C.ea_npy_load(path, out))
      return F.own(out[0])
    end,
    save = function(path, x)
      need_one(x, path)
      F.check(C.ea_npy_save(path, x))
    end,
  },
  npz = {
    load = function(path) return load_archive(C.ea_npz_load, path) end,
    save = function(path, x) save_archive(C.ea_npz_save, path, x) end,
  },
  safetensors = {
    load = function(path) return load_archive(C.ea_safetensors_load, path) end,
    save = function(path, x, meta) save_archive(C.ea_safetensors_save, path, x, meta) end,
    meta = true,
  },
  png = {
    load = function(path) return load_picture(C.ea_png_load, path) end,
    save = function(path, x)
      need_one(x, path)
      F.check(C.ea_png_save(path, x))
    end,
  },
  jpg = { load = load_jpeg },
  jpeg = { load = load_jpeg },
}

local function kind_of(path, where)
  if type(path) ~= "string" then F.raise("%s: expected a path, got a %s", where, type(path)) end
  local kind = kinds[(path:match("%.([%w]+)$") or ""):lower()]
  if not kind then
    F.raise("%s: %s is of no known kind; the extension must be npy, npz, safetensors or png", where,
      path)
  end
  return kind
end

-- Before its extension is looked at: a path that is no file has none to speak of.
local function need_file(path)
  if type(path) == "string" and C.ea_file_exists(path) == 0 then
    F.raise("cannot read %s: No such file or directory", path)
  end
end

--- Reads a file. npy, png, jpg: the tensor. npz, safetensors: tensors by name, metadata (texts by
-- name), names in the file's order.
function files.load(path)
  need_file(path)
  return kind_of(path, "io.load").load(path)
end

--- Reads a file of tensors by name, safetensors or npz: tensors by name, metadata, names. `where`
-- says in sentences who wants it.
function files.load_named(path, where)
  need_file(path)
  local kind = kind_of(path, where)
  if kind ~= kinds.safetensors and kind ~= kinds.npz then
    F.raise("%s: %s holds no tensors by name; expected a .safetensors or .npz file", where, path)
  end
  local tensors, meta, names = kind.load(path)
  return tensors, meta or {}, names
end

--- Writes a file, atomically: the old one stays until the new one is complete.
-- npy, png: x is a tensor. npz, safetensors: x is { name = tensor, ... } (written in bytewise
-- order) or { { name =, tensor = }, ... } (in this order); safetensors take meta, texts by name.
function files.save(path, x, meta)
  local kind = kind_of(path, "io.save")
  if not kind.save then F.raise("io.save: %s: JPEG is only read; save a png", path) end
  if meta ~= nil and not kind.meta then
    F.raise("io.save: %s cannot hold metadata; save as safetensors", path)
  end
  if meta ~= nil and type(meta) ~= "table" then
    F.raise("io.save: metadata must be a table of strings, got a %s", type(meta))
  end
  kind.save(path, x, meta)
end

return files
