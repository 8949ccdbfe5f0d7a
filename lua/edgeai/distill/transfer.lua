-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.transfer(what, d, { share = 1, count = nil, seed = 1 }) - the images on which a
-- student learns from its teacher, as a split normalised like d, and whether its labels are d's
-- classes:
--   "real"             d's own training images, or `share` of every class (a fraction or a number)
--   "noise"            `count` (as many as d has) images of normal noise
--   FILE.npz, a folder dreams of ea.dream.synthesise (ea.dream.load); labels: what they were to be
--   another NAME       a data set's training images, or a folder of images per class, without their
--                      labels; resized to d's height and width, in grey (0.299 R + 0.587 G +
--                      0.114 B) where d is, in three equal channels where d has colours
-- `share` and `count` (that many, of all classes alike) hold for all.

local F = require "edgeai.ffi"
local data = require "edgeai.data"
local grad = require "edgeai.grad"
local ops = require "edgeai.ops"
local raw = require "edgeai.data.raw"
local tensor = require "edgeai.tensor"

--- Images u8 {n, h, w, c} in d's shape, made in pieces that fit into memory.
local function fitted(images, d)
  local n, height, width, channels = images:size(1), unpack(d.shape)
  local out = raw.new("u8", { n, height, width, channels })
  local luma = tensor.tensor { 0.299, 0.587, 0.114 }
  for first = 1, n, 1000 do
    local count = math.min(1000, n - first + 1)
    grad.scope(grad.no_grad, function()
      local x = images:narrow(1, first, count):to("f32")
      if channels == 1 and x:size(4) == 3 then
        x = (x * luma):sum { axes = { 4 }, keep = true }
      elseif channels == 3 and x:size(4) == 1 then
        x = ops.functions.concat({ x, x, x }, { axis = 4 })
      end
      if x:size(2) ~= height or x:size(3) ~= width then
        x = ops.functions.resize(x, { height = height, width = width })
      end
      out:narrow(1, first, count):copy(ops.functions.clamp(x + 0.5, 0, 255):to("u8"))
    end)
  end
  return out
end

local function is_dreams(what)
  return what:find("%.npz$") or F.C.ea_file_exists(what) == 2
    and F.C.ea_file_exists(what .. "/dreams-00001.npz") == 1
end

local function other(what, d)
  local set = data.load(what, { val = 0 })
  local images = set.train.images
  local own, wanted = images:size(4), d.shape[3]
  if own ~= wanted and not (own == 3 and wanted == 1 or own == 1 and wanted == 3) then
    F.raise("transfer: the images of %s have %d channels, those of %s %d", what, own, d.name,
      wanted)
  end
  if own ~= wanted or images:size(2) ~= d.shape[1] or images:size(3) ~= d.shape[2] then
    images = fitted(images, d)
  end
  local split = data.given(d, images, nil, what)
  split.index, split.count = set.train.index, set.train.count
  return split
end

return function(what, d, opts)
  local o = F.options(opts, { share = 1, count = F.none, seed = 1 }, "transfer")
  if type(what) ~= "string" then
    F.raise("transfer: expected \"real\", \"noise\", a file, a folder or the name of a data set, "
      .. "got a %s", type(what))
  end
  local split, labelled
  if what == "real" then
    split, labelled = d.train, true
  elseif what == "noise" then
    split = data.noise(d, o.count or d.train.count, o.seed)
  elseif is_dreams(what) then
    split, labelled = require("edgeai.dream").load(what, d), true
  else
    split = other(what, d)
  end
  if o.share ~= 1 then split = split:part(o.share, { seed = o.seed }) end
  if o.count and o.count < split.count then split = split:part(o.count, { seed = o.seed }) end
  return split, labelled or false
end
