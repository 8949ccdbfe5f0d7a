-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.objective - what images are made to show: objects with algebra.
--
-- An objective is a function of T (context.lua) that gives one number for each image, larger being
-- better. With objectives a, b and a number k there are a + b, a - b, -a, a * b, a / b, a ^ k, the
-- same with numbers on either side, and objective.sum{ a, b, ... }; all work image by image. What
-- is optimised is the sum over the images, so that each goes its own way.

local F = require "edgeai.ffi"
local tensor = require "edgeai.tensor"

local objective = {}

local class = { __index = {} }
local methods = class.__index

--- Is x an objective?
function objective.is(x) return getmetatable(x) == class end

local function new(node) return setmetatable(node, class) end

--- An objective from compute(T) -> a tensor {n}, or a single number for all images. options:
-- coupled (an image's value depends on the other images), images (how many it is meant for),
-- fingerprint (a text that tells apart what the name does not).
function objective.term(name, compute, options)
  local o = F.options(options, { coupled = false, images = F.none, fingerprint = F.none },
    "objective")
  return new { kind = "term", name = name, compute = compute, coupled = o.coupled,
    images = o.images, fingerprint = o.fingerprint }
end

-- ---- what others may hand over as an objective -------------------------------------------------

local function from_text(word)
  local make = require("edgeai.vis.registry").make
  local layer, what, place = word:match("^(.-):([^:@]+)@?(.*)$")
  local y, x = (place or ""):match("^(%d+),(%d+)$")
  if not layer or layer == "" or place ~= "" and not y then
    F.raise("objective: expected \"layer:channel\", \"layer:channel@row,column\" or "
      .. "\"layer:class name\", got \"%s\"", word)
  end
  local channel = tonumber(what)
  if not channel then return make("class_logit", layer, what) end
  if y then return make("neuron", layer, channel, { y = tonumber(y), x = tonumber(x) }) end
  return make("channel", layer, channel)
end

--- x as an objective: one already, a function of T, "layer:channel", "layer:channel@row,column",
-- "layer:class name", or a list of these, whose sum it is.
function objective.as(x, where)
  if objective.is(x) then return x end
  if type(x) == "function" then return objective.term("function", x) end
  if type(x) == "string" then return from_text(x) end
  if type(x) == "table" and #x > 0 then return objective.sum(x) end
  F.raise("%s: expected an objective, a function of T, \"layer:channel\" or a list of these, got a "
    .. "%s", where or "objective", type(x))
end

-- ---- algebra -----------------------------------------------------------------------------------

--- Adds weight * x to a sum that is being made.
local function add_to(sum, weight, x)
  if type(x) == "number" then
    sum.constant = sum.constant + weight * x
  elseif x.kind == "sum" then
    sum.constant = sum.constant + weight * x.constant
    for _, t in ipairs(x.parts) do
      sum.parts[#sum.parts + 1] = { weight = weight * t.weight, node = t.node }
    end
  else
    sum.parts[#sum.parts + 1] = { weight = weight, node = x }
  end
  return sum
end

local function empty_sum() return { kind = "sum", parts = {}, constant = 0 } end

local function operand(x)
  if type(x) == "number" then return x end
  return objective.as(x, "arithmetic with objectives")
end

--- The sum of a list of objectives of any length.
function objective.sum(list)
  if type(list) ~= "table" or objective.is(list) or #list == 0 then
    F.raise("sum: expected a list of objectives, as in sum{ a, b }")
  end
  local sum = empty_sum()
  for _, x in ipairs(list) do add_to(sum, 1, operand(x)) end
  return new(sum)
end

local function plus(a, b, sign)
  return new(add_to(add_to(empty_sum(), 1, operand(a)), sign, operand(b)))
end

local function pair(kind, a, b) return new { kind = kind, a = operand(a), b = operand(b) } end

class.__add = function(a, b) return plus(a, b, 1) end
class.__sub = function(a, b) return plus(a, b, -1) end
class.__unm = function(a) return new(add_to(empty_sum(), -1, a)) end
class.__mul = function(a, b)
  if type(a) == "number" then a, b = b, a end
  if type(b) == "number" then return new(add_to(empty_sum(), b, a)) end
  return pair("product", a, b)
end
class.__div = function(a, b)
  if type(b) == "number" then return new(add_to(empty_sum(), 1 / b, a)) end
  return pair("quotient", a, b)
end
class.__pow = function(a, b) return pair("power", a, b) end

-- ---- words -------------------------------------------------------------------------------------

local signs = { product = "*", quotient = "/", power = "^" }

local function words(x)
  if type(x) == "number" then return ("%.10g"):format(x) end
  if x.kind == "term" then return x.name end
  if x.kind ~= "sum" then
    return ("(%s) %s (%s)"):format(words(x.a), signs[x.kind], words(x.b))
  end
  local parts = {}
  for i, t in ipairs(x.parts) do
    local w = t.weight
    parts[i] = (w < 0 and (i == 1 and "-" or " - ") or i > 1 and " + " or "")
      .. (math.abs(w) ~= 1 and ("%.10g*"):format(math.abs(w)) or "") .. words(t.node)
  end
  if x.constant ~= 0 then parts[#parts + 1] = (" + %.10g"):format(x.constant) end
  return table.concat(parts)
end
class.__tostring = words

-- ---- values ------------------------------------------------------------------------------------

--- A term's result as one value per image {n} (Lucid's own way: or a single number).
local function checked(T, value, name)
  if type(value) == "number" then return tensor.full({ T.n }, value, T.dtype) end
  if not F.is_tensor(value) then
    F.raise("objective %s: expected a tensor of one value per image, {%d}, or a single number, got "
      .. "a %s", name, T.n, type(value))
  end
  if value.dtype ~= T.dtype then value = value:to(T.dtype) end
  local size = value.shape
  if #size == 1 and size[1] == T.n then return value end
  if value:numel() == 1 and #size <= 1 then
    return T.lucid and value or value:reshape(1):expand(T.n)
  end
  F.raise("objective %s: expected one value per image, {%d}, or a single number, got %s; reduce "
    .. "the other axes, as T:mean(x) does", name, T.n, F.describe(value))
end

local evaluate

local combine = {
  product = function(a, b) return a * b end,
  quotient = function(a, b) return a / b end,
  power = function(a, b) return type(a) == "number" and (b * math.log(a)):exp() or a ^ b end,
}

local function sum_of(T, x)
  local total
  for _, t in ipairs(x.parts) do
    local v = evaluate(T, t.node)
    if t.weight ~= 1 then v = v * t.weight end
    total = total and total + v or v
  end
  if not total then return x.constant end
  return x.constant ~= 0 and total + x.constant or total
end

function evaluate(T, x)
  if type(x) == "number" then return x end
  local known = T.values[x]
  if known then return known end
  if x.kind == "sum" then
    known = sum_of(T, x)
  elseif x.kind == "term" then
    known = checked(T, x.compute(T), x.name)
  else
    known = combine[x.kind](evaluate(T, x.a), evaluate(T, x.b))
  end
  T.values[x] = known
  return known
end

--- Its value for each image of T: a tensor {n}. With T.lucid, what Lucid computes: most often one
-- number for the whole batch.
function methods:value(T)
  local v = evaluate(T, self)
  return checked(T, v, words(self))
end

--- List of { label =, node = } of what it is a weighted sum of, each once: what a history shows.
function methods:terms()
  local list, seen = {}, {}
  local function look(node)
    if seen[node] then return end
    seen[node] = true
    local label, n = words(node), 1
    while seen[label] do
      n = n + 1
      label = words(node) .. " #" .. n
    end
    seen[label] = true
    list[#list + 1] = { label = label, node = node }
  end
  if self.kind ~= "sum" then look(self) end
  for _, t in ipairs(self.parts or {}) do look(t.node) end
  return list
end

--- Calls visit(term) for every plain term below.
function methods:walk(visit)
  if self.kind == "term" then return visit(self) end
  if self.kind == "sum" then
    for _, t in ipairs(self.parts) do t.node:walk(visit) end
    return
  end
  for _, x in ipairs { self.a, self.b } do
    if type(x) ~= "number" then x:walk(visit) end
  end
end

--- For how many images it is meant (nil: any number), and whether they depend on each other.
function methods:needs()
  local images, coupled, who = nil, false, nil
  self:walk(function(term)
    coupled = coupled or term.coupled
    if not term.images then return end
    if images and images ~= term.images then
      F.raise("objective: %s is for %d images, but %s for %d", who, images, term.name, term.images)
    end
    images, who = term.images, term.name
  end)
  return images, coupled
end

return objective
