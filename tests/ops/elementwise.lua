-- SPDX-License-Identifier: GPL-3.0-or-later
-- Cases of the elementwise ops (core/ops/binary.c, unary.c, cast.c, compare.c).

local plain = dofile((debug.getinfo(1, "S").source:match("^@(.*/)")) .. "plain.lua")
local nan, inf = 0 / 0, math.huge

--- The error function by its series (Abramowitz & Stegun 7.1.6), for |x| < 5.
local function erf(x)
  local term, sum, n = x, x, 0
  repeat
    n = n + 1
    term = term * 2 * x * x / (2 * n + 1)
    sum = sum + term
  until math.abs(term) < 1e-18
  return 2 / math.sqrt(math.pi) * math.exp(-x * x) * sum
end

local function softplus(x)
  if x ~= x then return x end
  return x > 30 and x or math.log(1 + math.exp(x))
end
local function sigmoid(x) return 1 / (1 + math.exp(-x)) end

--- Shapes of two inputs that broadcast, each for its own way through the kernels.
local pairs_of_shapes = {
  { "same shape", { 3, 5, 7 }, { 3, 5, 7 } },
  { "scalars", {}, {} },
  { "a scalar on the right", { 4, 9 }, {} },
  { "a scalar on the left", {}, { 3, 3 } },
  { "one element", { 2, 3 }, { 1, 1 } },
  { "a vector along the last axis", { 2, 3, 4, 5 }, { 5 } },
  { "a long vector along the last axis", { 3, 701 }, { 701 } },
  { "a column", { 6, 5 }, { 6, 1 } },
  { "the middle axis", { 3, 4, 5 }, { 4, 1 } },
  { "both ways", { 4, 1, 3 }, { 1, 5, 3 } },
  { "outer axes that differ", { 2, 1, 3, 1, 2 }, { 4, 3, 5, 2 } },
}

return function(ea)
  local cases = {}
  local function add(case) cases[#cases + 1] = case end

  -- ---- two inputs ------------------------------------------------------------------------------

  local binary = {
    add = function(a, b) return a + b end,
    sub = function(a, b) return a - b end,
    mul = function(a, b) return a * b end,
    div = function(a, b) return a / b end,
    maximum = function(a, b) return (a ~= a or a > b) and a or b end,
    minimum = function(a, b) return (a ~= a or a < b) and a or b end,
    pow = function(a, b) return a ^ b end,
  }
  local compare = {
    less = function(a, b) return a < b and 1 or 0 end,
    greater = function(a, b) return a > b and 1 or 0 end,
    equal = function(a, b) return a == b and 1 or 0 end,
  }
  --- Away from zero for div; positive for pow.
  local function suitable(op, k, x)
    if op == "div" and k == 2 then return x * x + 0.5 end
    if op == "pow" and k == 1 then return x * x + 0.5 end
    return x
  end
  for op, f in pairs(binary) do
    local function reference(inputs) return plain.map(inputs, f) end
    for _, s in ipairs(pairs_of_shapes) do
      add { op = op, name = s[1], reference = reference, grad = { 1, 2 },
        tolerance = op == "pow" and { f32 = 1e-4 } or nil,
        inputs = function(dtype, rand)
          return { suitable(op, 1, rand(s[2], dtype)), suitable(op, 2, rand(s[3], dtype)) }
        end }
    end
    add { op = op, name = "more than one chunk", reference = reference, grad = {},
      tolerance = op == "pow" and { f32 = 1e-4 } or nil,
      inputs = function(dtype, rand)
        return { suitable(op, 1, rand({ 131, 127 }, dtype)),
          suitable(op, 2, rand({ 131, 1 }, dtype)) }
      end }
    add { op = op, name = "no elements", grad = {},
      reference = function() return ea.zeros { 2, 0 } end,
      inputs = function(dtype) return { ea.zeros({ 2, 0 }, dtype), ea.ones({ 1 }, dtype) } end }
  end
  for op in pairs { maximum = 1, minimum = 1 } do
    add { op = op, name = "NaN on either side", grad = {},
      reference = function() return { nan, nan, nan } end,
      inputs = function(dtype)
        return { ea.tensor({ nan, 1, nan }, dtype), ea.tensor({ 1, nan, nan }, dtype) }
      end }
  end
  for op, f in pairs(compare) do
    local function reference(inputs) return plain.map(inputs, f) end
    for _, s in ipairs(pairs_of_shapes) do
      add { op = op, name = s[1], reference = reference, grad = {},
        inputs = function(dtype, rand) return { rand(s[2], dtype), rand(s[3], dtype) } end }
    end
    add { op = op, name = "equals, infinities and NaN", reference = reference, grad = {},
      inputs = function(dtype)
        return { ea.tensor({ 1, 2, inf, nan, -inf, 0 }, dtype),
          ea.tensor({ 1, 3, inf, nan, inf, -0.0 }, dtype) }
      end }
    add { op = op, name = "large integers", reference = reference, grad = {}, dtypes = { "i32" },
      inputs = function()
        return { ea.tensor({ 2147483646, -5, 16777217 }, "i32"),
          ea.tensor({ 2147483647, -5, 16777216 }, "i32") }
      end }
  end

  -- ---- one input -------------------------------------------------------------------------------

  local unary = {
    { "affine", function(x) return -2.5 * x + 0.75 end, { scale = -2.5, shift = 0.75 } },
    { "affine", function(x) return x end, {} },
    { "pow_scalar", function(x) return x ^ 3 end, { exponent = 3 } },
    { "pow_scalar", function(x) return x * x end, { exponent = 2 } },
    { "pow_scalar", function(x) return x ^ -1.5 end, { exponent = -1.5 }, positive = true },
    { "pow_scalar", function() return 1 end, { exponent = 0 } },
    { "exp", math.exp }, { "log", function(x) return math.log(x) end, positive = true },
    { "sqrt", math.sqrt, positive = true }, { "square", function(x) return x * x end },
    { "sin", math.sin }, { "cos", math.cos }, { "atan", math.atan }, { "abs", math.abs },
    { "sign", function(x) return x > 0 and 1 or x < 0 and -1 or x end },
    { "relu", function(x) return x <= 0 and 0 or x end },
    { "leaky_relu", function(x, a) return x > 0 and x or (a.slope or 0.01) * x end },
    { "leaky_relu", function(x, a) return x > 0 and x or a.slope * x end, { slope = 0.3 } },
    { "sigmoid", sigmoid }, { "tanh", math.tanh },
    { "gelu", function(x) return x * 0.5 * (1 + erf(x / math.sqrt(2))) end },
    { "silu", function(x) return x * sigmoid(x) end }, { "softplus", softplus },
    { "clamp", function(x) return math.min(math.max(x, -0.5), 0.8) end,
      { low = -0.5, high = 0.8 } },
    { "clamp", function(x) return x < 0.1 and 0.1 or x end, { low = 0.1 } },
    { "clamp", function(x) return x end },
  }
  local shapes = { { "a vector", { 17 } }, { "three axes", { 3, 5, 7 } }, { "a scalar", {} },
    { "more than one chunk", { 129, 131 }, large = true } }
  for _, u in ipairs(unary) do
    local op, f, attrs = u[1], u[2], u[3] or {}
    local text = {}
    for k, v in pairs(attrs) do text[#text + 1] = (" %s=%g"):format(k, v) end
    for _, s in ipairs(shapes) do
      add { op = op, name = s[1] .. table.concat(text), attrs = attrs,
        grad = s.large and {} or { 1 },
        reference = function(inputs)
          return plain.map(inputs, function(x) return f(x, attrs) end)
        end,
        inputs = function(dtype, rand)
          local x = rand(s[2], dtype)
          return { u.positive and x * x + 0.5 or x }
        end }
    end
    add { op = op, name = "no elements" .. table.concat(text), attrs = attrs, grad = {},
      reference = function() return ea.zeros { 0, 3 } end,
      inputs = function(dtype) return { ea.zeros({ 0, 3 }, dtype) } end }
  end

  --- At the edges: what each op makes of these, written down by hand.
  local edges = { -100, 0, 100, nan }
  local at_edges = {
    relu = { 0, 0, 100, nan }, leaky_relu = { -1, 0, 100, nan }, sigmoid = { 0, 0.5, 1, nan },
    tanh = { -1, 0, 1, nan }, gelu = { 0, 0, 100, nan }, silu = { 0, 0, 100, nan },
    softplus = { 0, math.log(2), 100, nan }, abs = { 100, 0, 100, nan }, sign = { -1, 0, 1, nan },
    clamp = { -100, 0, 100, nan }, square = { 1e4, 0, 1e4, nan }, sqrt = { nan, 0, 10, nan },
    log = { nan, -inf, math.log(100), nan },
  }
  for op, want in pairs(at_edges) do
    add { op = op, name = "far out, zero and NaN", grad = {}, tolerance = { bf16 = 5e-3 },
      reference = function() return want end,
      inputs = function(dtype) return { ea.tensor(edges, dtype) } end }
  end

  -- ---- cast ------------------------------------------------------------------------------------

  local function half_even(x)
    local r = math.floor(x + 0.5)
    if r - x == 0.5 and r % 2 == 1 then r = r - 1 end
    return r
  end
  local ranges = { i32 = { -2147483648, 2147483647 }, u8 = { 0, 255 }, i8 = { -128, 127 } }
  for name, range in pairs(ranges) do
    add { op = "cast", name = "to " .. name, attrs = { dtype = name }, grad = {},
      reference = function(inputs)
        return plain.map(inputs, function(x)
          if x ~= x then return 0 end
          return math.min(math.max(half_even(x), range[1]), range[2])
        end)
      end,
      inputs = function(dtype)
        return { ea.tensor({ -1e12, -300, -1.5, -0.5, 0.5, 1.5, 2.5, 7.2, 300, 1e12, nan, inf,
          -inf }, dtype) }
      end }
    add { op = "cast", name = name .. " to i32", attrs = { dtype = "i32" }, grad = {},
      dtypes = { name },
      reference = function(inputs) return inputs[1] end,
      inputs = function() return { ea.tensor({ range[1], 3, range[2] }, name) } end }
  end
  for _, name in ipairs { "f32", "f64", "bf16" } do
    add { op = "cast", name = "to " .. name, attrs = { dtype = name }, grad = { 1 }, eps = 0.25,
      grad_tolerance = name == "bf16" and 0.1 or 1e-4, tolerance = name == "bf16" and
        { f32 = 4e-3, f64 = 4e-3 } or name == "f32" and { f64 = 1e-7 } or nil,
      reference = function(inputs) return inputs[1] end,
      inputs = function(dtype, rand) return { rand({ 3, 5 }, dtype) } end }
  end

  -- ---- where -----------------------------------------------------------------------------------

  local triples = {
    { "same shape", { 3, 5 }, { 3, 5 }, { 3, 5 } },
    { "a scalar choice", { 4, 3 }, {}, { 4, 3 } },
    { "one condition for each row", { 4, 1 }, { 4, 3 }, { 3 } },
    { "all three broadcast", { 2, 1, 1 }, { 1, 3, 1 }, { 1, 1, 4 } },
    { "more than one chunk", { 130, 128 }, { 130, 128 }, { 128 }, large = true },
  }
  for _, s in ipairs(triples) do
    add { op = "where", name = s[1], grad = s.large and {} or { 2, 3 },
      reference = function(inputs)
        return plain.map(inputs, function(c, a, b) return c ~= 0 and a or b end)
      end,
      inputs = function(dtype, rand)
        return { rand(s[2], "f32"):greater(0), rand(s[3], dtype), rand(s[4], dtype) }
      end }
  end
  return cases
end
