-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.train.checkpoint - everything that training needs to go on with the same bytes: weights,
-- running statistics, optimiser state, and the numbers (epoch, batch, sums) as metadata. One
-- safetensors file, replaced atomically: there is no moment at which its parts do not fit together.

local F = require "edgeai.ffi"
local io_files = require "edgeai.io"
local json = require "edgeai.json"

local checkpoint = {}

--- Saves tensors (a list of { name =, tensor = }) and a table of plain values.
function checkpoint.save(path, tensors, state)
  io_files.save(path, tensors, { ["edgeai.checkpoint"] = json.encode(state, { sort = true }) })
end

local function shape_text(t) return ("%s {%s}"):format(t.dtype, table.concat(t.shape, ", ")) end

--- Raises unless the file's tensors are those wanted, by name, type and shape.
local function compare(path, found, names, tensors)
  local wanted = {}
  for _, item in ipairs(tensors) do
    local saved, own = found[item.name], shape_text(item.tensor)
    wanted[item.name] = true
    if not saved then
      F.raise("the checkpoint %s is of another network or run: it has no %s", path, item.name)
    elseif shape_text(saved) ~= own then
      F.raise("the checkpoint %s is of another network: its %s is %s, here it is %s", path,
        item.name, shape_text(saved), own)
    end
  end
  for _, name in ipairs(names) do
    if not wanted[name] then
      F.raise("the checkpoint %s is of another network or run: here there is no %s", path, name)
    end
  end
end

--- Copies the file's tensors into the given ones (the same names and shapes, all of them) and
-- returns the state; nil if there is no file. check(state) says what is wrong with the state, or
-- nil. Nothing is written unless everything fits.
function checkpoint.load(path, tensors, check)
  if F.C.ea_file_exists(path) == 0 then return nil end
  local found, meta, names = io_files.load(path)
  local text = meta["edgeai.checkpoint"]
  if not text then F.raise("%s is not a checkpoint: it has no edgeai.checkpoint metadata", path) end
  compare(path, found, names, tensors)
  local ok, state = pcall(json.decode, text)
  local trouble = not ok and "it is not JSON" or type(state) ~= "table" and "it is no object"
    or check and check(state)
  if trouble then F.raise("the checkpoint %s is damaged: edgeai.checkpoint: %s", path, trouble) end
  for _, item in ipairs(tensors) do
    item.tensor:copy(found[item.name])
    found[item.name]:drop()
  end
  return state
end

return checkpoint
