-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.context - T, what an objective is a function of.
--
--   T(layer)       activations {n, h, w, c} or {n, c} of a layer, see layers.lua. T "input": the
--                  images themselves {n, h, w, c} in [0, 1], before transforms
--   T.n            images in this batch; T.total: in the whole rendering
--   T.step         a tensor with the number of the step, from 1; T.steps: how many there will be
--   T.rng          T.rng:uniform(size, low, high), T.rng:normal(size, mean, std): {n, size...},
--                  drawn anew in every step, for each image from a stream of its own
--   T.labels       the names of the classes, if the network has any
--   T.net          the network
--   T:mean(x), T:sum(x), T:norm(x, eps)   of each image's numbers: {n}
--   T:rows(m)      of a tensor {total, ...}, the rows of the images of this batch
--   T:one_hot(list, c)   {n, c}: for image k a 1 at list[k]; list may be a number
--   T:is_image(k)  {n}: 1 for image k, else 0
--   T:constant(t)  a tensor of T's element type
--   T.lucid        true: T:mean, T:sum and T:norm run over the batch too, as Lucid's objectives
--
-- The function runs once, while its computation is recorded; what changes from step to step must
-- come from T.step and T.rng. T has slots: tensors with a function that fills them for a batch of
-- images ("ids", from 1) or for every step.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"

local functions = ops.functions
local methods = {}
local context = {}

local meta = { __index = methods }

--- T(layer)
function meta.__call(T, name) return T:layer(name) end

-- ---- slots -------------------------------------------------------------------------------------

--- A tensor of T's type that fill(t, T, step) sets; each_step: before every step, else once for a
-- batch of images.
function methods:slot(size, fill, each_step)
  local outer = F.set_scope(nil)
  local t = tensor.zeros(size, self.dtype)
  F.set_scope(outer)
  self.slots[#self.slots + 1] = { tensor = t, fill = fill, each_step = each_step }
  fill(t, self, 1)
  return t
end

--- Fills the slots for these images (numbers from 1; nil: the same as before) at that step.
function methods:fill(step, ids)
  if ids then self.ids = ids end
  for _, slot in ipairs(self.slots) do
    if ids or slot.each_step then slot.fill(slot.tensor, self, step) end
  end
end

--- Index of a random stream for one image and step; 2^20 steps, 2^33 images.
local function index_of(id, step) return (id - 1) * 2 ^ 20 + step end
methods.index = index_of

--- {n, size...}: image k's numbers are stream:METHOD(size, a, b) of the stream `name` for its id
-- and the step, new ones in every step.
function methods:draws(name, method, size, a, b)
  local full = { self.n, unpack(size or {}) }
  return self:slot(full, function(t, T, step)
    for k = 1, T.n do
      local stream = random.rng(name,
        { seed = T.seed, index = index_of(T.ids[k] + T.first - 1, step) })
      local row = stream[method](stream, #full > 1 and size or { 1 }, a, b, T.dtype)
      t:narrow(1, k, 1):copy(row:reshape { 1, unpack(size or {}) })
      row:drop()
    end
  end, true)
end

local rng = {}
rng.__index = rng
local function draw(self, method, size, a, b)
  if type(size or {}) ~= "table" then
    F.raise("T.rng:%s: expected the sizes for one image, as in {3}, got a %s", method, type(size))
  end
  self.count = self.count + 1
  return self.T:draws(self.of .. self.count, method, size, a, b)
end

--- Numbers as T.rng gives, from streams of their own that begin so.
function methods:rng_of(name) return setmetatable({ T = self, of = name, count = 0 }, rng) end

--- Uniform numbers in [low, high), {n, size...}, new ones in every step.
function rng:uniform(size, low, high) return draw(self, "uniform", size, low, high) end
--- Normal numbers {n, size...}, new ones in every step.
function rng:normal(size, mean, std) return draw(self, "normal", size, mean, std) end

-- ---- what objectives ask -----------------------------------------------------------------------

--- What T(name) gives.
function methods:layer(name)
  if type(name) ~= "string" then
    F.raise("T: expected a layer's name, such as \"group3\", got a %s", type(name))
  end
  if name == "input" then return self.input end
  if self.cache[name] == nil then
    local t = self.get(name)
    self.cache[name] = t.dtype ~= self.dtype and t:to(self.dtype) or t
  end
  return self.cache[name]
end

--- All axes but the first, or all where Lucid reduces the batch too.
local function axes_of(T, x)
  local axes = {}
  for d = T.lucid and 1 or 2, x.ndim do axes[#axes + 1] = d end
  return axes
end

local function reduced(T, name, x, attrs)
  F.need_tensor(x, "T:" .. name)
  if x.ndim == 1 and not T.lucid then
    return name == "norm" and functions.norm(x:reshape(-1, 1), { axes = { 2 }, eps = attrs.eps })
      or x
  end
  if x.ndim == 0 then return x end
  attrs.axes = axes_of(T, x)
  return functions[name](x, attrs)
end

--- Mean of each image's numbers: {n}.
function methods:mean(x) return reduced(self, "mean", x, {}) end
--- Sum of each image's numbers: {n}.
function methods:sum(x) return reduced(self, "sum", x, {}) end
--- sqrt(sum of squares + eps) of each image's numbers: {n}.
function methods:norm(x, eps) return reduced(self, "norm", x, { eps = eps or 0 }) end

--- A tensor, list or number as a tensor of T's element type.
function methods:constant(x)
  if not F.is_tensor(x) then return tensor.tensor(x, self.dtype) end
  return x.dtype == self.dtype and x:contiguous() or x:detach():to(self.dtype)
end

--- Rows {n, ...} of m {total, ...} for the images of this batch; a single row serves all.
function methods:rows(m)
  m = self:constant(m)
  local size = m.shape
  if size[1] == 1 then return m end
  if self.total and size[1] ~= self.total then
    F.raise("there are %d images, but %d rows of what each of them has of its own", self.total,
      size[1])
  end
  size[1] = self.n
  return self:slot(size, function(t)
    for k = 1, self.n do t:narrow(1, k, 1):copy(m:narrow(1, self.ids[k], 1)) end
  end)
end

--- {n, c} with a 1 at list[k] for image k; one number serves all: {1, c}. what: for messages.
function methods:one_hot(list, c, what)
  if type(list) == "number" then list = { list } end
  local m = tensor.zeros({ #list, c }, self.dtype)
  for k, i in ipairs(list) do
    if type(i) ~= "number" or i % 1 ~= 0 or i < 1 or i > c then
      F.raise("%s: expected a whole number from 1 to %d, got %s", what or "one_hot", c, tostring(i))
    end
    m:set(k, i, 1)
  end
  return self:rows(m)
end

--- {n}: 1 for image k, 0 for the others.
function methods:is_image(k)
  return self:slot({ self.n }, function(t)
    for i = 1, self.n do t:set(i, self.ids[i] == k and 1 or 0) end
  end)
end

--- Number of the class with that name (or number).
function methods:class(label, where)
  if type(label) == "number" then return label end
  for i, name in ipairs(self.labels or {}) do if name == label then return i end end
  if not self.labels then
    F.raise("%s: the network has no names of classes (net.meta.names); give the class's number",
      where)
  end
  F.raise("%s: there is no class '%s'%s", where, tostring(label),
    require("edgeai.text").suggest(tostring(label), self.labels))
end

-- ---- making one --------------------------------------------------------------------------------

local fields = { n = F.none, total = F.none, ids = F.none, get = F.none, input = F.none,
  dtype = "f32", steps = 1, seed = 1, first = 1, labels = F.none, net = F.none, lucid = false,
  of = F.none }

--- A T over n images. get(name) gives a layer's activations, input is the images.
function context.new(given)
  local T = F.options(given, fields, "context")
  T.ids = T.ids or {}
  for k = #T.ids + 1, T.n do T.ids[k] = k end
  T.slots, T.cache, T.values = {}, {}, {}
  setmetatable(T, meta)
  T.rng = T:rng_of "vis/objective/"
  T.step = T:slot({ 1 }, function(t, _, step) t:fill(step) end, true)
  return T
end

--- A T over given activations { name = tensor, input = images }, for trying objectives out and for
-- tests. Labels, dtype and so on as fields of `options`.
function context.of(activations, options)
  local first = select(2, next(activations))
  local o = { n = first:size(1), dtype = first.dtype, input = activations.input }
  for key, value in pairs(options or {}) do o[key] = value end
  o.total = o.total or o.n
  local function get(name)
    if activations[name] == nil then
      F.raise("there is no layer '%s' here%s", name,
        require("edgeai.text").suggest(name, require("edgeai.text").keys(activations)))
    end
    return activations[name]
  end
  o.get = get
  return context.new(o)
end

return context
