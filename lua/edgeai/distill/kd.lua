-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.kd(student_logits, teacher_logits, { temperature = 4, reduction = "batchmean" })
--
-- Knowledge distillation (Hinton, Vinyals & Dean 2015, arXiv 1503.02531):
--   T^2 * KL(p || q),  p = softmax(teacher / T),  q = softmax(student / T),
--   KL(p || q) = sum over classes of p (log p - log q)
-- Logits {n, classes}; a single number. reduction "batchmean": averaged over the batch, so exactly
-- PyTorch's T^2 * F.kl_div(log_softmax(student / T), softmax(teacher / T), reduction="batchmean").
-- "mean": averaged over batch and classes (F.kl_div's default): smaller by the number of classes.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"

local reductions = { batchmean = 0, mean = 1 }

return function(student, teacher, opts)
  local o = F.options(opts, { temperature = 4, reduction = "batchmean" }, "kd")
  if not reductions[o.reduction] then
    F.raise("kd: reduction must be \"batchmean\" or \"mean\", got %s", tostring(o.reduction))
  end
  local t = o.temperature
  if type(t) ~= "number" or not (t > 0) then
    F.raise("kd: temperature must be a number above 0, got %s", tostring(t))
  end
  local divergence = ops.functions.kl_div(student, teacher,
    { temperature = t, reduction = reductions[o.reduction] })
  return divergence * (t * t)
end
