-- SPDX-License-Identifier: GPL-3.0-or-later
-- Cases of the network layers. References are loops over nested tables, straight from the formulas
-- at the top of each op's file.

--- {n,h,w,c} nested zeros.
local plain = dofile((debug.getinfo(1, "S").source:match("^@(.*/)") or "") .. "plain.lua")

local function images(n, h, w, c)
  local y = {}
  for b = 1, n do
    y[b] = {}
    for i = 1, h do
      y[b][i] = {}
      for j = 1, w do
        y[b][i][j] = {}
        for k = 1, c do y[b][i][j][k] = 0 end
      end
    end
  end
  return y
end

--- Images filled by f(b, i, j, k), all from 1.
local function fill(n, h, w, c, f)
  local y = images(n, h, w, c)
  for b = 1, n do
    for i = 1, h do
      for j = 1, w do
        for k = 1, c do y[b][i][j][k] = f(b, i, j, k) end
      end
    end
  end
  return y
end

local function conv2d(inputs, attrs)
  local x, w = inputs[1]:tolist(), inputs[2]:tolist()
  local bias = inputs[3] and inputs[3]:tolist()
  local stride, pad = attrs.stride or 1, attrs.pad or 0
  local groups, dilation = attrs.groups or 1, attrs.dilation or 1
  local kh, kw, cg, out = #w[1][1], #w[1][1][1], #w[1], #w
  local h, wide = #x[1], #x[1][1]
  local oh = math.floor((h + 2 * pad - dilation * (kh - 1) - 1) / stride) + 1
  local ow = math.floor((wide + 2 * pad - dilation * (kw - 1) - 1) / stride) + 1
  return fill(#x, oh, ow, out, function(n, i, j, o)
    local first = math.floor((o - 1) / (out / groups)) * cg
    local sum = bias and bias[o] or 0
    for a = 0, kh - 1 do
      for b = 0, kw - 1 do
        local row = x[n][(i - 1) * stride - pad + a * dilation + 1]
        local pixel = row and row[(j - 1) * stride - pad + b * dilation + 1]
        for c = 1, pixel and cg or 0 do sum = sum + pixel[first + c] * w[o][c][a + 1][b + 1] end
      end
    end
    return sum
  end)
end

--- Every number of x into the window that it reaches.
local function conv_transpose2d(inputs, attrs)
  local x, w = inputs[1]:tolist(), inputs[2]:tolist()
  local bias = inputs[3] and inputs[3]:tolist()
  local stride, pad, dilation = attrs.stride or 1, attrs.pad or 0, attrs.dilation or 1
  local groups, kh, kw, og = attrs.groups or 1, #w[1][1], #w[1][1][1], #w[1]
  local more = (attrs.output_pad or 0) + 1 - 2 * pad
  local oh = (#x[1] - 1) * stride + dilation * (kh - 1) + more
  local ow = (#x[1][1] - 1) * stride + dilation * (kw - 1) + more
  local y = fill(#x, oh, ow, og * groups, function(_, _, _, o) return bias and bias[o] or 0 end)
  for n, image in ipairs(x) do
    for i, line in ipairs(image) do
      for j, pixel in ipairs(line) do
        for a = 0, kh - 1 do
          for b = 0, kw - 1 do
            local row = y[n][(i - 1) * stride - pad + a * dilation + 1]
            local to = row and row[(j - 1) * stride - pad + b * dilation + 1]
            for c = 1, to and #pixel or 0 do
              local first = math.floor((c - 1) / (#pixel / groups)) * og
              for o = 1, og do to[first + o] = to[first + o] + pixel[c] * w[c][o][a + 1][b + 1] end
            end
          end
        end
      end
    end
  end
  return y
end

local function conv_case(name, x, w, attrs, bias)
  return {
    op = "conv2d", name = name, attrs = attrs, reference = conv2d,
    grad = bias and { 1, 2, 3 } or { 1, 2 },
    inputs = function(dtype, rand)
      local master = dtype == "f64" and "f64" or "f32"
      local list = { rand(x, dtype), rand(w, master) }
      if bias then list[3] = rand({ w[1] }, master) end
      return list
    end,
  }
end

local function transpose_case(name, x, w, attrs, bias)
  local case = conv_case(name, x, w, attrs)
  case.op, case.reference = "conv_transpose2d", conv_transpose2d
  if not bias then return case end
  local inputs = case.inputs
  case.grad = { 1, 2, 3 }
  case.inputs = function(dtype, rand)
    local list = inputs(dtype, rand)
    list[3] = rand({ w[2] * (attrs.groups or 1) }, list[2].dtype)
    return list
  end
  return case
end

--- Rows of the last axis as a list of tables (shared with `nested`), and `nested` itself.
local function rows_of(t)
  local nested, rows = t:tolist(), {}
  local function walk(v)
    if type(v[1]) == "number" then rows[#rows + 1] = v else for _, u in ipairs(v) do walk(u) end end
  end
  walk(nested)
  return rows, nested
end

local function mean_and_var(values)
  local mean, var = 0, 0
  for _, v in ipairs(values) do mean = mean + v / #values end
  for _, v in ipairs(values) do var = var + (v - mean) ^ 2 / #values end
  return mean, var
end

local function batch_norm(inputs, attrs)
  local rows, y = rows_of(inputs[1])
  local weight, bias = inputs[2]:tolist(), inputs[3]:tolist()
  local mean, var = inputs[4]:tolist(), inputs[5]:tolist()
  for k = 1, #weight do
    if attrs.training then
      local column = {}
      for r, row in ipairs(rows) do column[r] = row[k] end
      mean[k], var[k] = mean_and_var(column)
    end
    for _, row in ipairs(rows) do
      local v = (row[k] - mean[k]) / math.sqrt(var[k] + (attrs.eps or 1e-5)) * weight[k] + bias[k]
      row[k] = attrs.relu and math.max(v, 0) or v
    end
  end
  return y
end

local function norm_case(name, size, attrs)
  return {
    op = "batch_norm", name = name, attrs = attrs, reference = batch_norm, grad = { 1, 2, 3 },
    inputs = function(dtype, rand)
      local c, master = size[#size], dtype == "f64" and "f64" or "f32"
      return { rand(size, dtype), rand({ c }, master), rand({ c }, master), rand({ c }, master),
        rand({ c }, master):square() + 0.5 }
    end,
  }
end

local function moments(inputs)
  local rows = rows_of(inputs[1])
  local mean, var = {}, {}
  for k = 1, #rows[1] do
    local column = {}
    for r, row in ipairs(rows) do column[r] = row[k] end
    mean[k], var[k] = mean_and_var(column)
  end
  return { mean, var }
end

local function mean_square(inputs)
  local x, size = inputs[1]:tolist(), inputs[1].shape
  local channels = table.remove(size)
  return plain.build(size, function(index)
    local vector, y = plain.at(x, index), 0
    for _, v in ipairs(vector) do y = y + v * v / channels end
    return y
  end)
end

local function layer_norm(inputs, attrs)
  local rows, y = rows_of(inputs[1])
  local weight, bias = inputs[2]:tolist(), inputs[3]:tolist()
  for _, row in ipairs(rows) do
    local mean, var = mean_and_var(row)
    for k, v in ipairs(row) do
      row[k] = (v - mean) / math.sqrt(var + (attrs.eps or 1e-5)) * weight[k] + bias[k]
    end
  end
  return y
end

local function pool(inputs, attrs, start, step, finish)
  local x = inputs[1]:tolist()
  local stride, pad = attrs.stride or attrs.size, attrs.pad or 0
  local oh = math.floor((#x[1] + 2 * pad - attrs.size) / stride) + 1
  local ow = math.floor((#x[1][1] + 2 * pad - attrs.size) / stride) + 1
  return fill(#x, oh, ow, #x[1][1][1], function(n, i, j, k)
    local value = start
    for a = 1, attrs.size do
      for b = 1, attrs.size do
        local row = x[n][(i - 1) * stride - pad + a]
        local pixel = row and row[(j - 1) * stride - pad + b]
        if pixel then value = step(value, pixel[k]) end
      end
    end
    return finish(value)
  end)
end

local function max_pool(inputs, attrs)
  return pool(inputs, attrs, -math.huge, math.max, function(v) return v end)
end
local function avg_pool(inputs, attrs)
  return pool(inputs, attrs, 0, function(a, b) return a + b end,
    function(v) return v / attrs.size ^ 2 end)
end

local function global_pool(inputs, start, step, finish)
  local x, y = inputs[1]:tolist(), {}
  for n, image in ipairs(x) do
    y[n] = {}
    for k = 1, #image[1][1] do
      local value, count = start, 0
      for _, row in ipairs(image) do
        for _, pixel in ipairs(row) do value, count = step(value, pixel[k]), count + 1 end
      end
      y[n][k] = finish(value, count)
    end
  end
  return y
end

local function resize(inputs, attrs)
  local x = inputs[1]:tolist()
  local h, w = #x[1], #x[1][1]
  local function source(i, from, to)
    if attrs.mode == 1 then return math.floor(i * from / to), 0 end
    local s = math.max(0, (i + 0.5) * from / to - 0.5)
    if attrs.align_corners then s = to > 1 and i * (from - 1) / (to - 1) or 0 end
    local low = math.min(math.floor(s), from - 1)
    return low, s - low
  end
  return fill(#x, attrs.height, attrs.width, #x[1][1][1], function(n, i, j, k)
    local r, a = source(i - 1, h, attrs.height)
    local c, b = source(j - 1, w, attrs.width)
    local r2, c2 = math.min(r + 1, h - 1), math.min(c + 1, w - 1)
    local function at(row, column) return x[n][row + 1][column + 1][k] end
    return (1 - a) * ((1 - b) * at(r, c) + b * at(r, c2))
      + a * ((1 - b) * at(r2, c) + b * at(r2, c2))
  end)
end

local function round_even(v)
  local low = math.floor(v)
  if v - low == 0.5 then return low % 2 == 0 and low or low + 1 end
  return math.floor(v + 0.5)
end

local function warp(inputs, attrs)
  local x, grid = inputs[1]:tolist(), inputs[2]:tolist()
  local h, w = #x[1], #x[1][1]
  return fill(#x, #grid[1], #grid[1][1], #x[1][1][1], function(n, i, j, k)
    local column = ((grid[n][i][j][1] + 1) * w - 1) / 2
    local row = ((grid[n][i][j][2] + 1) * h - 1) / 2
    if attrs.padding == 1 then
      column, row = math.max(0, math.min(w - 1, column)), math.max(0, math.min(h - 1, row))
    end
    local function at(r, c)
      local pixel = x[n][r + 1] and x[n][r + 1][c + 1]
      return pixel and pixel[k] or 0
    end
    if attrs.mode == 1 then return at(round_even(row), round_even(column)) end
    local r, c = math.floor(row), math.floor(column)
    local a, b = row - r, column - c
    return (1 - a) * ((1 - b) * at(r, c) + b * at(r, c + 1))
      + a * ((1 - b) * at(r + 1, c) + b * at(r + 1, c + 1))
  end)
end

--- One image input.
local function redirected_relu(inputs, attrs)
  local x = inputs[1]:tolist()
  return plain.build(inputs[1].shape, function(index)
    return math.min(math.max(plain.at(x, index), 0), attrs.high or math.huge)
  end)
end

local function image_case(op, name, size, attrs, reference)
  return {
    op = op, name = name, attrs = attrs, reference = reference, grad = { 1 },
    inputs = function(dtype, rand) return { rand(size, dtype) } end,
  }
end

local function warp_case(name, attrs)
  return {
    op = "warp", name = name, attrs = attrs, reference = warp,
    grad = attrs.mode == 1 and { 1 } or { 1, 2 },
    inputs = function(dtype, rand)
      local grid = dtype == "f64" and "f64" or "f32"
      return { rand({ 2, 5, 4, 3 }, dtype), rand({ 2, 3, 4, 2 }, grid) }
    end,
  }
end

return function()
  return {
    conv_case("3x3, odd sizes, bias", { 2, 5, 7, 3 }, { 4, 3, 3, 3 }, { pad = 1 }, true),
    conv_case("3x3, 16 channels, batch with a remainder", { 5, 6, 6, 16 }, { 16, 16, 3, 3 },
      { pad = 1 }),
    conv_case("3x3, stride 2, even size", { 3, 6, 6, 4 }, { 5, 4, 3, 3 }, { stride = 2, pad = 1 }),
    conv_case("3x3, stride 2, odd size, bias", { 1, 7, 5, 8 }, { 6, 8, 3, 3 },
      { stride = 2, pad = 1 }, true),
    conv_case("1x1", { 2, 3, 4, 6 }, { 8, 6, 1, 1 }, {}),
    conv_case("1x1, stride 2, bias", { 2, 5, 4, 6 }, { 8, 6, 1, 1 }, { stride = 2 }, true),
    conv_case("5x5, no pad, one channel", { 2, 7, 6, 1 }, { 3, 1, 5, 5 }, {}, true),
    conv_case("2x2, even kernel", { 1, 4, 5, 3 }, { 2, 3, 2, 2 }, {}),
    conv_case("3x1, not square", { 1, 4, 5, 3 }, { 2, 3, 3, 1 }, { pad = 1 }),
    conv_case("dilation 2", { 1, 7, 6, 4 }, { 4, 4, 3, 3 }, { pad = 2, dilation = 2 }),
    conv_case("two groups", { 2, 4, 4, 6 }, { 8, 3, 3, 3 }, { pad = 1, groups = 2 }, true),
    conv_case("depthwise", { 2, 5, 5, 16 }, { 16, 1, 3, 3 }, { pad = 1, groups = 16 }),
    conv_case("depthwise, stride 2, twice the channels", { 2, 5, 5, 3 }, { 6, 1, 3, 3 },
      { pad = 1, stride = 2, groups = 3 }, true),
    transpose_case("4x4, stride 2: twice the size", { 2, 4, 5, 16 }, { 16, 8, 4, 4 },
      { stride = 2, pad = 1 }),
    transpose_case("4x4, stride 2, 32 channels, bias", { 3, 4, 4, 32 }, { 32, 24, 4, 4 },
      { stride = 2, pad = 1 }, true),
    transpose_case("3x3, output_pad", { 2, 3, 4, 3 }, { 3, 5, 3, 3 },
      { stride = 2, pad = 1, output_pad = 1 }),
    transpose_case("3x3, stride 1", { 2, 4, 3, 4 }, { 4, 6, 3, 3 }, {}),
    transpose_case("2x2, stride 3, gaps", { 1, 3, 2, 2 }, { 2, 3, 2, 2 }, { stride = 3 }, true),
    transpose_case("dilation 2, groups", { 1, 4, 4, 6 }, { 6, 2, 3, 3 },
      { dilation = 2, groups = 3, pad = 1 }, true),
    transpose_case("2x3, not square", { 1, 3, 4, 3 }, { 3, 2, 2, 3 }, { stride = 2 }),
    conv_case("pad wider than the kernel", { 1, 3, 3, 2 }, { 2, 2, 3, 3 }, { pad = 3 }),

    norm_case("training", { 3, 4, 2, 5 }, { training = true }),
    norm_case("training, relu, 19 channels", { 2, 3, 3, 19 }, { training = true, relu = true }),
    norm_case("evaluation", { 3, 4, 2, 5 }, {}),
    norm_case("evaluation, relu", { 2, 3, 3, 17 }, { relu = true }),
    image_case("moments", "19 channels", { 3, 2, 3, 19 }, {}, moments),
    image_case("moments", "64 channels of 300 rows", { 300, 64 }, {}, moments),
    image_case("moments", "one row", { 1, 7 }, {}, moments),
    image_case("mean_square", "19 channels", { 3, 2, 3, 19 }, {}, mean_square),
    image_case("mean_square", "64 channels of 300 rows", { 300, 64 }, {}, mean_square),
    image_case("mean_square", "one vector", { 5 }, {}, mean_square),
    norm_case("of vectors, eps 0.1", { 7, 16 }, { training = true, eps = 0.1 }),

    image_case("max_pool2d", "2", { 2, 5, 4, 3 }, { size = 2 }, max_pool),
    image_case("max_pool2d", "3, stride 2, pad 1", { 2, 6, 5, 3 },
      { size = 3, stride = 2, pad = 1 }, max_pool),
    image_case("max_pool2d", "overlapping", { 1, 5, 5, 2 }, { size = 3, stride = 1 }, max_pool),
    image_case("avg_pool2d", "2", { 2, 5, 4, 3 }, { size = 2 }, avg_pool),
    image_case("avg_pool2d", "3, stride 2, pad 1", { 2, 6, 5, 3 },
      { size = 3, stride = 2, pad = 1 }, avg_pool),
    image_case("avg_pool2d", "gaps between windows", { 1, 8, 8, 2 },
      { size = 2, stride = 3 }, avg_pool),
    image_case("global_avg_pool", "70 channels", { 3, 4, 3, 70 }, {}, function(inputs)
      return global_pool(inputs, 0, function(a, b) return a + b end,
        function(v, n) return v / n end)
    end),
    image_case("global_max_pool", "5 channels", { 3, 4, 3, 5 }, {}, function(inputs)
      return global_pool(inputs, -math.huge, math.max, function(v) return v end)
    end),

    image_case("redirected_relu", "some units alive in each image", { 3, 4, 5 }, {},
      redirected_relu),
    image_case("redirected_relu", "cut above", { 2, 3, 3, 4 }, { high = 0.5 }, redirected_relu),

    image_case("resize", "bilinear, up", { 2, 3, 4, 2 }, { height = 7, width = 6 }, resize),
    image_case("resize", "bilinear, down", { 2, 7, 6, 2 }, { height = 3, width = 1 }, resize),
    image_case("resize", "bilinear, corners aligned", { 1, 3, 4, 2 },
      { height = 5, width = 1, align_corners = true }, resize),
    image_case("resize", "nearest, up and down", { 2, 3, 6, 2 },
      { height = 7, width = 4, mode = 1 }, resize),

    warp_case("bilinear, zeros", {}),
    warp_case("bilinear, border", { padding = 1 }),
    warp_case("nearest, zeros", { mode = 1 }),
    warp_case("nearest, border", { mode = 1, padding = 1 }),

    image_case("dropout", "nothing dropped", { 3, 5 }, { p = 0 },
      function(inputs) return inputs[1] end),
    image_case("dropout", "all dropped", { 3, 5 }, { p = 1 },
      function(inputs) return inputs[1] * 0 end),

    {
      op = "layer_norm", name = "last axis of three", attrs = {}, reference = layer_norm,
      grad = { 1, 2, 3 },
      inputs = function(dtype, rand)
        local master = dtype == "f64" and "f64" or "f32"
        return { rand({ 2, 3, 7 }, dtype), rand({ 7 }, master), rand({ 7 }, master) }
      end,
    },
  }
end
