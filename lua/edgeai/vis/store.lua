-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.store - the folder of a rendering: batches that are finished, and the one under way.
--
--   images-00001-00064.safetensors   images {n, h, w, c}, history.LABEL {steps, n}, threshold.K
--   unfinished.safetensors           of the batch under way: parameters, optimiser, history so far
--
-- Each file says in its metadata (vis.of) what it is a part of; another rendering's are refused.

local F = require "edgeai.ffi"
local json = require "edgeai.json"
local files = require "edgeai.io"

local C = F.C
local store = {}
store.__index = store

--- The store in a folder (made if missing) for a rendering that `of`, a text, tells from others.
function store.open(dir, of)
  F.check(C.ea_make_folder(dir))
  return setmetatable({ dir = dir, of = of }, store)
end

--- Where the batch of images first..last is.
function store:path(first, last)
  return ("%s/images-%05d-%05d.safetensors"):format(self.dir, first, last)
end

local function read(self, path)
  if C.ea_file_exists(path) == 0 then return nil end
  local found, meta = files.load_named(path, "render")
  if meta["vis.of"] ~= self.of then
    F.raise("render: %s belongs to another rendering (%s); give another folder as `out`", path,
      tostring(meta["vis.of"]))
  end
  return found, meta
end

--- Tensors of the finished batch first..last, and the numbers of its dead images; or nil.
function store:batch(first, last)
  local found, meta = read(self, self:path(first, last))
  return found, found and json.decode(meta["vis.dead"])
end

--- Writes a finished batch, and takes the unfinished one away.
function store:save(first, last, tensors, dead)
  files.save(self:path(first, last), tensors, { ["vis.of"] = self.of,
    ["vis.dead"] = json.encode(dead) })
  os.remove(self.dir .. "/unfinished.safetensors")
end

--- What a step changes, as a list of { name, tensor }.
local function state_of(session)
  local list = {}
  for _, leaf in ipairs(session.engine.leaves) do
    list[#list + 1] = { name = "leaf." .. leaf.name, tensor = leaf.tensor:detach() }
  end
  for _, b in ipairs(session.engine.optimizer:state()) do
    list[#list + 1] = { name = "optimizer." .. b.name, tensor = b.tensor }
  end
  return list
end

--- Writes a session's batch under way.
function store:suspend(session)
  local list = state_of(session)
  for label, t in pairs(session.history) do
    list[#list + 1] = { name = "history." .. label, tensor = t }
  end
  for k, t in ipairs(session.kept) do list[#list + 1] = { name = "threshold." .. k, tensor = t } end
  files.save(self.dir .. "/unfinished.safetensors", list, { ["vis.of"] = self.of,
    ["vis.state"] = json.encode { first = session.ids[1], count = #session.ids,
      step = session.engine.step_count, kept = #session.kept, dead = session.dead } })
end

--- Brings a session that was just started to where it was written, if its batch was under way.
function store:resume(session)
  local found, meta = read(self, self.dir .. "/unfinished.safetensors")
  if not found then return end
  local state = json.decode(meta["vis.state"])
  if state.first ~= session.ids[1] or state.count ~= #session.ids then return end
  local memory = {}
  for name, t in pairs(found) do
    local kind, rest = name:match("^(%a+)%.(.*)$")
    if kind == "history" then session.history[rest] = t end
    if kind == "optimizer" then memory[rest] = t end
  end
  for _, leaf in ipairs(session.engine.leaves) do
    leaf.tensor:detach():copy(found["leaf." .. leaf.name])
  end
  session.engine.optimizer:restore(memory)
  for k = 1, state.kept do session.kept[k] = found["threshold." .. k] end
  session.dead = state.dead
  session.engine:go_to(state.step)
end

return store
