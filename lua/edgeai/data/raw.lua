-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.raw - the few tensor operations that reading data needs, without gradients, straight
-- on the C interface: labels are numbered here from 1, in files from 0.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local C = F.C

local raw = {}

--- An uninitialised tensor: raw.new("u8", { 10, 32, 32, 3 }).
function raw.new(dtype, size)
  local out = F.out()
  local sizes, n = F.sizes(size)
  F.check(C.ea_tensor_new(F.dtype(dtype), n, sizes, out))
  return F.own(out[0])
end

--- Calls a C reader `fn(..., out)` and owns its one result.
function raw.read(fn, ...)
  local arguments, n = { ... }, select("#", ...)
  local out = F.out()
  arguments[n + 1] = out
  F.check(fn(unpack(arguments, 1, n + 1)))
  return F.own(out[0])
end

--- Sizes as a Lua table of numbers.
function raw.size(t)
  local size = {}
  for d = 1, C.ea_tensor_ndim(t) do size[d] = tonumber(C.ea_tensor_size(t, d - 1)) end
  return size
end

--- Size of the first dimension.
function raw.count(t) return tonumber(C.ea_tensor_size(t, 0)) end

--- The same elements under other sizes.
function raw.reshape(t, size)
  local sizes, n = F.sizes(size)
  return raw.read(C.ea_tensor_reshape, t, n, sizes)
end

--- {n1,...}, {n2,...} -> {n1+n2,...}; the parts are freed.
function raw.concat(parts)
  if #parts == 1 then return parts[1] end
  local size = raw.size(parts[1])
  size[1] = 0
  for _, part in ipairs(parts) do size[1] = size[1] + raw.count(part) end
  local whole = raw.new(F.dtype_names[C.ea_tensor_dtype(parts[1])], size)
  local at = ffi.cast("char *", C.ea_tensor_data(whole))
  for _, part in ipairs(parts) do
    ffi.copy(at, C.ea_tensor_data(part), C.ea_tensor_bytes(part))
    at = at + C.ea_tensor_bytes(part)
    F.drop(part)
  end
  return whole
end

--- i32 or u8 {n}, plus `shift` -> i32 {n}.
function raw.shifted(t, shift)
  local n = raw.count(t)
  local from = F.data(t)
  local result = raw.new("i32", { n })
  local to = F.data(result)
  for i = 0, n - 1 do to[i] = from[i] + shift end
  return result
end

--- A Lua list of numbers -> i32 {n}.
function raw.from_list(list)
  local result = raw.new("i32", { #list })
  local to = F.data(result)
  for i = 1, #list do to[i - 1] = list[i] end
  return result
end

--- How often each class 1..classes occurs among labels (1-based i32), or among those at `index`.
function raw.class_counts(labels, index, classes)
  local counts, label = {}, F.data(labels)
  for k = 1, classes do counts[k] = 0 end
  local at = index and F.data(index)
  for i = 0, raw.count(index or labels) - 1 do
    local k = label[at and at[i] - 1 or i]
    counts[k] = counts[k] + 1
  end
  return counts
end

--- Sums of the values and of their squares, exact, for each channel of images u8 {n,h,w,c} (or of
-- those at `index`): two lists, and the number of values in a channel.
function raw.channel_sums(images, index)
  local size = raw.size(images)
  local c, pixels = size[4], size[2] * size[3] * size[4]
  local histogram, p = ffi.new("double[?]", c * 256), F.data(images)
  local at, n = index and F.data(index), raw.count(index or images)
  for i = 0, n - 1 do
    local image = p + (at and at[i] - 1 or i) * pixels
    for j = 0, pixels - 1, c do
      for k = 0, c - 1 do
        local slot = k * 256 + image[j + k]
        histogram[slot] = histogram[slot] + 1
      end
    end
  end
  local sums, squares = {}, {}
  for k = 1, c do
    sums[k], squares[k] = 0, 0
    for v = 0, 255 do
      local times = histogram[(k - 1) * 256 + v]
      sums[k] = sums[k] + times * v
      squares[k] = squares[k] + times * v * v
    end
  end
  return sums, squares, n * size[2] * size[3]
end

return raw
