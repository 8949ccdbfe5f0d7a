-- SPDX-License-Identifier: GPL-3.0-or-later
-- Helpers of the slow references: nested Lua lists, read and built by index lists (from 1).

local plain = {}

--- The number at an index list in nested lists.
function plain.at(nested, index)
  for _, i in ipairs(index) do nested = nested[i] end
  return nested
end

--- Nested lists of the given sizes filled with f(index); a number for no sizes.
function plain.build(size, f)
  local index = {}
  local function level(d)
    if d > #size then return f(index) end
    local list = {}
    for i = 1, size[d] do
      index[d] = i
      list[i] = level(d + 1)
    end
    index[d] = nil
    return list
  end
  return level(1)
end

--- Calls f(index) for every element of the given sizes, the last index fastest.
function plain.each(size, f)
  plain.build(size, function(index)
    f(index)
    return 0
  end)
end

--- The sizes that inputs broadcast to, as NumPy does.
function plain.broadcast(inputs)
  local size = {}
  for _, x in ipairs(inputs) do
    local s = x.shape
    local missing = #s - #size
    for _ = 1, missing do table.insert(size, 1, 1) end
    for d = 1, #s do
      local k = #size - #s + d
      if size[k] == 1 then size[k] = s[d] end
    end
  end
  return size
end

--- f of the inputs' elements, broadcast, as nested lists.
function plain.map(inputs, f)
  local size, lists = plain.broadcast(inputs), {}
  for k, x in ipairs(inputs) do lists[k] = x:tolist() end
  return plain.build(size, function(index)
    local values = {}
    for k, x in ipairs(inputs) do
      local own, s = {}, x.shape
      for d = 1, #s do own[d] = s[d] == 1 and 1 or index[#size - #s + d] end
      values[k] = plain.at(lists[k], own)
    end
    return f(unpack(values))
  end)
end

--- An axis counted from 1, or from -1 at the end, as a number from 1.
function plain.axis(axis, ndim) return axis > 0 and axis or ndim + 1 + axis end

--- Collects the elements along axes (a list; nil: all) and replaces them by f(values).
function plain.reduce(x, axes, keep, f)
  local size, reduced, list = x.shape, {}, x:tolist()
  if type(axes) == "number" then axes = { axes } end
  for d = 1, #size do reduced[d] = axes == nil or #axes == 0 end
  for _, axis in ipairs(axes or {}) do reduced[plain.axis(axis, #size)] = true end
  local out, along = {}, {}
  for d = 1, #size do
    if not reduced[d] then out[#out + 1] = size[d] elseif keep then out[#out + 1] = 1 end
    if reduced[d] then along[#along + 1] = size[d] end
  end
  return plain.build(out, function(index)
    local values = {}
    plain.each(along, function(inner)
      local full, o, r = {}, 0, 0
      for d = 1, #size do
        if reduced[d] then
          r = r + 1
          if keep then o = o + 1 end
          full[d] = inner[r]
        else
          o = o + 1
          full[d] = index[o]
        end
      end
      values[#values + 1] = plain.at(list, full)
    end)
    return f(values)
  end)
end

--- Replaces each line along an axis by f(line), a list of any one length.
function plain.lines(x, axis, f)
  local size, list = x.shape, x:tolist()
  axis = plain.axis(axis, #size)
  local done = {}
  local function line(index)
    local key = {}
    for d = 1, #size do key[d] = d == axis and 0 or index[d] end
    local name = table.concat(key, ",")
    if not done[name] then
      local values = {}
      for i = 1, size[axis] do
        key[axis] = i
        values[i] = plain.at(list, key)
      end
      done[name] = f(values)
    end
    return done[name]
  end
  local first = {}
  for d = 1, #size do first[d] = 1 end
  local length = #line(first)
  local out = {}
  for d = 1, #size do out[d] = d == axis and length or size[d] end
  return plain.build(out, function(index) return line(index)[index[axis]] end)
end

return plain
