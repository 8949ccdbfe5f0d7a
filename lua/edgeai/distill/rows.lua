-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.distill.rows - what the losses that compare whole batches share: student's and teacher's
-- activations as one row for each image, their widths free, their batches equal.

local F = require "edgeai.ffi"

local function flat(x, where)
  local s = F.need_tensor(x, where).shape
  if #s < 2 then
    F.raise("%s: expected activations {n, ...} of a batch, got %s", where, F.describe(x))
  end
  local width = 1
  for i = 2, #s do width = width * s[i] end
  if x.dtype == "bf16" then x = x:to("f32") end
  return #s == 2 and x or x:reshape(s[1], width)
end

--- student {n, ...}, teacher {n, ...} -> {n, a}, {n, b}, n; `least` images are needed.
return function(student, teacher, least, where)
  local s, t = flat(student, where), flat(teacher, where)
  local n = s:size(1)
  if t:size(1) ~= n then
    F.raise("%s: a batch of %d of the student, of %d of the teacher", where, n, t:size(1))
  end
  if n < least then
    F.raise("%s: compares the images of a batch with each other and needs at least %d, got %d",
      where, least, n)
  end
  return s, t, n
end
