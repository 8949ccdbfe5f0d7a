-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.nonn.objective(students, teacher, parts, opts) -> function(x, y) for ea.train.fit
--
--   (1 - alpha) * CE + alpha * KD(T) + beta * activation transfer
--
-- alpha (0.9), temperature (4), beta (100), normalise ("part" or "whole"), smoothing (0). KD is
-- ea.distill.kd with "batchmean". The released code's beta = 1e4 multiplies a mean over about 97
-- filters: 103 per image in our units. The teacher runs in evaluation mode, without gradients.

local F = require "edgeai.ffi"
local distill = require "edgeai.distill"
local grad = require "edgeai.grad"
local ops = require "edgeai.ops"
local tensor = require "edgeai.tensor"

--- The filters of all parts in order, as an index tensor.
local function filter_index(parts)
  local list = {}
  for _, part in ipairs(parts) do
    for _, filter in ipairs(part) do list[#list + 1] = filter end
  end
  return tensor.tensor(list, "i32"), #list
end

return function(students, teacher, parts, opts)
  local o = F.options(opts, { alpha = 0.9, temperature = 4, beta = 100, normalise = "part",
    smoothing = 0 }, "nonn.objective")
  if type(o.alpha) ~= "number" or not (o.alpha >= 0 and o.alpha <= 1) then
    F.raise("nonn.objective: alpha must be a number from 0 to 1, got %s", tostring(o.alpha))
  end
  local index = filter_index(parts)
  teacher:eval()
  local function ask_teacher(x)
    local found, logits = teacher:features(x, { "pool" })
    return found.pool:to("f32"):index_select(index, { axis = 2 }), logits:to("f32")
  end
  return function(x, y)
    local targets, teacher_logits = grad.no_grad(ask_teacher, x)
    local vectors, logits = students:vectors(x)
    logits = logits:to("f32")
    if teacher_logits:size(2) ~= logits:size(2) then
      F.raise("nonn.objective: the teacher knows %d classes, the students %d; take a teacher of "
        .. "the same data set", teacher_logits:size(2), logits:size(2))
    end
    local loss = ops.functions.cross_entropy(logits, y, { smoothing = o.smoothing }) * (1 - o.alpha)
    if o.alpha > 0 then
      loss = loss + distill.kd(logits, teacher_logits, { temperature = o.temperature }) * o.alpha
    end
    if o.beta > 0 then
      loss = loss + distill.activation_transfer(vectors, targets,
        { parts = students.part_sizes, normalise = o.normalise }) * o.beta
    end
    return loss, logits
  end
end
