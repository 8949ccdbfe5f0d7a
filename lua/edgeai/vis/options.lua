-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.options - the options of a rendering, checked and filled in: see render.lua.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local lucid = require "edgeai.vis.lucid"
local optimizer = require "edgeai.vis.optimizer"
local overrides = require "edgeai.vis.overrides"
local param = require "edgeai.vis.param"
local random = require "edgeai.random"
local transform = require "edgeai.vis.transform"

local defaults = { images = F.none, steps = F.none, thresholds = F.none, param = F.none,
  transforms = F.none, optimizer = F.none, size = F.none, channels = F.none, input = F.none,
  mean = F.none, std = F.none, precision = F.none, seed = F.none, redirect = 16,
  smooth_pool = false, memory = 1e9, batch = F.none, first = 1,
  quiet = false, out = F.none, keep = true,
  lucid = false, dead = "stop",
  on_step = F.none }

local function whole(o, name, least)
  local v = o[name]
  if v ~= nil and (type(v) ~= "number" or v % 1 ~= 0 or v < least) then
    F.raise("render: %s must be a whole number of at least %d, got %s", name, least, tostring(v))
  end
end

--- A value in words: "{2, 3}", "x".
local function shown(v)
  if type(v) ~= "table" then return tostring(v) end
  local words = {}
  for i, x in ipairs(v) do words[i] = tostring(x) end
  return "{" .. table.concat(words, ", ") .. "}"
end

local function pair_of(v, name)
  if type(v) == "number" then v = { v, v } end
  local ok = type(v) == "table" and #v == 2
  for i = 1, 2 do
    ok = ok and type(v[i]) == "number" and v[i] % 1 == 0 and v[i] >= 1
  end
  if not ok then
    F.raise("render: %s must be pixels, a whole number or {height, width}, got %s", name, shown(v))
  end
  return v
end

--- Raises unless thresholds are steps, each above the one before, that are all reached.
local function check_thresholds(o)
  local list, last = o.thresholds, o.lucid and -1 or 0
  for i = 1, type(list) == "table" and #list or 1 do
    local at = type(list) == "table" and list[i]
    if type(at) ~= "number" or at % 1 ~= 0 or at <= last or at > (o.steps or at) then
      F.raise("render: thresholds must be a list of rising steps%s, as in { 64, 256 }, got %s",
        o.steps and (" up to %d"):format(o.steps) or "", shown(list))
    end
    last = at
  end
end

--- Mean and deviation of the network's input, one number a channel.
local function input_statistics(net, o, channels)
  local mean, std = o.mean or net.mean, o.std or net.std
  if not mean or not std then
    F.raise("render: the network does not say what its input is normalised with; give mean = {...} "
      .. "and std = {...} (as ea.data.load has them), or net:save(path, { mean =, std = })")
  end
  for name, list in pairs { mean = mean, std = std } do
    if type(list) ~= "table" or #list ~= channels then
      F.raise("render: %s must be a list of %d numbers, one for each channel", name, channels)
    end
  end
  return mean, std
end

--- The transforms with something behind what is transparent: networks see no alpha.
local function with_background(o)
  local list = { o.lucid and lucid.collapse_alpha_random() or transform.background() }
  for i, t in ipairs(o.transforms) do
    local name = type(t) == "table" and (t.lucid or t.name)
    if name == "background" or name == "collapse_alpha_random" then return o.transforms end
    list[i + 1] = t
  end
  return list
end

--- Options for rendering `goal` (an objective) on net, from what was given.
return function(net, goal, given)
  local o = F.options(given, defaults, "render")
  if not Module.is(net) then F.raise("render: expected a network first, got a %s", type(net)) end
  local least = { images = 1, steps = 1, batch = 1, first = 1, redirect = 0, seed = 0 }
  for name, n in pairs(least) do whole(o, name, n) end
  if type(o.memory) ~= "number" or not (o.memory > 0) then
    F.raise("render: memory must be bytes, a number above 0, got %s", tostring(o.memory))
  end
  local shape = net.input_shape or {}
  o.size = pair_of(o.size or { shape[2] or 32, shape[3] or 32 }, "size")
  o.channels = o.channels or shape[4] or 3
  o.mean, o.std = input_statistics(net, o, o.channels)
  local images, coupled = goal:needs()
  if o.images and images and images ~= o.images then
    F.raise("render: the objective is for %d images, not for %d", images, o.images)
  end
  o.total, o.coupled = o.images or images or 1, coupled
  o.param = o.param or param.fourier {}
  if not param.is(o.param) then F.raise("render: param must be one of ea.vis.param") end
  o.made = o.param:build(o.size, o.channels)
  o.coupled = o.coupled or o.made.coupled
  o.input = pair_of(o.input or (shape[2] and { shape[2], shape[3] }) or o.made.size, "input")
  if o.transforms ~= nil then transform.need_list(o.transforms, "render") end
  o.transforms = o.transforms or o.lucid and lucid.standard() or transform.standard(o.input[1])
  if o.made.alpha then o.transforms = with_background(o) end
  if o.thresholds ~= nil then check_thresholds(o) end
  o.thresholds = o.thresholds or { o.steps or 256 }
  o.steps = o.steps or o.thresholds[#o.thresholds]
  if o.lucid then -- it counts from 0 and includes the last
    local list = {}
    for i, at in ipairs(o.thresholds) do list[i] = at + 1 end
    o.thresholds, o.steps, o.redirect = list, o.steps + 1, given.redirect or 17
  end
  o.optimizer = o.optimizer or optimizer.adam {}
  if not optimizer.is(o.optimizer) then
    F.raise("render: optimizer must be one of ea.vis.optimizer")
  end
  if o.dead ~= "stop" and o.dead ~= "keep" then
    F.raise("render: dead must be \"stop\" or \"keep\", got %s", tostring(o.dead))
  end
  overrides(false, o.smooth_pool) -- is it one of its names?
  o.seed = o.seed or random.current_seed
  return o
end
