-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nn.state - a network's tensors by name: state dicts, files, one flat buffer.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local Flat = require "edgeai.flat"
local Module = require "edgeai.nn.module"
local describe = require "edgeai.nn.describe"
local files = require "edgeai.io"
local json = require "edgeai.json"
local tensor = require "edgeai.tensor"

local state = {}

local function join(prefix, name) return prefix == "" and name or prefix .. "." .. name end

--- Ordered list of { name =, tensor = }: parameters and buffers layer by layer, as in PyTorch. The
-- tensors are the network's own, not copies.
function state:state_dict()
  self:materialise()
  local list = {}
  self:walk(function(prefix, m)
    for _, slot in ipairs(m.slots) do
      list[#list + 1] = { name = join(prefix, slot.name), tensor = rawget(m, slot.name) }
    end
  end)
  return list
end

--- name -> tensor of a state dict given as such a table, as an ordered list, or as a file's path.
-- Counters and the prefix "module." that PyTorch writes are taken away.
function state.normalise(dict)
  if type(dict) == "string" then dict = files.load_named(dict, "load_state_dict") end
  if type(dict) ~= "table" or Module.is(dict) then
    F.raise("load_state_dict: expected a table of tensors by name or a file's path, got a %s",
      Module.is(dict) and "network; give its state_dict()" or type(dict))
  end
  local map, prefixed = {}, true
  local function put(name, t)
    if type(name) ~= "string" or not F.is_tensor(t) then
      F.raise("load_state_dict: expected tensors by name, got a %s as '%s'", type(t),
        tostring(name))
    end
    if name:find("num_batches_tracked$") then return end
    map[name] = t
    prefixed = prefixed and name:sub(1, 7) == "module."
  end
  if dict[1] then
    for _, entry in ipairs(dict) do put(entry.name, entry.tensor) end
  else
    for name, t in pairs(dict) do put(name, t) end
  end
  if not prefixed then return map end
  local plain = {}
  for name, t in pairs(map) do plain[name:sub(8)] = t end
  return plain
end

--- "a, b, c and 4 more"
local function some(names)
  local most = 4
  if #names <= most then return table.concat(names, ", ") end
  return ("%s and %d more"):format(table.concat(names, ", ", 1, most), #names - most)
end

local function same_shape(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do if a[i] ~= b[i] then return false end end
  return true
end

--- Compares names and shapes as declared: a wrong file is refused before anything is allocated.
local function compare(self, map)
  local report = { missing = {}, unexpected = {}, mismatched = {} }
  local known, own = {}, {}
  self:walk(function(prefix, m)
    for _, slot in ipairs(m.slots) do
      own[#own + 1] = { name = join(prefix, slot.name), size = slot.size }
    end
  end)
  for _, entry in ipairs(own) do
    known[entry.name] = true
    local t = map[entry.name]
    if not t then
      report.missing[#report.missing + 1] = entry.name
    elseif not same_shape(t.shape, entry.size) then
      table.insert(report.mismatched, ("%s is {%s} but must be {%s}"):format(entry.name,
        table.concat(t.shape, ", "), table.concat(entry.size, ", ")))
    end
  end
  for name in pairs(map) do
    if not known[name] then report.unexpected[#report.unexpected + 1] = name end
  end
  table.sort(report.unexpected)
  return report
end

--- Copies the tensors of a state dict (table, list or path; element types are converted) into the
-- network. Names and shapes are checked before anything is written. With { strict = false } what
-- fits is loaded. Returns the network and a report { missing, unexpected, mismatched }.
function state:load_state_dict(dict, opts)
  local strict = F.options(opts, { strict = true }, "load_state_dict").strict
  local map = state.normalise(dict)
  local report = compare(self, map)
  local parts = {}
  for _, what in ipairs { "missing", "unexpected", "mismatched" } do
    if #report[what] > 0 then parts[#parts + 1] = ("%s: %s"):format(what, some(report[what])) end
  end
  if strict and #parts > 0 then
    F.raise("load_state_dict: the tensors%s are not those of this %s; %s. Nothing was loaded",
      type(dict) == "string" and " in " .. dict or "", self.kind, table.concat(parts, "; "))
  end
  for _, entry in ipairs(self:state_dict()) do
    local t = map[entry.name]
    if t and same_shape(t.shape, entry.tensor.shape) then entry.tensor:copy(t) end
  end
  return self, report
end

--- Metadata are strings: numbers and lists of numbers as "0.1,0.2", other tables as JSON.
local function as_text(key, value)
  if type(value) == "string" then return value end
  if type(value) == "number" or type(value) == "boolean" then return json.encode(value) end
  if type(value) ~= "table" then
    F.raise("save: metadata '%s' must be a string, number, boolean or table, got a %s", key,
      type(value))
  end
  local numbers = {}
  for i, v in ipairs(value) do
    if type(v) ~= "number" then return json.encode(value) end
    numbers[i] = json.encode(v)
  end
  return #numbers > 0 and table.concat(numbers, ",") or json.encode(value)
end

--- Writes a safetensors file: the state dict, `meta` (string keys; e.g. mean, std, classes) and, if
-- the network came from ea.nn.NAME{...} or ea.nn.load, how to build it again (`edgeai.arch`); and
-- what it computes (`edgeai.graph`), for running it from C: see "models" in edgeai.h.
-- Options: dtype = "bf16" stores tensors of two or more dimensions so; vectors (norms, biases) stay
-- f32. input = the shape of one input, as {1, 28, 28, 1}: needed for `edgeai.graph` unless the
-- architecture knows it; with it, a network that cannot be described is an error.
function state:save(path, meta, opts)
  local o = F.options(opts, { dtype = "f32", input = F.none }, "save")
  local dtype = o.dtype
  F.dtype(dtype, "save")
  local list, text = {}, {}
  for i, entry in ipairs(self:state_dict()) do
    local t = entry.tensor:detach()
    list[i] = { name = entry.name, tensor = #t.shape >= 2 and t:to(dtype) or t }
  end
  if self.arch then text["edgeai.arch"] = json.encode(self.arch, { sort = true }) end
  text["edgeai.graph"] = describe(self, o.input)
  for _, values in ipairs { self.meta or {}, meta or {} } do
    for key, value in pairs(values) do
      if type(key) ~= "string" then F.raise("save: metadata needs names, got %s", tostring(key)) end
      if not text[key] or key:sub(1, 7) ~= "edgeai." then text[key] = as_text(key, value) end
    end
  end
  files.save(path, list, text)
  return self
end

--- All parameters that require a gradient as views of one buffer: { params, grads (f32, {n}), list
-- } and decay_mask (u8) by the rules in { exempt = {...} } (default: none is exempt). Values and
-- gradients are kept. Called again it returns the same buffers while the parameters are the same.
function state:flatten(opts)
  local exempt = F.options(opts, { exempt = {} }, "flatten").exempt
  local list = {}
  for _, p in ipairs(self:parameters()) do
    if p.tensor.requires_grad then list[#list + 1] = p end
  end
  if #list == 0 then F.raise("flatten: no parameter of this %s requires a gradient", self.kind) end
  local flat = rawget(self, "flat_buffers")
  if not flat or not flat:holds(list) then
    flat = Flat.of(list)
    rawset(self, "flat_buffers", flat)
  end
  return { params = flat.params, grads = flat.grads, list = flat.list,
    decay_mask = flat:decay_mask(exempt) }
end

--- 16 hexadecimal digits that depend on the name and every value of all parameters and buffers:
-- files about a network say by it of which one they are.
function state:hash()
  local words = {}
  for i, entry in ipairs(self:state_dict()) do
    words[i] = entry.name .. "=" .. entry.tensor:detach():hash()
  end
  local all = table.concat(words, "\n")
  local bytes = tensor.empty({ #all }, "u8")
  ffi.copy(F.data(bytes), all, #all)
  return bytes:hash()
end

--- Copies of all parameters and buffers, for a later load_state_dict: { name =, tensor = }.
function state:snapshot()
  local list = {}
  for i, entry in ipairs(self:state_dict()) do
    local copy = tensor.empty(entry.tensor.shape, entry.tensor.dtype):copy(entry.tensor:detach())
    list[i] = { name = entry.name, tensor = copy }
  end
  return list
end

return state
