-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.split - one part (train, val, test) of a data set:
--   images  u8 {n,h,w,c}; train and val share one tensor
--   labels  i32 {n}, 1..classes, one for each image of `images`
--   index   i32 {count} or nil: which images, by position from 1; nil: all
--   count   how many images the part has
--   mean, std, classes, names, name ("cifar10 val")

local raw = require "edgeai.data.raw"
local text = require "edgeai.text"

local Split = {}
Split.__index = Split

--- Batches in the background; see edgeai.data.loader for the options.
function Split:loader(options) return require "edgeai.data.loader"(self, options or {}) end

--- Number of images of each class, a list.
function Split:class_counts() return raw.class_counts(self.labels, self.index, self.classes) end

function Split:__tostring()
  local size = raw.size(self.images)
  return ("%s: %s of %dx%dx%d in %s"):format(self.name, text.count(self.count, "image"),
    size[2], size[3], size[4], text.count(self.classes, "class", "classes"))
end

--- The part `part` of `set` (which gives mean, std, classes, names).
return function(set, part, images, labels, index)
  return setmetatable({
    name = set.name .. " " .. part,
    images = images,
    labels = labels,
    index = index,
    count = raw.count(index or images),
    mean = set.mean,
    std = set.std,
    classes = set.classes,
    names = set.names,
  }, Split)
end
