-- SPDX-License-Identifier: GPL-3.0-or-later
-- Accuracy of a trained network on a data set: any network that ea.nn.load understands, also a bare
-- PyTorch state dict of a WRN or CIFAR ResNet.
--   edgeai run experiments/evaluate.lua --set model=FILE.safetensors --set data=cifar10
local ea = require "edgeai"

local cfg = ea.config {
  model = { type = "string", required = true, help = "FILE.safetensors or zoo:NAME" },
  data = { "cifar10", "data set, or the path of a folder of images per class" },
  split = { default = "test", choices = { "train", "val", "test" }, help = "which images" },
  batch = 256,
}

local net = ea.zoo.load(cfg.model)
net:set_precision(cfg.precision)
local d = ea.data.load(cfg.data, { seed = cfg.seed }):normalise_as(net)
local accuracy, loss, confusion = ea.train.accuracy(net, d[cfg.split], { batch = cfg.batch,
  dtype = cfg.precision, confusion = true })

local rows = {}
for i, name in ipairs(d.names) do
  local right, total = confusion:get(i, i), confusion:select(1, i):sum():item()
  rows[i] = { name, total, ("%.2f %%"):format(100 * right / math.max(total, 1)) }
end
print(ea.table({ "class", "images", "accuracy" }, rows))
print(("%s on %s %s: %.2f %% of %s images, mean cross-entropy %.4f"):format(cfg.model, d.name,
  cfg.split, accuracy, ea.table.number(d[cfg.split].count), loss))
