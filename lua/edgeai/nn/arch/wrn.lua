-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.wrn{depth=16, widen=1, classes=10, channels=3, widths=nil, dropout=0, head=true}
--
-- Wide ResNet with pre-activation blocks for 32x32 images (Zagoruyko & Komodakis 2016, "Wide
-- Residual Networks"; as their cifar code): conv0 3x3 -> group1, group2, group3 -> bn, relu
-- ("features"), global average ("pool") -> fc. A block is bn1, relu, conv1, bn2, relu, (dropout,)
-- conv2; where the shape changes, the shortcut is a 1x1 convolution of the first relu's output,
-- otherwise the block's input. depth = 6n+4 with n blocks in each group; groups 2 and 3 halve the
-- image. widths {w1, w2, w3} or {w0, w1, w2, w3} replace {16, 16k, 32k, 64k}. No convolution has a
-- bias. head = false leaves out pool and fc: feature maps of net.out_channels channels.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local activation = require "edgeai.nn.activation"
local batch_norm = require "edgeai.nn.batch_norm"
local conv2d = require "edgeai.nn.conv2d"
local dropout = require "edgeai.nn.dropout"
local linear = require "edgeai.nn.linear"
local named = require "edgeai.nn.arch.named"
local ops = require "edgeai.ops"
local pool = require "edgeai.nn.pool"
local sequential = require "edgeai.nn.sequential"
local widths_of = require "edgeai.nn.arch.widths"

local Block = Module.class("wrn_block")

local function block(inp, out, stride, p)
  local self = Block.new()
  self:add("bn1", batch_norm { inp })
  self:add("relu1", activation.relu {})
  self:add("conv1", conv2d { inp, out, stride = stride })
  self:add("bn2", batch_norm { out })
  self:add("relu2", activation.relu {})
  if p > 0 then self:add("dropout", dropout { p }) end
  self:add("conv2", conv2d { out, out })
  if inp ~= out or stride ~= 1 then
    self:add("shortcut", conv2d { inp, out, kernel = 1, stride = stride })
  end
  return self
end

function Block:forward(x)
  local a = self.relu1(self.bn1(x))
  local y = self.relu2(self.bn2(self.conv1(a)))
  if self.dropout then y = self.dropout(y) end
  return ops.functions.add(self.conv2(y), self.shortcut and self.shortcut(a) or x)
end

return function(given)
  local o = Module.options("wrn", given, {}, { depth = 16, widen = 1, classes = 10, channels = 3,
    widths = F.none, dropout = 0, head = true })
  for _, name in ipairs { "depth", "widen", "classes", "channels" } do
    Module.check_count("wrn", o, name)
  end
  if o.depth < 10 or o.depth > 10000 or (o.depth - 4) % 6 ~= 0 then
    F.raise("wrn: depth must be 6n+4 (10, 16, 22, 28, 40, ...), got %d", o.depth)
  end
  local k = o.widen
  local w = widths_of("wrn", o.widths, { 16, 16 * k, 32 * k, 64 * k })
  local layers = { { "conv0", conv2d { o.channels, w[1] } } }
  for g = 1, 3 do
    local blocks = {}
    for i = 1, (o.depth - 4) / 6 do
      local stride = i == 1 and g > 1 and 2 or 1
      blocks[i] = block(i == 1 and w[g] or w[g + 1], w[g + 1], stride, o.dropout)
    end
    layers[#layers + 1] = { "group" .. g, sequential(blocks) }
  end
  layers[#layers + 1] = { "bn", batch_norm { w[4] } }
  layers[#layers + 1] = { "features", activation.relu {} }
  layers[#layers + 1] = { "pool", pool.global_avg_pool {} }
  layers[#layers + 1] = { "fc", linear { w[4], o.classes } }
  local words = ("depth=%d, %s, classes=%d"):format(o.depth, o.widths
    and "widths={" .. table.concat(w, ", ") .. "}" or "widen=" .. k, o.classes)
  local net = named("wrn", words, layers, "fc", { 1, 32, 32, o.channels }, nil, o.head)
  net.widths, net.out_channels = w, w[4]
  return net
end
