-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.split - one part (train, val, test) of a data set:
--   images  u8 {n,h,w,c}; train and val share one tensor
--   labels  i32 {n}, 1..classes, one for each image of `images`
--   index   i32 {count} or nil: which images, by position from 1; nil: all
--   count   how many images the part has
--   mean, std, classes, names, name ("cifar10 val")

local F = require "edgeai.ffi"
local raw = require "edgeai.data.raw"
local text = require "edgeai.text"

local Split = {}
Split.__index = Split

local function new_split(of, name, images, labels, index)
  return setmetatable({ name = name, images = images, labels = labels, index = index,
    count = raw.count(index or images), mean = of.mean, std = of.std, classes = of.classes,
    names = of.names }, Split)
end

--- Batches in the background; see edgeai.data.loader for the options.
function Split:loader(options) return require "edgeai.data.loader"(self, options or {}) end

--- Number of images of each class, a list.
function Split:class_counts() return raw.class_counts(self.labels, self.index, self.classes) end

--- A part of it: `share` (a fraction, or a number of images) of every class. options: seed (1).
function Split:part(share, options)
  local o = F.options(options, { seed = 1 }, "part")
  local _, held = require("edgeai.data.splits").stratified(self.labels, self.classes, share, o.seed,
    "part", self.index)
  return new_split(self, self.name, self.images, self.labels, held)
end

--- A few fixed augmented copies of every image, as a split of `views` times as many: what is
-- computed from an image can be kept from epoch to epoch. options: views (2), augment and seed as
-- for the loader; the first copy is the image itself.
function Split:views(options)
  local o = F.options(options, { views = 2, augment = { flip = true }, seed = 1 }, "views")
  if type(o.views) ~= "number" or o.views % 1 ~= 0 or o.views < 1 then
    F.raise("views: views must be a whole number of at least 1, got %s", tostring(o.views))
  end
  local size, n = raw.size(self.images), self.count
  local images = raw.new("u8", { o.views * n, size[2], size[3], size[4] })
  local labels = raw.new("i32", { o.views * n })
  local pixels, channels = size[2] * size[3] * size[4], size[4]
  local to, label = F.data(images), F.data(labels)
  for view = 1, o.views do
    local loader = self:loader { batch = math.min(256, n), seed = o.seed,
      augment = view > 1 and o.augment or nil }
    local done = (view - 1) * n
    for x, y, valid in loader:epoch(view) do
      local from = F.data(x)
      for i = 0, valid * pixels - 1 do
        local c = i % channels + 1
        local v = 255 * (from[i] * self.std[c] + self.mean[c])
        to[done * pixels + i] = math.max(0, math.min(255, math.floor(v + 0.5)))
      end
      for i = 0, valid - 1 do label[done + i] = F.data(y)[i] end
      done = done + valid
    end
    loader:close()
  end
  return new_split(self, self.name, images, labels)
end

function Split:__tostring()
  local size = raw.size(self.images)
  return ("%s: %s of %dx%dx%d in %s"):format(self.name, text.count(self.count, "image"),
    size[2], size[3], size[4], text.count(self.classes, "class", "classes"))
end

--- The part `part` of `set` (which gives mean, std, classes, names).
return function(set, part, images, labels, index)
  return new_split(set, set.name .. " " .. part, images, labels, index)
end
