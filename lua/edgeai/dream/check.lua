-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream.check(teacher, d, { attention = 0 }) - raises what would otherwise end a run of
-- experiments/dream.lua after its dreams are made: a teacher of other images or classes than the
-- data set's, or without the layers whose maps students are drawn to (attention above 0). Returns
-- the teacher.

local F = require "edgeai.ffi"
local need_teacher = require("edgeai.dream.metadata").need_teacher
local symbolic = require "edgeai.nn.symbolic"
local text = require "edgeai.text"

return function(teacher, d, opts)
  local o = F.options(opts, { attention = 0 }, "dream.check")
  need_teacher(teacher, "dream.check")
  local h, w, c = unpack(d.shape)
  if #teacher.mean ~= c then
    F.raise("dream.check: the teacher is of images of %s, those of %s have %d",
      text.count(#teacher.mean, "channel"), d.name, c)
  end
  local classes = symbolic(teacher, { 1, h, w, c }, function(apply) return apply().shape[2] end)
  if classes ~= d.classes then
    F.raise("dream.check: the teacher knows %s classes, %s has %d", classes or "no", d.name,
      d.classes)
  end
  for i = 1, o.attention > 0 and 3 or 0 do
    if not pcall(teacher.get, teacher, "group" .. i) then
      F.raise("dream.check: the teacher has no layer 'group%d', to whose maps the attention of "
        .. "students is drawn; give learn.attention=0", i)
    end
  end
  return teacher
end
