-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.atlas - activations laid out on a map (Carter et al. 2019, "Activation Atlas").
--
--   atlas.sample(net, split, layer, { count = 1500, seed })   activations {count, c}, one position
--                         of each image, drawn; and the images' numbers
--   atlas.normalise(points {n, 2})   into the unit square: each axis cut at its percentiles 1 and
--                         99 with a tenth more on both sides (above, a tenth of what that made),
--                         as Lucid
--   atlas.cells(points, activations, { grid = 12, least = 5 })   list of { x, y (from 1), count,
--                         members }, and the mean activations {cells, c}, of the grid's squares
--                         with at least so many points

local F = require "edgeai.ffi"
local grad = require "edgeai.grad"
local layers = require "edgeai.vis.layers"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"

local atlas = {}

--- See the top of this file.
function atlas.sample(net, split, layer, options)
  local o = F.options(options, { count = 1500, seed = random.current_seed, batch = 100 },
    "atlas.sample")
  local n = math.min(o.count, split.count)
  local chosen = random.rng("vis/atlas/images", { seed = o.seed }):permutation(split.count)
  local places = random.rng("vis/atlas/places", { seed = o.seed }):uniform { n, 2 }
  local found, ids = nil, {}
  local mean, std = tensor.tensor(net.mean), tensor.tensor(net.std)
  net:eval()
  for first = 1, n, o.batch do
    local count = math.min(o.batch, n - first + 1)
    local x = tensor.empty({ count, unpack(split.images.shape, 2) }, "u8")
    for k = 1, count do
      ids[first + k - 1] = chosen[first + k - 1]
      x:narrow(1, k, 1):copy(split.images:narrow(1, ids[first + k - 1], 1))
    end
    local A = grad.no_grad(function()
      return layers.run(net, (x:to("f32") / 255 - mean) / std, { layer })[layer]:to("f32")
    end)
    if A.ndim == 2 then A = A:reshape(count, 1, 1, A:size(2)) end
    found = found or tensor.empty { n, A:size(4) }
    for k = 1, count do
      local i = first + k - 1
      local y = math.floor(places:get(i, 1) * A:size(2)) + 1
      local column = math.floor(places:get(i, 2) * A:size(3)) + 1
      found:narrow(1, i, 1):copy(A[{ { k }, y, column }])
    end
  end
  return found, ids
end

--- The q-th percentile of a sorted list, between its neighbours in proportion.
local function percentile(sorted, q)
  local place = (#sorted - 1) * q / 100 + 1
  local low = math.floor(place)
  local high = math.min(low + 1, #sorted)
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low)
end

--- See the top of this file.
function atlas.normalise(points)
  F.need_tensor(points, "atlas.normalise")
  if points.ndim ~= 2 or points:size(2) ~= 2 or points:size(1) < 2 then
    F.raise("atlas.normalise: expected points {n, 2}, got %s", F.describe(points))
  end
  local n = points:size(1)
  local out = tensor.empty({ n, 2 }, "f64")
  for axis = 1, 2 do
    local v, sorted = {}, {}
    for i = 1, n do v[i], sorted[i] = points:get(i, axis), points:get(i, axis) end
    table.sort(sorted)
    local low, high = percentile(sorted, 1), percentile(sorted, 99)
    low = low - 0.1 * (high - low)
    high = high + 0.1 * (high - low)
    local least, most = math.huge, -math.huge
    for i = 1, n do
      v[i] = math.min(math.max(v[i], low), high)
      least, most = math.min(least, v[i]), math.max(most, v[i])
    end
    for i = 1, n do out:set(i, axis, most > least and (v[i] - least) / (most - least) or 0.5) end
  end
  return out
end

--- See the top of this file.
function atlas.cells(points, activations, options)
  local o = F.options(options, { grid = 12, least = 5 }, "atlas.cells")
  local by_place, list = {}, {}
  for i = 1, points:size(1) do
    local x = math.min(math.floor(points:get(i, 1) * o.grid) + 1, o.grid)
    local y = math.min(math.floor(points:get(i, 2) * o.grid) + 1, o.grid)
    local key = (y - 1) * o.grid + x
    by_place[key] = by_place[key] or { x = x, y = y, count = 0, members = {} }
    local cell = by_place[key]
    cell.count = cell.count + 1
    cell.members[cell.count] = i
  end
  for key = 1, o.grid * o.grid do
    local cell = by_place[key]
    if cell and cell.count >= o.least then list[#list + 1] = cell end
  end
  if #list == 0 then
    F.raise("atlas.cells: no square of the %d x %d grid has %d points; take a coarser grid", o.grid,
      o.grid, o.least)
  end
  local means = tensor.zeros({ #list, activations:size(2) }, activations.dtype)
  for k, cell in ipairs(list) do
    local sum
    for _, i in ipairs(cell.members) do
      local row = activations:narrow(1, i, 1)
      sum = sum and sum + row or row
    end
    means:narrow(1, k, 1):copy(sum / cell.count)
  end
  return list, means
end

return atlas
