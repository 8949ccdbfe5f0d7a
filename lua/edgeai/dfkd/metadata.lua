-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dfkd.metadata(net, split, opts) - statistics of the activations of a network's layers on the
-- images of a split, class by class, before the ReLU. opts.variant says which (Lopes et al. 2017):
--   top       the last layer's outputs: mean, and deviations along the class's principal components
--   all       every layer of weights: mean, and each unit's deviation by itself
--   spectral  every layer, all together: mean, and deviations along the smoothest harmonics of the
--             graph whose nodes are the units and whose edges join those of neighbouring layers
--   pairs     the same, one graph for each pair of neighbouring layers
-- An edge weighs as much as its two units fire together: the mean over all images of the product of
-- their activations after the ReLU. The harmonics are the eigenvectors of D^-1/2 W D^-1/2 (W: the
-- weights, D: their sums) with the largest eigenvalues, `share` (0.1) of as many as there are
-- units: whoever draws activations from them gets units that go together.
--
-- opts: variant ("all"), layers (names; all of weights), share, precision ("f32"), batch (256).
-- Returns a table with blocks, each { layers, sizes (units of each), mean {classes, f}, basis
-- {classes or 1, k, f} or nil (each unit for itself), deviation {classes, k} }, and methods:
--   targets(block, labels, first, seed)   activations {n, f}: mean + sum of z_j deviation_j
--                       basis_j, z ~ N(0, 1) from the stream "dfkd/targets", image by image
--   save(path)          one npz: mean.1, basis.1, deviation.1, mean.2, ...; contains no image
--   bytes()             of it
-- The authors' code multiplies noise by the covariance itself; here it has the covariance.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local evaluate = require "edgeai.train.evaluate"
local grad = require "edgeai.grad"
local io_files = require "edgeai.io"
local ops = require "edgeai.ops"
local pca = require "edgeai.pca"
local random = require "edgeai.random"
local raw = require "edgeai.data.raw"
local tensor = require "edgeai.tensor"
local text = require "edgeai.text"

local fn = ops.functions
local Metadata = {}
Metadata.__index = Metadata

local MOST = 4096 -- units of one graph: its eigenvectors take time with the cube of them

-- ---- activations -------------------------------------------------------------------------------

--- Names of the layers that have weights of their own, in order.
local function weighted(net)
  local names = {}
  net:walk(function(name, m)
    if m.kind == "linear" or m.kind == "conv2d" then names[#names + 1] = name end
  end)
  return names
end

--- Rows {n, units} of each layer over all images, and the labels.
local function observe(net, split, names, o)
  local rows, labels = {}, tensor.empty({ split.count }, "i32")
  evaluate.batches(net, split, { batch = o.batch, dtype = o.precision, fn = function(x)
    local found, list = net:features(x, names), {}
    for i, name in ipairs(names) do
      local a = found[name]:to("f32")
      list[i] = a:reshape(a:size(1), a:numel() / a:size(1))
    end
    return unpack(list)
  end }, function(outputs, y, valid, first)
    for i, out in ipairs(outputs) do
      rows[i] = rows[i] or tensor.empty { split.count, out:size(2) }
      rows[i]:narrow(1, first, valid):copy(out:narrow(1, 1, valid))
    end
    labels:narrow(1, first, valid):copy(y:narrow(1, 1, valid))
  end)
  return rows, labels
end

local function members_of(labels, classes, names)
  local list = {}
  for k = 1, classes do list[k] = {} end
  for i = 0, labels:size(1) - 1 do table.insert(list[F.data(labels)[i]], i + 1) end
  for k, members in ipairs(list) do
    if #members < 2 then
      F.raise("dfkd.metadata: class %d (%s) has %s; statistics need at least 2", k,
        names and names[k] or "?", text.count(#members, "image"))
    end
    list[k] = raw.from_list(members)
  end
  return list
end

-- ---- graphs ------------------------------------------------------------------------------------

local function eigh(a)
  local out = F.out()
  F.check(F.C.ea_eigh(a, out, out + 1))
  return F.own(out[0]), F.own(out[1])
end

--- {f, f} f64: how much units of neighbouring layers fire together.
local function weights(layers)
  local f, first = 0, {}
  for i, rows in ipairs(layers) do first[i], f = f + 1, f + rows:size(2) end
  local w = tensor.zeros({ f, f }, "f64")
  for i = 1, #layers - 1 do
    local a, b = layers[i]:relu(), layers[i + 1]:relu()
    local together = (fn.matmul(a, b, { ta = true }) * (1 / a:size(1))):to("f64")
    local n, m = a:size(2), b:size(2)
    w:narrow(1, first[i], n):narrow(2, first[i + 1], m):copy(together)
    w:narrow(1, first[i + 1], m):narrow(2, first[i], n):copy(together:permute(2, 1))
  end
  return w
end

--- The smoothest harmonics {1, k, f}.
local function harmonics(layers, share)
  local w = weights(layers)
  local f = w:size(1)
  local sums = w:sum { axes = { 2 } }
  local scale = fn.where(fn.greater(sums, 0), fn.maximum(sums, 1e-30):pow(-0.5), sums * 0)
  local _, vectors = eigh((w * scale:reshape(f, 1) * scale:reshape(1, f)):contiguous())
  local k = math.max(1, math.floor(share * f + 0.5))
  return vectors:narrow(2, f - k + 1, k):permute(2, 1):contiguous():reshape(1, k, f):to("f32")
end

-- ---- blocks ------------------------------------------------------------------------------------

local function deviation(rows)
  return fn.sqrt(rows:var { axes = { 1 }, correction = 1 })
end

--- The class's principal components, as many as all classes can have, and deviations along them.
local function own_axes(self, rows, members)
  local classes, f = #members, rows:size(2)
  self.basis, self.deviation = tensor.zeros { classes, f, f }, tensor.zeros { classes, f }
  for class, list in ipairs(members) do
    local found = pca(rows:index_select(list, { axis = 1 }), { components = f })
    local k = found.components:size(1)
    if k > 0 then
      self.basis:select(1, class):narrow(1, 1, k):copy(found.components:to("f32"))
      self.deviation:select(1, class):narrow(1, 1, k):copy(found.variances:sqrt():to("f32"))
    end
  end
end

local function new_block(names, layers, members, kind, o)
  local self, f = { layers = names, sizes = {} }, 0
  for i, rows in ipairs(layers) do self.sizes[i], f = rows:size(2), f + rows:size(2) end
  if kind == "graph" then
    if f > MOST then
      F.raise("dfkd.metadata: a graph of %d units is too large (at most %d); take other layers or "
        .. "a smaller network", f, MOST)
    end
    self.basis = harmonics(layers, o.share)
  end
  local rows = #layers == 1 and layers[1] or fn.concat(layers, { axis = 2 })
  self.mean = tensor.empty { #members, f }
  for class, list in ipairs(members) do
    local own = rows:index_select(list, { axis = 1 })
    local mean = own:mean { axes = { 1 } }
    self.mean:select(1, class):copy(mean)
    if kind ~= "own" then
      local along = own - mean
      if kind == "graph" then along = fn.matmul(along, self.basis:select(1, 1), { tb = true }) end
      local spread = deviation(along)
      self.deviation = self.deviation or tensor.empty { #members, spread:size(1) }
      self.deviation:select(1, class):copy(spread)
    end
  end
  if kind == "own" then own_axes(self, rows, members) end
  return self
end

--- Which layers belong together, and what their axes are.
local function groups_of(variant, n)
  local groups, kind = {}, "unit"
  if variant == "top" then return { { n } }, "own" end
  if variant == "spectral" then
    groups[1], kind = {}, "graph"
    for i = 1, n do groups[1][i] = i end
  elseif variant == "pairs" then
    kind = "graph"
    for i = 1, n - 1 do groups[i] = { i, i + 1 } end
  else
    for i = 1, n do groups[i] = { i } end
  end
  return groups, kind
end

-- ---- what is done with it ----------------------------------------------------------------------

--- Activations {n, f} of a block for labels i32 {n}, images first, first + 1, ...
function Metadata:targets(block, labels, first, seed) -- luacheck: no self
  local n, k = labels:size(1), block.deviation:size(2)
  local stream, z = random.rng("dfkd/targets", { seed = seed }), tensor.empty { n, k }
  for i = 1, n do
    stream.index = first + i - 1
    z:select(1, i):copy(stream:normal({ k }, 0, 1))
  end
  return grad.no_grad(function()
    local function of_class(t) return t:index_select(labels, { axis = 1 }) end
    local steps, basis = z * of_class(block.deviation), block.basis
    if basis and basis:size(1) == 1 then
      steps = fn.matmul(steps, basis:select(1, 1))
    elseif basis then
      steps = fn.matmul(steps:reshape(n, 1, k), of_class(basis)):reshape(n, basis:size(3))
    end
    return of_class(block.mean) + steps
  end)
end

local function arrays(self)
  local list = {}
  for i, block in ipairs(self.blocks) do
    for _, name in ipairs { "mean", "basis", "deviation" } do
      list[("%s.%d"):format(name, i)] = block[name]
    end
  end
  return list
end

--- Writes the arrays.
function Metadata:save(path)
  io_files.save(path, arrays(self))
  return self
end

--- Bytes of all arrays.
function Metadata:bytes()
  local total = 0
  for _, t in pairs(arrays(self)) do total = total + t:bytes() end
  return total
end

local variants = { top = true, all = true, spectral = true, pairs = true }

local function check(net, split, o)
  if not Module.is(net) then
    F.raise("dfkd.metadata: expected a network first, got a %s", type(net))
  end
  if type(split) ~= "table" or not split.loader then
    F.raise("dfkd.metadata: expected a split of images, got a %s", type(split))
  end
  if not variants[o.variant] then
    F.raise("dfkd.metadata: variant must be \"top\", \"all\", \"spectral\" or \"pairs\", got %s",
      tostring(o.variant))
  end
  if type(o.share) ~= "number" or not (o.share > 0 and o.share <= 1) then
    F.raise("dfkd.metadata: share must be above 0 and at most 1, got %s", tostring(o.share))
  end
end

--- See the top of this file.
return function(net, split, opts)
  local o = F.options(opts, { variant = "all", layers = F.none, share = 0.1, batch = 256,
    precision = "f32" }, "dfkd.metadata")
  check(net, split, o)
  local names = o.layers or weighted(net)
  local groups, kind = groups_of(o.variant, #names)
  if #names < 2 and kind == "graph" then
    F.raise("dfkd.metadata: a graph needs two layers or more, got %d", #names)
  end
  return grad.no_grad(function()
    local rows, labels = observe(net, split, names, o)
    local members = members_of(labels, split.classes, split.names)
    local self = setmetatable({ variant = o.variant, layers = names, blocks = {},
      classes = split.classes }, Metadata)
    for i, group in ipairs(groups) do
      local own, layers = {}, {}
      for j, at in ipairs(group) do own[j], layers[j] = names[at], rows[at] end
      self.blocks[i] = new_block(own, layers, members, kind, o)
    end
    return self
  end)
end
