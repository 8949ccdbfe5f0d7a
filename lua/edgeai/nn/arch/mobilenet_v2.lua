-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.mobilenet_v2{classes=10, channels=3, widen=1, head=true}
--
-- MobileNetV2 (Sandler et al. 2018) as commonly cut down for 32x32 images: the first convolution
-- and the second stage keep the resolution; names as in kuangliu's PyTorch code: conv1, bn1 ->
-- layers.0..16 -> conv2, bn2 -> pool -> linear. A block expands 1x1, filters 3x3 depthwise,
-- projects 1x1; with stride 1 its input is added, through a 1x1 convolution and batch-norm where
-- widths differ. head = false leaves out pool and linear.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local activation = require "edgeai.nn.activation"
local batch_norm = require "edgeai.nn.batch_norm"
local conv2d = require "edgeai.nn.conv2d"
local linear = require "edgeai.nn.linear"
local named = require "edgeai.nn.arch.named"
local ops = require "edgeai.ops"
local pool = require "edgeai.nn.pool"
local sequential = require "edgeai.nn.sequential"

-- expansion, width, blocks, stride of the first
local stages = { { 1, 16, 1, 1 }, { 6, 24, 2, 1 }, { 6, 32, 3, 2 }, { 6, 64, 4, 2 },
  { 6, 96, 3, 1 }, { 6, 160, 3, 2 }, { 6, 320, 1, 1 } }

local Block = Module.class("inverted_residual")

local function block(inp, out, expansion, stride)
  local self, wide = Block.new(), inp * expansion
  self.stride = stride
  self:add("conv1", conv2d { inp, wide, kernel = 1 })
  self:add("bn1", batch_norm { wide })
  self:add("relu1", activation.relu {})
  self:add("conv2", conv2d { wide, wide, stride = stride, groups = wide })
  self:add("bn2", batch_norm { wide })
  self:add("relu2", activation.relu {})
  self:add("conv3", conv2d { wide, out, kernel = 1 })
  self:add("bn3", batch_norm { out })
  if stride == 1 and inp ~= out then
    self:add("shortcut", sequential { conv2d { inp, out, kernel = 1 }, batch_norm { out } })
  end
  return self
end

function Block:forward(x)
  local y = self.relu1(self.bn1(self.conv1(x)))
  y = self.relu2(self.bn2(self.conv2(y)))
  y = self.bn3(self.conv3(y))
  if self.stride ~= 1 then return y end
  return ops.functions.add(y, self.shortcut and self.shortcut(x) or x)
end

return function(given)
  local o = Module.options("mobilenet_v2", given, {}, { classes = 10, channels = 3, widen = 1,
    head = true })
  Module.check_count("mobilenet_v2", o, "classes")
  Module.check_count("mobilenet_v2", o, "channels")
  if type(o.widen) ~= "number" or not (o.widen > 0) then
    F.raise("mobilenet_v2: widen must be a positive number, got %s", tostring(o.widen))
  end
  local function width(n) return math.max(8, math.floor(n * o.widen / 8 + 0.5) * 8) end
  if o.widen == 1 then width = function(n) return n end end
  local blocks, inp, groups = {}, width(32), { fc = "linear" }
  for s, stage in ipairs(stages) do
    for i = 1, stage[3] do
      blocks[#blocks + 1] = block(inp, width(stage[2]), stage[1], i == 1 and stage[4] or 1)
      inp = width(stage[2])
    end
    groups["group" .. s] = "layers." .. #blocks - 1
  end
  local last = math.max(1280, width(1280))
  local words = o.widen ~= 1 and "widen=" .. o.widen .. ", " or ""
  local net = named("mobilenet_v2", ("%sclasses=%d"):format(words, o.classes), {
    { "conv1", conv2d { o.channels, width(32) } }, { "bn1", batch_norm { width(32) } },
    { "relu1", activation.relu {} }, { "layers", sequential(blocks) },
    { "conv2", conv2d { inp, last, kernel = 1 } }, { "bn2", batch_norm { last } },
    { "features", activation.relu {} }, { "pool", pool.global_avg_pool {} },
    { "linear", linear { last, o.classes } } }, "linear", { 1, 32, 32, o.channels }, groups, o.head)
  net.out_channels = last
  return net
end
