-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream.targets(metadata, count, { seed = 1, scale = 1, first = 1 })
--
-- Activations such as the network might have had on images of its training set (Dream Distillation,
-- arXiv 1905.07072): for image i, with z_j ~ N(0, 1) from the stream "dream/targets" at index i,
--   target = max(0, centroid + scale * sum over components j of z_j deviation_j component_j)
-- Zero is the least because the layer follows a ReLU; where a centroid has a number below zero it
-- does not, and nothing is cut off. Classes take turns, and in each class its
-- clusters, so both are balanced to within one. An image's target depends on the seed and i alone,
-- not on count. Returns targets {count, f} f32, labels and clusters {count} i32 (from 1), of the
-- images first, first + 1, ...

local F = require "edgeai.ffi"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"

--- Clusters of each class, classes without any left out.
local function by_class(meta)
  local list, at = {}, {}
  for i = 1, meta.classes:size(1) do
    local class = meta.classes:get(i)
    if not at[class] then
      at[class] = { class = class }
      list[#list + 1] = at[class]
    end
    table.insert(at[class], i)
  end
  table.sort(list, function(a, b) return a.class < b.class end)
  return list
end

return function(meta, count, opts)
  local o = F.options(opts, { seed = random.current_seed, scale = 1, first = 1 }, "dream.targets")
  if type(meta) ~= "table" or not F.is_tensor(meta.centroids) then
    F.raise("dream.targets: expected metadata of ea.dream, got a %s", type(meta))
  end
  for name, value in pairs { count = count, first = o.first } do
    if type(value) ~= "number" or value % 1 ~= 0 or value < 1 then
      F.raise("dream.targets: %s must be a whole number of at least 1, got %s", name,
        tostring(value))
    end
  end
  if type(o.scale) ~= "number" or not (o.scale >= 0) then
    F.raise("dream.targets: scale must be a number of at least 0, got %s", tostring(o.scale))
  end
  local k, f = meta.components:size(2), meta.components:size(3)
  local targets = tensor.empty { count, f }
  local labels, clusters = tensor.empty({ count }, "i32"), tensor.empty({ count }, "i32")
  local to, centroid = F.data(targets), F.data(meta.centroids)
  local component, deviation = F.data(meta.components), F.data(meta.deviations)
  local classes, stream = by_class(meta), random.rng("dream/targets", { seed = o.seed })
  local least = meta.centroids:min():item() < 0 and -math.huge or 0
  for i = 0, count - 1 do
    local image = o.first + i
    local list = classes[(image - 1) % #classes + 1]
    local m = list[math.floor((image - 1) / #classes) % #list + 1] - 1
    stream.index = image
    local noise = stream:normal({ k }, 0, 1)
    local z = F.data(noise)
    for c = 0, f - 1 do to[i * f + c] = centroid[m * f + c] end
    for j = 0, k - 1 do
      local step, row = o.scale * z[j] * deviation[m * k + j], (m * k + j) * f
      for c = 0, f - 1 do to[i * f + c] = to[i * f + c] + step * component[row + c] end
    end
    for c = i * f, i * f + f - 1 do to[c] = math.max(least, to[c]) end
    F.data(labels)[i], F.data(clusters)[i] = list.class, m + 1
    F.drop(noise)
  end
  return targets, labels, clusters
end
