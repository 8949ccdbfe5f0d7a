-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.attention(student_maps, teacher_maps)
--
-- Attention transfer (Zagoruyko & Komodakis 2017, arXiv 1612.03928). Of each activation
-- A {n, h, w, c}: the map mean_c A^2, flattened to {n, h*w} and divided by its Euclidean norm; the
-- loss is the sum over the given layers of the mean over batch and positions of the squared
-- difference of student's and teacher's maps. Both are lists of activations (or single ones) with
-- equal h and w. The published runs weigh it by 1000.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"

local function attention_map(activation)
  local s = activation.shape
  if #s ~= 4 then F.raise("attention: expected activations {n, h, w, c}, got %d dimensions", #s) end
  local map = ops.functions.mean_square(activation)
  return ops.functions.l2_normalize(map:reshape(s[1], s[2] * s[3]))
end

return function(student, teacher)
  if F.is_tensor(student) then student, teacher = { student }, { teacher } end
  if #student ~= #teacher then
    F.raise("attention: %d layers of the student, %d of the teacher", #student, #teacher)
  end
  local total
  for i = 1, #student do
    local term = ops.functions.mse(attention_map(student[i]), attention_map(teacher[i]))
    total = total and total + term or term
  end
  return total
end
