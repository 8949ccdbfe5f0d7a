-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.vgg{depth=11, classes=10, channels=3, widen=1, bias=false, head=true}
--
-- VGG (Simonyan & Zisserman 2015) with batch-norm, as used for 32x32 images: 3x3 convolutions and
-- five 2x2 max-pools in "features" (numbered as in PyTorch code), then pool -> classifier, one
-- linear layer. depth 11, 13, 16 or 19; widen scales all widths; bias for loading networks whose
-- convolutions have one; head = false leaves out pool and classifier.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local activation = require "edgeai.nn.activation"
local batch_norm = require "edgeai.nn.batch_norm"
local conv2d = require "edgeai.nn.conv2d"
local linear = require "edgeai.nn.linear"
local named = require "edgeai.nn.arch.named"
local pool = require "edgeai.nn.pool"
local sequential = require "edgeai.nn.sequential"

-- convolutions of each of the five stages, of 64, 128, 256, 512 and 512 channels
local stages = { [11] = { 1, 1, 2, 2, 2 }, [13] = { 2, 2, 2, 2, 2 }, [16] = { 2, 2, 3, 3, 3 },
  [19] = { 2, 2, 4, 4, 4 } }
local widths = { 64, 128, 256, 512, 512 }

return function(given)
  local o = Module.options("vgg", given, {}, { depth = 11, classes = 10, channels = 3, widen = 1,
    bias = false, head = true })
  Module.check_count("vgg", o, "classes")
  Module.check_count("vgg", o, "channels")
  if not stages[o.depth] then
    F.raise("vgg: depth must be 11, 13, 16 or 19, got %s", tostring(o.depth))
  end
  if type(o.widen) ~= "number" or not (o.widen > 0) then
    F.raise("vgg: widen must be a positive number, got %s", tostring(o.widen))
  end
  local layers, inp = {}, o.channels
  local groups = {}
  for stage, count in ipairs(stages[o.depth]) do
    local out = math.max(1, math.floor(widths[stage] * o.widen + 0.5))
    for _ = 1, count do
      layers[#layers + 1] = conv2d { inp, out, bias = o.bias }
      layers[#layers + 1] = batch_norm { out }
      layers[#layers + 1] = activation.relu {}
      inp = out
    end
    groups["group" .. stage] = ("features.%d"):format(#layers - 1)
    layers[#layers + 1] = pool.max_pool { 2 }
  end
  groups.fc = "classifier"
  local words = ("depth=%d%s, classes=%d"):format(o.depth, o.widen ~= 1 and ", widen=" .. o.widen
    or "", o.classes)
  local net = named("vgg", words, { { "features", sequential(layers) },
    { "pool", pool.global_avg_pool {} }, { "classifier", linear { inp, o.classes } } },
    "classifier", { 1, 32, 32, o.channels }, groups, o.head)
  net.out_channels = inp
  return net
end
