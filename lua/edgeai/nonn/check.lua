-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.nonn.check(teacher, d, { students = 2, arch = { depth = 10, widths = {...} } }) - raises what
-- would come to light only when the teacher is trained: a teacher of other images or classes than
-- the data set's, more students than the teacher has filters, students that cannot be built. One
-- grey image goes through the teacher; nothing is kept.

local F = require "edgeai.ffi"
local grad = require "edgeai.grad"
local nn = require "edgeai.nn"
local tensor = require "edgeai.tensor"

--- The teacher's filters and classes.
local function look_at(teacher, shape)
  local was_training = teacher.training
  teacher:eval()
  local ok, found, logits = pcall(grad.no_grad, teacher.features, teacher,
    tensor.zeros { 1, unpack(shape) }, { "pool" })
  teacher:train(was_training)
  if not ok then error(found, 0) end
  return found.pool:size(2), logits:size(2)
end

return function(teacher, d, opts)
  local o = F.options(opts, { students = 2, arch = {} }, "nonn.check")
  local filters, classes = look_at(teacher, d.shape)
  if classes ~= d.classes then
    F.raise("nonn.check: the teacher knows %d classes, %s has %d; take a teacher of the same data "
      .. "set", classes, d.name, d.classes)
  end
  if o.students > filters then
    F.raise("nonn.check: %d students cannot share the teacher's %d filters", o.students, filters)
  end
  local parts = {}
  for i = 1, o.students do parts[i] = 1 end
  local ok, message = pcall(nn.nonn, { parts = parts, arch = o.arch, classes = d.classes })
  if not ok then
    F.raise("nonn.check: a student cannot be built: %s", (message:gsub("^[^\n]-:%d+: ", "")))
  end
end
