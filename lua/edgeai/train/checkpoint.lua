-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.train.checkpoint - everything that training needs to go on with the same bytes: weights,
-- running statistics, optimiser state, and the numbers (epoch, batch, sums) as metadata. One
-- safetensors file, replaced atomically.

local F = require "edgeai.ffi"
local io_files = require "edgeai.io"
local json = require "edgeai.json"

local checkpoint = {}

--- Saves tensors (a list of { name =, tensor = }) and a table of plain values.
function checkpoint.save(path, tensors, state)
  io_files.save(path, tensors, { ["edgeai.checkpoint"] = json.encode(state, { sort = true }) })
end

--- Copies the file's tensors into the given ones (same names, all of them) and returns the state;
-- nil if there is no file.
function checkpoint.load(path, tensors)
  if F.C.ea_file_exists(path) == 0 then return nil end
  local found, meta = io_files.load(path)
  local text = meta and meta["edgeai.checkpoint"]
  if not text then F.raise("%s is not a checkpoint: it has no edgeai.checkpoint metadata", path) end
  for _, item in ipairs(tensors) do
    local saved = found[item.name]
    if not saved then
      F.raise("the checkpoint %s has no %s: it is of another run", path, item.name)
    end
    item.tensor:copy(saved)
  end
  return json.decode(text)
end

return checkpoint
