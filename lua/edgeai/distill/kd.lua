-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.kd(student_logits, teacher_logits, { temperature = 4, reduction = "batchmean" })
--
-- Knowledge distillation (Hinton, Vinyals & Dean 2015):
--   T^2 * KL(softmax(teacher / T) || softmax(student / T))
-- summed over classes and averaged over the batch ("batchmean"), or averaged over both ("mean",
-- PyTorch's old default: smaller by the number of classes). Logits {n, classes}; a single number.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"

local reductions = { batchmean = 0, mean = 1 }

return function(student, teacher, opts)
  local o = F.options(opts, { temperature = 4, reduction = "batchmean" }, "kd")
  if not reductions[o.reduction] then
    F.raise("kd: reduction must be \"batchmean\" or \"mean\", got %s", tostring(o.reduction))
  end
  local t = o.temperature
  local divergence = ops.functions.kl_div(student, teacher,
    { temperature = t, reduction = reductions[o.reduction] })
  return divergence * (t * t)
end
