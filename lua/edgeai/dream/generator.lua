-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.dream.generator - the small network that makes images {n, h, w, c} in [0,1] of random
-- vectors {n, z}: linear to {h/4, w/4, 2k}, batch norm, then twice (nearest upsampling, 3x3
-- convolution, batch norm, leaky ReLU 0.2) to {h, w, k}, 3x3 convolution to c channels, sigmoid.
-- The shape of generator that data-free distillation has used since DAFL (Chen et al. 2019, arXiv
-- 1904.01186). Options: shape {h, w, c}, z (256), k (64).

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local activation = require "edgeai.nn.activation"
local batch_norm = require "edgeai.nn.batch_norm"
local conv2d = require "edgeai.nn.conv2d"
local linear = require "edgeai.nn.linear"
local ops = require "edgeai.ops"

local Generator = Module.class("generator")

function Generator:forward(z)
  local h, w, k = self.shape[1], self.shape[2], self.k
  local x = self.fc(z):reshape(z:size(1), h / 4, w / 4, 2 * k)
  if self.precision == "bf16" then x = x:to("bf16") end
  x = self.bn0(x)
  for i = 1, 2 do
    x = ops.functions.resize(x, { height = h * i / 2, width = w * i / 2, mode = 1 })
    x = self["relu" .. i](self["bn" .. i](self["conv" .. i](x)))
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
  self.shape, self.k, self.z = o.shape, o.k, o.z
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
