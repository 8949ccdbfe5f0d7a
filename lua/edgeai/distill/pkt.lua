-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.pkt(student, teacher, { eps = 1e-7 })
--
-- Probabilistic knowledge transfer (Passalis & Tefas 2018, arXiv 1803.10837): each image chooses
-- among the batch by likeness. With the cosine c_ij of the activations of images i and j:
--   K_ij = (c_ij + 1) / 2,   P_ij = K_ij / sum_j K_ij,
--   loss = mean over i and j of T_ij log((T_ij + eps) / (S_ij + eps))
-- T of the teacher, S of the student. Activations {n, ...}; a single number, small (about 1 / n^2).

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local rows = require "edgeai.distill.rows"

local function choices(a)
  local unit = ops.functions.l2_normalize(a)
  local k = (ops.functions.matmul(unit, unit, { tb = true }) + 1) * 0.5
  return k / k:sum { axes = { 2 }, keep = true }
end

return function(student, teacher, opts)
  local o = F.options(opts, { eps = 1e-7 }, "pkt")
  local s, t = rows(student, teacher, 1, "pkt")
  local p, q = choices(t), choices(s)
  return (p * ((p + o.eps):log() - (q + o.eps):log())):mean()
end
