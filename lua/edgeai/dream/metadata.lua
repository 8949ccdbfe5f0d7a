-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream.metadata(teacher, split, opts) - what leaves the house instead of images (Dream
-- Distillation: Bhardwaj, Suda & Marculescu 2019, arXiv 1905.07072): of a share of the images, the
-- teacher's pooled activations fall into clusters, class by class; of each cluster the centroid,
-- the leading principal components and the deviations along them are kept.
--
--   local meta = ea.dream.metadata(teacher, d.train, { share = 0.1 })
--   print(meta:report())
--   meta:save("metadata.npz")
--   local meta = ea.dream.read_metadata("metadata.npz"):check(teacher)
--
-- opts: share (0.1 of every class; 1: all), layer ("pool"), clusters (10 for each class),
-- components (10 for each cluster), starts (8, of k-means), seed, batch, precision ("f32"),
-- path: a file that keeps them; if it is there, they are read from it, and must be of this network.
--
-- The file, one npz: m clusters of f features, k components, c channels; classes are from 0:
--   centroids    {m, f} f32      mean activation of the cluster
--   components   {m, k, f} f32   orthogonal unit rows, largest variance first; 0: there is none
--   deviations   {m, k} f32      standard deviation along each, 0 where there is none
--   counts       {m} i32         images in the cluster
--   classes      {m} i32         class of the cluster
--   mean, std    {c} f32         normalisation of the network's images, in units of [0,1]
--   network      {16} u8         hash of the network's weights (net:hash()), as ASCII
--   layer        {length} u8     the layer's name, as ASCII
-- It contains no image. It is no proof of privacy: see report().

local ffi = require "ffi"
local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local evaluate = require "edgeai.train.evaluate"
local io_files = require "edgeai.io"
local kmeans = require "edgeai.kmeans"
local pca = require "edgeai.pca"
local raw = require "edgeai.data.raw"
local tables = require "edgeai.table"
local tensor = require "edgeai.tensor"
local text = require "edgeai.text"

local Metadata = {}
Metadata.__index = Metadata

local module = {}

-- ---- making ------------------------------------------------------------------------------------

--- Raises unless it is a network that says how its images were normalised.
function module.need_teacher(net, where)
  if not Module.is(net) then F.raise("%s: expected a network first, got a %s", where, type(net)) end
  if type(net.mean) ~= "table" or type(net.std) ~= "table" then
    F.raise("%s: the network does not say how its images were normalised; save it with mean and "
      .. "std, or set net.mean and net.std", where)
  end
end

--- Pooled activations {n, f} of all images of a split, and their labels.
function module.activations(net, split, opts)
  local o = F.options(opts, { layer = "pool", batch = 256, dtype = "f32" }, "dream.activations")
  local all, labels = nil, tensor.empty({ split.count }, "i32")
  evaluate.batches(net, split, { batch = o.batch, dtype = o.dtype, fn = function(x)
    return net:features(x, { o.layer })[o.layer]:to("f32")
  end }, function(outputs, y, valid, first)
    local a = outputs[1]
    if a.ndim ~= 2 then
      F.raise("dream.activations: '%s' gives %s, no vector for each image; take a layer behind a "
        .. "spatial mean, such as \"pool\"", o.layer, F.describe(a):match("{.*}"))
    end
    all = all or tensor.empty { split.count, a:size(2) }
    all:narrow(1, first, valid):copy(a:narrow(1, 1, valid))
    labels:narrow(1, first, valid):copy(y:narrow(1, 1, valid))
  end)
  return all, labels
end

--- Rows of each class.
local function rows_by_class(labels, classes)
  local list = {}
  for k = 1, classes do list[k] = {} end
  for i = 0, labels:size(1) - 1 do table.insert(list[F.data(labels)[i]], i + 1) end
  return list
end

local function rows_of(all, list)
  return all:index_select(raw.from_list(list), { axis = 1 })
end

local function cluster_class(self, rows, class, o)
  local found = kmeans(rows, o.clusters, { seed = o.seed, starts = o.starts })
  for m = 1, o.clusters do
    local members = {}
    for i = 1, rows:size(1) do
      if found.assignment:get(i) == m then members[#members + 1] = i end
    end
    if #members > 0 then
      local directions = pca(rows_of(rows, members), { components = o.components })
      self[#self + 1] = { class = class, count = #members, centroid = directions.mean,
        directions = directions }
    end
  end
end

local function pack(self, clusters, o)
  local m, f = #clusters, clusters[1].centroid:size(1)
  self.centroids, self.components = tensor.zeros { m, f }, tensor.zeros { m, o.components, f }
  self.deviations = tensor.zeros { m, o.components }
  self.counts, self.classes = tensor.zeros({ m }, "i32"), tensor.zeros({ m }, "i32")
  for i, cluster in ipairs(clusters) do
    self.centroids:select(1, i):copy(cluster.centroid)
    local k = cluster.directions.components:size(1)
    if k > 0 then
      self.components:select(1, i):narrow(1, 1, k):copy(cluster.directions.components)
      for j = 1, k do self.deviations:set(i, j, math.sqrt(cluster.directions.variances:get(j))) end
    end
    self.counts:set(i, cluster.count)
    self.classes:set(i, cluster.class)
  end
  return self
end

local function same(a, b)
  for i = 1, math.max(#a, #b) do
    if not (a[i] and b[i] and math.abs(a[i] - b[i]) < 1e-4) then return false end
  end
  return true
end

local function make(net, split, o)
  for _, name in ipairs { "clusters", "components" } do
    if type(o[name]) ~= "number" or o[name] % 1 ~= 0 or o[name] < 1 then
      F.raise("dream.metadata: %s must be a whole number of at least 1, got %s", name,
        tostring(o[name]))
    end
  end
  if not same(net.mean, split.mean) or not same(net.std, split.std) then
    F.raise("dream.metadata: the images of %s are normalised otherwise than the network's were; "
      .. "call d:normalise_as(net)", split.name)
  end
  if o.share ~= 1 then split = split:part(o.share, { seed = o.seed }) end
  local all, labels = module.activations(net, split, { layer = o.layer, batch = o.batch,
    dtype = o.precision })
  local clusters = {}
  for class, list in ipairs(rows_by_class(labels, split.classes)) do
    if #list == 0 then
      F.raise("dream.metadata: class %d (%s) has no images in %s; metadata are made of some of "
        .. "every class", class, split.names and split.names[class] or "?", split.name)
    end
    if #list < o.clusters then
      F.raise("dream.metadata: class %d (%s) has %s for %d clusters; take a larger share or fewer "
        .. "clusters", class, split.names and split.names[class] or "?", text.count(#list, "image"),
        o.clusters)
    end
    cluster_class(clusters, rows_of(all, list), class, o)
  end
  local self = { network = net:hash(), layer = o.layer, mean = net.mean, std = net.std }
  return pack(setmetatable(self, Metadata), clusters, o)
end

--- See the top of this file.
function module.metadata(net, split, opts)
  local o = F.options(opts, { share = 0.1, layer = "pool", clusters = 10, components = 10,
    starts = 8, seed = 1, batch = 256, precision = "f32", path = F.none }, "dream.metadata")
  module.need_teacher(net, "dream.metadata")
  if o.path and F.C.ea_file_exists(o.path) == 1 then
    return module.read_metadata(o.path):check(net)
  end
  local made = make(net, split, o)
  return o.path and made:save(o.path) or made
end

-- ---- files -------------------------------------------------------------------------------------

--- A text as u8 {length}.
function module.ascii(s)
  local t = tensor.empty({ #s }, "u8")
  ffi.copy(F.data(t), s, #s)
  return t
end

local function from_zero(t)
  return raw.shifted(t, -1)
end

--- Writes the file described at the top.
function Metadata:save(path)
  io_files.save(path, { centroids = self.centroids, components = self.components,
    deviations = self.deviations, counts = self.counts, classes = from_zero(self.classes),
    mean = tensor.tensor(self.mean), std = tensor.tensor(self.std),
    layer = module.ascii(self.layer), network = module.ascii(self.network) })
  return self
end

local function need(found, path, name, dtype, ...)
  local t, size = found[name], { ... }
  local fits = t and t.dtype == dtype and t.ndim == #size
  for i, n in ipairs(size) do
    fits = fits and (n == 0 and t:size(i) >= 1 or t:size(i) == n)
  end
  if not fits or dtype == "f32" and t:count_nonfinite() > 0 then
    F.raise("%s is no metadata of a network: %s", path,
      t and ("its %s is %s%s"):format(name, F.describe(t), fits and ", with NaN or infinity" or "")
      or "it has no " .. name)
  end
  return t
end

local function word(t) return ffi.string(F.data(t), t:size(1)) end

--- The metadata in a file; every size and number is checked.
function module.read_metadata(path)
  local found = io_files.load_named(path, "dream.read_metadata")
  local self = setmetatable({}, Metadata)
  self.centroids = need(found, path, "centroids", "f32", 0, 0)
  local m, f = self.centroids:size(1), self.centroids:size(2)
  self.components = need(found, path, "components", "f32", m, 0, f)
  self.deviations = need(found, path, "deviations", "f32", m, self.components:size(2))
  self.counts = need(found, path, "counts", "i32", m)
  self.classes = raw.shifted(need(found, path, "classes", "i32", m), 1)
  self.mean = need(found, path, "mean", "f32", 0):tolist()
  self.std = need(found, path, "std", "f32", #self.mean):tolist()
  self.network = word(need(found, path, "network", "u8", 16))
  self.layer = word(need(found, path, "layer", "u8", 0))
  for i = 1, m do
    if self.classes:get(i) < 1 or self.classes:get(i) > 2 ^ 16 or self.counts:get(i) < 1 then
      F.raise("%s is no metadata of a network: cluster %d has class %d and %d images", path, i,
        self.classes:get(i) - 1, self.counts:get(i))
    end
  end
  return self
end

--- Raises unless the metadata are of this very network. Returns itself.
function Metadata:check(net)
  module.need_teacher(net, "metadata:check")
  local own = net:hash()
  if own ~= self.network then
    F.raise("the metadata are of another network: made with weights of hash %s, these have %s",
      self.network, own)
  end
  return self
end

-- ---- looking at it -----------------------------------------------------------------------------

--- Bytes of all arrays.
function Metadata:bytes()
  local total = 16 + #self.layer + 8 * #self.mean
  for _, name in ipairs { "centroids", "components", "deviations", "counts", "classes" } do
    total = total + self[name]:bytes()
  end
  return total
end

--- Numbers of it: { clusters, features, components, images, classes, smallest, bytes,
-- }.
function Metadata:facts()
  local m, images, smallest, most = self.centroids:size(1), 0, math.huge, 0
  for i = 1, m do
    images, smallest = images + self.counts:get(i), math.min(smallest, self.counts:get(i))
    most = math.max(most, self.classes:get(i))
  end
  return { clusters = m, features = self.centroids:size(2), components = self.components:size(2),
    images = images, classes = most, smallest = smallest, bytes = self:bytes() }
end

--- What it holds, how large it is, and what it may tell about single images, as a text.
function Metadata:report()
  local f = self:facts()
  local rows = {
    { "network", self.network }, { "layer", self.layer },
    { "classes", f.classes }, { "clusters", f.clusters },
    { "features", f.features }, { "components of a cluster", f.components },
    { "images it was made from", text.grouped(f.images) },
    { "smallest cluster", text.count(f.smallest, "image") },
    { "size", ("%.1f kB"):format(f.bytes / 1000) },
  }
  local note = "It contains no image, but it is no proof of privacy: a centroid is a mean of "
    .. "activations,\nand whoever has the network can test whether an image fits it suspiciously "
    .. "well (membership\ninference). The smaller the cluster, the more it tells"
  if f.smallest == 1 then
    note = note .. ": a cluster of 1 image is that image's activation"
  elseif f.smallest <= f.components then
    note = note .. (": with %d components, a cluster of %d images\nspans their activations exactly")
      :format(f.components, f.smallest)
  end
  return tables({ "metadata", "" }, rows, { align = { "left", "right" } }) .. "\n" .. note .. "."
end

return module
