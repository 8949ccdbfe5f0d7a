-- SPDX-License-Identifier: GPL-3.0-or-later
-- lsq - Learned Step Size Quantization (Esser et al. 2020, arXiv 1902.08153): trains a network as
-- the small integers of a device will compute it. ea.fake_quantize is the op (lsq.c), ea.nn.lsq
-- makes a trained network one that learns its integers.

local ea = require "edgeai"
local Module = ea.nn.Module

--- Range of an integer of so many bits.
local function range(bits, signed)
  if signed then return -2 ^ (bits - 1), 2 ^ (bits - 1) - 1 end
  return 0, 2 ^ bits - 1
end

-- ---- layers ------------------------------------------------------------------------------------

local Quantizer = Module.class("quantizer")

--- The first step is LSQ's, 2 mean|x| / sqrt(high), or, with many bits, the smaller one that just
-- reaches the largest |x|. mean, largest: of what is quantised, {1} or one for each row; count: how
-- many numbers share a step.
local function quantizer(bits, signed, count, mean, largest)
  local self = Quantizer.new()
  local low, high = range(bits, signed)
  self.bits, self.signed = bits, signed
  self.attrs = { low = low, high = high, factor = 1 / math.sqrt(count * high) }
  local first = ea.minimum(mean * (2 / math.sqrt(high)), largest * (1 / high))
  first = ea.maximum(first, 1e-8)
  self:parameter("scale", first.shape, function() return first:clone() end)
  return self
end

function Quantizer:forward(x) return ea.fake_quantize(x, self.scale, self.attrs) end
function Quantizer:arguments() return ("bits=%d, signed=%s"):format(self.bits, self.signed) end

local Quantized = Module.class("quantized")

--- A conv2d or linear layer whose weight, and what comes in, go through quantizers. seen: of what
-- came in the least, the mean and largest absolute value, and how much it was for one image.
local function quantized(layer, seen, bits, input_bits)
  local self = Quantized.new()
  local w = layer.weight:detach()
  local flat = w:reshape(w.shape[1], w:numel() / w.shape[1]):abs()
  layer.parent = nil
  self:add("layer", layer)
  self:add("weights", quantizer(bits, true, flat.shape[2], flat:mean { axes = { 2 } },
    flat:max { axes = { 2 } }))
  self:add("input", quantizer(input_bits, seen.least < 0, seen.count, ea.tensor { seen.mean },
    ea.tensor { seen.largest }))
  return self
end

function Quantized:forward(x)
  local layer = self.layer
  local weight = layer.weight
  rawset(layer, "weight", self.weights(weight)) -- for this call
  local ok, y = pcall(layer, self.input(x))
  rawset(layer, "weight", weight)
  if not ok then error(y, 0) end
  return y
end
function Quantized.arguments() return "" end

-- ---- a whole network ---------------------------------------------------------------------------

--- What came into each conv2d and linear layer, and these layers in the order in which they ran.
local function watch(net, images)
  local seen, order, training = {}, {}, net.training
  net:eval()
  ea.no_grad(Module.observe, function(m, x)
    if (m.kind ~= "conv2d" and m.kind ~= "linear") or seen[m] then return end
    order[#order + 1] = m
    local f = x:to("f32")
    seen[m] = { least = f:min():item(), mean = f:abs():mean():item(),
      largest = f:abs():max():item(), count = f:numel() / #f }
  end, net, images)
  net:train(training)
  return seen, order
end

--- Puts `by` in the place of a layer.
local function replace(parent, name, layer, by)
  for _, child in ipairs(parent.children) do
    if child.module == layer then child.module = by end
  end
  if rawget(parent, name) == layer then rawset(parent, name, by) end
  by.parent, by.name = parent, name
end

local function lsq(net, images, o)
  if not ea.nn.is_module(net) or not ea.is_tensor(images) then
    error("lsq: expected a network and a batch of its inputs, as in lsq(net, images)")
  end
  local seen, order = watch(net, images)
  if #order == 0 then error("lsq: the network has neither conv2d nor linear layers") end
  for i, layer in ipairs(order) do
    local parent, name = layer.parent, layer.name
    local ends = (i == 1 or i == #order) and o.ends or nil
    local by = quantized(layer, seen[layer], ends or o.bits, ends or o.input_bits)
    if parent then replace(parent, name, layer, by) else net = by end
  end
  net.arch = nil -- builds the network without quantizers
  return net
end

-- ---- checks of the op --------------------------------------------------------------------------

--- The function that fake_quantize's gradient belongs to: the distance to the rounded value stays
-- what it is here.
local function frozen(x, scale, attrs)
  local function clamped(a, s)
    local per_row = s:numel() > 1 and s:reshape(s:numel(), 1) or s
    return (a / per_row):clamp { low = attrs.low, high = attrs.high }, per_row
  end
  local v = clamped(x, scale)
  local rest = v:to("i32"):to("f64") - v
  return function(a, s)
    local inside, per_row = clamped(a, s)
    return (inside + rest) * per_row
  end
end

local function check(scale_of)
  return function(random)
    local x, scale, attrs = random { 3, 700 }, scale_of(random), { low = -4, high = 3 }
    return { x, scale }, attrs, frozen(x, scale, attrs)
  end
end

return {
  about = "quantisation-aware training with learned steps",
  ops = {
    fake_quantize = {
      help = "fake_quantize(x, scale, { low = -128, high = 127, factor = 1 }): scale times the\n"
        .. "nearest integer of low..high to x / scale. scale: one number, or one for each of the\n"
        .. "first dimension. The gradient passes straight through the rounding; factor multiplies\n"
        .. "that of scale.",
      check = { check(function() return ea.tensor({ 0.25 }, "f64") end),
        check(function(random) return random { 3 }:abs() + 0.1 end) },
    },
  },
  layers = {
    lsq = {
      help = "Puts quantizers before and into every conv2d and linear layer of a trained network,\n"
        .. "in place, and returns it. A batch of images says how large the inputs of each layer\n"
        .. "are. Train it on; files of it hold weights, not how to build it.",
      inputs = { "net", "images" },
      options = {
        bits = { 8, "of the weights", type = "integer", least = 2, most = 8 },
        input_bits = { 8, "of what comes into each layer", type = "integer", least = 2, most = 8 },
        ends = { 8, "of both in the first and the last layer", type = "integer", least = 2,
          most = 8 },
      },
      call = lsq,
    },
  },
}
