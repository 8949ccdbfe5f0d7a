-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.loader - batches of a split, assembled in the background (core/data/loader.c).
--
--   local loader = d.train:loader { batch = 128, shuffle = true, augment = { crop_pad = 4 } }
--   for x, y, valid in loader:epoch(1) do ... end
--
-- x (f32 or bf16 {batch,h,w,c}, normalised), y (i32 {batch}, labels from 1) and id (i32 {batch},
-- positions in split.images from 1) are the loader's own tensors: the next batch overwrites them.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local raw = require "edgeai.data.raw"
local text = require "edgeai.text"
local C = F.C

local Loader = {}
Loader.__index = Loader

local DEFAULTS = {
  batch = 128, augment = false, shuffle = false, drop_last = false, seed = 1, dtype = "f32",
}
local AUGMENT = { crop_pad = 0, reflect = false, flip = false, cutout = 0, translate = 0 }
local FLIPS = { [false] = 0, none = 0, [true] = 1, random = 1, alternating = 2 }

--- A whole number least..most, for C's int.
local function integer(options, name, least, most)
  local value = options[name]
  if type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then
    F.raise("loader: %s must be a whole number %d..%.0f, got %s", name, least, most,
      tostring(value))
  end
  return value
end

local function augmentation(given)
  if not given then return nil end
  local options = F.options(given, AUGMENT, "augment")
  local flip = FLIPS[options.flip]
  if not flip then
    F.raise("augment: flip must be \"random\" (or true), \"alternating\" or \"none\" (or false), "
      .. "got %s", tostring(options.flip))
  end
  return ffi.new("ea_augment", integer(options, "crop_pad", 0, 65536), options.reflect and 1 or 0,
    flip, integer(options, "cutout", 0, 65536), integer(options, "translate", 0, 65536))
end

local function numbers(list) return ffi.new("double[?]", #list, list) end

--- Split:loader{...}. Options: batch = 128 (images), dtype = "f32" or "bf16", seed = 1,
-- shuffle = false: a new order each epoch;
-- drop_last = false: leave out an incomplete last batch. Otherwise it is filled up with its first
--   images again, and `valid` says how many count;
-- augment = { crop_pad = 0, reflect = false, flip = "none" | "random" | "alternating", cutout = 0,
--   translate = 0 }: see ea_augment in edgeai.h.
local function new(split, given)
  local options = F.options(given, DEFAULTS, "loader")
  if options.dtype ~= "f32" and options.dtype ~= "bf16" then
    F.raise("loader: dtype must be \"f32\" or \"bf16\", got %s", tostring(options.dtype))
  end
  local batch = integer(options, "batch", 1, 2 ^ 30)
  local size = raw.size(split.images)
  local labels = raw.shifted(split.labels, -1)
  local index = split.index and raw.shifted(split.index, -1) or F.null
  local out = ffi.new "ea_loader *[1]"
  F.check(C.ea_loader_new(split.images, labels, index, batch, numbers(split.mean),
    numbers(split.std), augmentation(options.augment), options.shuffle and 1 or 0,
    options.drop_last and 1 or 0, integer(options, "seed", 0, 2 ^ 53), out))
  local self = setmetatable({
    handle = ffi.gc(out[0], C.ea_loader_free),
    batch = batch,
    batches = tonumber(C.ea_loader_batches(out[0])),
    count = split.count,
    options = options,
    valid = ffi.new "int[1]",
  }, Loader)
  self.x = raw.new(options.dtype, { batch, size[2], size[3], size[4] })
  self.y = raw.new("i32", { batch })
  self.id = raw.new("i32", { batch })
  return self
end

local function open(self)
  return self.handle or F.raise("loader: it was closed; make a new one")
end

--- Goes to a batch of an epoch, both from 1. A new loader stands at seek(1, 1); batches + 1 is the
-- end of an epoch.
function Loader:seek(epoch, batch)
  local at = { epoch = epoch, batch = batch or 1 }
  integer(at, "epoch", 1, 2 ^ 52)
  integer(at, "batch", 1, self.batches + 1)
  F.check(C.ea_loader_seek(open(self), epoch - 1, at.batch - 1))
  return self
end

--- x, y, valid, id of the next batch; nil at the end of the epoch (then seek to the next).
function Loader:next()
  local status = C.ea_loader_next(open(self), self.x, self.y, self.id, 1, self.valid)
  if status == 1 then return nil end
  F.check(status)
  return self.x, self.y, self.valid[0], self.id
end

--- for x, y, valid, id in loader:epoch(e) do: all batches of epoch e (from 1), from `batch` on.
function Loader:epoch(epoch, batch)
  self:seek(epoch, batch)
  return function() return self:next() end
end

--- Ends the background thread and frees its memory now.
function Loader:close()
  if self.handle then C.ea_loader_free(ffi.gc(self.handle, nil)) end
  self.handle = nil
end

function Loader:__tostring()
  return ("loader: %s in %s of %d, %s"):format(text.count(self.count, "image"),
    text.count(self.batches, "batch", "batches"), self.batch, self.options.dtype)
end

return new
