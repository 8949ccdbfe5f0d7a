-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nn.describe - what a network computes, as the text `edgeai.graph` of its file: from it, C
-- runs the network without Lua. The format is in edgeai.h under "models".

local ffi = require "ffi"
local F = require "edgeai.ffi"
local symbolic = require "edgeai.nn.symbolic"

local C = F.C

--- An archive of the network's own tensors: the names that the text uses.
local function names_of(self)
  local out = ffi.new("ea_archive *[1]")
  F.check(C.ea_archive_new(out))
  local archive = ffi.gc(out[0], C.ea_archive_free)
  for _, entry in ipairs(self:state_dict()) do
    F.check(C.ea_archive_add(archive, entry.name, entry.tensor))
  end
  return archive
end

local function record(self, shape)
  local names = names_of(self)
  local text = symbolic(self, shape, function(run, handle)
    local outputs = { run() }
    local list = ffi.new("ea_ref[?]", #outputs)
    for i, t in ipairs(outputs) do
      list[i - 1] = F.need_tensor(t, "save: what the network returns")
    end
    local json = ffi.new("char *[1]")
    F.check(C.ea_graph_describe(handle, #outputs, list, names, json))
    local s = ffi.string(json[0])
    C.ea_buffer_free(json[0])
    return s
  end)
  C.ea_archive_free(ffi.gc(names, nil))
  return text
end

--- The text, or nil for a network whose input is not known or whose ops no file can describe
-- (ea.custom). With `input`, its shape, such a network is an error.
return function(self, input)
  if input then
    if type(input) ~= "table" or #input == 0 then
      F.raise("save: input must be the shape of one input, as {1, 28, 28, 1}")
    end
    return record(self, input)
  end
  if not self.input_shape or C.ea_graph_capturing() ~= 0 then return nil end
  local ok, text = pcall(record, self, self.input_shape)
  return ok and text or nil
end
