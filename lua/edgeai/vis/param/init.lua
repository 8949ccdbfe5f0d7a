-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.param - what is optimised, and how it becomes images {n, h, w, c} in [0, 1].
--
--   param.fourier{decay=1}     spectra, fourier.lua: all frequencies learn at one rate
--   param.pixel{}              pixels
--   param.lowres{factor=4, images}   small pictures, enlarged (bilinear); images = 1 or 2: one for
--                              all images, or two between which they lie
--   param.laplacian{levels=4}  sum of pictures of half the size, a quarter, ...
--   param.cppn{hidden=24, layers=8}  a small network from place to colour for each image
--   param.maco{magnitude}      phases alone; magnitudes from a data set: maco.lua
--   param.sum{a, b, ...}       their sum before colours are made: shared and own parts
--
-- Options of all: size {h, w} (the network's), channels (the network's), sd (0.01) of the first
-- numbers, colour ("lucid"; false; a matrix, as ea.vis.colour(split) gives), squash ("sigmoid";
-- "clip"), alpha (false; true adds a channel of opacity), image: where to start, {h, w, c} or
-- {images, h, w, c} in [0, 1] or u8; mask {h, w}: 1 where image may change, else 0; within: how far
-- it may go from image, { l2 = length } of the difference, or { linf = of any number } (ball.lua).
-- How near the start comes to image: pixels, spectra and pyramids to rounding; small pictures as
-- near as so few pixels can, one that all images share to their mean; cppn and maco: their files.
--
-- A kind is a function from options to { leaves = { { name =, size =, init(stream, id, dtype) } },
-- raw(values, T) -> {n, h, w, c}, start(picture {h,w,c}) -> { name = values } or nil }: of what raw
-- gives. Further fields: coupled (images depend on each other), finished (raw makes colours
-- itself); of a leaf, shared (so many rows serve all images). o.start has all starting pictures
-- {1 or images, h, w, c}, as start gets one. param.normal(name, size, sd) is a leaf of normal
-- numbers. Kinds of the user's own: extend.lua.

local F = require "edgeai.ffi"
local ball = require "edgeai.vis.param.ball"
local colour = require "edgeai.vis.colour"
local declared = require "edgeai.vis.declared"
local doc = require "edgeai.doc"
local fourier = require "edgeai.vis.param.fourier"
local tensor = require "edgeai.tensor"
local text = require "edgeai.text"

local param = {}
local kinds = {}

local common = { size = F.none, channels = F.none, sd = 0.01, colour = "lucid",
  squash = "sigmoid", alpha = false, image = F.none, mask = F.none,
  within = F.none }
param.common = common

local spec = {}
spec.__index = spec

--- Is x a parameterisation?
function param.is(x) return getmetatable(x) == spec end

local function describe(self)
  local words = {}
  for _, key in ipairs(text.keys(self.given)) do
    local value = self.given[key]
    words[#words + 1] = key .. "=" .. (F.is_tensor(value) and F.describe(value)
      or type(value) == "table" and "..." or tostring(value))
  end
  return ("%s{%s}"):format(self.kind, table.concat(words, ", "))
end
spec.__tostring = describe

--- Adds a kind: options of its own with their values, the function (see the top), and more: { help,
-- where, declared = its options as declared.lua reads them }.
function param.register(kind, options, make, more)
  more = more or {}
  local defaults, shown = {}, {}
  for _, list in ipairs { common, options } do
    for key, value in pairs(list) do
      shown[key] = value
      defaults[key] = value == declared.needed and F.none or value
    end
  end
  local function new(given)
    local named = {}
    for key, value in pairs(given or {}) do
      if type(key) == "number" then
        named.parts = named.parts or {}
        named.parts[key] = value
      else
        named[key] = value
      end
    end
    local o = F.options(named, defaults, "param." .. kind)
    declared.check("param." .. kind, more.declared or {}, o)
    return setmetatable({ kind = kind, given = given or {}, opts = o }, spec)
  end
  kinds[kind], param[kind] = make, new
  doc.link(new, { parameters = declared.words(shown), text = more.help, options = shown,
    where = more.where or "edgeai/vis/param/init.lua" })
end

--- Takes a kind away again.
function param.remove(kind) kinds[kind], param[kind] = nil, nil end

--- A starting picture as floats {1 or images, h, w, c} in [0, 1].
local function picture_of(image, h, w, c)
  F.need_tensor(image, "param: image")
  local x = image:detach()
  if x.ndim == 3 then x = x:reshape { 1, unpack(x.shape) } end
  if x.ndim ~= 4 or x:size(2) ~= h or x:size(3) ~= w or x:size(4) ~= c then
    F.raise("param: the starting image must be {%d, %d, %d} or {images, %d, %d, %d}, got %s", h, w,
      c, h, w, c, F.describe(image))
  end
  x = image.dtype == "u8" and x:to("f64") / 255 or x:to("f64")
  local low, high = x:min():item(), x:max():item()
  if not (low >= -1e-6 and high <= 1 + 1e-6) then
    F.raise("param: the starting image must lie in [0, 1] (or be u8), but they go from %g to %g",
      low, high)
  end
  return x
end

--- Gives the leaves of what was made a start from pictures {1 or images, h, w, c}: a picture's own,
-- their mean where images share a leaf. What it takes is worked out once for all leaves.
local function start_from(made, pictures)
  local begun = {}
  local function start(k)
    if not begun[k] then
      local outer = F.set_scope(nil)
      begun[k] = made.start(k == "all" and pictures:mean { axes = { 1 } } or pictures:select(1, k))
      F.set_scope(outer)
    end
    return begun[k]
  end
  for _, leaf in ipairs(made.leaves) do
    leaf.init = function(_, id, dtype)
      local k = leaf.shared and "all" or pictures:size(1) == 1 and 1 or id
      if k ~= "all" and k > pictures:size(1) then
        F.raise("param: there are %d starting images, none for image %d", pictures:size(1), id)
      end
      return start(k)[leaf.name]:clone():to(dtype)
    end
  end
end

--- Makes it for images of `size` {h, w} and `channels` unless it says otherwise. Returns { leaves,
-- image(values, T) -> {n, h, w, c}, size, channels }.
function spec:build(size, channels)
  local o = {}
  for key, value in pairs(self.opts) do o[key] = value end
  size = o.size or size
  if type(size) == "number" then size = { size, size } end
  o.size, o.channels = size, (o.channels or channels) + (o.alpha and 1 or 0)
  local h, w, c = size[1], size[2], o.channels
  local plain = o.alpha and c - 1 or c
  local matrix = colour.matrix(o.colour, plain)
  if o.colour == "lucid" and plain ~= 3 then matrix = nil end
  local picture = o.image and picture_of(o.image, h, w, c)
  o.start = picture and colour.encode(picture, matrix, o.squash)
  local made = kinds[self.kind](o, self)
  if picture then
    if not made.start then
      F.raise("param.%s cannot start from an image: it has no start", self.kind)
    end
    start_from(made, made.finished and picture or o.start)
  end
  local near = o.within and ball(o.within)
  if near and not picture then F.raise("param: within needs an image to stay near to") end
  if o.mask ~= nil then
    if not picture then F.raise("param: a mask needs an image to keep outside of it") end
    local mask = F.need_tensor(o.mask, "param: mask")
    if mask:numel() ~= h * w or mask:size(1) ~= h then
      F.raise("param: the mask must be {%d, %d}, as the images, got %s", h, w, F.describe(mask))
    end
  end
  local function image(values, T)
    local x = made.raw(values, T)
    x = made.finished and x or colour.decode(x, matrix, o.squash)
    if near then
      local start = T:rows(picture)
      x = start + near(x - start)
    end
    if o.mask then
      local mask = T:constant(o.mask):reshape(1, h, w, 1)
      x = x * mask + T:rows(picture) * (1 - mask)
    end
    return x
  end
  return { leaves = made.leaves, image = image, size = size, channels = c, alpha = o.alpha,
    coupled = made.coupled, near = near ~= nil }
end

--- A leaf of normal numbers.
local function normal(name, size, sd)
  return { name = name, size = size, init = function(stream, _, dtype)
    return stream:normal(size, 0, sd, dtype)
  end }
end
param.normal = normal

-- ---- kinds -------------------------------------------------------------------------------------

param.register("pixel", {}, function(o)
  local h, w = o.size[1], o.size[2]
  return { leaves = { normal("pixels", { h, w, o.channels }, o.sd) },
    raw = function(values) return values.pixels end,
    start = function(x) return { pixels = x } end }
end, { help = "Pixels." })

param.register("fourier", { decay = 1 }, function(o)
  local h, w, c = o.size[1], o.size[2], o.channels
  local m = fourier.columns(w)
  local rows = fourier.scale(h, w, o.decay)
  local scale = tensor.empty({ m, 2, h }, "f64")
  for k = 1, m do
    for part = 1, 2 do
      for i = 1, h do scale:set(k, part, i, rows[i][k]) end
    end
  end
  return { leaves = { normal("spectrum", { c, m, 2, h }, o.sd) },
    raw = function(values, T)
      local basis = fourier.basis(h, w, 0.25, T.dtype)
      return fourier.inverse(values.spectrum * T:constant(scale), basis)
    end,
    start = function(x) return { spectrum = fourier.forward(x) * 4 / scale } end }
end, { help = "Spectra, as Lucid's: all frequencies learn at one rate; decay: its exponent." })

for _, name in ipairs { "lowres", "cppn", "maco" } do
  require("edgeai.vis.param." .. name)(param)
end

param.register("sum", { parts = F.none }, function(o)
  local leaves, made, coupled = {}, {}, false
  for i, part in ipairs(o.parts or {}) do
    if not param.is(part) then
      F.raise("param.sum: part %d must be a parameterisation, got a %s", i, type(part))
    end
    local inner = {}
    for key, value in pairs(part.opts) do inner[key] = value end
    inner.size, inner.channels, inner.start = o.size, o.channels, i == 1 and o.start or nil
    made[i] = kinds[part.kind](inner, part)
    coupled = coupled or made[i].coupled
    if made[i].finished then
      F.raise("param.sum: param.%s makes its colours itself and has no sum", part.kind)
    end
    for _, leaf in ipairs(made[i].leaves) do
      local own = {}
      for key, value in pairs(leaf) do own[key] = value end
      own.name, own.inner = i .. "." .. leaf.name, leaf.name
      leaves[#leaves + 1] = own
    end
  end
  if #made == 0 then F.raise("param.sum: expected a list of parameterisations") end
  return { leaves = leaves, coupled = coupled, raw = function(values, T)
    local total
    for i, part in ipairs(made) do
      local own = {}
      for _, leaf in ipairs(part.leaves) do own[leaf.name] = values[i .. "." .. leaf.name] end
      local x = part.raw(own, T)
      total = total and total + x or x
    end
    return total
  end, start = made[1].start and function(x) -- the first part has it all
    local values = {}
    for name, v in pairs(made[1].start(x)) do values["1." .. name] = v end
    for _, leaf in ipairs(leaves) do
      values[leaf.name] = values[leaf.name] or tensor.zeros(leaf.size, "f64")
    end
    return values
  end or nil }
end, { help = "Their sum before colours are made: shared and own parts." })

--- A wrong name suggests the nearest; plugins are asked first.
return setmetatable(param, { __index = function(_, name)
  if type(name) ~= "string" then return nil end
  require("edgeai.plugin").offer(name)
  if rawget(param, name) then return rawget(param, name) end
  F.raise("there is no parameterisation '%s'%s", name, text.suggest(name, text.keys(kinds)))
end })
