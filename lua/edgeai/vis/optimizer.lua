-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.optimizer - how images learn. Each is a table of options; made for a list of tensors
-- {n, ...} it has step(), restart(), a rate `lr` to change, and its memory, state() and restore().
--
--   adam{lr=0.05}           Lucid's; eps 1e-8
--   sgd{lr=1, momentum=0}   gradient ascent
--   steepest{lr=0.01}       x <- x - lr g / mean |g|, for each image apart: DeepDream's (its 1.5 of
--                           255 is lr = 1.5 / 255); where g is 0 nothing moves
--   lbfgs{lr=1, memory=8}   limited memory BFGS (Nocedal 1980) for each image apart, with steps of
--                           a fixed rate: for objectives without transforms
--
-- adam's step is as in PyTorch, x <- x - lr m' / (sqrt(v') + eps), with Lucid's (TensorFlow 1) eps
-- counts before the correction of v: sqrt(v') + eps / sqrt(1 - beta2^t).

local F = require "edgeai.ffi"
local optim = require "edgeai.optim"
local tensor = require "edgeai.tensor"

local optimizer = {}

-- ---- those of ea.optim -------------------------------------------------------------------------

local plain = {}
plain.__index = plain

--- One step with the gradients as they are.
function plain:step()
  local o = self.inner.opts
  if self.lucid_eps then
    o.eps = self.lucid_eps / math.sqrt(1 - o.beta2 ^ (self.inner.steps + 1))
  end
  self.inner:step { lr = self.lr }
end

--- Forgets everything.
function plain:restart()
  for _, b in ipairs(self.inner:state()) do b.tensor:zero() end
  self:go_to(0)
end

--- Its memory: list of { name, tensor }.
function plain:state() return self.inner:state() end

--- Its memory as it was in such a list, as { name = tensor }.
function plain:restore(found)
  for _, b in ipairs(self.inner:state()) do b.tensor:copy(found[b.name]) end
end

--- So many steps were done.
function plain:go_to(step) self.inner:set_counters { steps = step } end

local function check(kind, o)
  for key, value in pairs(o) do
    if type(value) ~= "number" or not (value >= 0) then
      F.raise("%s: %s must be a number of at least 0, got %s", kind, key, tostring(value))
    end
  end
end

--- See the top of this file.
function optimizer.adam(given)
  local o = F.options(given, { lr = 0.05, beta1 = 0.9, beta2 = 0.999, eps = 1e-8 }, "adam")
  check("adam", o)
  local function make(list, lucid)
    local inner = optim.adam(list, { lr = o.lr, beta1 = o.beta1, beta2 = o.beta2, eps = o.eps })
    return setmetatable({ lr = o.lr, inner = inner, lucid_eps = lucid and o.eps }, plain)
  end
  return { kind = "adam", make = make }
end

--- See the top of this file.
function optimizer.sgd(given)
  local o = F.options(given, { lr = 1, momentum = 0 }, "sgd")
  check("sgd", o)
  local function make(list)
    local inner = optim.sgd(list, { lr = o.lr, momentum = o.momentum })
    return setmetatable({ lr = o.lr, inner = inner }, plain)
  end
  return { kind = "sgd", make = make }
end

-- ---- L-BFGS ------------------------------------------------------------------------------------

--- Rows {n, d} of all leaves' values, or of their gradients.
local function rows_of(list, gradients)
  local n, parts = list[1]:size(1), {}
  for i, t in ipairs(list) do
    if t:size(1) ~= n then F.raise("lbfgs: parameters shared by the images are not for it") end
    parts[i] = (gradients and t.grad or t:detach()):reshape(n, -1):to("f64")
  end
  local width = 0
  for _, p in ipairs(parts) do width = width + p:size(2) end
  local all, at = tensor.empty({ n, width }, "f64"), 1
  for _, p in ipairs(parts) do
    all:narrow(2, at, p:size(2)):copy(p)
    at = at + p:size(2)
  end
  return all
end

local function dots(a, b) return (a * b):sum({ axes = { 2 }, keep = true }) end

--- The direction -H g of every row: the two loops over what is remembered.
local function direction(pairs_, g)
  local q, alpha = g:clone(), {}
  for i = #pairs_, 1, -1 do
    local p = pairs_[i]
    alpha[i] = dots(p.s, q) * p.rho
    q = q - p.y * alpha[i]
  end
  local last = pairs_[#pairs_]
  if last then q = q * last.scale end
  for i = 1, #pairs_ do
    local p = pairs_[i]
    q = q + p.s * (alpha[i] - dots(p.y, q) * p.rho)
  end
  return -q
end

--- s and y of the last step as a pair; a row without curvature (s.y <= 0) counts for nothing.
local function remember(self, x, g)
  if not self.x then return end
  local s, y = x - self.x, g - self.g
  local sy = dots(s, y)
  local good = sy:greater(1e-12):to("f64")
  local safe = sy * good + (1 - good)
  local yy = dots(y, y)
  local scale = good * sy / (yy + (1 - good)) + (1 - good)
  table.insert(self.pairs, { s = s, y = y, rho = good / safe, scale = scale })
  if #self.pairs > self.memory then table.remove(self.pairs, 1) end
end

local steepest = {}
steepest.__index = steepest

--- One step with the gradients as they are.
function steepest:step()
  for _, t in ipairs(self.list) do
    local x, g = t:detach(), t.grad
    local axes = {}
    for d = 2, g.ndim do axes[#axes + 1] = d end
    local size = g:abs():mean { axes = axes, keep = true }
    x:copy(x - g / size:clamp { low = 1e-30 } * self.lr)
  end
end

--- Nothing is remembered.
function steepest.restart() end
--- Nothing is remembered.
function steepest.state() return {} end
--- Nothing is remembered.
function steepest.restore() end
--- Nothing is remembered.
function steepest.go_to() end

--- See the top of this file.
function optimizer.steepest(given)
  local o = F.options(given, { lr = 0.01 }, "steepest")
  check("steepest", o)
  local function make(list) return setmetatable({ lr = o.lr, list = list }, steepest) end
  return { kind = "steepest", make = make }
end

local lbfgs = {}
lbfgs.__index = lbfgs

--- One step with the gradients as they are.
function lbfgs:step()
  local x, g = rows_of(self.list), rows_of(self.list, true)
  remember(self, x, g)
  local d = direction(self.pairs, g)
  if #self.pairs == 0 then -- nothing known of the curvature: a step of length lr at most
    d = d / dots(g, g):sqrt():clamp { low = 1 }
  end
  self.x, self.g = x, g
  local to, at = x + d * self.lr, 1
  for _, t in ipairs(self.list) do
    local width = t:numel() / t:size(1)
    t:detach():copy(to:narrow(2, at, width):clone():reshape(t.shape):to(t.dtype))
    at = at + width
  end
end

--- Forgets everything.
function lbfgs:restart() self.x, self.g, self.pairs = nil, nil, {} end

local parts = { "s", "y", "rho", "scale" }

--- Its memory: list of { name, tensor }, none before the first step.
function lbfgs:state()
  if not self.x then return {} end
  local list = { { name = "x", tensor = self.x }, { name = "g", tensor = self.g } }
  for k, p in ipairs(self.pairs) do
    for _, part in ipairs(parts) do
      list[#list + 1] = { name = part .. "." .. k, tensor = p[part] }
    end
  end
  return list
end

--- Its memory as it was in such a list, as { name = tensor }.
function lbfgs:restore(found)
  self:restart()
  self.x, self.g = found.x, found.g
  while found["s." .. #self.pairs + 1] do
    local k, p = #self.pairs + 1, {}
    for _, part in ipairs(parts) do p[part] = found[part .. "." .. k] end
    self.pairs[k] = p
  end
end

--- It counts no steps.
function lbfgs.go_to() end

--- See the top of this file.
function optimizer.lbfgs(given)
  local o = F.options(given, { lr = 1, memory = 8 }, "lbfgs")
  check("lbfgs", o)
  local function make(list)
    return setmetatable({ lr = o.lr, memory = o.memory, list = list, pairs = {} }, lbfgs)
  end
  return { kind = "lbfgs", make = make }
end

--- Is x one of these?
function optimizer.is(x) return type(x) == "table" and type(x.make) == "function" end

return optimizer
