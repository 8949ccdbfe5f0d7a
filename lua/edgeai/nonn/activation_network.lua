-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nonn.activation_network - which filters of the teacher fire together (NoNN, arXiv
-- 1907.11804): filters are nodes; images that excite two filters strengthen the edge between them.
--
-- Input: {images, filters}, one number per image and filter: the teacher's last feature maps behind
-- batch norm and ReLU, pooled. Of each image: negative values count as 0, the rest is divided by
-- the image's largest, the `top_k` most active filters are kept, and every pair (i, j) of them adds
-- its rule's value to w_ij.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local tensor = require "edgeai.tensor"
local text = require "edgeai.text"

local network = {}

--- Edge rules, of two activities in [0, 1]. "hub" (the published code) links strong filters with
-- weaker ones and gives nothing to pairs that fire alike, so that hubs spread over the communities.
network.rules = {
  hub = function(a, b) return a * b * math.abs(a - b) end,
  coactivation = function(a, b) return a * b end,
  similarity = function(a, b) return a * b / (math.abs(a - b) + 1) end,
}

-- The k largest of n activities, largest first, equal ones in the order of their index; silent
-- filters are left out. Writes values and indices (from 0), returns how many. k is small, so
-- insertion beats a sort.
local function strongest(p, n, k, value, index)
  local count = 0
  for i = 0, n - 1 do
    local x = p[i]
    if x > 0 and (count < k or x > value[count - 1]) then
      local at = count < k and count or k - 1
      count = at + 1
      while at > 0 and value[at - 1] < x do
        value[at], index[at] = value[at - 1], index[at - 1]
        at = at - 1
      end
      value[at], index[at] = x, i
    end
  end
  return count
end

local function check_activations(activations, where)
  F.need_tensor(activations, where)
  local dtype = activations.dtype
  if dtype ~= "f32" and dtype ~= "f64" and dtype ~= "bf16" then
    F.raise("%s: expected activations in f32, f64 or bf16, got %s", where, dtype)
  end
  if activations.ndim ~= 2 or activations:size(2) < 2 then
    F.raise("%s: expected pooled activations {images, filters} of 2 or more filters, got %s", where,
      F.describe(activations))
  end
  local bad = activations:count_nonfinite()
  if bad > 0 then F.raise("%s: %d of the activations are NaN or infinite", where, bad) end
end

--- {images, filters} -> W {filters, filters} f64, symmetric, zero diagonal. Options: top_k (50),
-- rule ("hub", "coactivation", "similarity", or a symmetric function of two activities).
function network.accumulate(activations, options)
  local o = F.options(options, { top_k = 50, rule = "hub" }, "accumulate")
  check_activations(activations, "accumulate")
  if type(o.top_k) ~= "number" or o.top_k % 1 ~= 0 or o.top_k < 2 then
    F.raise("accumulate: top_k must be a whole number of at least 2, got %s", tostring(o.top_k))
  end
  local rule = type(o.rule) == "function" and o.rule or network.rules[o.rule]
  if not rule then
    F.raise("accumulate: there is no rule '%s'%s", tostring(o.rule),
      text.suggest(tostring(o.rule), text.keys(network.rules)))
  end

  local images, filters = activations:size(1), activations:size(2)
  local k = math.min(o.top_k, filters)
  local wide = activations:detach():to("f64"):contiguous()
  local w = tensor.zeros({ filters, filters }, "f64")
  local sum, row = F.data(w), F.data(wide)
  local value, index = ffi.new("double[?]", k), ffi.new("int32_t[?]", k)
  for _ = 1, images do
    local count = strongest(row, filters, k, value, index)
    local largest = value[0]
    for a = 0, count - 1 do
      for b = a + 1, count - 1 do
        local i, j = math.min(index[a], index[b]), math.max(index[a], index[b])
        local at = i * filters + j
        sum[at] = sum[at] + rule(value[a] / largest, value[b] / largest)
      end
    end
    row = row + filters
  end
  F.drop(wide) -- not before: `row` points into it
  for i = 0, filters - 1 do
    for j = i + 1, filters - 1 do sum[j * filters + i] = sum[i * filters + j] end
  end
  return w
end

-- NumPy's linear percentile of a list that holds every value twice (both triangles); sorted list.
local function percentile_of_pairs(sorted, percent)
  local position = (2 * #sorted - 1) * percent / 100
  local below = math.floor(position)
  local low = sorted[math.floor(below / 2) + 1]
  local high = sorted[math.min(math.floor((below + 1) / 2) + 1, #sorted)]
  return low + (high - low) * (position - below)
end

--- Keeps the strong edges: W divided by its largest entry, entries below the `percentile` (99) of
-- the non-zero ones set to 0. Returns the thresholded matrix, f64, and
-- { threshold =, edges =, isolated = }.
function network.threshold(w, options)
  local o = F.options(options, { percentile = 99 }, "threshold")
  F.need_tensor(w, "threshold")
  if w.ndim ~= 2 or w:size(1) ~= w:size(2) then
    F.raise("threshold: expected a square matrix, got %s", F.describe(w))
  end
  local percent = o.percentile
  if type(percent) ~= "number" or not (percent >= 0 and percent <= 100) then
    F.raise("threshold: percentile must be a number from 0 to 100, got %s", tostring(percent))
  end
  local n, kept = w:size(1), tensor.empty(w.shape, "f64"):copy(w)
  local p, weights, largest = F.data(kept), {}, 0
  for i = 0, n - 1 do
    for j = i + 1, n - 1 do
      local x = p[i * n + j]
      if x ~= 0 then weights[#weights + 1] = x end
      largest = math.max(largest, x)
    end
  end
  if largest <= 0 then
    F.raise("threshold: no two filters fire together in any image; check the activations (all "
      .. "zero?) or take more images")
  end
  for i = 1, #weights do weights[i] = weights[i] / largest end
  table.sort(weights)
  local limit, edges, isolated = percentile_of_pairs(weights, percent), 0, 0
  for i = 0, n - 1 do
    local degree = 0
    for j = 0, n - 1 do
      local x = p[i * n + j] / largest
      if i == j or x < limit then x = 0 end
      p[i * n + j] = x
      if x > 0 then degree = degree + 1 end
    end
    edges = edges + degree / 2
    if degree == 0 then isolated = isolated + 1 end
  end
  return kept, { threshold = limit, edges = edges, isolated = isolated }
end

--- Both steps: { weights = W, network = thresholded, threshold =, edges =, isolated =, filters =,
-- images =, top_k =, rule =, percentile = }.
function network.build(activations, options)
  local o = F.options(options, { top_k = 50, rule = "hub", percentile = 99 }, "activation_network")
  local w = network.accumulate(activations, { top_k = o.top_k, rule = o.rule })
  local kept, facts = network.threshold(w, { percentile = o.percentile })
  facts.weights, facts.network = w, kept
  facts.images, facts.filters = activations:size(1), activations:size(2)
  facts.top_k, facts.rule, facts.percentile = o.top_k, o.rule, o.percentile
  return facts
end

return network
