-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.dream.fast - the fast engine of ea.dream.synthesise: a batch of images from a generator in
-- a few steps, after Fast-Meta (Fang et al. 2022, arXiv 2112.15278).
--
-- Each batch starts from the generator's meta weights and from vectors z of its own; `steps` steps
-- of Adam (beta1 0.5) on both lower
--   bn * statistics + ce * CE(teacher, label) + target * |a - t|^2 / |t|^2 + tv * variation
--     - disagreement * KL(teacher || student) of the images on which both name the same class
-- (statistics.lua; a: the teacher's pooled activation, t: its target). The gradients of all steps
-- add up and move the meta weights by one step of Adam (first-order MAML; lr times steps), so that
-- later batches start nearer. The images are those of the step with the lowest loss. In each step
-- the teacher sees the batch shifted by up to `shift` pixels (4) and half of it mirrored.

local F = require "edgeai.ffi"
local capture = require "edgeai.capture"
local frozen = require "edgeai.dream.frozen"
local grad = require "edgeai.grad"
local new_generator = require "edgeai.dream.generator"
local new_statistics = require "edgeai.dream.statistics"
local ops = require "edgeai.ops"
local optim = require "edgeai.optim"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"

local fn = ops.functions
local Fast = {}
Fast.__index = Fast

-- ---- the loss ----------------------------------------------------------------------------------

local function per_channel(list) return tensor.tensor(list):reshape(1, 1, 1, #list) end

local function variation(x)
  local h, w = x:size(2), x:size(3)
  local down = x:narrow(2, 2, h - 1) - x:narrow(2, 1, h - 1)
  local across = x:narrow(3, 2, w - 1) - x:narrow(3, 1, w - 1)
  return down:square():mean() + across:square():mean()
end

--- Mean KL(teacher || student) over the images that both take for the same class, times -1.
local function disagreement(teacher, student)
  local agree = grad.no_grad(function()
    return fn.equal(teacher:argmax(), student:argmax()):to("f32")
  end)
  local kl = (teacher:softmax() * (teacher:log_softmax() - student:log_softmax()))
    :sum { axes = { 2 } }
  return (kl * agree):mean() * -1
end

local function look(self, x, inputs)
  local o, total, parts = self.opts, nil, {}
  local function add(name, weight, term)
    if weight == 0 then return end
    parts[#parts + 1], self.names[#self.names + 1] = term, name
    term = term * weight
    total = total and total + term or term
  end
  local teacher = self.teacher
  local found, logits, measured
  local function ask()
    local names = o.target ~= 0 and { o.layer } or {}
    found, logits = teacher:features(x, names)
  end
  frozen(teacher, function()
    if not self.statistics then return ask() end
    local _, distance, list = self.statistics:measure(ask)
    measured = list
    add("bn", o.bn, distance)
  end)
  logits = logits:to("f32")
  add("ce", o.ce, logits:cross_entropy(inputs.labels))
  if o.target ~= 0 then
    local off = found[o.layer]:to("f32") - inputs.targets
    add("target", o.target, off:square():sum() / inputs.targets:square():sum())
  end
  if o.student then
    local answer = frozen(o.student, function() return o.student(x):to("f32") end)
    self.adversary = tensor.full({}, 0) -- 0 during the warm-up
    parts[#parts + 1], self.names[#self.names + 1] = disagreement(logits, answer), "disagreement"
    local term = parts[#parts] * self.adversary
    total = total and total + term or term
  end
  return total, parts, measured or {}
end

local function record(self)
  local o = self.opts
  local b, h, w = o.batch, o.shape[1], o.shape[2]
  self.names = {}
  local specs = { { size = { b }, dtype = "i32" }, { size = { b, h, w, 2 } } }
  if o.target ~= 0 then specs[3] = { size = { b, o.features } } end
  self.generator:train()
  self.graph = capture(function(labels, grid, targets)
    local images = self.generator(self.z)
    local x = (images - per_channel(o.mean)) / per_channel(o.std)
    x = fn.warp(x, grid, { mode = 1 })
    local total, parts, measured = look(self, x, { labels = labels, targets = targets })
    if o.tv ~= 0 then
      local tv = variation(images)
      parts[#parts + 1], self.names[#self.names + 1] = tv, "tv"
      total = total and total + tv * o.tv or tv * o.tv
    end
    if not total then F.raise("dream: all priors are 0; give bn, ce, target, tv or a student") end
    local outputs = { total, images }
    for _, list in ipairs { parts, measured } do
      for _, t in ipairs(list) do outputs[#outputs + 1] = t end
    end
    return unpack(outputs)
  end, specs)
end

-- ---- one batch ---------------------------------------------------------------------------------

--- Where each pixel is read: shifted and mirrored, image by image.
local function fill_grid(self, stream)
  local o = self.opts
  local b, h, w = o.batch, o.shape[1], o.shape[2]
  local draws = stream:uniform({ b, 3 }, 0, 1)
  local p, to, at = F.data(draws), F.data(self.graph.inputs[2]), 0
  for n = 0, b - 1 do
    local down = math.floor(p[3 * n] * (2 * o.shift + 1)) - o.shift
    local across = math.floor(p[3 * n + 1] * (2 * o.shift + 1)) - o.shift
    local mirror = p[3 * n + 2] < 0.5
    for i = 0, h - 1 do
      for j = 0, w - 1 do
        local x = (mirror and w - 1 - j or j) + across
        to[at], to[at + 1] = (2 * x + 1) / w - 1, (2 * (i + down) + 1) / h - 1
        at = at + 2
      end
    end
  end
  F.drop(draws)
end

--- Starts the generator's first layer anew, near zero, so that later images are of another kind.
local function forget(self)
  local g, stream = self.generator, random.rng("dream/reset", { seed = self.opts.seed })
  for _, t in ipairs { g.fc.weight, g.bn0.weight } do
    local start = stream:normal(t.shape, 0, 0.02)
    t:detach():copy(start)
    F.drop(start)
  end
  for _, t in ipairs { g.fc.bias, g.bn0.bias } do t:detach():fill(0) end
  self.meta:copy(self.inner.target.params)
end

local function restart(optimizer)
  for _, item in ipairs(optimizer:state()) do item.tensor:zero() end
  optimizer:set_counters { steps = 0 }
end

local function check(loss, k)
  if math.abs(loss) < math.huge then return end
  F.raise("dream: the loss of batch %d is %s; a lower lr or smaller weights may help", k,
    loss ~= loss and "NaN" or "infinite")
end

--- Batch k (from 1): images u8 {batch, h, w, c} of these labels {batch} i32 and targets
-- {batch, f} (nil where they do not count). Returns images, and the terms of the first and the last
-- step by name.
function Fast:batch_of(k, labels, targets)
  local o, g = self.opts, self.graph
  local flat = self.inner.target
  flat.params:copy(self.meta)
  if k == o.reset + 1 and k > 1 then forget(self) end
  restart(self.inner)
  restart(self.inner_z)
  self.meta_grads:zero()
  local stream = random.rng("dream/z", { seed = o.seed, index = k })
  local start = stream:normal(self.z.shape, 0, 1)
  self.z:detach():copy(start)
  F.drop(start)
  g.inputs[1]:copy(labels)
  if targets then g.inputs[3]:copy(targets) end
  if self.adversary then self.adversary:fill(k > o.warmup and o.disagreement or 0) end
  local views = random.rng("dream/views", { seed = o.seed, index = k * 2 ^ 20 })
  local best, terms = math.huge, { {}, {} }
  for step = 1, o.steps do
    fill_grid(self, views)
    g:forward(step)
    local loss = g.outputs[1]:item()
    check(loss, k)
    if loss < best then
      best = loss
      self.best:copy(g.outputs[2])
    end
    for i, name in ipairs(self.names) do
      local value = g.outputs[2 + i]:item()
      if step == 1 then terms[1][name] = value end
      terms[2][name] = value
    end
    g:backward()
    local sum = grad.no_grad(fn.add, self.meta_grads, flat.grads)
    self.meta_grads:copy(sum)
    F.drop(sum)
    self.inner:step()
    self.inner_z:step()
  end
  self.outer:step()
  if self.statistics and o.momentum > 0 then
    local measured = {}
    for i = 3 + #self.names, #g.outputs do measured[#measured + 1] = g.outputs[i] end
    self.statistics:remember(measured)
  end
  return grad.no_grad(function() return (self.best * 255 + 0.5):clamp(0, 255):to("u8") end), terms
end

--- What goes on from batch to batch: { name =, tensor = }, and the numbers that belong to it.
function Fast:state()
  local list = { { name = "generator", tensor = self.meta } }
  for _, item in ipairs(self.outer:state()) do
    list[#list + 1] = { name = "outer." .. item.name, tensor = item.tensor }
  end
  for _, item in ipairs(self.statistics and self.statistics:state() or {}) do
    list[#list + 1] = item
  end
  return list, self.outer:counters()
end

--- Sets the numbers of `state`.
function Fast:set_counters(counters) self.outer:set_counters(counters) end

--- Frees the graph.
function Fast:free() self.graph:free() end

--- opts: shape, mean, std, batch, steps, lr, lr_z, bn, ce, target, tv, disagreement, warmup
-- (batches), reset (the batch after which the first layer starts anew), momentum, shift, layer,
-- features, student (or nil), z, width, seed, precision.
return function(teacher, o)
  local self = setmetatable({ teacher = teacher, opts = o }, Fast)
  self.generator = new_generator { shape = o.shape, z = o.z, k = o.width }
  self.generator:set_precision(o.precision)
  self.inner = optim.adam(self.generator, { lr = o.lr, beta1 = 0.5 })
  local params = self.inner.target.params
  self.meta = tensor.empty(params.shape):copy(params)
  self.meta_grads = tensor.zeros(params.shape)
  self.outer = optim.adam({ params = self.meta, grads = self.meta_grads },
    { lr = o.lr * o.steps, beta1 = 0.5 })
  self.z = tensor.zeros({ o.batch, o.z }):require_grad()
  self.inner_z = optim.adam(self.z, { lr = o.lr_z, beta1 = 0.5 })
  self.best = tensor.zeros { o.batch, o.shape[1], o.shape[2], o.shape[3] }
  if o.bn ~= 0 then self.statistics = new_statistics(teacher, o.momentum) end
  record(self)
  return self
end
