-- SPDX-License-Identifier: GPL-3.0-or-later
-- mobilenet_v3 - MobileNetV3 (Howard et al. 2019, arXiv 1905.02244) and its two layers:
-- squeeze_excite (Hu et al. 2018, arXiv 1709.01507, with the hard sigmoid) and hard_swish.

local ea = require "edgeai"
local nn = ea.nn
local Module = nn.Module

-- ---- layers ------------------------------------------------------------------------------------

local HardSwish = Module.class("hard_swish")
function HardSwish.forward(_, x) return x * (x + 3):clamp { low = 0, high = 6 } * (1 / 6) end
function HardSwish.arguments() return "" end

local SqueezeExcite = Module.class("squeeze_excite")

local function squeeze_excite(o)
  local self = SqueezeExcite.new()
  self.channels, self.squeeze = o.channels, o.squeeze or math.ceil(o.channels / 4)
  self:add("fc1", nn.conv2d { o.channels, self.squeeze, kernel = 1, bias = true })
  self:add("fc2", nn.conv2d { self.squeeze, o.channels, kernel = 1, bias = true })
  return self
end

function SqueezeExcite:forward(x)
  local pooled = x:global_avg_pool()
  local s = self.fc2(self.fc1(pooled:reshape(pooled.shape[1], 1, 1, self.channels)):relu())
  return x * (s * (1 / 6) + 0.5):clamp { low = 0, high = 1 }
end
function SqueezeExcite:arguments() return ("%d, squeeze=%d"):format(self.channels, self.squeeze) end

-- ---- the network -------------------------------------------------------------------------------

-- Kernel, expanded width, width, squeeze-and-excitation, hard swish, stride: tables 1 and 2 of the
-- paper. last: width of the layer before the classifier.
local sizes = {
  small = { last = 1024, { 3, 16, 16, true, false, 2 }, { 3, 72, 24, false, false, 2 },
    { 3, 88, 24, false, false, 1 }, { 5, 96, 40, true, true, 2 }, { 5, 240, 40, true, true, 1 },
    { 5, 240, 40, true, true, 1 }, { 5, 120, 48, true, true, 1 }, { 5, 144, 48, true, true, 1 },
    { 5, 288, 96, true, true, 2 }, { 5, 576, 96, true, true, 1 }, { 5, 576, 96, true, true, 1 } },
  large = { last = 1280, { 3, 16, 16, false, false, 1 }, { 3, 64, 24, false, false, 2 },
    { 3, 72, 24, false, false, 1 }, { 5, 72, 40, true, false, 2 }, { 5, 120, 40, true, false, 1 },
    { 5, 120, 40, true, false, 1 }, { 3, 240, 80, false, true, 2 }, { 3, 200, 80, false, true, 1 },
    { 3, 184, 80, false, true, 1 }, { 3, 184, 80, false, true, 1 }, { 3, 480, 112, true, true, 1 },
    { 3, 672, 112, true, true, 1 }, { 5, 672, 160, true, true, 2 }, { 5, 960, 160, true, true, 1 },
    { 5, 960, 160, true, true, 1 } },
}

--- The nearest multiple of 8, not more than a tenth below.
local function width_of(n)
  local near = math.max(8, math.floor(n / 8 + 0.5) * 8)
  return near < 0.9 * n and near + 8 or near
end

--- Convolution, batch norm, activation (nil: none).
local function unit(inp, out, o, act)
  o[1], o[2] = inp, out
  return nn.sequential { nn.conv2d(o), nn.batch_norm { out, eps = 1e-3 }, act }
end

local Block = Module.class("inverted_residual")
function Block:forward(x)
  local y = self.block(x)
  return self.adds and y + x or y
end
function Block.arguments() return "" end

local function act_of(hard) return hard and HardSwish.new() or nn.relu {} end

local function block(inp, row, scale, stride)
  local kernel, wide, out = row[1], width_of(row[2] * scale), width_of(row[3] * scale)
  local parts = {}
  if wide ~= inp then parts[1] = unit(inp, wide, { kernel = 1 }, act_of(row[5])) end
  parts[#parts + 1] = unit(wide, wide, { kernel = kernel, stride = stride, groups = wide },
    act_of(row[5]))
  if row[4] then
    parts[#parts + 1] = squeeze_excite { channels = wide, squeeze = width_of(wide / 4) }
  end
  parts[#parts + 1] = unit(wide, out, { kernel = 1 })
  local self = Block.new()
  self:add("block", nn.sequential(parts))
  self.adds = stride == 1 and inp == out
  return self, out
end

local function mobilenet_v3(o)
  local rows, inp = sizes[o.size], width_of(16 * o.widen)
  local layers = { unit(o.channels, inp, { stride = o.shrink }, HardSwish.new()) }
  local first = true -- with shrink 1 the first stage that halves the picture does not
  for _, row in ipairs(rows) do
    local stride = row[6]
    if stride == 2 and first then stride, first = o.shrink, false end
    layers[#layers + 1], inp = block(inp, row, o.widen, stride)
  end
  layers[#layers + 1] = unit(inp, 6 * inp, { kernel = 1 }, HardSwish.new())
  local last = width_of(rows.last * o.widen)
  local net = nn.sequential { { "features", nn.sequential(layers) },
    { "pool", nn.global_avg_pool {} }, { "classifier", nn.sequential { nn.linear { 6 * inp, last },
      HardSwish.new(), nn.dropout { p = 0.2 }, nn.linear { last, o.classes } } } }
  local side = o.shrink == 1 and 32 or 224
  net.kind, net.input_shape = "mobilenet_v3", { 1, side, side, o.channels }
  net.arguments = function() return ("%s, classes=%d"):format(o.size, o.classes) end
  return net
end

return {
  about = "MobileNetV3 with its layers",
  layers = {
    hard_swish = {
      help = "x min(max(x + 3, 0), 6) / 6: nearly silu, without an exponential.",
      options = {}, call = HardSwish.new,
    },
    squeeze_excite = {
      help = "{n, h, w, channels} -> the same, each channel weighed by what all of them are over\n"
        .. "the whole picture: x hard_sigmoid(W2 relu(W1 mean(x) + b1) + b2).",
      positions = { "channels" },
      options = {
        channels = { type = "integer", least = 1, required = true, help = "of the input" },
        squeeze = { type = "integer", least = 1, help = "width between (default: channels / 4)" },
      },
      call = squeeze_excite,
    },
  },
  architectures = {
    mobilenet_v3 = {
      help = "MobileNetV3; parameters have torchvision's names and layouts. Pictures of 32x32 are\n"
        .. "not halved the first two times; shrink = 2 does that, for 224x224.",
      options = {
        size = { default = "small", choices = { "small", "large" } },
        classes = { 10, type = "integer", least = 1, help = "classes" },
        channels = { 3, type = "integer", least = 1, help = "of the pictures" },
        widen = { 1, "factor of all widths", above = 0 },
        shrink = { 1, "1 or 2: stride of the first convolution and the first stage that halves",
          type = "integer", least = 1, most = 2 },
      },
      call = mobilenet_v3,
    },
  },
}
