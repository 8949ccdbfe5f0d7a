-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.tsne(x, { perplexity = 30, iterations = 750, learning_rate = nil, exaggeration = 12 })
--
-- t-SNE (van der Maaten & Hinton 2008): the rows of x {n, d} as points {n, 2} f64 such that
-- neighbours stay neighbours. p_ij: Gaussian affinities whose width gives each row the same
-- perplexity, made symmetric; q_ij ~ 1 / (1 + |y_i - y_j|^2); gradient descent on KL(p || q) with
-- momentum (0.5, then 0.8) and gains, p times `exaggeration` in the first third (at most 250
-- iterations). learning_rate: default max(n / exaggeration / 4, min(50, n / 6)): larger steps throw
-- single points of few away, and they never come back. It starts from the first two
-- principal components, so nothing is random. Exact: time and memory grow with n^2; 2000 points
-- take some ten seconds. Returns the points and the final KL divergence.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local grad = require "edgeai.grad"
local ops = require "edgeai.ops"
local pca = require "edgeai.pca"
local tensor = require "edgeai.tensor"

--- Squared distances {n, n} f64.
local function distances(x)
  local squares = x:square():sum { axes = { 2 }, keep = true }
  local d = squares + squares:reshape(1, x:size(1))
    - ops.functions.matmul(x, x, { tb = true }) * 2
  return ops.functions.maximum(d, 0)
end

--- Row i of the affinities into p: the width is found by bisection.
local function affinities(d, p, n, i, entropy)
  local low, high, beta = 0, math.huge, 1
  local least = math.huge
  for j = 0, n - 1 do if j ~= i and d[j] < least then least = d[j] end end
  for _ = 1, 60 do
    local sum, weighted = 0, 0
    for j = 0, n - 1 do
      local v = j ~= i and math.exp(-beta * (d[j] - least)) or 0
      p[j] = v
      sum, weighted = sum + v, weighted + v * (d[j] - least)
    end
    local h = math.log(sum) + beta * weighted / sum
    for j = 0, n - 1 do p[j] = p[j] / sum end
    if math.abs(h - entropy) < 1e-5 then break end
    if h > entropy then
      low = beta
      beta = high == math.huge and 2 * beta or (beta + high) / 2
    else
      high = beta
      beta = (beta + low) / 2
    end
  end
end

local function joint(x, perplexity)
  local n = x:size(1)
  local all, p = distances(x), tensor.zeros({ n, n }, "f64")
  local d, q = F.data(all), F.data(p)
  for i = 0, n - 1 do affinities(d + i * n, q + i * n, n, i, math.log(perplexity)) end
  for i = 0, n - 1 do
    for j = i + 1, n - 1 do
      local v = math.max((q[i * n + j] + q[j * n + i]) / (2 * n), 1e-14)
      q[i * n + j], q[j * n + i] = v, v
    end
  end
  F.drop(all)
  return p
end

--- One pass over all pairs: attraction and repulsion of each point, the sum of 1 / (1 + d^2).
local function forces(p, y, n, attract, repel)
  ffi.fill(attract, 16 * n)
  ffi.fill(repel, 16 * n)
  local z = 0
  for i = 0, n - 1 do
    local yx, yy, ax, ay, rx, ry = y[2 * i], y[2 * i + 1], 0, 0, 0, 0
    for j = i + 1, n - 1 do
      local dx, dy = yx - y[2 * j], yy - y[2 * j + 1]
      local q = 1 / (1 + dx * dx + dy * dy)
      local a, r = p[i * n + j] * q, q * q
      z = z + 2 * q
      ax, ay, rx, ry = ax + a * dx, ay + a * dy, rx + r * dx, ry + r * dy
      attract[2 * j], attract[2 * j + 1] = attract[2 * j] - a * dx, attract[2 * j + 1] - a * dy
      repel[2 * j], repel[2 * j + 1] = repel[2 * j] - r * dx, repel[2 * j + 1] - r * dy
    end
    attract[2 * i], attract[2 * i + 1] = attract[2 * i] + ax, attract[2 * i + 1] + ay
    repel[2 * i], repel[2 * i + 1] = repel[2 * i] + rx, repel[2 * i + 1] + ry
  end
  return z
end

local function divergence(p, y, n, z)
  local total = 0
  for i = 0, n - 1 do
    for j = i + 1, n - 1 do
      local dx, dy = y[2 * i] - y[2 * j], y[2 * i + 1] - y[2 * j + 1]
      total = total + 2 * p[i * n + j] * math.log(p[i * n + j] * z * (1 + dx * dx + dy * dy))
    end
  end
  return total
end

local function start(x)
  local n = x:size(1)
  local found = pca(x, { components = 2 })
  local points, y = tensor.zeros({ n, 2 }, "f64"), found:project(x)
  local k = y:size(2)
  if k == 0 then F.raise("tsne: all %d rows are equal", n) end
  local scale = 1e-4 / math.sqrt(found.variances:get(1))
  points:narrow(2, 1, k):copy(y * scale)
  return points
end

return function(x, opts)
  local o = F.options(opts, { perplexity = 30, iterations = 750, learning_rate = F.none,
    exaggeration = 12 }, "tsne")
  F.need_tensor(x, "tsne")
  if x.ndim ~= 2 then F.raise("tsne: expected rows {n, d}, got %s", F.describe(x)) end
  local n = x:size(1)
  if type(o.perplexity) ~= "number" or not (o.perplexity >= 1 and 3 * o.perplexity < n) then
    F.raise("tsne: perplexity must be at least 1 and below a third of the %d points, got %s", n,
      tostring(o.perplexity))
  end
  local bad = x:count_nonfinite()
  if bad > 0 then F.raise("tsne: %d of the values are NaN or infinite", bad) end
  return grad.no_grad(function()
    local wide = x:detach():to("f64"):contiguous()
    local affinity, points = joint(wide, o.perplexity), start(wide)
    local p, y = F.data(affinity), F.data(points)
    local attract, repel = ffi.new("double[?]", 2 * n), ffi.new("double[?]", 2 * n)
    local speed, gain = ffi.new("double[?]", 2 * n), ffi.new("double[?]", 2 * n)
    for i = 0, 2 * n - 1 do gain[i] = 1 end
    local rate = o.learning_rate or math.max(n / o.exaggeration / 4, math.min(50, n / 6))
    local early = math.min(250, math.floor(o.iterations / 3))
    for step = 1, o.iterations do
      local factor, momentum = step <= early and o.exaggeration or 1, step <= early and 0.5 or 0.8
      local z = forces(p, y, n, attract, repel)
      for i = 0, 2 * n - 1 do
        local g = 4 * (factor * attract[i] - repel[i] / z)
        gain[i] = math.max(0.01, g * speed[i] < 0 and gain[i] + 0.2 or gain[i] * 0.8)
        speed[i] = momentum * speed[i] - rate * gain[i] * g
        y[i] = y[i] + speed[i]
      end
    end
    return points, divergence(p, y, n, forces(p, y, n, attract, repel))
  end)
end
