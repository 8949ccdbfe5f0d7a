-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.kmeans(x, k, { seed = 1, starts = 8, iterations = 100 })
--
-- k clusters of the rows of x {n, d} that make the sum of squared distances to their means small:
-- Lloyd's iterations from k-means++ seeds (Arthur & Vassilvitskii 2007: each seed is drawn with
-- probability proportional to the squared distance from those before), the best of `starts`. A
-- cluster that becomes empty takes the row farthest from its mean. Computed in f64; the same rows,
-- k and seed give the same clusters. Returns
--   { centroids {k, d}, assignment {n} i32 (from 1), counts {k} i32, inertia = sum of squared
--     distances, iterations = of the best start }
-- Clusters are ordered by size, largest first. Fewer than k different rows leave some empty.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local grad = require "edgeai.grad"
local ops = require "edgeai.ops"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"

local function row_squares(p, n, d)
  local list = ffi.new("double[?]", n)
  for i = 0, n - 1 do
    local total = 0
    for j = i * d, i * d + d - 1 do total = total + p[j] * p[j] end
    list[i] = total
  end
  return list
end

--- Squared distances of all rows from row `at`, into `out` where they are smaller.
local function closer(p, n, d, at, out)
  for i = 0, n - 1 do
    local total = 0
    for j = 0, d - 1 do
      local v = p[i * d + j] - p[at * d + j]
      total = total + v * v
    end
    if total < out[i] then out[i] = total end
  end
end

local function seeds(p, n, d, k, draws)
  local centroids = tensor.empty({ k, d }, "f64")
  local c, far = F.data(centroids), ffi.new("double[?]", n)
  for i = 0, n - 1 do far[i] = math.huge end
  local at = math.min(n - 1, math.floor(draws[0] * n))
  for m = 0, k - 1 do
    if m > 0 then
      local total = 0
      for i = 0, n - 1 do total = total + far[i] end
      local left = draws[m] * total
      at = -1
      for i = 0, n - 1 do
        if far[i] > 0 then
          at, left = i, left - far[i]
          if left <= 0 then break end
        end
      end
      if at < 0 then at = m end -- all rows are seeds already
    end
    ffi.copy(c + m * d, p + at * d, 8 * d)
    closer(p, n, d, at, far)
  end
  return centroids
end

--- Nearest centroid of each row: writes `own` (from 0) and `far`, returns the sum of `far`.
local function assign(s, centroids, own, far)
  local n, d, k, x2 = s.n, s.d, s.k, s.squares
  local dots = ops.functions.matmul(s.x, centroids, { tb = true })
  local dot, c2, sum = F.data(dots), row_squares(F.data(centroids), k, d), 0
  for i = 0, n - 1 do
    local best, which = math.huge, 0
    for m = 0, k - 1 do
      local v = c2[m] - 2 * dot[i * k + m]
      if v < best then best, which = v, m end
    end
    own[i], far[i] = which, math.max(0, best + x2[i])
    sum = sum + far[i]
  end
  F.drop(dots)
  return sum
end

--- Empty clusters take the farthest rows of clusters that have more than one.
local function fill_empty(s, own, far, counts)
  for m = 0, s.k - 1 do
    if counts[m] == 0 then
      local at, most = -1, 0
      for i = 0, s.n - 1 do
        if far[i] > most and counts[own[i]] > 1 then at, most = i, far[i] end
      end
      if at >= 0 then
        counts[own[at]], counts[m] = counts[own[at]] - 1, 1
        own[at], far[at] = m, 0
      end
    end
  end
end

local function means(s, own, counts, centroids)
  local c, p, d = F.data(centroids), F.data(s.x), s.d
  for m = 0, s.k - 1 do
    if counts[m] > 0 then ffi.fill(c + m * d, 8 * d) end
  end
  for i = 0, s.n - 1 do
    local to, from = own[i] * d, i * d
    for j = 0, d - 1 do c[to + j] = c[to + j] + p[from + j] end
  end
  for m = 0, s.k - 1 do
    for j = m * d, m * d + d - 1 do
      if counts[m] > 0 then c[j] = c[j] / counts[m] end
    end
  end
end

local function one_start(s, draws, iterations)
  local own, far = ffi.new("int32_t[?]", s.n), ffi.new("double[?]", s.n)
  local counts, before = ffi.new("int32_t[?]", s.k), math.huge
  local centroids, done = seeds(F.data(s.x), s.n, s.d, s.k, draws), 0
  local inertia = assign(s, centroids, own, far)
  while done < iterations and inertia < before do
    ffi.fill(counts, 4 * s.k)
    for i = 0, s.n - 1 do counts[own[i]] = counts[own[i]] + 1 end
    fill_empty(s, own, far, counts)
    means(s, own, counts, centroids)
    before, done = inertia, done + 1
    inertia = assign(s, centroids, own, far)
  end
  ffi.fill(counts, 4 * s.k)
  for i = 0, s.n - 1 do counts[own[i]] = counts[own[i]] + 1 end
  return { centroids = centroids, own = own, counts = counts, inertia = inertia,
    iterations = done }
end

local function by_size(s, best)
  local order, place = {}, {}
  for m = 0, s.k - 1 do order[m + 1] = m end
  table.sort(order, function(a, b)
    if best.counts[a] ~= best.counts[b] then return best.counts[a] > best.counts[b] end
    return a < b
  end)
  local centroids = tensor.empty({ s.k, s.d }, "f64")
  local counts, assignment = tensor.empty({ s.k }, "i32"), tensor.empty({ s.n }, "i32")
  for i, m in ipairs(order) do
    place[m] = i
    ffi.copy(F.data(centroids) + (i - 1) * s.d, F.data(best.centroids) + m * s.d, 8 * s.d)
    F.data(counts)[i - 1] = best.counts[m]
  end
  for i = 0, s.n - 1 do F.data(assignment)[i] = place[best.own[i]] end
  return { centroids = centroids, assignment = assignment, counts = counts,
    inertia = best.inertia, iterations = best.iterations }
end

return function(x, k, opts)
  local o = F.options(opts, { seed = random.current_seed, starts = 8, iterations = 100 }, "kmeans")
  F.need_tensor(x, "kmeans")
  if x.ndim ~= 2 then F.raise("kmeans: expected rows {n, d}, got %s", F.describe(x)) end
  local n = x:size(1)
  if type(k) ~= "number" or k % 1 ~= 0 or k < 1 or k > n then
    F.raise("kmeans: the number of clusters must be a whole number from 1 to the %d rows, got %s",
      n, tostring(k))
  end
  for _, name in ipairs { "starts", "iterations" } do
    if type(o[name]) ~= "number" or o[name] % 1 ~= 0 or o[name] < 1 then
      F.raise("kmeans: %s must be a whole number of at least 1, got %s", name, tostring(o[name]))
    end
  end
  local bad = x:count_nonfinite()
  if bad > 0 then F.raise("kmeans: %d of the values are NaN or infinite", bad) end
  return grad.no_grad(function()
    local s = { x = x:detach():to("f64"):contiguous(), n = n, d = x:size(2), k = k }
    s.squares = row_squares(F.data(s.x), n, s.d)
    local stream, best = random.rng("kmeans", { seed = o.seed }), nil
    for _ = 1, o.starts do
      local draws = stream:uniform({ k }, 0, 1, "f64")
      local found = one_start(s, F.data(draws), o.iterations)
      if not best or found.inertia < best.inertia then best = found end
      F.drop(draws)
    end
    return by_size(s, best)
  end)
end
