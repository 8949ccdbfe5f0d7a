-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.resnet{depth=20, classes=10, channels=3, widths=nil, head=true}
--
-- The ResNets for CIFAR of He et al. 2016, section 4.2, with option A: shortcuts without parameters
-- (every second pixel, channels padded with zeros on both sides). Names as in akamaster's PyTorch
-- code: conv1, bn1, relu -> layer1, layer2, layer3 -> pool -> linear. depth = 6n+2. widths {w1, w2,
-- w3} or {w0, w1, w2, w3} replace {16, 16, 32, 64}. head = false leaves out pool and linear.

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
local widths_of = require "edgeai.nn.arch.widths"

local Shortcut = Module.class("pad_shortcut") -- option A
local Block = Module.class("resnet_block")

local function shortcut(inp, out, stride)
  if out < inp then
    F.raise("resnet: widths must not shrink (option A pads channels), got %d after %d", out, inp)
  end
  local self = Shortcut.new()
  self.inp, self.out, self.stride = inp, out, stride
  return self
end

function Shortcut:forward(x)
  local f = ops.functions
  if self.stride > 1 then
    for axis = 2, 3 do
      local length = math.ceil(x:size(axis) / self.stride)
      x = f.slice(x, { axis = axis, start = 0, length = length, step = self.stride })
    end
  end
  local low = math.floor((self.out - self.inp) / 2)
  local h, w = x:size(2), x:size(3)
  -- channels as the columns of a one-channel image {n, h*w, c, 1}, which pad2d can pad; -1 for n,
  -- so that a recorded network takes any batch
  x = f.reshape(x, { size = { -1, h * w, self.inp, 1 } })
  x = f.pad2d(x, { left = low, right = self.out - self.inp - low })
  return f.reshape(x, { size = { -1, h, w, self.out } })
end

function Shortcut:arguments()
  return ("%d, %d, stride=%d"):format(self.inp, self.out, self.stride)
end

local function block(inp, out, stride)
  local self = Block.new()
  self:add("conv1", conv2d { inp, out, stride = stride })
  self:add("bn1", batch_norm { out })
  self:add("relu1", activation.relu {})
  self:add("conv2", conv2d { out, out })
  self:add("bn2", batch_norm { out })
  if inp ~= out or stride ~= 1 then self:add("shortcut", shortcut(inp, out, stride)) end
  self:add("relu2", activation.relu {})
  return self
end

function Block:forward(x)
  local y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
  return self.relu2(ops.functions.add(y, self.shortcut and self.shortcut(x) or x))
end

return function(given)
  local o = Module.options("resnet", given, {}, { depth = 20, classes = 10, channels = 3,
    widths = F.none, head = true })
  for _, name in ipairs { "depth", "classes", "channels" } do
    Module.check_count("resnet", o, name)
  end
  if o.depth < 8 or o.depth > 10000 or (o.depth - 2) % 6 ~= 0 then
    F.raise("resnet: depth must be 6n+2 (8, 14, 20, 32, 44, 56, 110), got %d", o.depth)
  end
  local w = widths_of("resnet", o.widths, { 16, 16, 32, 64 })
  local layers = { { "conv1", conv2d { o.channels, w[1] } }, { "bn1", batch_norm { w[1] } },
    { "relu", activation.relu {} } }
  for g = 1, 3 do
    local blocks = {}
    for i = 1, (o.depth - 2) / 6 do
      blocks[i] = block(i == 1 and w[g] or w[g + 1], w[g + 1], i == 1 and g > 1 and 2 or 1)
    end
    layers[#layers + 1] = { "layer" .. g, sequential(blocks) }
  end
  layers[#layers + 1] = { "pool", pool.global_avg_pool {} }
  layers[#layers + 1] = { "linear", linear { w[4], o.classes } }
  local words = ("depth=%d%s, classes=%d"):format(o.depth, o.widths
    and ", widths={" .. table.concat(w, ", ") .. "}" or "", o.classes)
  local net = named("resnet", words, layers, "linear", { 1, 32, 32, o.channels },
    { group1 = "layer1", group2 = "layer2", group3 = "layer3", features = "layer3", fc = "linear" },
    o.head)
  net.widths, net.out_channels = w, w[4]
  return net
end
