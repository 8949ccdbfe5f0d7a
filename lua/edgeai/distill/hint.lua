-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.hint(student, teacher) and ea.distill.regressor(student_shape, teacher_shape)
--
-- Hints (FitNets: Romero et al. 2015, arXiv 1412.6550): the mean squared difference between the
-- teacher's activation and the student's, led to the teacher's shape by a regressor that is trained
-- along and thrown away afterwards. Both activations have one shape; a single number.

local F = require "edgeai.ffi"
local batch_norm = require "edgeai.nn.batch_norm"
local activation = require "edgeai.nn.activation"
local conv2d = require "edgeai.nn.conv2d"
local linear = require "edgeai.nn.linear"
local ops = require "edgeai.ops"
local sequential = require "edgeai.nn.sequential"

local hint = {}

local function wide(x) return x.dtype == "bf16" and x:to("f32") or x end

--- See above.
function hint.hint(student, teacher)
  local s, t = F.need_tensor(student, "hint"), F.need_tensor(teacher, "hint")
  local a, b = F.describe(s):match("{.*}"), F.describe(t):match("{.*}")
  if a ~= b then
    F.raise("hint: the student's activation is %s, the teacher's %s; lead the student's through "
      .. "ea.distill.regressor first", a, b)
  end
  return ops.functions.mse(wide(s), wide(t))
end

--- The network from a student's activation to the shape of the teacher's: for vectors {n, c} a
-- linear layer; for maps {n, h, w, c} a convolution (1x1; where the student's map is k times as
-- large, 3x3 with stride k), batch norm and ReLU.
function hint.regressor(student, teacher)
  if #student == 2 and #teacher == 2 then return linear { student[2], teacher[2] } end
  if #student ~= 4 or #teacher ~= 4 then
    F.raise("regressor: expected two vectors {n, c} or two maps {n, h, w, c}, got %d and %d "
      .. "dimensions", #student, #teacher)
  end
  local k = student[2] / teacher[2]
  if k % 1 ~= 0 or k < 1 or student[3] ~= k * teacher[3] then
    F.raise("regressor: the student's map of %dx%d is no whole multiple of the teacher's %dx%d; "
      .. "choose layers of equal size", student[2], student[3], teacher[2], teacher[3])
  end
  return sequential {
    { "conv", conv2d { student[4], teacher[4], kernel = k == 1 and 1 or 3, stride = k } },
    { "bn", batch_norm { teacher[4] } }, { "relu", activation.relu {} } }
end

return hint
