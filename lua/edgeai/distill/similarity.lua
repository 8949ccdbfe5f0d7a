-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.similarity(student, teacher)
--
-- Similarity-preserving distillation (Tung & Mori 2019, arXiv 1907.09682): which images of a batch
-- resemble each other. Of activations A, one row for each of n images:
--   G = A A^T {n, n}, each row divided by its Euclidean norm;
--   loss = || G_student - G_teacher ||_F^2 / n^2
-- Activations {n, ...} of any shapes; a single number.

local ops = require "edgeai.ops"
local rows = require "edgeai.distill.rows"

local function resemblance(a)
  return ops.functions.l2_normalize(ops.functions.matmul(a, a, { tb = true }))
end

return function(student, teacher)
  local s, t = rows(student, teacher, 1, "similarity")
  return ops.functions.mse(resemblance(s), resemblance(t))
end
