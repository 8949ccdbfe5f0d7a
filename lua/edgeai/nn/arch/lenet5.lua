-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.lenet5{classes=10, size=28, channels=1, widen=1, activation="relu"}
--
-- LeNet-5 (LeCun et al. 1998) in its usual modern form: conv1 5x5 to 6, pool 2, conv2 5x5 to 16,
-- pool 2, fc1 120, fc2 84, fc3; max-pools. Images of 28 pixels are padded to 32 by conv1. `widen`
-- scales the convolutions' and hidden layers' widths (0.5: "LeNet-5-half" of 3 and 8 filters).

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local activation = require "edgeai.nn.activation"
local conv2d = require "edgeai.nn.conv2d"
local flatten = require "edgeai.nn.flatten"
local linear = require "edgeai.nn.linear"
local named = require "edgeai.nn.arch.named"
local pool = require "edgeai.nn.pool"

return function(given)
  local o = Module.options("lenet5", given, {}, { classes = 10, size = 28, channels = 1, widen = 1,
    activation = "relu" })
  Module.check_count("lenet5", o, "classes")
  Module.check_count("lenet5", o, "channels")
  Module.check_count("lenet5", o, "size", 14)
  if type(o.widen) ~= "number" or not (o.widen > 0) then
    F.raise("lenet5: widen must be a positive number, got %s", tostring(o.widen))
  end
  local function width(n) return math.max(1, math.floor(n * o.widen + 0.5)) end
  local function act() return activation.by_name(o.activation, "lenet5") end
  local pad = o.size == 28 and 2 or 0
  local side = math.floor((math.floor((o.size + 2 * pad - 4) / 2) - 4) / 2)
  local words = ("size=%d, channels=%d%s, classes=%d"):format(o.size, o.channels,
    o.widen ~= 1 and ", widen=" .. o.widen or "", o.classes)
  return named("lenet5", words, {
    { "conv1", conv2d { o.channels, width(6), kernel = 5, pad = pad, bias = true } },
    { "act1", act() },
    { "pool1", pool.max_pool { 2 } },
    { "conv2", conv2d { width(6), width(16), kernel = 5, pad = 0, bias = true } },
    { "act2", act() },
    { "pool2", pool.max_pool { 2 } }, { "flatten", flatten {} },
    { "fc1", linear { width(16) * side * side, width(120) } }, { "act3", act() },
    { "fc2", linear { width(120), width(84) } }, { "act4", act() },
    { "fc3", linear { width(84), o.classes } } }, "fc3", { 1, o.size, o.size, o.channels },
    { group1 = "act1", group2 = "act2", features = "act2", pool = "act4", fc = "fc3" })
end
