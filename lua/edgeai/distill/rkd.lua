-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.rkd(student, teacher, { distance = 25, angle = 50 })
--
-- Relational knowledge distillation (Park, Kim, Lu & Cho 2019, arXiv 1904.05068): distances and
-- angles among the images of a batch, as the teacher sees them. With rows x_i and Huber's loss
-- h(d) = d^2 / 2 for |d| < 1, |d| - 1/2 beyond:
--   D_ij = |x_i - x_j| / mean over i ~= j of |x_i - x_j|
--   A_ijk = cos of the angle at x_i between x_j and x_k (0 where two of them are one)
--   loss = distance * mean over ij of h(D^s - D^t) + angle * mean over ijk of h(A^s - A^t)
-- The two weights are those of the paper's classification runs. Activations {n, ...}, n at least 2;
-- the angles take memory for n^2 times the activations' width.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local rows = require "edgeai.distill.rows"
local tensor = require "edgeai.tensor"

local fn = ops.functions

local function huber(a, b)
  local d = (a - b):abs()
  local near = fn.minimum(d, 1)
  return (near:square() * 0.5 + d - near):mean()
end

--- |x_i - x_j| {n, n} by the dot products; the diagonal has neither value nor gradient.
local function distances(x, n)
  local squares = x:square():sum { axes = { 2 }, keep = true }
  local d = squares + squares:reshape(1, n) - fn.matmul(x, x, { tb = true }) * 2
  d = fn.maximum(d, 1e-12):sqrt() * (1 - tensor.eye(n, x.dtype))
  return d / (d:sum() * (1 / (n * (n - 1))))
end

local function angles(x, n)
  local width = x:size(2)
  local to = x:reshape(1, n, width) - x:reshape(n, 1, width) -- [i][j] = x_j - x_i
  local unit = fn.l2_normalize(to)
  return fn.matmul(unit, unit, { tb = true })
end

return function(student, teacher, opts)
  local o = F.options(opts, { distance = 25, angle = 50 }, "rkd")
  local s, t, n = rows(student, teacher, 2, "rkd")
  local total
  if o.distance ~= 0 then total = huber(distances(s, n), distances(t, n)) * o.distance end
  if o.angle ~= 0 then
    local term = huber(angles(s, n), angles(t, n)) * o.angle
    total = total and total + term or term
  end
  return total or F.raise("rkd: both weights are 0; give distance or angle")
end
