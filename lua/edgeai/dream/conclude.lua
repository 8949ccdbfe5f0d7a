-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream.conclude(run, results) - the end of a run of experiments/dream.lua: teacher and students
-- once on the test set, the table of students by what they learned from, summary.json, pictures.
-- results: teacher, data, metadata (or nil), split (its share of the images), report (of
-- synthesise), taught (of compare), precision, seed.

local evaluate = require "edgeai.train.evaluate"
local pictures = require "edgeai.dream.pictures"
local tables = require "edgeai.table"

local words = { noise = "normal noise", dreams = "dreams", alternate = "another data set",
  real = "all real images", real10pct = "the metadata's real images alone" }

return function(run, r)
  local function accuracy(net)
    return (evaluate.accuracy(net, r.data.test, { dtype = r.precision }))
  end
  local teacher, t = accuracy(r.teacher), r.taught
  local found, summary, rows = {}, {}, {}
  for _, name in ipairs(t.students) do
    found[name] = {}
    for _, set in ipairs(t.sets) do found[name][set] = accuracy(t.nets[name][set]) end
    local any = t.nets[name][t.sets[1]]
    summary[name] = { accuracy = found[name], params = any:parameter_count(),
      mflop = any:mflop { 1, unpack(r.data.shape) }, seconds = t.seconds[name] }
  end
  local header, align = { "learned from" }, { "left" }
  for i, name in ipairs(t.students) do header[i + 1], align[i + 1] = name .. " [%]", "right" end
  for i, set in ipairs(t.sets) do
    rows[i] = { words[set] }
    for j, name in ipairs(t.students) do rows[i][j + 1] = ("%.2f"):format(found[name][set]) end
  end
  local q = r.report
  print(tables(header, rows, { align = align,
    title = ("Test accuracy; the teacher has %.2f %%"):format(teacher) }))
  print(("%s dreams by the engine \"%s\"; the teacher agrees on the class of %.1f %% of them, mean "
    .. "confidence %.2f"):format(tables.number(q.count), q.engine, 100 * q.agreement, q.confidence))
  if q.target_error then
    print(("activations off their targets by %.2f of these before, %.2f after; diversity %.2f")
      :format(q.target_error.before, q.target_error.after, q.diversity))
  end
  if #q.dead > 0 then
    print(("%d dreams could not be improved or are of one colour: numbers %s%s"):format(#q.dead,
      table.concat(q.dead, ", ", 1, math.min(10, #q.dead)), #q.dead > 10 and ", ..." or ""))
  end
  if q.learning_seconds then
    print(("of dreams, %s learned along with them"):format(t.students[1]))
  end
  local used = r.metadata and r.metadata:facts()
  print(used and q.priors.target ~= 0 and ("metadata: %d clusters from %s images, %.1f kB"):format(
    used.clusters, tables.number(used.images), used.bytes / 1000)
    or "no metadata were used but what the network's file holds")
  if q.also then print(("and what the dreams in %s used, also learned from"):format(q.also)) end
  run:summary {
    teacher = { accuracy = teacher, params = r.teacher:parameter_count() },
    metadata = used or { bytes = 0 }, student = summary,
    dreams = { count = q.count, engine = q.engine, priors = q.priors, seconds = q.seconds,
      target_error = q.target_error and q.target_error.after or nil,
      target_error_before = q.target_error and q.target_error.before or nil,
      learning_seconds = q.learning_seconds, also = q.also, diversity = q.diversity, dead = #q.dead,
      agreement = 100 * q.agreement, confidence = q.confidence },
    pictures = pictures(run, { teacher = r.teacher, split = r.split, metadata = r.metadata,
      report = q, data = r.data, sets = t.sets, accuracy = found, students = t.students,
      scale = q.scale, seed = r.seed, precision = r.precision }),
  }
  run:note("everything is in %s", run.dir)
  return found
end
