-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.nonn - Network of Neural Networks (Bhardwaj, Lin, Sartor, Marculescu 2019, arXiv 1907.11804).
--
--   local fan = ea.nonn.activation_network(teacher, d.val, { top_k = 50, rule = "hub" })
--   local parts = ea.nonn.partition(fan, { students = 2 })
--   local net = ea.nonn.students { parts = parts.parts, arch = { depth = 16, widths = {...} } }
--   ea.train.fit(net, d.train, { objective = ea.nonn.objective(net, teacher, parts.parts), ... })

local F = require "edgeai.ffi"
local evaluate = require "edgeai.train.evaluate"
local network = require "edgeai.nonn.activation_network"
local partition = require "edgeai.nonn.partition"
local tensor = require "edgeai.tensor"

local nonn = {
  check = require "edgeai.nonn.check",
  students = require("edgeai.nn").nonn,
  objective = require "edgeai.nonn.objective",
  report = require "edgeai.nonn.report",
  conclude = require "edgeai.nonn.conclude",
  partition = partition.partition,
  random_partition = partition.random_partition,
  threshold = network.threshold,
}

--- Pooled last activations (after batch norm and ReLU) of every image of a split: f32 {n, filters}.
-- options: layer ("pool"), batch (256), dtype ("f32").
function nonn.activations(net, split, opts)
  local o = F.options(opts, { layer = "pool", batch = 256, dtype = "f32" }, "nonn.activations")
  local all
  evaluate.batches(net, split, { batch = o.batch, dtype = o.dtype, fn = function(x)
    local found = net:features(x, { o.layer })
    return found[o.layer]:to("f32")
  end }, function(outputs, _, valid, first)
    local a = outputs[1]
    if a.ndim ~= 2 then
      F.raise("nonn.activations: '%s' gives %d dimensions, not pooled activations {n, filters}",
        o.layer, a.ndim)
    end
    all = all or tensor.empty { split.count, a:size(2) }
    all:narrow(1, first, valid):copy(a:narrow(1, 1, valid))
  end)
  return all
end

--- The filter activation network of a teacher on a split (validation images, as published).
-- options: top_k (50), rule ("hub", "coactivation", "similarity"), percentile (99) and those of
-- nonn.activations. See edgeai.nonn.activation_network for what comes back.
function nonn.activation_network(net, split, opts)
  local o = F.options(opts, { top_k = 50, rule = "hub", percentile = 99, layer = "pool",
    batch = 256, dtype = "f32" }, "nonn.activation_network")
  local activations = nonn.activations(net, split,
    { layer = o.layer, batch = o.batch, dtype = o.dtype })
  return network.build(activations, { top_k = o.top_k, rule = o.rule, percentile = o.percentile })
end

return nonn
