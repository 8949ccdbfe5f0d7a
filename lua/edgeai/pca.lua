-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.pca(x, { components = 2 })
--
-- Principal components of the rows of x {n, d}: the orthogonal directions of largest variance, from
-- the eigenvectors of the covariance matrix {d, d}, or, where there are fewer rows than columns, of
-- the rows' dot products {n, n}. In f64. Returns
--   { mean {d}, components {k, d} (unit rows, largest variance first, the element of largest
--     magnitude positive), variances {k} (unbiased), total = variance in all directions }
-- and a method project(x) -> {n, k}. k may be less than asked for: directions without variance
-- (below 1e-10 of the largest) are left out.

local F = require "edgeai.ffi"
local grad = require "edgeai.grad"
local ops = require "edgeai.ops"
local tensor = require "edgeai.tensor"

local fn = ops.functions
local Pca = {}
Pca.__index = Pca

--- Rows of x {n, d} as coordinates {n, k} along the components.
function Pca:project(x)
  F.need_tensor(x, "project")
  if x.ndim ~= 2 or x:size(2) ~= self.mean:size(1) then
    F.raise("project: expected rows {n, %d}, got %s", self.mean:size(1), F.describe(x))
  end
  return grad.no_grad(function()
    return fn.matmul(x:detach():to("f64") - self.mean, self.components, { tb = true })
  end)
end

local function eigh(a)
  local out = F.out()
  F.check(F.C.ea_eigh(a, out, out + 1))
  return F.own(out[0]), F.own(out[1])
end

--- The first k rows, each with its largest element positive.
local function orient(rows, k)
  local kept = tensor.empty({ k, rows:size(2) }, "f64"):copy(rows:narrow(1, 1, k))
  local p, d = F.data(kept), rows:size(2)
  for i = 0, k - 1 do
    local most = 0
    for j = i * d, i * d + d - 1 do if math.abs(p[j]) > math.abs(most) then most = p[j] end end
    if most < 0 then for j = i * d, i * d + d - 1 do p[j] = -p[j] end end
  end
  return kept
end

return function(x, opts)
  local o = F.options(opts, { components = 2 }, "pca")
  F.need_tensor(x, "pca")
  if x.ndim ~= 2 or x:size(1) < 1 then
    F.raise("pca: expected rows {n, d}, got %s", F.describe(x))
  end
  if type(o.components) ~= "number" or o.components % 1 ~= 0 or o.components < 0 then
    F.raise("pca: components must be a whole number, got %s", tostring(o.components))
  end
  return grad.no_grad(function()
    local wide = x:detach():to("f64"):contiguous()
    local n, d = wide:size(1), wide:size(2)
    local mean = wide:mean { axes = { 1 } }
    local centred = wide - mean
    local few = n < d
    local values, vectors = eigh(fn.matmul(centred, centred, { ta = not few, tb = few }))
    local size, total = values:size(1), centred:square():sum():item() / math.max(1, n - 1)
    local limit = 1e-10 * math.max(values:get(size), 1e-300)
    local k, variances = 0, {}
    while k < math.min(o.components, size) and values:get(size - k) > limit do
      k = k + 1
      variances[k] = values:get(size - k + 1) / (n - 1)
    end
    local rows = vectors:t():contiguous():flip { axis = 1 }
    if few then rows = fn.l2_normalize(fn.matmul(rows, centred)) end
    return setmetatable({ mean = mean, total = total,
      components = k > 0 and orient(rows, k) or tensor.empty({ 0, d }, "f64"),
      variances = tensor.tensor(variances, "f64") }, Pca)
  end)
end
