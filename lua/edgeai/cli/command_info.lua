-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai info MODEL - what is in a safetensors file: metadata, architecture, tensors.

local ffi = require "ffi"
local options = require "edgeai.cli.options"
local text = require "edgeai.text"

local command = {
  usage = "info MODEL",
  summary = "metadata, architecture and parameters of a safetensors file",
  options = {},
}

-- Running statistics and counters are stored with the parameters but are not learned.
local buffers = { running_mean = true, running_var = true, num_batches_tracked = true }

local function shape(F, tensor)
  local sizes = {}
  for d = 0, F.C.ea_tensor_ndim(tensor) - 1 do
    sizes[#sizes + 1] = tostring(tonumber(F.C.ea_tensor_size(tensor, d)))
  end
  return #sizes == 0 and "scalar" or table.concat(sizes, " x ")
end

local function bytes_text(bytes)
  if bytes >= 1048576 then return ("%.2f MiB"):format(bytes / 1048576) end
  if bytes >= 1024 then return ("%.1f KiB"):format(bytes / 1024) end
  return text.count(bytes, "byte")
end

--- "13 ops on {1, 28, 28, 1} f32": what `edgeai.graph` says, or its text if that is not readable.
local function graph_text(json)
  local ok, graph = pcall(require("edgeai.json").decode, json)
  local input = ok and type(graph) == "table" and type(graph.inputs) == "table" and graph.inputs[1]
  if type(input) ~= "table" or type(input.size) ~= "table" or type(graph.nodes) ~= "table" then
    return json
  end
  local sizes = {}
  for i, size in ipairs(input.size) do sizes[i] = tostring(size) end
  return ("%d ops on {%s} %s"):format(#graph.nodes, table.concat(sizes, ", "),
    tostring(input.dtype))
end

local function print_metadata(F, archive)
  local count = F.C.ea_archive_meta_count(archive)
  if count > 0 then print("metadata") end
  for i = 0, count - 1 do
    local key = ffi.string(F.C.ea_archive_meta_key(archive, i))
    local value = ffi.string(F.C.ea_archive_meta_value(archive, i))
    if key == "edgeai.arch" then key = "architecture" end
    if key == "edgeai.graph" then value = graph_text(value) end
    if #value > 400 then value = ("%s... (%d characters)"):format(value:sub(1, 400), #value) end
    print(("  %-20s %s"):format(key, value))
  end
end

function command.run(_, operands)
  if #operands ~= 1 then options.fail(command, "info takes one file; it got %d", #operands) end
  local F, tables = require "edgeai.ffi", require "edgeai.table"
  local out = ffi.new("ea_archive *[1]")
  F.check(F.C.ea_safetensors_load(operands[1], out))
  local archive = ffi.gc(out[0], F.C.ea_archive_free)
  local rows, values, learned, bytes = {}, 0, 0, 0
  for i = 0, F.C.ea_archive_count(archive) - 1 do
    local name = ffi.string(F.C.ea_archive_name(archive, i))
    local tensor = F.C.ea_archive_tensor(archive, i)
    local count = tonumber(F.C.ea_tensor_count(tensor))
    values, bytes = values + count, bytes + tonumber(F.C.ea_tensor_bytes(tensor))
    if not buffers[name:match("[^.]*$")] then learned = learned + count end
    rows[#rows + 1] = { name, ffi.string(F.C.ea_dtype_name(F.C.ea_tensor_dtype(tensor))),
      shape(F, tensor), tables.number(count) }
  end
  print_metadata(F, archive)
  print(tables.format({ "tensor", "type", "shape", "values" }, rows,
    { align = { "left", "left", "left", "right" } }))
  print(("%s, %s (%s); %s without running statistics"):format(text.count(#rows, "tensor"),
    text.count(values, "value"), bytes_text(bytes), text.count(learned, "parameter")))
  return 0
end

return command
