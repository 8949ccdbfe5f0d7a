-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.activation_transfer(student, teacher, { parts = { 49, 48 }, normalise = "part" })
--
-- NoNN's transfer of pooled activations (Bhardwaj et al. 2019, arXiv 1907.11804), {n, filters}
-- each:
--   per image  sum over parts p of || s_p / ||s_p|| - t_p / ||t_p|| ||^2, averaged over the batch.
-- parts: how many filters belong to each student, in order (default: one part with all of them).
-- normalise "whole" divides by the norm of all filters together, as the authors' released code
-- does.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"

local function distance(student, teacher)
  local d = ops.functions.l2_normalize(student) - ops.functions.l2_normalize(teacher)
  return d:square():sum() * (1 / student:size(1))
end

return function(student, teacher, opts)
  local o = F.options(opts, { parts = F.none, normalise = "part" }, "activation_transfer")
  local filters = student:size(-1)
  if teacher:size(-1) ~= filters then
    F.raise("activation_transfer: the student has %d filters, the teacher's targets %d", filters,
      teacher:size(-1))
  end
  if o.normalise == "whole" or not o.parts then return distance(student, teacher) end
  if o.normalise ~= "part" then
    F.raise("activation_transfer: normalise must be \"part\" or \"whole\", got %s",
      tostring(o.normalise))
  end
  local total, first = nil, 1
  for _, n in ipairs(o.parts) do
    local term = distance(student:narrow(2, first, n), teacher:narrow(2, first, n))
    total = total and total + term or term
    first = first + n
  end
  if first ~= filters + 1 then
    F.raise("activation_transfer: the parts hold %d filters, the activations %d", first - 1,
      filters)
  end
  return total
end
