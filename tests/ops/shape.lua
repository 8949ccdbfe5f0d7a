-- SPDX-License-Identifier: GPL-3.0-or-later
-- Cases of the shape ops. The references build each output element from its coordinates.

--- A nested table of the given sizes whose elements are value(i, j, ...).
local function build(size, value)
  local index = {}
  local function level(d)
    if d > #size then return value(unpack(index, 1, #size)) end
    local list = {}
    for i = 1, size[d] do
      index[d] = i
      list[i] = level(d + 1)
    end
    return list
  end
  return level(1)
end

local function sizes_with(shape, axis, length)
  local size = { unpack(shape) }
  size[axis] = length
  return size
end

--- x's element at the coordinates, with `i` put in along the axis.
local function at(x, index, axis, i)
  local there = { unpack(index) }
  there[axis] = i
  return x:get(unpack(there))
end

local function positive(axis, ndim) return axis > 0 and axis or ndim + 1 + axis end

return function(ea)
  local cases = {}
  local function add(case) cases[#cases + 1] = case end
  local function random(shape)
    return function(dtype, rand) return { rand(shape, dtype) } end
  end
  --- Whole numbers that fit every type, for the types without rand.
  local function counting(shape)
    return function(dtype)
      local n = 0
      return { ea.tensor(build(shape, function()
        n = (n * 7 + 3) % 101
        return n
      end), dtype) }
    end
  end
  --- The same case with random floats and, where data only move, with integers.
  local function add_moving(case, shape)
    case.inputs = random(shape)
    add(case)
    local copy = {}
    for k, v in pairs(case) do copy[k] = v end
    copy.name, copy.inputs, copy.dtypes, copy.grad = case.name .. ", integers", counting(shape),
      { "i32", "u8", "i8" }, {}
    add(copy)
  end

  -- ---- reshape, permute, slice, expand ----

  for _, size in ipairs { { 6, 4 }, { 24 }, { -1, 2, 3 }, { 2, 3, 4, 1 } } do
    add_moving({ op = "reshape", name = table.concat(size, "x"), attrs = { size = size },
      reference = function(x)
        local all, want, open, n = x[1]:reshape(24), { unpack(size) }, nil, 1
        for d, s in ipairs(size) do
          if s == -1 then open = d else n = n * s end
        end
        if open then want[open] = 24 / n end
        n = 0
        return build(want, function()
          n = n + 1
          return all:get(n)
        end)
      end }, { 2, 3, 4 })
  end

  for _, case in ipairs { { { 2, 3 }, { 2, 1 } }, { { 70, 45 }, { 2, 1 } },
    { { 2, 3, 4 }, { 3, 1, 2 } }, { { 2, 3, 4 }, { -1, 2, 1 } }, { { 2, 5, 3, 4 }, { 1, 4, 2, 3 } },
    { { 2, 3, 4, 5 }, { 1, 3, 4, 2 } },
    { { 3, 1, 4 }, { 1, 2, 3 } }, { { 3, 2, 2, 3, 2 }, { 5, 3, 1, 4, 2 } } } do
    local shape, dims = case[1], case[2]
    add_moving({ op = "permute", name = ("%s by %s"):format(table.concat(shape, "x"),
        table.concat(dims, ",")), attrs = { dims = dims }, grad = #shape > 2 and { 1 } or {},
      reference = function(x)
        local size = {}
        for d, from in ipairs(dims) do size[d] = shape[positive(from, #shape)] end
        return build(size, function(...)
          local index = {}
          for d, from in ipairs(dims) do index[positive(from, #shape)] = select(d, ...) end
          return x[1]:get(unpack(index))
        end)
      end }, shape)
  end

  for _, case in ipairs { { { 7 }, 1, 2, 3, 1 }, { { 5, 3 }, 1, 1, 2, 3 },
    { { 4, 6 }, -1, 1, 3, 2 }, { { 2, 5, 3 }, 2, 0, 5, 1 }, { { 2, 5, 3 }, 2, 1, 2, 2 },
    { { 3, 4, 2, 2 }, 1, 1, 1, 1 } } do
    local shape, axis, start, length, step = unpack(case)
    local dim = positive(axis, #shape)
    add_moving({ op = "slice", name = ("%s axis %d from %d, %d by %d"):format(
        table.concat(shape, "x"), axis, start, length, step),
      attrs = { axis = axis, start = start, length = length, step = step },
      reference = function(x)
        return build(sizes_with(shape, dim, length), function(...)
          return at(x[1], { ... }, dim, start + 1 + (select(dim, ...) - 1) * step)
        end)
      end }, shape)
  end

  for _, case in ipairs { { { 3 }, { 4, 3 } }, { { 1 }, { 5 } }, { { 4, 1 }, { 4, 300 } },
    { { 1, 3 }, { 2, 5, 3 } }, { { 2, 1, 3 }, { 2, 4, -1 } }, { { 1, 2, 1, 3 }, { 3, 2, 2, 3 } },
    { { 2, 1, 1 }, { 3, 2, 4, 5 } }, { { 2, 3, 1, 1 }, { 2, 3, 2, 2 } } } do
    local shape, given = case[1], case[2]
    add_moving({ op = "expand", name = ("%s to %s"):format(table.concat(shape, "x"),
        table.concat(given, "x")), attrs = { size = given },
      reference = function(x)
        local size, lead = { unpack(given) }, #given - #shape
        for d = 1, #size do
          if size[d] == -1 then size[d] = shape[d - lead] end
        end
        return build(size, function(...)
          local index = {}
          for d = 1, #shape do index[d] = shape[d] == 1 and 1 or select(d + lead, ...) end
          return x[1]:get(unpack(index))
        end)
      end }, shape)
  end

  -- ---- concat, stack ----

  for _, case in ipairs { { 1, { 2, 3 }, { 1, 3 } }, { 2, { 2, 3 }, { 2, 1 }, { 2, 4 } },
    { -1, { 2, 2, 3 }, { 2, 2, 2 } }, { 2, { 2, 2, 3 }, { 2, 3, 3 } }, { 1, { 4 } } } do
    local axis, shapes = case[1], { unpack(case, 2) }
    local dim = positive(axis, #shapes[1])
    add { op = "concat", name = ("%d along axis %d"):format(#shapes, axis), attrs = { axis = axis },
      inputs = function(dtype, rand)
        local x = {}
        for i, shape in ipairs(shapes) do x[i] = rand(shape, dtype) end
        return x
      end,
      reference = function(x)
        local total = 0
        for _, shape in ipairs(shapes) do total = total + shape[dim] end
        return build(sizes_with(shapes[1], dim, total), function(...)
          local i, k = select(dim, ...), 1
          while i > shapes[k][dim] do
            i = i - shapes[k][dim]
            k = k + 1
          end
          return at(x[k], { ... }, dim, i)
        end)
      end }
  end

  for _, case in ipairs { { 1, { 3 } }, { 2, { 2, 3 } }, { -1, { 2, 3 } }, { 2, { 2, 2, 2 } } } do
    local axis, shape = case[1], case[2]
    local dim = positive(axis, #shape + 1)
    add { op = "stack", name = ("%s on axis %d"):format(table.concat(shape, "x"), axis),
      attrs = { axis = axis },
      inputs = function(dtype, rand)
        return { rand(shape, dtype), rand(shape, dtype), rand(shape, dtype) }
      end,
      reference = function(x)
        local size = { unpack(shape) }
        table.insert(size, dim, 3)
        return build(size, function(...)
          local index = { ... }
          return x[table.remove(index, dim)]:get(unpack(index))
        end)
      end }
  end

  -- ---- pad2d, flip, roll ----

  local function from_pad(i, before, n, mode)
    local p = i - before
    if p >= 1 and p <= n then return p end
    if mode == 0 then return nil end
    if mode == 2 then return p < 1 and 1 or n end
    return p < 1 and 2 - p or 2 * n - p
  end
  for _, attrs in ipairs { { top = 1, bottom = 2, left = 2, right = 1 },
    { top = 1, left = 1, value = 5 }, { mode = 1, top = 2, bottom = 2, left = 3, right = 3 },
    { mode = 1, bottom = 1, right = 2 },
    { mode = 2, top = 4, bottom = 1, left = 1, right = 6 }, {} } do
    local top, bottom, mode = attrs.top or 0, attrs.bottom or 0, attrs.mode or 0
    local left, right = attrs.left or 0, attrs.right or 0
    add_moving({ op = "pad2d", attrs = attrs,
      name = ("mode %d by %d %d %d %d"):format(mode, top, bottom, left, right),
      reference = function(x)
        return build({ 2, 3 + top + bottom, 4 + left + right, 2 }, function(n, h, w, c)
          local row, column = from_pad(h, top, 3, mode), from_pad(w, left, 4, mode)
          return row and column and x[1]:get(n, row, column, c) or attrs.value or 0
        end)
      end }, { 2, 3, 4, 2 })
  end

  for _, case in ipairs { { { 5 }, 1 }, { { 3, 4 }, 1 }, { { 3, 4 }, -1 },
    { { 2, 3, 4, 2 }, 3 } } do
    local shape, axis = case[1], case[2]
    local dim = positive(axis, #shape)
    add_moving({ op = "flip", name = ("%s axis %d"):format(table.concat(shape, "x"), axis),
      attrs = { axis = axis },
      reference = function(x)
        return build(shape, function(...)
          return at(x[1], { ... }, dim, shape[dim] + 1 - select(dim, ...))
        end)
      end }, shape)
  end

  for _, case in ipairs { { { 5 }, 1, 2 }, { { 3, 4 }, 2, -1 }, { { 3, 4 }, 1, 7 },
    { { 2, 3, 2 }, 2, 0 }, { { 2, 3, 2 }, -2, -5 } } do
    local shape, axis, shift = unpack(case)
    local dim = positive(axis, #shape)
    add_moving({ op = "roll",
      name = ("%s axis %d by %d"):format(table.concat(shape, "x"), axis, shift),
      attrs = { axis = axis, shift = shift },
      reference = function(x)
        return build(shape, function(...)
          return at(x[1], { ... }, dim, (select(dim, ...) - 1 - shift) % shape[dim] + 1)
        end)
      end }, shape)
  end

  -- ---- gather, scatter_add, index_select, one_hot ----

  local picks = {
    { shape = { 4 }, axis = 1, index = { 2, 2, 4, 1, 2 } },
    { shape = { 3, 2 }, axis = 1, index = { { 3, 1 }, { 3, 3 }, { 1, 1 }, { 2, 3 } } },
    { shape = { 2, 4 }, axis = 2, index = { { 4, 1, 1 }, { 2, 3, 3 } } },
    { shape = { 3, 3 }, axis = -1, index = { { 1, 1 }, { 3, 2 } } },
    { shape = { 2, 3, 2 }, axis = 2, index = { { { 1, 3 }, { 1, 3 } }, { { 2, 2 }, { 3, 1 } } } },
  }
  local function size_of(list)
    local size = {}
    while type(list) == "table" do
      size[#size + 1] = #list
      list = list[1]
    end
    return size
  end
  for k, pick in ipairs(picks) do
    local shape, index, dim = pick.shape, pick.index, positive(pick.axis, #pick.shape)
    add { op = "gather", name = ("%d, %s axis %d"):format(k, table.concat(shape, "x"), pick.axis),
      attrs = { axis = pick.axis }, grad = { 1 },
      inputs = function(dtype, rand) return { rand(shape, dtype), ea.tensor(index, "i32") } end,
      reference = function(x)
        return build(size_of(index), function(...)
          return at(x[1], { ... }, dim, x[2]:get(...))
        end)
      end }
    local bigger = size_of(index)
    bigger[1] = bigger[1] + k % 2
    add { op = "scatter_add",
      name = ("%d, %s axis %d"):format(k, table.concat(shape, "x"), pick.axis),
      attrs = { axis = pick.axis }, grad = { 1, 3 },
      inputs = function(dtype, rand)
        return { rand(shape, dtype), ea.tensor(index, "i32"), rand(bigger, dtype) }
      end,
      reference = function(x)
        local out = x[1]:clone()
        build(size_of(index), function(...)
          local there = { ... }
          there[dim] = x[2]:get(...)
          local sum = out:get(unpack(there)) + x[3]:get(...)
          there[#there + 1] = sum
          out:set(unpack(there))
          return 0
        end)
        return out
      end }
  end
  add { op = "gather", name = "indices from 0", attrs = { axis = 1, base = 0 }, grad = {},
    inputs = function(dtype, rand) return { rand({ 3 }, dtype), ea.tensor({ 0, 2 }, "i32") } end,
    reference = function(x) return { x[1]:get(1), x[1]:get(3) } end }

  for _, pick in ipairs { { { 4 }, 1, { 2, 2, 4 } }, { { 3, 5 }, 1, { 3, 1, 3, 3 } },
    { { 3, 5 }, 2, { 5, 1 } }, { { 2, 3, 4 }, -2, { 1, 1, 2, 1 } } } do
    local shape, axis, index = unpack(pick)
    local dim = positive(axis, #shape)
    add { op = "index_select", name = ("%s axis %d"):format(table.concat(shape, "x"), axis),
      attrs = { axis = axis }, grad = { 1 },
      inputs = function(dtype, rand) return { rand(shape, dtype), ea.tensor(index, "i32") } end,
      reference = function(x)
        return build(sizes_with(shape, dim, #index), function(...)
          return at(x[1], { ... }, dim, index[select(dim, ...)])
        end)
      end }
  end

  for _, labels in ipairs { { 3, 1, 4 }, { { 2, 2 }, { 1, 4 } } } do
    add { op = "one_hot", name = #size_of(labels) .. "-d labels", attrs = { classes = 4 },
      dtypes = { "i32" }, grad = {},
      inputs = function() return { ea.tensor(labels, "i32") } end,
      reference = function(x)
        local size = size_of(labels)
        size[#size + 1] = 4
        return build(size, function(...)
          local index = { ... }
          local class = table.remove(index)
          return x[1]:get(unpack(index)) == class and 1 or 0
        end)
      end }
  end
  return cases
end
