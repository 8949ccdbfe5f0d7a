-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data - images with labels, in splits for training, choosing and testing.
--
--   local d = ea.data.load("cifar10", { val = 0.1, seed = 1 })
--   d.train, d.val, d.test      splits (edgeai.data.split); test is read when first asked for:
--                               evaluate on it once, at the end, and choose by val
--   d.name, d.classes, d.names, d.shape { h, w, c },
--   d:normalise_as(net)         mean and std of a trained network instead of the data set's own
--   d.mean, d.std               of the training images, for each channel, in units of [0,1]
--
-- A source is a table: name, title, folder (below a root, see place.lua), files ({ name, part,
-- bytes }), read(source, dir, part, options) -> images, labels [, index], classes, names, shape,
-- counts, mean, std, its own options (declared as for ea.config), and for fetch and verify: url,
-- md5, megabytes, sums. To add one, write its file and register it.

local F = require "edgeai.ffi"
local declare = require "edgeai.declare"
local place = require "edgeai.data.place"
local raw = require "edgeai.data.raw"
local new_split = require "edgeai.data.split"
local text = require "edgeai.text"

local data = {}

local sources, order = {}, {}

local needed = { name = "string", folder = "string", files = "table", read = "function",
  classes = "number", shape = "table", counts = "table" }

--- What is wrong with a source, as a sentence; nil: nothing.
function data.wrong(source)
  for _, key in ipairs(text.keys(needed)) do
    if type(source[key]) ~= needed[key] then
      return ("`%s`: its %s must be a %s, not %s"):format(tostring(source.name), key, needed[key],
        tostring(source[key]))
    end
  end
  if #source.shape ~= 3 or type(source.counts.train) ~= "number"
    or type(source.counts.test) ~= "number" then
    return ("`%s`: its shape must be { height, width, channels }, its counts { train =, test = }")
      :format(source.name)
  end
end

--- Is there a data set of that name?
function data.known(name) return sources[name] ~= nil end

--- Adds a source under its name.
function data.register(source)
  local wrong = data.wrong(source)
  if wrong then F.raise("data.register: the data set %s", wrong) end
  if not sources[source.name] then order[#order + 1] = source.name end
  sources[source.name] = source
end

--- Takes it away again.
function data.unregister(name)
  sources[name] = nil
  for i, known in ipairs(order) do
    if known == name then return table.remove(order, i) end
  end
end

for _, name in ipairs { "cifar10", "cifar100", "fashion_mnist", "mnist" } do
  data.register(require("edgeai.data." .. name))
end

--- Names of the registered sources, in order.
function data.names()
  local names = {}
  for i, name in ipairs(order) do names[i] = name end
  return names
end

local function find(name)
  if type(name) ~= "string" then F.raise("data: a name is needed, got %s", type(name)) end
  if not sources[name] then require("edgeai.plugin").offer(name) end
  return sources[name] or F.raise("data: there is no data set '%s'%s (known: %s; a path with a / "
    .. "is a folder of images)", name, text.suggest(name, order), text.list(order, "and"))
end

local DEFAULTS = { val = 0.1, seed = 1, root = F.none }
local FOLDER =
  { val = 0.1, seed = 1, root = F.none, size = F.none, channels = 3, test = 0.1 }

--- The options of every data set, and the source's own.
local function split_options(source, given)
  local own, values, all = {}, {}, {}
  for key, default in pairs(DEFAULTS) do all[key] = default end
  for key, declared in pairs(source.options or {}) do
    own[key], all[key] = declare.option("data.load: ", key, declared, true), F.none
  end
  local options = F.options(given, all, "data.load")
  for key in pairs(own) do values[key] = options[key] end
  return options, declare.resolve("data.load", own, values)
end

--- Opens a source: itself, the folder its files are in, options, the source's own options.
local function open(name, given)
  if type(name) == "string" and (name == "folder" or name:find("/", 1, true)) then
    local options = F.options(given, FOLDER, "data.load")
    local root = options.root or (name ~= "folder" and name)
      or F.raise("data: load(\"folder\", { root = PATH }) needs the path")
    return require "edgeai.data.folder"(root, options), nil, options
  end
  local source = find(name)
  local options, own = split_options(source, given)
  local dir, state = place.find(source, options.root)
  if state ~= "ready" then F.raise("%s", dir) end
  return source, dir, options, own
end

--- Normalises all splits as a trained network wants its images (net.mean, net.std from its file).
local function normalise_as(set, net)
  if type(net.mean) ~= "table" or type(net.std) ~= "table" then
    F.raise("normalise_as: the network does not say how its images were normalised; save it with "
      .. "mean and std, or set net.mean and net.std")
  end
  if #net.mean ~= #set.mean then
    F.raise("normalise_as: the network is of images of %s, those of %s have %d",
      text.count(#net.mean, "channel"), set.name, #set.mean)
  end
  set.mean, set.std = net.mean, net.std
  for _, part in ipairs { "train", "val", "test" } do
    local split = rawget(set, part)
    if split then split.mean, split.std = net.mean, net.std end
  end
  return set
end

--- Loads a data set by name, or a folder of images by its path (anything with a "/"; folder.lua).
-- options: val = 0.1 (fraction, or number of images, of the training images to hold back, the same
-- share of every class; 0 or false: none), seed = 1 (which ones), root (look in this folder only).
-- Folders also take size = { height, width }, channels = 3 and test = 0.1.
function data.load(name, given)
  local source, dir, options, own = open(name, given or {})
  local images, labels, index = source:read(dir, "train", own)
  local size = raw.size(images)
  local set = {
    name = source.name,
    classes = source.classes,
    names = source.names,
    shape = { size[2], size[3], size[4] },
    mean = source.mean,
    std = source.std,
  }
  local train, val = index, nil
  if options.val and options.val ~= 0 then
    train, val = require("edgeai.data.splits").stratified(labels, source.classes, options.val,
      options.seed, "validation", index)
  end
  if not set.mean then set.mean, set.std = require("edgeai.data.stats").of(images, train) end
  set.train = new_split(set, "train", images, labels, train)
  set.val = val and new_split(set, "val", images, labels, val)
  return setmetatable(set, {
    __index = function(self, key)
      if key == "normalise_as" then return normalise_as end
      if key ~= "test" then return nil end
      local test = new_split(self, "test", source:read(dir, "test", own))
      rawset(self, "test", test)
      return test
    end,
    __tostring = function(self)
      return ("%s: %d classes of %dx%dx%d; %s to train on, %s to choose by"):format(self.name,
        self.classes, self.shape[1], self.shape[2], self.shape[3], text.grouped(self.train.count),
        text.grouped(self.val and self.val.count or 0))
    end,
  })
end

--- Images u8 {n, h, w, c} of one's own as a split, with mean, std, classes and names of `like` (a
-- set or a split). labels: i32 {n} from 1; without them all are 1, for what is learned from a
-- teacher alone. name: what the split is called.
function data.given(like, images, labels, name)
  F.need_tensor(images, "data.given")
  if images.dtype ~= "u8" or images.ndim ~= 4 or images:size(4) ~= #like.mean then
    F.raise("data.given: expected images {n, h, w, %d} u8, got %s", #like.mean, F.describe(images))
  end
  local n = images:size(1)
  if not labels then
    labels = raw.new("i32", { n })
    for i = 0, n - 1 do F.data(labels)[i] = 1 end
  elseif labels.dtype ~= "i32" or labels.ndim ~= 1 or labels:size(1) ~= n then
    F.raise("data.given: expected labels {%d} i32, got %s", n, F.describe(labels))
  end
  return new_split({ name = name or "images", mean = like.mean, std = like.std,
    classes = like.classes, names = like.names }, "given", images, labels)
end

--- `count` images of normal noise with mean and deviation of `like` (a set with shape), without
-- labels: the control of everything that is said to need no data.
function data.noise(like, count, seed)
  local size = { count, like.shape[1], like.shape[2], like.shape[3] }
  local images = raw.new("u8", size)
  local noise = require("edgeai.random").rng("noise", { seed = seed or 1 }):normal(size)
  local to, from, channels = F.data(images), F.data(noise), size[4]
  for i = 0, count * size[2] * size[3] * channels - 1 do
    local c = i % channels + 1
    local v = 255 * (like.mean[c] + like.std[c] * from[i])
    to[i] = math.max(0, math.min(255, math.floor(v + 0.5)))
  end
  F.drop(noise)
  return data.given(like, images, nil, "noise")
end

--- What is known and where it is: a list of { name, title, state = "ready" | "damaged" |
-- "missing", where = folder or nil, problem = sentence or nil, train, test, classes, shape }.
function data.list()
  local rows = {}
  for i, name in ipairs(order) do
    local source = sources[name]
    local where, state = place.find(source)
    rows[i] = {
      name = name, title = source.title, state = state, classes = source.classes,
      shape = source.shape, train = source.counts.train, test = source.counts.test,
      where = state == "ready" and where or nil, problem = state ~= "ready" and where or nil,
    }
  end
  return rows
end

--- Downloads a data set unless it is there; returns its folder. See fetch.lua.
function data.fetch(name, options) return require "edgeai.data.fetch"(find(name), options) end

--- Reads and checks a whole data set; see verify.lua.
function data.verify(name, root) return require "edgeai.data.verify"(find(name), root) end

return data
