-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nn.archive - safetensors files as tables, in and out.

local ffi = require "ffi"
local F = require "edgeai.ffi"

local C = F.C
local archive = {}

--- The tensors of a file by name, and its metadata by key (strings).
function archive.read(path)
  local slot = ffi.new("ea_archive *[1]")
  F.check(C.ea_safetensors_load(path, slot))
  local handle = ffi.gc(slot[0], C.ea_archive_free)
  local tensors, meta = {}, {}
  for i = 0, C.ea_archive_count(handle) - 1 do
    tensors[ffi.string(C.ea_archive_name(handle, i))] = F.share(C.ea_archive_tensor(handle, i))
  end
  for i = 0, C.ea_archive_meta_count(handle) - 1 do
    meta[ffi.string(C.ea_archive_meta_key(handle, i))] =
      ffi.string(C.ea_archive_meta_value(handle, i))
  end
  C.ea_archive_free(ffi.gc(handle, nil))
  return tensors, meta
end

--- Writes a list of { name =, tensor = } and a table of strings.
function archive.write(path, list, meta)
  local slot = ffi.new("ea_archive *[1]")
  F.check(C.ea_archive_new(slot))
  local handle = ffi.gc(slot[0], C.ea_archive_free)
  for _, entry in ipairs(list) do F.check(C.ea_archive_add(handle, entry.name, entry.tensor)) end
  for _, key in ipairs(require("edgeai.text").keys(meta)) do
    F.check(C.ea_archive_set_meta(handle, key, meta[key]))
  end
  F.check(C.ea_safetensors_save(path, handle))
  C.ea_archive_free(ffi.gc(handle, nil))
end

return archive
