-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.dream.statistics - how far a batch is from what a network's batch norms remember of its
-- training images (DeepInversion: Yin et al. 2020, arXiv 1912.08795): over all batch norms,
--   |m - running_mean| + |v - running_var|      (Euclidean norms over the channels)
-- with m and v the batch's mean and (biased) variance of what enters the layer. With a momentum a,
-- m and v are a times their values of the batches before and 1 - a times this batch's, so that no
-- small batch need look like the whole data set (Fast-Meta: Fang et al. 2022, arXiv
-- 2112.15278). The statistics are part of the network's file: no metadata are needed.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local ops = require "edgeai.ops"
local tensor = require "edgeai.tensor"

local Statistics = {}
Statistics.__index = Statistics

--- For a network with batch norms; momentum 0: each batch for itself.
local function new(net, momentum)
  local self = setmetatable({ layers = {}, momentum = momentum, share = tensor.full({}, 0) },
    Statistics)
  net:materialise()
  net:walk(function(name, m)
    if m.kind == "batch_norm" then
      local layer = { name = name, module = m, mean = tensor.zeros { m.channels },
        var = tensor.zeros { m.channels } }
      self.layers[#self.layers + 1], self.layers[m] = layer, layer
    end
  end)
  if #self.layers == 0 then
    F.raise("dream: the network has no batch norm, so there are no statistics to match; leave bn 0")
  end
  return self
end

--- Runs fn(...) and returns its first result, the distance, and this batch's statistics: a list of
-- tensors, mean and variance of each layer, for `remember`.
function Statistics:measure(fn, ...)
  local total, list = nil, {}
  local result = Module.observe(function(m, x)
    local layer = self.layers[m]
    if not layer then return end
    local moments = ops.functions.moments(x)
    local mean, var = moments:select(1, 1), moments:select(1, 2)
    list[#list + 1], list[#list + 2] = mean, var
    layer.at = #list - 1
    if self.momentum > 0 then -- share is 0 until there was a batch
      mean = layer.mean * self.share + mean * (1 - self.share)
      var = layer.var * self.share + var * (1 - self.share)
    end
    local term = (mean - m.running_mean):norm { eps = 1e-12 }
      + (var - m.running_var):norm { eps = 1e-12 }
    total = total and total + term or term
  end, fn, ...)
  return result, total, list
end

--- Takes a batch's statistics (as measured) into the momentum.
function Statistics:remember(list)
  local a = self.share:item()
  for _, layer in ipairs(self.layers) do
    layer.mean:copy(layer.mean * a + list[layer.at] * (1 - a))
    layer.var:copy(layer.var * a + list[layer.at + 1] * (1 - a))
  end
  self.share:fill(self.momentum)
end

--- What a checkpoint must hold: a list of { name =, tensor = }.
function Statistics:state()
  local list = { { name = "statistics.share", tensor = self.share } }
  for _, layer in ipairs(self.layers) do
    list[#list + 1] = { name = "statistics." .. layer.name .. ".mean", tensor = layer.mean }
    list[#list + 1] = { name = "statistics." .. layer.name .. ".var", tensor = layer.var }
  end
  return list
end

return new
