-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.render - images that an objective is large for.
--
--   local r = ea.vis.render(net, obj.channel("group3", 12) - 1e-3 * obj.total_variation(), {
--     steps = 256, images = 4 })
--   ea.image.save("channel.png", ea.image.grid(r.images))
--
-- Options, with what they are if not given:
--   images        how many (what the objective is for, or 1)
--   steps         256; or thresholds {64, 256}: steps after which to keep the images
--   param         ea.vis.param.fourier{}: what is optimised, see param/init.lua
--   transforms    ea.vis.transform.standard(size); {} for none
--   optimizer     ea.vis.optimizer.adam{ lr = 0.05 }
--   size, channels   of the images: the network's
--   input         {h, w} that the network sees: its own, or the images' size
--   mean, std     of the network's input: those of the file it came from (net.mean, net.std)
--   precision     "f32" or "bf16" inside the network: what it is set to
--   seed          1; image k depends on (seed, k) and its options alone
--   redirect      16: in so many steps ReLUs let gradients into dead units
--   smooth_pool   false; true: gradients of max pools are spread over their windows
--   memory        1e9 bytes for a batch; or batch = images at a time
--   quiet         false
--   out           a folder: every finished batch is written there, and an interrupted one; a second
--                 call with the same options goes on
--   on_step       function(step, values {n}) for every step
--
-- Returns { images {n, h, w, c}, values {n} of the objective, history = { total {steps, n}, and
-- each term by its name }, thresholds = list of images, steps, seconds, peak, interrupted }. Ctrl-C
-- ends it and keeps what is there.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local colour = require "edgeai.vis.colour"
local engine = require "edgeai.vis.engine"
local objective = require "edgeai.vis.objective"
local optimizer = require "edgeai.vis.optimizer"
local param = require "edgeai.vis.param"
local progress = require "edgeai.progress"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"
local transform = require "edgeai.vis.transform"
local why = require "edgeai.vis.why"

local C = F.C
local render = {}

local defaults = { images = F.none, steps = F.none, thresholds = F.none, param = F.none,
  transforms = F.none, optimizer = F.none, size = F.none, channels = F.none, input = F.none,
  mean = F.none, std = F.none, precision = F.none, seed = F.none, redirect = 16,
  smooth_pool = false, memory = 1e9, batch = F.none, quiet = false, out = F.none,
  on_step = F.none }

-- ---- options -----------------------------------------------------------------------------------

local function whole(o, name, least)
  local v = o[name]
  if v ~= nil and (type(v) ~= "number" or v % 1 ~= 0 or v < least) then
    F.raise("render: %s must be a whole number of at least %d, got %s", name, least, tostring(v))
  end
end

local function pair_of(v, name)
  if type(v) == "number" then v = { v, v } end
  if type(v) ~= "table" or #v ~= 2 or type(v[1]) ~= "number" or type(v[2]) ~= "number" then
    F.raise("render: %s must be {height, width}", name)
  end
  return v
end

--- Mean and deviation of the network's input, one number a channel.
local function input_statistics(net, o, channels)
  local mean, std = o.mean or net.mean, o.std or net.std
  if not mean or not std then
    F.raise("render: the network does not say what its input is normalised with; give mean = {...} "
      .. "and std = {...} (as ea.data.load has them), or net:save(path, { mean =, std = })")
  end
  for name, list in pairs { mean = mean, std = std } do
    if type(list) ~= "table" or #list ~= channels then
      F.raise("render: %s must be a list of %d numbers, one for each channel", name, channels)
    end
  end
  return mean, std
end

local function options_of(net, goal, given)
  local o = F.options(given, defaults, "render")
  if not Module.is(net) then F.raise("render: expected a network first, got a %s", type(net)) end
  for name, least in pairs { images = 1, steps = 1, batch = 1, redirect = 0, seed = 0 } do
    whole(o, name, least)
  end
  local shape = net.input_shape or {}
  o.size = pair_of(o.size or { shape[2] or 32, shape[3] or 32 }, "size")
  o.channels = o.channels or shape[4] or 3
  o.mean, o.std = input_statistics(net, o, o.channels)
  local images, coupled = goal:needs()
  if o.images and images and images ~= o.images then
    F.raise("render: the objective is for %d images, not for %d", images, o.images)
  end
  o.total, o.coupled = o.images or images or 1, coupled
  o.param = o.param or param.fourier {}
  if not param.is(o.param) then F.raise("render: param must be one of ea.vis.param") end
  o.made = o.param:build(o.size, o.channels)
  o.coupled = o.coupled or o.made.coupled
  o.input = pair_of(o.input or (shape[2] and { shape[2], shape[3] }) or o.made.size, "input")
  o.transforms = o.transforms or transform.standard(o.input[1])
  if o.made.alpha and not o.transforms[1] then o.transforms = { transform.background() } end
  o.thresholds = o.thresholds or { o.steps or 256 }
  o.steps = o.steps or o.thresholds[#o.thresholds]
  o.optimizer = o.optimizer or optimizer.adam {}
  if not optimizer.is(o.optimizer) then
    F.raise("render: optimizer must be one of ea.vis.optimizer")
  end
  o.seed = o.seed or random.current_seed
  return o
end

-- ---- one batch ---------------------------------------------------------------------------------

local session = {}
session.__index = session

local function new_engine(self, n)
  local o = self.opts
  return engine.new(self.net, self.objective, o.made, n, { mean = o.mean, std = o.std,
    steps = o.steps, total = o.total, seed = o.seed, transforms = o.transforms, input = o.input,
    redirect = o.redirect, smooth_pool = o.smooth_pool, lucid = false,
    optimizer = function(list) return o.optimizer.make(list, false) end })
end

local function start_batch(self, ids)
  if not self.engine or self.engine.n ~= #ids then
    if self.engine then self.engine:free() end
    self.engine = new_engine(self, #ids)
  end
  self.engine:load(ids)
  self.ids = ids
  self.history = { total = tensor.zeros { self.opts.steps, #ids } }
  for _, term in ipairs(self.engine.terms) do
    self.history[term.label] = tensor.zeros { self.opts.steps, #ids }
  end
  self.kept = {}
end

--- One step: forward, values noted and looked at, backward, update.
local function advance(self)
  local e = self.engine
  local outputs, graph = e:step()
  local step = e.step_count + 1
  local row = math.min(step, self.opts.steps)
  self.history.total:narrow(1, row, 1):copy(outputs[2]:reshape(1, e.n))
  for i, term in ipairs(e.terms) do
    self.history[term.label]:narrow(1, row, 1):copy(outputs[3 + i]:reshape(1, e.n))
  end
  if outputs[2]:count_nonfinite() > 0 then why.not_finite(e, outputs, step) end
  e:update(graph)
  if step == 1 or step == self.opts.redirect + 1 then why.no_gradient(e, step) end
  if self.opts.on_step then self.opts.on_step(step, outputs[2]) end
  for _, at in ipairs(self.opts.thresholds) do
    if at == step then self.kept[#self.kept + 1] = e:images() end
  end
end

--- A handle on a rendering: see ea.vis.start.
local function new_session(net, goal, given)
  local self = setmetatable({ net = net, objective = objective.as(goal, "render") }, session)
  self.opts = options_of(net, self.objective, given)
  return self
end

local function with_precision(self, fn)
  local o, net = self.opts, self.net
  if not o.precision then return fn() end
  local was = {}
  net:walk(function(_, m) was[m] = { rawget(m, "precision"), rawget(m, "wide") } end)
  net:set_precision(o.precision)
  local ok, message = pcall(fn)
  for m, v in pairs(was) do m.precision, m.wide = v[1], v[2] end
  if not ok then error(message, 0) end
end

--- Runs fn with the parameters of the network frozen.
local function frozen(self, fn)
  local thawed = {}
  for _, p in ipairs(self.net:parameters()) do
    if p.tensor.requires_grad then
      thawed[#thawed + 1] = p.tensor
      p.tensor:require_grad(false)
    end
  end
  local ok, message = pcall(with_precision, self, fn)
  for _, t in ipairs(thawed) do t:require_grad() end
  if not ok then error(message, 0) end
end

-- ---- all of them -------------------------------------------------------------------------------

--- Images at a time: what fits into the memory asked for.
local function batch_size(self)
  local o = self.opts
  if o.coupled then return o.total end
  if o.batch or o.total == 1 then return math.min(o.batch or 1, o.total) end
  local one, two = new_engine(self, 1), new_engine(self, 2)
  local a, b = one:peak(), two:peak()
  one:free()
  two:free()
  local each = math.max(1, b - a)
  return math.max(1, math.min(o.total, math.floor((o.memory - (a - each)) / each)))
end

local function run_batch(self, bar, done)
  local o = self.opts
  while self.engine.step_count < o.steps do
    advance(self)
    local k = self.engine.step_count
    if bar and bar:due() then
      bar:update(done * o.steps + k * #self.ids,
        { value = self.engine.outputs[2]:mean():item() })
    end
    if C.ea_interrupt_pending() ~= 0 then
      self.interrupted = true
      return
    end
  end
end

local function put(result, self, first)
  local n = #self.ids
  result.images:narrow(1, first, n):copy(self.engine:images())
  for name, t in pairs(self.history) do result.history[name]:narrow(2, first, n):copy(t) end
  for i, t in ipairs(self.kept) do
    if not result.thresholds[i] then
      result.thresholds[i] = tensor.zeros(result.images.shape)
    end
    result.thresholds[i]:narrow(1, first, n):copy(t)
  end
end

local function new_result(self)
  local o, made = self.opts, self.opts.made
  local result = { images = tensor.zeros { o.total, made.size[1], made.size[2], made.channels },
    thresholds = {}, history = { total = tensor.zeros { o.steps, o.total } }, steps = o.steps }
  for _, term in ipairs(self.objective:terms()) do
    result.history[term.label] = tensor.zeros { o.steps, o.total }
  end
  return result
end

--- Makes the images: see the top of this file.
local function all(self)
  local o = self.opts
  local began, result = C.ea_clock(), new_result(self)
  local batch = batch_size(self)
  local bar = not o.quiet and progress { label = "render", total = o.total * o.steps,
    unit = "image-step" }
  for first = 1, o.total, batch do
    local ids = {}
    for k = first, math.min(first + batch - 1, o.total) do ids[#ids + 1] = k end
    start_batch(self, ids)
    run_batch(self, bar, first - 1)
    put(result, self, first)
    result.peak = math.max(result.peak or 0, self.engine:peak())
    if self.interrupted then break end
  end
  if bar then bar:done {} end
  result.values = result.history.total:select(1, o.steps):clone()
  result.seconds, result.interrupted = C.ea_clock() - began, self.interrupted or false
  return result
end

--- Makes the images: see the top of this file.
function render.render(net, goal, given)
  local self = new_session(net, goal, given)
  local result
  C.ea_interrupt_defer(1)
  local ok, message = pcall(frozen, self, function() result = all(self) end)
  C.ea_interrupt_defer(0)
  if self.engine then self.engine:free() end
  if not ok then error(message, 0) end
  return result
end

render.colour = colour

return render
