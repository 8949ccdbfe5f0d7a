-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dfkd.pictures(run, results) - a run of experiments/dfkd.lua in pictures:
--   images.png     one row for each variant of the metadata, one image of each class
--   accuracy.png   test accuracy by what the student learned from
-- results: sets and variants (names, in order), splits and accuracy (by name). What cannot be drawn
-- (no gnuplot) is left out with a note.

local image = require "edgeai.image"
local plot = require "edgeai.plot"

return function(run, r)
  local list, columns = {}, r.splits.real.classes
  for _, variant in ipairs(r.variants) do
    for i = 1, columns do list[#list + 1] = r.splits[variant].images:select(1, i):clone() end
  end
  if #list > 0 then
    image.save(run:path("images.png"), image.grid(list, { columns = columns, scale = 3 }))
  end
  local values = {}
  for i, set in ipairs(r.sets) do values[i] = r.accuracy[set] end
  local ok, why = plot.bars(run:path("accuracy.png"), { categories = r.sets, y = "accuracy [%]",
    title = "Test accuracy by what was learned from", numbers = "%.1f", y_range = { 0, 100 },
    series = { { name = "student", values = values } } })
  if not ok then run:note("no accuracy.png: %s", why) end
end
