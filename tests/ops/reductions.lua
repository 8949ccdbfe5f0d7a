-- SPDX-License-Identifier: GPL-3.0-or-later
-- Cases of reductions and selections (core/ops/reduce.c, var.c, softmax.c, argmax.c, cumsum.c,
-- sort.c).

local plain = dofile((debug.getinfo(1, "S").source:match("^@(.*/)")) .. "plain.lua")
local nan, inf = 0 / 0, math.huge

local function sum(values)
  local s = 0
  for _, v in ipairs(values) do s = s + v end
  return s
end

local function mean(values) return sum(values) / #values end

local function largest(values)
  local m = -inf
  for _, v in ipairs(values) do if v ~= v or v > m then m = v end end
  for _, v in ipairs(values) do if v ~= v then m = v end end
  return m
end

local function smallest(values)
  local m = inf
  for _, v in ipairs(values) do if v < m then m = v end end
  for _, v in ipairs(values) do if v ~= v then m = v end end
  return m
end

local function logsumexp(values)
  local m, s = largest(values), 0
  if math.abs(m) == inf then m = 0 end
  for _, v in ipairs(values) do s = s + math.exp(v - m) end
  return m + math.log(s)
end

local function variance(values, correction)
  local m, s = mean(values), 0
  for _, v in ipairs(values) do s = s + (v - m) ^ 2 end
  return s / (#values - correction)
end

local reductions = {
  { "sum", sum }, { "mean", mean }, { "max", largest }, { "min", smallest },
  { "logsumexp", logsumexp },
  { "var", function(v) return variance(v, 1) end },
  { "var", function(v) return variance(v, 0) end, { correction = 0 } },
  { "norm", function(v)
    local s = 0
    for _, x in ipairs(v) do s = s + x * x end
    return math.sqrt(s)
  end },
  { "norm", function(v)
    local s = 0.25
    for _, x in ipairs(v) do s = s + x * x end
    return math.sqrt(s)
  end, { eps = 0.25 } },
}

--- Shapes and axes, each for its own way through the kernels.
local layouts = {
  { "all of it", { 4, 3, 5 } },
  { "all of it, axes kept", { 4, 3 }, keep = true },
  { "an empty list of axes", { 2, 5 }, axes = {} },
  { "one element", { 2, 1 }, axes = { 1 }, },
  { "the last axis", { 5, 7 }, axes = { -1 } },
  { "the last axis, kept", { 5, 7 }, axes = { 2 }, keep = true },
  { "the first axis", { 5, 7 }, axes = { 1 } },
  { "a middle axis", { 3, 4, 5 }, axes = { 2 } },
  { "a middle axis, kept", { 3, 4, 5 }, axes = { 2 }, keep = true },
  { "two inner axes of an image", { 2, 3, 4, 5 }, axes = { 2, 3 } },
  { "all but the channels", { 3, 2, 2, 5 }, axes = { 1, 2, 3 } },
  { "outer and inner", { 3, 4, 5 }, axes = { 1, -1 } },
  { "every second axis", { 2, 3, 2, 3, 2 }, axes = { 5, 1, 3 } },
  { "long lines", { 3, 1031 }, axes = { 2 }, large = true },
  { "long columns", { 1500, 12 }, axes = { 1 }, large = true },
  { "more than one chunk", { 35000 }, large = true },
  { "wide columns", { 3, 5000 }, axes = { 1 }, large = true },
}

--- Positions of a stable order.
local function order(values, before)
  local list = {}
  for i = 1, #values do list[i] = i end
  for i = 2, #list do -- insertion: slow, obvious, stable
    local k, j = list[i], i - 1
    while j >= 1 and before(values[k], values[list[j]]) do
      list[j + 1] = list[j]
      j = j - 1
    end
    list[j + 1] = k
  end
  return list
end

local function less(a, b) return a < b or (b ~= b and a == a) end
local function greater(a, b) return a > b or (a ~= a and b == b) end

return function(ea)
  local cases = {}
  local function add(case) cases[#cases + 1] = case end

  -- ---- reductions ------------------------------------------------------------------------------

  for _, r in ipairs(reductions) do
    local op, f = r[1], r[2]
    for _, l in ipairs(layouts) do
      -- the variance of a single number is NaN
      if not (op == "var" and l[1] == "one element") then
        local attrs = { axes = l.axes, keep = l.keep }
        for k, v in pairs(r[3] or {}) do attrs[k] = v end
        add { op = op, name = l[1] .. (r[3] and ", other attributes" or ""), attrs = attrs,
          grad = l.large and {} or { 1 },
          reference = function(inputs) return plain.reduce(inputs[1], l.axes, l.keep, f) end,
          inputs = function(dtype, rand) return { rand(l[2], dtype) } end }
      end
    end
  end

  --- By hand: special numbers.
  local specials = {
    { "sum", "a scalar", 2.5, 2.5 }, { "mean", "a scalar", 2.5, 2.5 },
    { "max", "a scalar", 2.5, 2.5 }, { "logsumexp", "a scalar", 2.5, 2.5 },
    { "norm", "a scalar", -2.5, 2.5 },
    { "var", "a scalar", 2.5, nan },
    { "max", "NaN", { 1, nan, 3 }, nan }, { "min", "NaN", { 1, nan, 3 }, nan },
    { "max", "infinities", { -inf, inf }, inf }, { "min", "infinities", { -inf, inf }, -inf },
    { "max", "all -inf", { -inf, -inf }, -inf },
    { "logsumexp", "far out", { 1000, 1000 }, 1000 + math.log(2) },
    { "logsumexp", "all -inf", { -inf, -inf }, -inf },
    { "logsumexp", "one +inf", { 0, inf }, inf },
    { "norm", "zeros", { 0, 0 }, 0 },
    { "sum", "NaN", { 1, nan }, nan },
  }
  for _, s in ipairs(specials) do
    add { op = s[1], name = s[2], grad = {}, reference = function() return s[4] end,
      inputs = function(dtype) return { ea.tensor(s[3], dtype) } end }
  end
  local of_none = { sum = 0, mean = nan, norm = 0, logsumexp = -inf }
  for op, want in pairs(of_none) do
    add { op = op, name = "no elements", attrs = { axes = { 2 } }, grad = {},
      reference = function() return { want, want } end,
      inputs = function(dtype) return { ea.zeros({ 2, 0 }, dtype) } end }
  end
  add { op = "sum", name = "of integers is i32", dtypes = { "i32", "u8", "i8" }, grad = {},
    attrs = { axes = { 2 } }, reference = function() return { 253, 7 } end,
    inputs = function(dtype) return { ea.tensor({ { 126, 127 }, { 3, 4 } }, dtype) } end }
  add { op = "mean", name = "of integers is f32", dtypes = { "i32", "u8", "i8" }, grad = {},
    reference = function() return 2.5 end, tolerance = { i32 = 1e-6, u8 = 1e-6, i8 = 1e-6 },
    inputs = function(dtype) return { ea.tensor({ 1, 2, 3, 4 }, dtype) } end }

  -- ---- lines -----------------------------------------------------------------------------------

  local lines = {
    softmax = function(v)
      local l, out = logsumexp(v), {}
      for i = 1, #v do out[i] = math.exp(v[i] - l) end
      return out
    end,
    log_softmax = function(v)
      local l, out = logsumexp(v), {}
      for i = 1, #v do out[i] = v[i] - l end
      return out
    end,
    cumsum = function(v)
      local s, out = 0, {}
      for i = 1, #v do
        s = s + v[i]
        out[i] = s
      end
      return out
    end,
  }
  local line_layouts = {
    { "the last axis", { 4, 6 }, -1 }, { "the first axis", { 4, 6 }, 1 },
    { "a middle axis", { 3, 4, 5 }, 2 }, { "a vector", { 9 }, 1 }, { "lines of one", { 5, 1 }, 2 },
    { "more than one chunk", { 2, 129, 67 }, 2, large = true },
  }
  for op, f in pairs(lines) do
    for _, l in ipairs(line_layouts) do
      add { op = op, name = l[1], attrs = { axis = l[3] }, grad = l.large and {} or { 1 },
        reference = function(inputs) return plain.lines(inputs[1], l[3], f) end,
        inputs = function(dtype, rand) return { rand(l[2], dtype) } end }
    end
  end
  add { op = "softmax", name = "far out", grad = {},
    reference = function() return { { 0, 0.5, 0.5 } } end,
    inputs = function(dtype) return { ea.tensor({ { -1000, 1000, 1000 } }, dtype) } end }
  add { op = "log_softmax", name = "far out", grad = {},
    reference = function() return { 0, -2000, -inf } end,
    inputs = function(dtype) return { ea.tensor({ 1000, -1000, -inf }, dtype) } end }

  -- ---- selections ------------------------------------------------------------------------------

  --- Whole numbers from -3 to 3: many equal ones.
  local function with_ties(shape, dtype, rand)
    return (rand(shape, "f32") * 1.5):clamp(-3, 3):cast("i32"):cast(dtype)
  end
  local any = { "f32", "f64", "bf16", "i32", "i8" }
  for op, before in pairs { argmax = greater, argmin = less } do
    for _, l in ipairs(line_layouts) do
      for _, keep in ipairs { false, true } do
        add { op = op, name = l[1] .. (keep and ", kept" or ""), grad = {}, dtypes = any,
          attrs = { axis = l[3], keep = keep },
          reference = function(inputs)
            return plain.reduce(inputs[1], l[3], keep, function(v)
              local best = 1
              for i = 2, #v do if before(v[i], v[best]) then best = i end end
              return best
            end)
          end,
          inputs = function(dtype, rand) return { with_ties(l[2], dtype, rand) } end }
      end
    end
    add { op = op, name = "NaN wins, the first of them", grad = {},
      reference = function() return 2 end,
      inputs = function(dtype) return { ea.tensor({ 1, nan, 3, nan }, dtype) } end }
    add { op = op, name = "indices from 0", attrs = { base = 0 }, grad = {},
      reference = function() return op == "argmax" and 2 or 0 end,
      inputs = function(dtype) return { ea.tensor({ 1, 2, 3 }, dtype) } end }
  end

  local function sorted(before, k)
    return function(values) return function(v)
      local list, out = order(v, before), {}
      for i = 1, k or #v do out[i] = values and v[list[i]] or list[i] end
      return out
    end end
  end
  local function add_order(op, name, l, attrs, before, k)
    attrs.axis = l[3]
    local pick = sorted(before, k)
    local function reference(inputs)
      return plain.lines(inputs[1], l[3], pick(true)), plain.lines(inputs[1], l[3], pick(false))
    end
    add { op = op, name = name .. ", ties", attrs = attrs, grad = {}, dtypes = any,
      reference = reference,
      inputs = function(dtype, rand) return { with_ties(l[2], dtype, rand) } end }
    add { op = op, name = name, attrs = attrs, grad = l.large and {} or { 1 },
      reference = reference,
      inputs = function(dtype, rand) return { rand(l[2], dtype) } end }
  end
  for _, l in ipairs(line_layouts) do
    local n = l[2][l[3] > 0 and l[3] or #l[2]]
    add_order("sort", l[1] .. ", ascending", l, {}, less)
    add_order("sort", l[1] .. ", descending", l, { descending = true }, greater)
    local k = math.max(1, math.floor(n / 2))
    add_order("topk", l[1] .. ", largest", l, { k = k }, greater, k)
    add_order("topk", l[1] .. ", smallest", l, { k = n, largest = false }, less, n)
  end
  add { op = "sort", name = "NaN last", grad = {},
    reference = function() return { 1, 2, inf, nan, nan }, { 3, 2, 5, 1, 4 } end,
    inputs = function(dtype) return { ea.tensor({ nan, 2, 1, nan, inf }, dtype) } end }
  add { op = "topk", name = "NaN first", attrs = { k = 3 }, grad = {},
    reference = function() return { nan, nan, inf }, { 1, 4, 5 } end,
    inputs = function(dtype) return { ea.tensor({ nan, 2, 1, nan, inf }, dtype) } end }
  add { op = "topk", name = "none", attrs = { k = 0 }, grad = {},
    reference = function() return ea.zeros { 0 }, ea.zeros { 0 } end,
    inputs = function(dtype) return { ea.tensor({ 1, 2 }, dtype) } end }
  return cases
end
