-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.doctor.cases - one small case or more for every op of the table, for the self-test.
--
-- A case is { op, inputs, attributes, label }. An input is { size, kind }: "x" numbers of the type
-- under test; "w" the same but f32 where that is bf16 (weights and statistics); "+" as x, positive;
-- "w+" as w, positive; "p" rows that sum to 1; a number n: indices i32 from 1 to n; "b": truths.

local small = { 5, 37 } -- a remainder behind every width of vector
local image = { 2, 6, 5, 19 }

local cases = {}
local function case(op, inputs, attrs, label)
  cases[#cases + 1] = { op = op, inputs = inputs, attrs = attrs or {}, label = label }
end

for _, op in ipairs { "abs", "affine", "atan", "cos", "exp", "gelu", "leaky_relu", "relu",
  "sigmoid", "sign", "silu", "sin", "softplus", "square", "tanh", "cumsum", "log_softmax",
  "logsumexp", "max", "mean", "min", "norm", "softmax", "sum", "var", "argmax", "argmin",
  "sort" } do
  case(op, { { small, "x" } })
end
for _, op in ipairs { "log", "sqrt" } do case(op, { { small, "+" } }) end
for _, op in ipairs { "add", "mul", "sub", "maximum", "minimum", "equal", "greater", "less",
  "cosine_similarity", "kl_div", "l1_loss", "mse" } do
  case(op, { { small, "x" }, { small, "x" } })
end
case("affine", { { small, "x" } }, { scale = -1.5, shift = 0.25 }, "scaled")
case("cast", { { small, "x" } }, { dtype = "bf16" })
case("clamp", { { small, "x" } }, { low = -0.5, high = 0.75 })
case("div", { { small, "x" }, { small, "+" } })
case("pow", { { small, "+" }, { small, "x" } })
case("pow_scalar", { { small, "+" } }, { exponent = 1.7 })
case("where", { { small, "b" }, { small, "x" }, { small, "x" } })
case("add", { { small, "x" }, { { 37 }, "x" } }, {}, "broadcast")
case("sum", { { image, "x" } }, { axes = { 1, 3 } }, "two axes")
case("topk", { { small, "x" } }, { k = 7 })

case("concat", { { small, "x" }, { { 2, 37 }, "x" } })
case("stack", { { small, "x" }, { small, "x" } })
case("expand", { { { 5, 1 }, "x" } }, { size = { 5, 37 } })
case("flip", { { small, "x" } }, { axis = 2 })
case("roll", { { small, "x" } }, { axis = 2, shift = 3 })
case("slice", { { small, "x" } }, { axis = 2, start = 3, length = 9, step = 2 })
case("reshape", { { small, "x" } }, { size = { 37, 5 } })
case("permute", { { image, "x" } }, { dims = { 1, 4, 2, 3 } })
case("gather", { { small, "x" }, { { 5, 8 }, 37 } }, { axis = 2 })
case("index_select", { { small, "x" }, { { 9 }, 37 } }, { axis = 2 })
case("scatter_add", { { small, "x" }, { { 5, 8 }, 37 }, { { 5, 8 }, "x" } }, { axis = 2 })
case("one_hot", { { { 7 }, 5 } }, { classes = 5 })
case("pad2d", { { image, "x" } }, { top = 1, bottom = 2, left = 1, right = 1, mode = 1 })

case("linear", { { small, "x" }, { { 19, 37 }, "w" }, { { 19 }, "w" } })
case("linear", { { { 33, 64 }, "x" }, { { 128, 64 }, "w" } }, {}, "33x64x128")
case("matmul", { { { 37, 19 }, "x" }, { { 19, 45 }, "x" } })
case("matmul", { { { 64, 37 }, "x" }, { { 37, 48 }, "x" } }, {}, "64x37x48")

case("avg_pool2d", { { image, "x" } }, { size = 2 })
case("redirected_relu", { { image, "x" } }, { high = 0.75 })
case("max_pool2d", { { image, "x" } }, { size = 3, stride = 2, pad = 1 })
case("mean_square", { { image, "x" } })
case("moments", { { image, "x" } })
case("global_avg_pool", { { image, "x" } })
case("global_max_pool", { { image, "x" } })
case("layer_norm", { { small, "x" }, { { 37 }, "w" }, { { 37 }, "w" } })
case("dropout", { { small, "x" } }, { p = 0.3, seed = 1 })
case("resize", { { image, "x" } }, { height = 9, width = 4 })
case("warp", { { { 2, 6, 5, 3 }, "x" }, { { 2, 4, 3, 2 }, "w" } })

local function norm(size, attrs, label)
  local c = { size[#size] }
  case("batch_norm", { { size, "x" }, { c, "w" }, { c, "w" }, { c, "w" }, { c, "w+" } }, attrs,
    label)
end
norm({ 4, 6, 5, 19 }, { training = true }, "training")
norm({ 4, 6, 5, 32 }, { training = true, relu = true }, "training, ReLU")
norm({ 4, 6, 5, 19 }, {}, "evaluation")

--- x {n, side, side, in}, w {out, in / groups, kernel, kernel}
local function conv(n, side, inp, out, kernel, attrs, label, bias)
  local inputs = { { { n, side, side, inp }, "x" },
    { { out, inp / (attrs.groups or 1), kernel, kernel }, "w" } }
  if bias then inputs[3] = { { out }, "w" } end
  case("conv2d", inputs, attrs, label)
end
conv(3, 12, 16, 16, 3, { pad = 1 }, "3x3")
conv(5, 8, 3, 16, 3, { pad = 1 }, "3x3, first layer", true)
conv(3, 9, 32, 24, 3, { pad = 1, stride = 2 }, "3x3, stride 2")
conv(3, 8, 64, 64, 3, { pad = 1 }, "3x3, 64 channels")
conv(3, 9, 20, 32, 1, {}, "1x1")
conv(3, 9, 24, 24, 3, { pad = 1, groups = 24 }, "depthwise")
conv(2, 9, 12, 8, 3, { pad = 1, groups = 4 }, "groups")
conv(2, 9, 8, 8, 3, { pad = 2, dilation = 2 }, "dilation")
case("conv_transpose2d", { { { 2, 5, 5, 16 }, "x" }, { { 16, 8, 4, 4 }, "w" } },
  { stride = 2, pad = 1 })

case("cross_entropy", { { { 9, 10 }, "x" }, { { 9 }, 10 } }, { smoothing = 0.1 })
case("soft_cross_entropy", { { { 9, 10 }, "x" }, { { 9, 10 }, "p" } })
case("l2_normalize", { { small, "x" } })

return cases
