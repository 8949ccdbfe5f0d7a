-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.dream.generator - the small network that makes images {n, h, w, c} in [0,1] of random
-- vectors {n, z}: linear to {h/4, w/4, 2k}, batch norm, then twice (nearest upsampling, 3x3
-- convolution, batch norm, leaky ReLU 0.2) to {h, w, k}, 3x3 convolution to c channels, sigmoid.
-- The shape of generator that data-free distillation has used since DAFL (Chen et al. 2019, arXiv
-- 1904.01186). Options: shape {h, w, c}, z (256), k (64).
--
-- A 3x3 convolution of images that were doubled reads each number of theirs twice or four times; it
-- is a transposed 4x4 convolution of stride 2 of the images themselves, in 4/9 of the products.
-- Where a row of the large image is, its three taps fall on two rows of the small one: of its
-- weights w1, w2, w3 the transposed kernel is w3, w2 + w3, w1 + w2, w1, and so across.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local activation = require "edgeai.nn.activation"
local batch_norm = require "edgeai.nn.batch_norm"
local conv2d = require "edgeai.nn.conv2d"
local linear = require "edgeai.nn.linear"
local ops = require "edgeai.ops"
local tensor = require "edgeai.tensor"

local Generator = Module.class("generator")

--- {9, 16}: which of a 3x3 kernel's weights are summed into which of the 4x4.
local function sums()
  local t, along = tensor.zeros { 9, 16 }, { { 3, 4 }, { 2, 3 }, { 1, 2 } } -- along[a]: of w_a
  for a = 1, 3 do
    for b = 1, 3 do
      for _, k in ipairs(along[a]) do
        for _, l in ipairs(along[b]) do t:set(3 * a + b - 3, 4 * k + l - 4, 1) end
      end
    end
  end
  return t
end

--- conv(x doubled), x {n, h, w, c}.
local function doubled(self, x, conv)
  local out, inp = conv.weight:size(1), conv.weight:size(2)
  local w = ops.functions.matmul(conv.weight:reshape(out * inp, 9), self.sums)
  return ops.functions.conv_transpose2d(x, w:reshape(out, inp, 4, 4):permute { 2, 1, 3, 4 },
    { stride = 2, pad = 1 })
end

--- The linear layer; in bf16 as a 1x1 convolution, whose kernels are made for it: the vectors are
-- the pixels of images of 4x4, where they fill such.
local function spread(self, z)
  if self.precision ~= "bf16" then return self.fc(z) end
  local n, side = z:size(1), z:size(1) % 16 == 0 and 4 or 1
  local out, inp = self.fc.weight:size(1), z:size(2)
  return ops.functions.conv2d(z:to("bf16"):reshape(n / side ^ 2, side, side, inp),
    self.fc.weight:reshape(out, inp, 1, 1), self.fc.bias)
end

function Generator:forward(z)
  local h, w, k = self.shape[1], self.shape[2], self.k
  local x = self.bn0(spread(self, z):reshape(z:size(1), h / 4, w / 4, 2 * k))
  for i = 1, 2 do
    x = self["relu" .. i](self["bn" .. i](doubled(self, x, self["conv" .. i])))
  end
  return self.conv3(x):to("f32"):sigmoid()
end

return function(given)
  local o = Module.options("generator", given, {}, { shape = Module.needed, z = 256, k = 64 })
  local h, w, c = unpack(o.shape)
  if h % 4 ~= 0 or w % 4 ~= 0 then
    F.raise("generator: height and width must be multiples of 4, got %dx%d", h, w)
  end
  local self = Generator.new()
  self.shape, self.k, self.z, self.sums = o.shape, o.k, o.z, sums()
  self:add("fc", linear { o.z, h / 4 * w / 4 * 2 * o.k })
  self:add("bn0", batch_norm { 2 * o.k })
  for i = 1, 2 do
    self:add("conv" .. i, conv2d { 2 * o.k, i == 1 and 2 * o.k or o.k })
    self:add("bn" .. i, batch_norm { i == 1 and 2 * o.k or o.k })
    self:add("relu" .. i, activation.leaky_relu { 0.2 })
  end
  self:add("conv3", conv2d { o.k, c, bias = true })
  return self
end
