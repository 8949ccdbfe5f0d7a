-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nn.module - what every layer and network is: named children, parameters and buffers.
--
-- A layer is a class made by Module.class(kind). Its constructor declares parameters (m:parameter)
-- and buffers (m:buffer), or adds children (m:add); its forward(x) uses them as fields. Names with
-- dots follow from the children's names, as in PyTorch state dicts: "group1.0.conv1.weight".
--
-- Parameters get their memory and first values when first needed, not when declared: by then the
-- full names are known. Each parameter draws its numbers from the stream "init/NAME" alone, so a
-- layer's first values depend on its name and the seed at its construction, not on what else is in
-- the network.

local F = require "edgeai.ffi"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"
local text = require "edgeai.text"

local Module = { kind = "module", precision = "f32" }

-- ---- classes -----------------------------------------------------------------------------------

--- A new class of layers. Methods: forward(self, ...) must be given; arguments(self) -> "{16, 32}"
-- for printing; macs(self, input_shape, output_shape) -> multiply-adds, if there are any.
function Module.class(kind)
  local class = setmetatable({ kind = kind }, { __index = Module })
  class.__call = Module.__call
  class.__tostring = function(self) return self:print() end
  class.__index = function(self, key)
    local value = class[key]
    if value == nil then
      local pending = rawget(self, "pending")
      if pending and pending[key] then
        Module.materialise(self)
        value = rawget(self, key)
      end
    end
    return value
  end
  --- An instance without children or parameters yet.
  function class.new()
    return setmetatable({ children = {}, slots = {}, pending = false, training = true }, class)
  end
  return class
end

--- Is x a layer or network?
function Module.is(x)
  return type(x) == "table" and type(rawget(x, "children")) == "table"
    and type(rawget(x, "slots")) == "table"
end

--- A default that means: must be given.
local needed = setmetatable({}, { __tostring = function() return "needed" end })
Module.needed = needed

--- Options of a constructor: { 16, 32, kernel = 3 } or { inp = 16, out = 32, kernel = 3 }. `names`
-- are the positions' names; `defaults` as for F.options, Module.needed marks what must be given.
function Module.options(kind, given, names, defaults)
  if given ~= nil and type(given) ~= "table" or F.is_tensor(given) then
    F.raise("%s: expected a table of options, as in %s{...}, got a %s", kind, kind, type(given))
  end
  local named = {}
  for key, value in pairs(given or {}) do
    local name = type(key) == "number" and names[key] or key
    if type(name) == "number" then
      F.raise("%s: expected at most %d options without a name, got one more", kind, #names)
    end
    named[name] = value
  end
  local opts = F.options(named, defaults, kind)
  for name, default in pairs(defaults) do
    if default == needed and opts[name] == needed then
      F.raise("%s: the option '%s' must be given", kind, name)
    end
  end
  return opts
end

--- Raises unless opts[name] is a whole number >= least.
function Module.check_count(kind, opts, name, least)
  local value = opts[name]
  if type(value) ~= "number" or value % 1 ~= 0 or value < (least or 1) then
    F.raise("%s: '%s' must be a whole number of at least %d, got %s", kind, name, least or 1,
      tostring(value))
  end
end

-- ---- building ----------------------------------------------------------------------------------

--- Adds a child and returns it; it is also the field of that name, unless a method has it.
function Module:add(name, child)
  if not Module.is(child) then
    F.raise("%s: the child '%s' must be a layer or network, got a %s", self.kind, tostring(name),
      type(child))
  end
  for _, c in ipairs(self.children) do
    if c.name == name then F.raise("%s: there are two children '%s'", self.kind, name) end
  end
  self.children[#self.children + 1] = { name = name, module = child }
  if not child.parent then child.parent, child.name = self, name end
  if getmetatable(self)[name] == nil then rawset(self, name, child) end
  return child
end

--- The items of a container's list: layers or { "name", layer } pairs, as { name =, module = }.
function Module.layer_list(kind, list)
  if type(list) ~= "table" or Module.is(list) then
    F.raise("%s: expected a list of layers, as in %s{ a, b }", kind, kind)
  end
  local items, count = {}, 0
  for _ in pairs(list) do count = count + 1 end
  for i, item in ipairs(list) do
    local named = type(item) == "table" and not Module.is(item)
    items[i] = named and { name = item[1], module = item[2] } or { module = item }
    if not Module.is(items[i].module) or named and type(item[1]) ~= "string" then
      F.raise("%s: item %d must be a layer or { \"name\", layer }", kind, i)
    end
  end
  if #items ~= count then F.raise("%s: expected a plain list of layers without holes", kind) end
  return items
end

local function declare(self, slot)
  slot.seed = random.current_seed
  self.slots[#self.slots + 1] = slot
  self.pending = self.pending or {}
  self.pending[slot.name] = true
end

--- Declares a trainable f32 tensor; init(stream, size) makes its first values.
function Module:parameter(name, size, init)
  declare(self, { name = name, size = size, init = init, trainable = true })
end

--- Declares a tensor that is kept but not trained, filled with `value`.
function Module:buffer(name, size, value)
  declare(self, { name = name, size = size,
    init = function(_, n) return tensor.full(n, value) end })
end

--- Visits (name, module) depth first, the module itself as "" first.
local function walk(self, visit, name)
  visit(name or "", self)
  for _, c in ipairs(self.children) do
    walk(c.module, visit, name and name ~= "" and name .. "." .. c.name or c.name)
  end
end
Module.walk = walk

local function join(prefix, name) return prefix == "" and name or prefix .. "." .. name end

--- Runs fn outside any ea.scope, so that what it makes outlives it.
local function outside_scope(fn, ...)
  local outer = F.set_scope(nil)
  local ok, message = pcall(fn, ...)
  F.set_scope(outer)
  if not ok then error(message, 0) end
end
Module.outside_scope = outside_scope

local function make_tensors(prefix, m)
  for _, slot in ipairs(m.slots) do
    if rawget(m, slot.name) == nil then
      local t = slot.init(random.rng("init/" .. join(prefix, slot.name), { seed = slot.seed }),
        slot.size)
      if slot.trainable then t:require_grad() end
      rawset(m, slot.name, t)
    end
  end
  m.pending = nil
end

--- Gives every parameter and buffer of the whole network its memory and first values.
function Module:materialise()
  local top = self
  while top.parent do top = top.parent end
  outside_scope(walk, top, make_tensors)
  if self.pending ~= nil then outside_scope(walk, self, make_tensors) end
end

--- New first values for all parameters and buffers, as from a new network; `purpose` (default
-- "init") names another set of numbers.
function Module:initialise(purpose)
  walk(self, function(prefix, m)
    for _, slot in ipairs(m.slots) do
      local stream = random.rng((purpose or "init") .. "/" .. join(prefix, slot.name))
      m[slot.name]:copy(slot.init(stream, slot.size))
    end
  end)
  return self
end

-- ---- running -----------------------------------------------------------------------------------

local observer -- { fn(module, x, y), outer } while observe() runs
local replaced -- { kind = fn(module, x, ...) } while replace() runs
local intercepted -- { module = fn(y) } while intercept() runs
local apart = false -- while run_apart() runs

--- What comes before forward: parameters exist; x is of the network's precision.
function Module:enter(x)
  if self.pending ~= nil then Module.materialise(self) end
  if self.precision ~= "f32" and F.is_tensor(x) and x.dtype == "f32" then
    x = x:to(self.precision)
  end
  return x
end

--- m(x): runs forward. The call is no tail call on purpose: an error finds the path in this frame.
function Module.__call(self, x, ...)
  x = self:enter(x)
  local y = (replaced and replaced[self.kind] or self.forward)(self, x, ...)
  if intercepted and intercepted[self] then y = intercepted[self](y) end
  local o = observer
  while o do
    o.fn(self, x, y)
    o = o.outer
  end
  return y
end

--- Runs fn(...) while `seen(module, input, output)` is told of every layer's call. Returns fn's
-- first result, or raises its error.
function Module.observe(seen, fn, ...)
  local outer = observer
  observer = { fn = seen, outer = outer }
  local ok, result = pcall(fn, ...)
  observer = outer
  if not ok then error(result, 0) end
  return result
end

--- Runs fn(...) with other forwards for some kinds of layers: { relu = function(layer, x) end }.
-- Returns fn's first result, or raises its error.
function Module.replace(forwards, fn, ...)
  local outer = replaced
  replaced = forwards
  local ok, result = pcall(fn, ...)
  replaced = outer
  if not ok then error(result, 0) end
  return result
end

--- Runs fn(...) with what some layers give changed on its way: { [layer] = function(y) end }.
-- Returns fn's first result, or raises its error.
function Module.intercept(changes, fn, ...)
  local outer = intercepted
  intercepted = changes
  local ok, result = pcall(fn, ...)
  intercepted = outer
  if not ok then error(result, 0) end
  return result
end

--- Runs fn(...) so that what a network gives for one image is the same to the bit in every batch.
-- Returns fn's first result, or raises its error.
function Module.run_apart(fn, ...)
  local outer = apart
  apart = true
  local ok, result = pcall(fn, ...)
  apart = outer
  if not ok then error(result, 0) end
  return result
end
--- Is run_apart running? Layers whose result for one image could depend on the others ask.
function Module.apart() return apart end

--- "group2.0.conv1", or nil for the network itself.
function Module.path(self)
  local parts = {}
  while self.parent do
    table.insert(parts, 1, self.name)
    self = self.parent
  end
  return parts[1] and table.concat(parts, ".")
end

-- F.raise asks the innermost of these calls for its path.
F.frames[Module.__call] = Module.path

--- Runs self(x) and also returns the outputs of the named layers: { group1 = ..., pool = ... },
-- output. Works eagerly, with gradients, and inside a capture.
function Module:features(x, names)
  if type(names) == "string" then names = { names } end
  local wanted, found = {}, {}
  for _, name in ipairs(names or {}) do
    local m = self:get(name)
    wanted[m] = wanted[m] or {}
    table.insert(wanted[m], name)
  end
  local y = Module.observe(function(m, _, out)
    for _, name in ipairs(wanted[m] or {}) do found[name] = out end
  end, self, x)
  for _, name in ipairs(names or {}) do
    if found[name] == nil then F.raise("features: the layer '%s' did not run", name) end
  end
  return found, y
end

--- Training mode (batch statistics, dropout) for the network and everything below.
function Module:train(on)
  walk(self, function(_, m) m.training = on ~= false end)
  return self
end
--- Evaluation mode: running statistics, no dropout.
function Module:eval() return self:train(false) end

--- Computes activations in "bf16" or "f32". Input is converted at the first layer; parameters,
-- their gradients, statistics and the last linear layer stay f32.
function Module:set_precision(precision)
  if precision ~= "bf16" and precision ~= "f32" then
    F.raise("set_precision: expected \"bf16\" or \"f32\", got %s", tostring(precision))
  end
  local last
  walk(self, function(_, m)
    m.precision = nil
    if m.kind == "linear" then last = m end
  end)
  if precision == "bf16" then
    self.precision = precision
    if last then last.wide = true end
  end
  return self
end

-- ---- looking inside ----------------------------------------------------------------------------

--- List of { name =, module = } of everything below, in order.
function Module:named_modules()
  local list = {}
  walk(self, function(name, m)
    if name ~= "" then list[#list + 1] = { name = name, module = m } end
  end)
  return list
end

--- The layer of that dotted name (or one of the network's aliases, such as "features").
function Module:get(name)
  if type(name) ~= "string" then
    F.raise("get: expected a layer's name, got a %s", type(name))
  end
  local target = self.aliases and self.aliases[name] or name
  local names = {}
  for _, entry in ipairs(self:named_modules()) do
    if entry.name == target then return entry.module end
    names[#names + 1] = entry.name
  end
  for alias in pairs(self.aliases or {}) do names[#names + 1] = alias end
  F.raise("get: there is no layer '%s' in %s%s", name, self.kind, text.suggest(name, names))
end

local function collect(self, trainable)
  if self.pending ~= nil or #self.children > 0 then self:materialise() end
  local list = {}
  walk(self, function(prefix, m)
    for _, slot in ipairs(m.slots) do
      if (slot.trainable or false) == trainable then
        list[#list + 1] = { name = join(prefix, slot.name), tensor = rawget(m, slot.name),
          module = m }
      end
    end
  end)
  return list
end

--- Ordered list of { name =, tensor =, module = }.
function Module:parameters() return collect(self, true) end
--- The same for what is kept but not trained (running statistics).
function Module:buffers() return collect(self, false) end

--- Freezes (false) or thaws (true) all parameters.
function Module:requires_grad(on)
  for _, p in ipairs(self:parameters()) do p.tensor:require_grad(on ~= false) end
  return self
end

--- Number of parameters (buffers are not counted), frozen or not.
function Module:parameter_count()
  local count = 0
  walk(self, function(_, m)
    for _, slot in ipairs(m.slots) do
      if slot.trainable then
        local n = 1
        for _, size in ipairs(slot.size) do n = n * size end
        count = count + n
      end
    end
  end)
  return count
end

return Module
