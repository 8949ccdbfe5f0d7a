-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.creation - making tensors: from sizes, numbers, nested lists. Element types: "f32" (where
-- none is given), "f64", "bf16", "i32", "u8", "i8".

local F = require "edgeai.ffi"

local C = F.C
local tensor = {}

local function new(size, dtype, where)
  if type(size) ~= "table" then
    F.raise("%s: expected a list of sizes, as in ea.%s{2, 3}, got a %s", where, where, type(size))
  end
  local sizes, n = F.sizes(size)
  local out = F.out()
  F.check(C.ea_tensor_new(F.dtype(dtype, where), n, sizes, out))
  return F.own(out[0])
end

--- ea.empty{2, 3} or ea.empty({2, 3}, "bf16"): uninitialised.
function tensor.empty(size, dtype) return new(size, dtype, "empty") end

local function filled(size, value, dtype, where)
  F.need_number(value, where)
  local t = new(size, dtype, where)
  F.check(C.ea_tensor_fill(t, value))
  return t
end

--- ea.full({2, 3}, 0.5 [, dtype]): all that value.
function tensor.full(size, value, dtype) return filled(size, value, dtype, "full") end
--- ea.zeros{2, 3} or ea.zeros({2, 3}, "i32"): all 0.
function tensor.zeros(size, dtype) return filled(size, 0, dtype, "zeros") end
--- The same, all 1.
function tensor.ones(size, dtype) return filled(size, 1, dtype, "ones") end

--- Identity matrix {n, n}.
function tensor.eye(n, dtype)
  local t = tensor.zeros({ n, n }, dtype)
  for i = 1, n do t:set(i, i, 1) end
  return t
end

--- first, first+step, ... up to last (with it), f32 unless told otherwise.
function tensor.arange(first, last, step, dtype)
  if last == nil then first, last = 1, first end
  step = step or 1
  for _, x in ipairs { first, last, step } do F.need_number(x, "arange") end
  if step == 0 then F.raise("arange: the step must not be 0") end
  local n = math.max(0, math.floor((last - first) / step + 1e-9) + 1)
  local t = new({ n }, dtype, "arange")
  for i = 1, n do t:set(i, first + (i - 1) * step) end
  return t
end

--- Sizes of a nested table; raises where it is ragged.
local function measure(value)
  local size = {}
  while type(value) == "table" do
    size[#size + 1] = #value
    value = value[1]
  end
  return size
end

local function put_nested(p, value, size, depth, at)
  if depth > #size then
    if type(value) ~= "number" then
      F.raise("tensor: expected a number, got a %s", type(value))
    end
    p[at] = value
    return at + 1
  end
  if type(value) ~= "table" or #value ~= size[depth] then
    F.raise("tensor: the nested lists are not all of one length: expected %d items, got %s",
      size[depth], type(value) == "table" and #value or ("a " .. type(value)))
  end
  for i = 1, size[depth] do at = put_nested(p, value[i], size, depth + 1, at) end
  return at
end

--- ea.tensor({{1, 2}, {3, 4}} [, dtype]) or ea.tensor(3.5): from nested lists, a number or a
-- tensor.
function tensor.tensor(value, dtype)
  if F.is_tensor(value) then return dtype and value:to(dtype) or value:clone() end
  local size = measure(value)
  local wide = new(size, "f64", "tensor")
  put_nested(F.data(wide), value, size, 1, 0)
  local t = new(size, dtype, "tensor")
  F.check(C.ea_tensor_copy(t, wide))
  F.drop(wide)
  return t
end

return tensor
