-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dfkd.reconstruct(net, metadata, like, opts) - images that bring about activations drawn from
-- ea.dfkd.metadata, as a split with classes, mean and std of `like` (a data set with shape):
-- pixels of a batch start as N(0.15, 0.1^2), and Adam on them lowers, over all layers of all
-- blocks, the sum of
--   mean over images and units of (r(target) - r(activation))^2
-- with r the ReLU, or nothing for the last layer, whose outputs may be negative; after each step
-- pixels are clamped to [0, 1]. Classes take turns.
--
-- opts: count (6400), batch (64), steps (1000), lr (0.07), start ({ mean, deviation }), seed (1),
-- label. A batch depends on the seed and its number alone. Returns the split and { first, last: the
-- loss of the first and the last step, mean over the batches }.

local F = require "edgeai.ffi"
local capture = require "edgeai.capture"
local data = require "edgeai.data"
local frozen = require "edgeai.dream.frozen"
local grad = require "edgeai.grad"
local optim = require "edgeai.optim"
local progress = require "edgeai.progress"
local random = require "edgeai.random"
local raw = require "edgeai.data.raw"
local tensor = require "edgeai.tensor"

local defaults = { count = 6400, batch = 64, steps = 1000, lr = 0.07, start = { 0.15, 0.1 },
  seed = 1, label = "images" }

local function per_channel(list) return tensor.tensor(list):reshape(1, 1, 1, #list) end

local function record(self, net, meta, like)
  local last, specs = meta.layers[#meta.layers], {}
  for i, block in ipairs(meta.blocks) do
    specs[i] = { size = { self.batch, block.mean:size(2) } }
  end
  self.graph = capture(function(...)
    local targets, total = { ... }, nil
    local x = (self.pixels - per_channel(like.mean)) / per_channel(like.std)
    local found = frozen(net, function() return net:features(x, meta.layers) end)
    for i, block in ipairs(meta.blocks) do
      local first = 1
      for j, name in ipairs(block.layers) do
        local a = found[name]:to("f32"):reshape(self.batch, block.sizes[j])
        local t = targets[i]:narrow(2, first, block.sizes[j])
        if name ~= last then a, t = a:relu(), t:relu() end
        local term = (a - t):square():mean()
        total, first = total and total + term or term, first + block.sizes[j]
      end
    end
    return total
  end, specs)
end

--- Batch k (from 1) of these labels. Returns the first and the last loss.
local function make(self, meta, k, labels, o)
  local stream = random.rng("dfkd/start", { seed = o.seed, index = k })
  self.pixels:detach():copy(stream:normal(self.pixels.shape, o.start[1], o.start[2]):clamp(0, 1))
  for _, item in ipairs(self.optimizer:state()) do item.tensor:zero() end
  self.optimizer:set_counters { steps = 0 }
  for i, block in ipairs(meta.blocks) do
    self.graph.inputs[i]:copy(meta:targets(block, labels, (k - 1) * o.batch + 1, o.seed))
  end
  local before, loss
  for step = 1, o.steps do
    self.graph:forward()
    loss = self.graph.outputs[1]:item()
    if not (loss < math.huge) then
      F.raise("dfkd.reconstruct: the loss is %s; a lower lr may help", tostring(loss))
    end
    before = before or loss
    self.graph:backward()
    self.optimizer:step()
    grad.scope(function()
      local x = self.pixels:detach()
      x:copy(x:clamp(0, 1))
    end)
    if step % 100 == 0 and F.C.ea_interrupt_pending() ~= 0 then
      F.raise("interrupted in batch %d of the images", k)
    end
  end
  return before, loss
end

local function check(meta, like, o)
  if type(meta) ~= "table" or not meta.blocks then
    F.raise("dfkd.reconstruct: expected metadata of ea.dfkd.metadata, got a %s", type(meta))
  end
  if meta.classes ~= like.classes then
    F.raise("dfkd.reconstruct: the metadata are of %d classes, the data set has %d", meta.classes,
      like.classes)
  end
  for _, name in ipairs { "count", "batch", "steps" } do
    if type(o[name]) ~= "number" or o[name] % 1 ~= 0 or o[name] < 1 then
      F.raise("dfkd.reconstruct: %s must be a whole number of at least 1, got %s", name,
        tostring(o[name]))
    end
  end
end

--- See the top of this file.
return function(net, meta, like, opts)
  local o = F.options(opts, defaults, "dfkd.reconstruct")
  check(meta, like, o)
  local h, w, c = unpack(like.shape)
  local batches = math.ceil(o.count / o.batch)
  local self = { batch = o.batch, pixels = tensor.zeros({ o.batch, h, w, c }):require_grad() }
  self.optimizer = optim.adam(self.pixels, { lr = o.lr })
  record(self, net:eval(), meta, like)
  local images = raw.new("u8", { batches * o.batch, h, w, c })
  local labels = raw.new("i32", { batches * o.batch })
  for i = 0, batches * o.batch - 1 do F.data(labels)[i] = i % like.classes + 1 end
  local bar = progress { label = o.label, total = batches, unit = "batch" }
  local found = { first = 0, last = 0 }
  for k = 1, batches do
    local first = (k - 1) * o.batch + 1
    local before, after = make(self, meta, k, labels:narrow(1, first, o.batch):contiguous(), o)
    found.first, found.last = found.first + before / batches, found.last + after / batches
    grad.scope(grad.no_grad, function()
      images:narrow(1, first, o.batch):copy((self.pixels:detach() * 255 + 0.5):clamp(0, 255)
        :to("u8"))
    end)
    bar:update(k, { loss = after })
  end
  bar:done { loss = found.last }
  self.graph:free()
  return data.given(like, images, labels, "reconstructions"), found
end
