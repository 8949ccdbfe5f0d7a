-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nn.file - a network from a file: built from the metadata `edgeai.arch`, or, for a bare
-- PyTorch state dict, recognised by its names and shapes (WRN, CIFAR ResNet).

local F = require "edgeai.ffi"
local files = require "edgeai.io"
local json = require "edgeai.json"
local state = require "edgeai.nn.state"

local file = {}

--- Number of children "PREFIX.0", "PREFIX.1", ... among the names.
local function count_blocks(map, prefix)
  local n = 0
  for name in pairs(map) do
    local i = name:match("^" .. prefix .. "%.(%d+)%.")
    if i then n = math.max(n, tonumber(i) + 1) end
  end
  return n
end

local function rows(map, name) return map[name] and map[name].shape[1] end
local function columns(map, name) return map[name] and map[name].shape[2] end

--- Options shared by the two: widths, classes, channels.
local function options_of(map, stem, group, head)
  local widths = { rows(map, stem .. ".weight") }
  for g = 1, 3 do widths[g + 1] = rows(map, group .. g .. ".0.conv1.weight") end
  local o = { classes = rows(map, head .. ".weight"), channels = columns(map, stem .. ".weight"),
    widths = widths }
  return #widths == 4 and o.classes and o
end

local recognisers = {
  function(map) -- WRN: conv0, group1..3, bn, fc
    local o = options_of(map, "conv0", "group", "fc")
    if not o then return nil end
    o.depth = 6 * count_blocks(map, "group1") + 4
    local w = o.widths
    if w[1] == 16 and w[2] % 16 == 0 and w[3] == 2 * w[2] and w[4] == 4 * w[2] then
      o.widen, o.widths = w[2] / 16, nil
    end
    return "wrn", o
  end,
  function(map) -- ResNet: conv1, layer1..3, linear
    local o = options_of(map, "conv1", "layer", "linear")
    if not o then return nil end
    o.depth = 6 * count_blocks(map, "layer1") + 2
    local w = o.widths
    if w[1] == 16 and w[2] == 16 and w[3] == 32 and w[4] == 64 then o.widths = nil end
    return "resnet", o
  end,
}

--- "0.1,0.2" -> { 0.1, 0.2 }; JSON lists and objects -> tables; anything else stays a string.
local function parse_meta(meta)
  local parsed = {}
  for key, value in pairs(meta) do
    parsed[key] = value
    if value:find("^[%[{]") then
      local ok, decoded = pcall(json.decode, value)
      if ok then parsed[key] = decoded end
    elseif key == "mean" or key == "std" then
      local numbers = {}
      for word in value:gmatch("[^,%s]+") do numbers[#numbers + 1] = tonumber(word) end
      parsed[key] = numbers
    end
  end
  return parsed
end

local function finish(net, path, map, meta)
  net:load_state_dict(map)
  net.meta = parse_meta(meta)
  net.meta["edgeai.arch"], net.meta["edgeai.graph"] = nil, nil
  net.mean, net.std = net.meta.mean, net.meta.std
  net.source = path
  return net:eval()
end

--- A network from a file of a bare state dict. `build(name, options)` makes the architecture.
function file.from_state(path, build)
  local tensors, meta = files.load_named(path, "nn.load")
  local map = state.normalise(tensors)
  for _, recognise in ipairs(recognisers) do
    local name, options = recognise(map)
    if name then return finish(build(name, options), path, map, meta) end
  end
  F.raise("nn.load: %s holds no `edgeai.arch` metadata and its names are neither a WRN's (conv0, "
    .. "group1.0.conv1, fc) nor a CIFAR ResNet's (conv1, layer1.0.conv1, linear); build the "
    .. "network and call net:load_state_dict(path)", path)
end

--- The network in a file, in evaluation mode. net.meta holds the file's metadata; net.mean and
-- net.std, if given there, what inputs are to be normalised with.
function file.load(path, build)
  local tensors, meta = files.load_named(path, "nn.load")
  if not meta["edgeai.arch"] then return file.from_state(path, build) end
  local ok, arch = pcall(json.decode, meta["edgeai.arch"])
  if not ok or type(arch) ~= "table" or type(arch.name) ~= "string"
    or type(arch.options or {}) ~= "table" then
    F.raise("nn.load: the metadata `edgeai.arch` of %s must be {\"name\": ..., \"options\": {...}}"
      .. ", but is %s", path, meta["edgeai.arch"])
  end
  return finish(build(arch.name, arch.options or {}), path, state.normalise(tensors), meta)
end

return file
