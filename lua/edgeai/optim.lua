-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.optim - optimisers over flat buffers.
--
--   local opt = ea.optim.sgd(net, { lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 5e-4
--     })
--   loss:backward(); opt:step{ lr = 0.05, scale = ea.optim.clip(net, 5) }; opt:zero_grad()
--
-- The first argument is a network (its parameters that require a gradient), what net:flatten()
-- gave, a tensor, or a list of tensors, all f32. The parameters' memory is gathered into one
-- buffer; they keep their values. Options of all:
--   lr            learning rate where step has none
--   weight_decay  0
--   exempt        {}: what has no weight decay: "bias", "bn", names of parameters or of layers
-- Formulas: edgeai.h, "optimisers". Methods of all:
--   opt:step{ lr =, scale = 1 }   one step with the gradients as they are times `scale`
--   opt:zero_grad()               gradients to 0 (captured graphs overwrite them anyway)
--   opt:gradient_norm()           Euclidean norm of all gradients
--   opt:state()                   list of { name =, tensor = }: copy into them to restore
--   opt:counters(), opt:set_counters(t)   the numbers that belong to the state

local ffi = require "ffi"
local F = require "edgeai.ffi"
local Flat = require "edgeai.flat"
local tensor = require "edgeai.tensor"
local text = require "edgeai.text"

local C = F.C
local optim = {}

-- ---- what is optimised -------------------------------------------------------------------------

local function is_network(x) return type(x) == "table" and rawget(x, "children") ~= nil end

--- { params, grads, decay_mask or nil, network or nil } of an optimiser's first argument.
local function target_of(target, exempt, where)
  if F.is_tensor(target) then target = { target } end
  if is_network(target) then
    local flat = target:flatten { exempt = exempt }
    return { params = flat.params, grads = flat.grads, network = target, list = flat.list,
      decay_mask = #exempt > 0 and flat.decay_mask or nil }
  end
  if type(target) == "table" and F.is_tensor(target.params) and F.is_tensor(target.grads) then
    return target
  end
  local list = {}
  for i, t in ipairs(type(target) == "table" and target or {}) do
    if not F.is_tensor(t) then
      F.raise("%s: item %d of the list must be a tensor, got a %s", where, i, type(t))
    end
    if not t.requires_grad then
      F.raise("%s: tensor %d requires no gradient; call t:require_grad() on it", where, i)
    end
    list[i] = { name = tostring(i), tensor = t }
  end
  if #list == 0 then
    F.raise("%s: expected a network, net:flatten(), or tensors that require a gradient, got %s",
      where, type(target) == "table" and "a table of other things" or ("a " .. type(target)))
  end
  local flat = Flat.of(list)
  return { params = flat.params, grads = flat.grads, list = flat.list,
    decay_mask = #exempt > 0 and flat:decay_mask(exempt) or nil }
end

--- A buffer like the parameters, of zeros, that outlives any ea.scope.
local function buffer_like(t)
  local outer = F.set_scope(nil)
  local buffer = tensor.zeros(t.shape)
  F.set_scope(outer)
  return buffer
end

local norm_out = ffi.new("double[1]")

local function norm(t)
  F.check(C.ea_norm(t, norm_out))
  return norm_out[0]
end

-- ---- what all optimisers have ------------------------------------------------------------------

local base = {}

--- Methods of one optimiser, on top of those of all.
local function methods()
  local class = setmetatable({}, { __index = base })
  class.__index = class
  class.__tostring = function(self) return self:describe() end
  return class
end

local below_one = { momentum = true, beta1 = true, beta2 = true }

--- Numbers out of range are refused here, at the line where they stand, not at the first step.
local function check_numbers(kind, o)
  for _, name in ipairs { "lr", "momentum", "beta1", "beta2", "eps", "weight_decay" } do
    local value, high = o[name], below_one[name] and 1 or math.huge
    if value ~= nil and not (type(value) == "number" and value >= 0 and value < high) then
      F.raise("%s: %s must be in [0, %g), but is %s", kind, name, high, tostring(value))
    end
  end
end

local function new(class, kind, target, given, defaults)
  local o = F.options(given, defaults, kind)
  check_numbers(kind, o)
  if type(o.exempt) == "string" then o.exempt = { o.exempt } end
  return setmetatable({ kind = kind, opts = o, steps = 0, buffers = {},
    target = target_of(target, o.exempt, kind) }, class)
end

local function add_buffer(self, name)
  local t = buffer_like(self.target.params)
  self.buffers[#self.buffers + 1] = { name = name, tensor = t }
  return t
end

--- lr and scale of a step's options.
local function step_options(self, given)
  local lr, scale = self.opts.lr, 1
  for key, value in pairs(given or {}) do
    if key == "lr" then lr = value elseif key == "scale" then scale = value else
      F.raise("%s: step takes lr and scale, not '%s'", self.kind, tostring(key))
    end
  end
  if type(lr) ~= "number" or type(scale) ~= "number" then
    F.raise("%s: step needs a learning rate: give lr to it or to the optimiser", self.kind)
  end
  return lr, scale
end

--- Sets all gradients to 0 (captured graphs overwrite them anyway).
function base:zero_grad()
  self.target.grads:zero()
  return self
end
--- Euclidean norm of all gradients.
function base:gradient_norm() return norm(self.target.grads) end
--- List of { name =, tensor = }: copy into them to restore.
function base:state() return self.buffers end
--- The numbers that belong to the state, for a checkpoint.
function base:counters() return { steps = self.steps } end
--- Sets what counters() gave.
function base:set_counters(counters)
  if type(counters) ~= "table" or type(counters.steps) ~= "number" then
    F.raise("%s: set_counters expects what counters() gave", self.kind)
  end
  self.steps = counters.steps
  return self
end
--- "sgd{lr=0.1, ...}: 61,706 parameters"
function base:describe()
  local words = {}
  for _, key in ipairs(text.keys(self.opts)) do
    local value = self.opts[key]
    if type(value) == "table" then value = "{" .. table.concat(value, ", ") .. "}" end
    words[#words + 1] = key .. "=" .. tostring(value)
  end
  return ("%s{%s}: %s"):format(self.kind, table.concat(words, ", "),
    text.count(self.target.params:numel(), "parameter"))
end

-- ---- the optimisers ----------------------------------------------------------------------------

local sgd = methods()

--- Stochastic gradient descent. Options: momentum (0.9), nesterov (false).
function optim.sgd(target, given)
  local self = new(sgd, "sgd", target, given, { lr = F.none, momentum = 0.9, nesterov = false,
    weight_decay = 0, exempt = {} })
  self.momentum = add_buffer(self, "momentum")
  return self
end

--- One step with the gradients as they are: { lr =, scale = 1 }, which multiplies them first.
function sgd:step(given)
  local lr, scale = step_options(self, given)
  local t, o = self.target, self.opts
  F.check(C.ea_sgd(t.params, t.grads, self.momentum, t.decay_mask or F.null, lr, o.momentum,
    o.nesterov and 1 or 0, o.weight_decay, scale, self.steps == 0 and 1 or 0))
  self.steps = self.steps + 1
  return self
end

local adam = methods()

local function new_adam(kind, target, given, weight_decay)
  local self = new(adam, kind, target, given, { lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8,
    weight_decay = weight_decay, exempt = {} })
  self.first, self.second = add_buffer(self, "first"), add_buffer(self, "second")
  return self
end

--- Adam; weight decay is added to the gradient. Options: lr (1e-3), beta1 (0.9), beta2 (0.999),
-- eps (1e-8).
function optim.adam(target, given) return new_adam("adam", target, given, 0) end
--- AdamW: as adam, but weight decay (0.01) shrinks the parameters, apart from the gradient.
function optim.adamw(target, given) return new_adam("adamw", target, given, 0.01) end

--- One step with the gradients as they are: { lr =, scale = 1 }, which multiplies them first.
function adam:step(given)
  local lr, scale = step_options(self, given)
  local t, o = self.target, self.opts
  F.check(C.ea_adam(t.params, t.grads, self.first, self.second, t.decay_mask or F.null, lr, o.beta1,
    o.beta2, o.eps, o.weight_decay, self.kind == "adamw" and 1 or 0, scale, self.steps + 1))
  self.steps = self.steps + 1
  return self
end

-- ---- clipping and averaging --------------------------------------------------------------------

--- For opt:step{ scale = ... }: the factor that brings the norm of all gradients down to max_norm
-- (1 if it is not above), and the norm. `target`: as for an optimiser, or an optimiser. Writes
-- nothing.
function optim.clip(target, max_norm)
  if type(max_norm) ~= "number" or not (max_norm > 0) then
    F.raise("clip: the largest norm must be a positive number, got %s", tostring(max_norm))
  end
  local t = type(target) == "table" and rawget(target, "target") or target_of(target, {}, "clip")
  local length = norm(t.grads)
  return length > max_norm and max_norm / length or 1, length
end

local average = {}
average.__index = average

--- Exponential moving average of parameters (and of a network's running statistics).
-- e:update() after each step; e:swap() puts the averages into the network and keeps its own values,
-- and again puts those back; e:state(), e:counters(), e:set_counters() as optimisers.
-- Options: decay (0.999); warm (true): at most (1 + updates) / (10 + updates) at the start.
function optim.ema(target, given)
  local o = F.options(given, { decay = 0.999, warm = true }, "ema")
  if type(o.decay) ~= "number" or not (o.decay >= 0 and o.decay <= 1) then
    F.raise("ema: decay must be in [0, 1], got %s", tostring(o.decay))
  end
  local t = type(target) == "table" and rawget(target, "target") or target_of(target, {}, "ema")
  local self = setmetatable({ opts = o, updates = 0, swapped = false, pairs = {} }, average)
  local function follow(name, source)
    local copy = buffer_like(source)
    table.insert(self.pairs, { name = name, tensor = copy:copy(source), source = source })
  end
  follow("average", t.params)
  if t.network then
    for _, b in ipairs(t.network:buffers()) do follow("average." .. b.name, b.tensor) end
  end
  return self
end

--- Moves the averages towards the present values; call it after each step.
function average:update()
  if self.swapped then
    F.raise("ema: update while the averages are in the network; swap back first")
  end
  local d = self.opts.decay
  if self.opts.warm then d = math.min(d, (1 + self.updates) / (10 + self.updates)) end
  for _, p in ipairs(self.pairs) do F.check(C.ea_ema(p.tensor, p.source, d)) end
  self.updates = self.updates + 1
  return self
end

--- Puts the averages into the network and keeps its own values; called again, puts those back.
function average:swap()
  for _, p in ipairs(self.pairs) do
    local keep = p.source:detach():clone()
    p.source:copy(p.tensor)
    p.tensor:copy(keep)
    keep:drop()
  end
  self.swapped = not self.swapped
  return self
end

--- List of { name =, tensor = }: copy into them to restore.
function average:state() return self.pairs end
--- The numbers that belong to the state, for a checkpoint.
function average:counters() return { updates = self.updates } end
--- Sets what counters() gave.
function average:set_counters(counters)
  self.updates = counters.updates
  return self
end

return optim
