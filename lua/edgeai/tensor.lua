-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.tensor - the methods of tensors. Dimensions and indices count from 1.
--
-- t.shape is a list of sizes, t.dtype "f32", "f64", "bf16", "i32", "u8" or "i8", t.ndim a number,
-- t.requires_grad a boolean, t.grad the gradient (a tensor) or nil.
--
-- narrow, select, view, reshape, permute, t, expand and indexing share memory as long as no
-- gradient is recorded; with one (or inside a capture) they are ops and give new values.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local ops = require "edgeai.ops"

local C = F.C
local functions = ops.functions
local tensor = require "edgeai.creation" -- constructors, for `ea`
local methods = {}                       -- t:name(...)

-- ---- asking ------------------------------------------------------------------------------------

local function shape_of(t)
  local size = {}
  for i = 1, C.ea_tensor_ndim(t) do size[i] = tonumber(C.ea_tensor_size(t, i - 1)) end
  return size
end

local properties = {
  shape = shape_of,
  dtype = function(t) return F.dtype_names[C.ea_tensor_dtype(t)] end,
  ndim = function(t) return C.ea_tensor_ndim(t) end,
  requires_grad = function(t) return C.ea_tensor_requires_grad(t) ~= 0 end,
  grad = function(t) return F.share(C.ea_tensor_grad(t)) end,
}

--- Number of elements.
function methods.numel(t) return tonumber(C.ea_tensor_count(t)) end
--- Bytes of the elements.
function methods.bytes(t) return tonumber(C.ea_tensor_bytes(t)) end
--- Do the elements lie one after the other in memory, the last dimension's nearest?
function methods.is_contiguous(t) return C.ea_tensor_contiguous(t) ~= 0 end
--- The dimension as C counts it.
local function dimension(t, dim, where)
  local n = C.ea_tensor_ndim(t)
  F.need_whole(dim, where, "a dimension")
  local d = dim < 0 and n + dim or dim - 1
  if d < 0 or d >= n then
    F.raise("%s: there is no dimension %d in %s", where, dim, F.describe(t))
  end
  return d
end

--- Size of one dimension (negative: from the end).
function methods.size(t, dim) return tonumber(C.ea_tensor_size(t, dimension(t, dim, "size"))) end

local value_out = ffi.new("double[1]")
local index_buffer = ffi.new("int64_t[8]")

local function fill_index(t, where, ...)
  local n = select("#", ...)
  if n ~= C.ea_tensor_ndim(t) then
    F.raise("%s: expected %d indices, got %d", where, C.ea_tensor_ndim(t), n)
  end
  for i = 1, n do
    index_buffer[i - 1] = F.need_whole((select(i, ...)), where, "an index") - 1
  end
end

--- The number at i, j, ...
function methods.get(t, ...)
  fill_index(t, "get", ...)
  F.check(C.ea_tensor_get(t, index_buffer, value_out))
  return value_out[0]
end

--- t:set(i, j, ..., value)
function methods.set(t, ...)
  local n = select("#", ...)
  local value = (select(n, ...))
  F.need_number(value, "set")
  local index = { ... }
  fill_index(t, "set", unpack(index, 1, n - 1))
  F.check(C.ea_tensor_set(t, index_buffer, value))
  return t
end

--- The only element of a tensor with one element.
function methods.item(t)
  if C.ea_tensor_count(t) ~= 1 then
    F.raise("item: expected a tensor of one element, got %s", F.describe(t))
  end
  for i = 0, 7 do index_buffer[i] = 0 end
  F.check(C.ea_tensor_get(t, index_buffer, value_out))
  return value_out[0]
end

--- Nested Lua lists (a number for a tensor without dimensions).
function methods.tolist(t)
  local wide = t:to("f64"):contiguous()
  local p, size, at = F.data(wide), shape_of(t), 0
  local function walk(depth)
    if depth > #size then
      at = at + 1
      return p[at - 1]
    end
    local list = {}
    for i = 1, size[depth] do list[i] = walk(depth + 1) end
    return list
  end
  local list = walk(1)
  return wide and list -- `p` is good as long as `wide` lives
end

-- ---- copying and filling -----------------------------------------------------------------------

--- A contiguous copy without history.
function methods.clone(t)
  local out = F.out()
  F.check(C.ea_tensor_clone(t, C.ea_tensor_dtype(t), out))
  return F.own(out[0])
end

local function tracked(t)
  return C.ea_tensor_symbolic(t) ~= 0
    or (C.ea_tensor_requires_grad(t) ~= 0 and C.ea_grad_enabled() ~= 0)
end

--- The same values as another element type (an op where a gradient is recorded).
function methods.to(t, dtype)
  local number = F.dtype(dtype, "to")
  if number == C.ea_tensor_dtype(t) then return t end
  if tracked(t) then return functions.cast(t, { dtype = dtype }) end
  local out = F.out()
  F.check(C.ea_tensor_clone(t, number, out))
  return F.own(out[0])
end

--- t itself if it is contiguous, else a contiguous copy.
function methods.contiguous(t) return t:is_contiguous() and t or t:clone() end
--- Copies src (same shape; the type is converted) into t.
function methods.copy(t, src)
  F.check(C.ea_tensor_copy(t, F.need_tensor(src, "copy")))
  return t
end
--- Sets all elements to a number. Returns t.
function methods.fill(t, value)
  F.need_number(value, "fill")
  F.check(C.ea_tensor_fill(t, value))
  return t
end
--- Sets all elements to 0. Returns t.
function methods.zero(t) return t:fill(0) end
--- Frees the tensor now instead of when the collector comes by; it must not be used any more.
function methods.drop(t) F.drop(t) end
--- A 64-bit hash of shape, type and values, as 16 hexadecimal digits.
function methods.hash(t)
  return bit.tohex(tonumber(C.ea_tensor_hash(t) / 2ULL ^ 32), 8)
    .. bit.tohex(tonumber(C.ea_tensor_hash(t) % 2ULL ^ 32), 8)
end
--- How many elements are NaN or infinite.
function methods.count_nonfinite(t)
  local n = ffi.new("int64_t[1]")
  F.check(C.ea_tensor_count_nonfinite(t:contiguous(), n))
  return tonumber(n[0])
end

-- ---- views -------------------------------------------------------------------------------------

--- Elements start .. start+length-1 (every step-th) of a dimension.
function methods.narrow(t, dim, start, length, step)
  step = step or 1
  F.need_whole(start, "narrow", "the start")
  F.need_whole(length, "narrow", "the length")
  F.need_whole(step, "narrow", "the step")
  if tracked(t) then
    return functions.slice(t, { axis = dim, start = start - 1, length = length, step = step })
  end
  local out = F.out()
  F.check(C.ea_tensor_narrow(t, dimension(t, dim, "narrow"), start - 1, length, step, out))
  return F.own(out[0])
end

--- One index of a dimension; that dimension is gone from the result.
function methods.select(t, dim, index)
  local d = dimension(t, dim, "select")
  F.need_whole(index, "select", "an index")
  if tracked(t) then
    local size = shape_of(t)
    table.remove(size, d + 1)
    return t:narrow(dim, index, 1):reshape(size)
  end
  local out = F.out()
  F.check(C.ea_tensor_select(t, d, index - 1, out))
  return F.own(out[0])
end

local function size_list(...)
  if type((...)) == "table" then return (...) end
  return { ... }
end

--- The same elements under other sizes; one size may be -1.
function methods.reshape(t, ...)
  local size = size_list(...)
  if tracked(t) then return functions.reshape(t, { size = size }) end
  local known, open = 1, nil
  local full = {}
  for i, n in ipairs(size) do
    full[i] = n
    if n == -1 then open = i else known = known * n end
  end
  if open then full[open] = known > 0 and math.floor(t:numel() / known) or 0 end
  local sizes, n = F.sizes(full)
  local out = F.out()
  F.check(C.ea_tensor_reshape(t:contiguous(), n, sizes, out))
  return F.own(out[0])
end
methods.view = methods.reshape

--- The dimensions in another order: t:permute(1, 3, 2).
function methods.permute(t, ...)
  local dims = size_list(...)
  if tracked(t) then return functions.permute(t, { dims = dims }) end
  if #dims ~= C.ea_tensor_ndim(t) then
    F.raise("permute: expected %d dimensions, got %d", C.ea_tensor_ndim(t), #dims)
  end
  local order = ffi.new("int[8]")
  for i, d in ipairs(dims) do order[i - 1] = dimension(t, d, "permute") end
  local out = F.out()
  F.check(C.ea_tensor_permute(t, order, out))
  return F.own(out[0])
end

--- Transpose of a matrix.
function methods.t(t)
  if C.ea_tensor_ndim(t) ~= 2 then F.raise("t: expected a matrix, got %s", F.describe(t)) end
  return t:permute(2, 1)
end

--- Dimensions of size 1 (and new ones in front) repeated to the given sizes, without copying.
function methods.expand(t, ...)
  local size = size_list(...)
  if tracked(t) then return functions.expand(t, { size = size }) end
  local sizes, n = F.sizes(size)
  local out = F.out()
  F.check(C.ea_tensor_expand(t, n, sizes, out))
  return F.own(out[0])
end

--- t[{1, {2, 3}, {4}, {}}] as in Torch7: an index, {first, last [, step]}, one kept, or all.
local function index_by_table(t, key)
  local dim = 1
  for _, item in ipairs(key) do
    if type(item) == "number" then
      t = t:select(dim, item < 0 and t:size(dim) + 1 + item or item)
    elseif type(item) == "table" then
      local n = t:size(dim)
      local first, last, step = item[1] or 1, item[2] or item[1] or n, item[3] or 1
      if first < 0 then first = n + 1 + first end
      if last < 0 then last = n + 1 + last end
      t = t:narrow(dim, first, math.floor((last - first) / step) + 1, step)
      dim = dim + 1
    else
      F.raise("index: expected a number or a range, got a %s", type(item))
    end
  end
  return t
end

-- ---- gradients ---------------------------------------------------------------------------------

--- Asks for (or gives up) the gradient of a leaf. Returns t.
function methods.require_grad(t, on)
  F.check(C.ea_tensor_set_requires_grad(t, on == false and 0 or 1))
  return t
end
--- The same memory without history: no gradient flows through it.
function methods.detach(t)
  local out = F.out()
  F.check(C.ea_tensor_detach(t, out))
  return F.own(out[0])
end
--- Sets the gradient to zeros (it stays where it is).
function methods.zero_grad(t)
  local g = C.ea_tensor_grad(t)
  if g.p ~= nil then F.check(C.ea_tensor_fill(g, 0)) end
  return t
end
--- Makes `grad` (of the same shape and type, or nil) the gradient of t. Returns t.
function methods.set_grad(t, grad)
  F.check(C.ea_tensor_set_grad(t, grad and F.need_tensor(grad, "set_grad") or F.null))
  return t
end
--- Gradients of every leaf below, added into its .grad. See edgeai.grad.
function methods.backward(t, grad) require("edgeai.grad").backward(t, grad) end

-- ---- putting it together -----------------------------------------------------------------------

for name, fn in pairs(functions) do
  if not methods[name] then methods[name] = fn end
end

local function scaled(t, scale, shift)
  return functions.affine(t, { scale = scale, shift = shift })
end
local function is_number(x) return type(x) == "number" end
local meta = {
  __index = function(t, key)
    F.need_alive(t)
    if type(key) == "string" then
      local property = properties[key]
      if property then return property(t) end
      local method = methods[key]
      if method then return method end
      require("edgeai.plugin").offer(key)
      if methods[key] then return methods[key] end
      F.raise("a tensor has no method or property '%s'%s", key,
        require("edgeai.text").suggest(key, methods))
    elseif type(key) == "number" then
      if C.ea_tensor_ndim(t) == 0 then
        F.raise("index: this tensor is a single number; use :item()")
      end
      if key < 0 then key = t:size(1) + 1 + key end
      if C.ea_tensor_ndim(t) == 1 and not tracked(t) then return t:get(key) end
      return t:select(1, key)
    elseif type(key) == "table" then
      return index_by_table(t, key)
    end
    F.raise("a tensor cannot be indexed by a %s", type(key))
  end,
  __newindex = function(t, key, value)
    F.need_alive(t)
    if type(key) ~= "number" and type(key) ~= "table" then
      F.raise("a tensor has no field '%s' to set", tostring(key))
    end
    if tracked(t) then F.raise("a tensor whose gradient is recorded cannot be changed in place") end
    if type(key) == "number" then
      if key < 0 then key = t:size(1) + 1 + key end
      if C.ea_tensor_ndim(t) == 1 and is_number(value) then return t:set(key, value) end
      key = { key }
    end
    local part = index_by_table(t, key)
    if F.is_tensor(value) then part:copy(value) else part:fill(value) end
  end,
  __add = function(a, b)
    if is_number(b) then return scaled(a, 1, b) end
    if is_number(a) then return scaled(b, 1, a) end
    return functions.add(a, b)
  end,
  __sub = function(a, b)
    if is_number(b) then return scaled(a, 1, -b) end
    if is_number(a) then return scaled(b, -1, a) end
    return functions.sub(a, b)
  end,
  __mul = function(a, b)
    if is_number(b) then return scaled(a, b, 0) end
    if is_number(a) then return scaled(b, a, 0) end
    return functions.mul(a, b)
  end,
  __div = function(a, b)
    if is_number(b) then return scaled(a, 1 / b, 0) end
    return functions.div(a, b)
  end,
  __pow = function(a, b)
    if is_number(b) then return functions.pow_scalar(a, { exponent = b }) end
    return functions.pow(a, b)
  end,
  __unm = function(a) return scaled(a, -1, 0) end,
  __eq = function(a, b) return F.is_tensor(a) and F.is_tensor(b) and a.p == b.p end,
  __len = function(t)
    return C.ea_tensor_ndim(F.need_alive(t)) > 0 and tonumber(C.ea_tensor_size(t, 0)) or 1
  end,
  __tostring = function(t) return require("edgeai.format").tensor(t) end,
}
ffi.metatype("ea_ref", meta)

--- Has every tensor a method or property of that name?
function tensor.has(name) return methods[name] ~= nil or properties[name] ~= nil end

tensor.methods = methods
return tensor
