-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.nonn.conclude(run, results) - the end of a NoNN run: both networks once on the test set, the
-- comparison as a table, summary.json and the pictures. results: data, teacher and nonn (each
-- { net =, fit = }), fan, parts, precision.

local evaluate = require "edgeai.train.evaluate"
local report_of = require "edgeai.nonn.report"
local tables = require "edgeai.table"
local text = require "edgeai.text"

local function percent(x) return ("%.2f %%"):format(x) end
local function times(x) return ("%.1fx"):format(x) end
local function kilobytes(bytes) return ("%.1f kB"):format(bytes / 1000) end

local function print_table(r, results, teacher_accuracy, nonn_accuracy)
  local t, n = r.teacher, #r.students
  local largest = r.students[1]
  for _, s in ipairs(r.students) do if s.params > largest.params then largest = s end end
  local total = { params = r.fc.params, mflop = r.fc.mflop }
  for _, s in ipairs(r.students) do
    total.params, total.mflop = total.params + s.params, total.mflop + s.mflop
  end
  local header = { "", "teacher", ("one of %d students"):format(n), "gain a device", "whole NoNN" }
  print(tables(header, {
    { "test accuracy", percent(teacher_accuracy), "", "", percent(nonn_accuracy) },
    { "parameters", tables.number(t.params), tables.number(largest.params), times(r.gain.params),
      tables.number(total.params) },
    { "weights at 8 bits", kilobytes(t.params), kilobytes(largest.params), times(r.gain.params),
      kilobytes(total.params) },
    { "MFLOP per image", ("%.1f"):format(t.mflop), ("%.1f"):format(largest.mflop),
      times(r.gain.mflop), ("%.1f"):format(total.mflop) },
    { "bytes sent per image", kilobytes(r.comm.split_bytes_per_inference) .. " *",
      kilobytes(largest.sends_bytes), times(r.gain.comm) .. " in all",
      kilobytes(r.comm.bytes_per_inference) },
    { "times devices must wait", "each layer *", "1", "", "1" },
  }, { title = "Teacher and Network of Neural Networks",
    align = { "left", "right", "right", "right", "right" } }))
  print(("* the teacher split over %d devices by output channels: what each device must receive")
    :format(n))
  print(("%s of filters (modularity %.3f); parts of %s filters, %s in no part"):format(
    text.count(results.parts.communities, "community", "communities"), results.parts.modularity,
    table.concat(results.parts.sizes, " + "), text.count(#results.parts.unused, "filter")))
end

local function fit_record(fit)
  if not fit then return nil end
  return { val_accuracy = fit.best, best_epoch = fit.best_epoch, seconds = fit.seconds,
    peak_bytes = fit.peak }
end

return function(run, results)
  local accuracy, extra = {}, {}
  for _, who in ipairs { "teacher", "nonn" } do
    local a, _, confusion = evaluate.accuracy(results[who].net, results.data.test,
      { confusion = true, dtype = results.precision or "f32" })
    accuracy[who], extra[who] = a, { fit = results[who].fit, confusion = confusion }
  end
  local r = report_of(results.teacher.net, results.nonn.net, { 1, unpack(results.data.shape) })
  print_table(r, results, accuracy.teacher, accuracy.nonn)
  local p = results.parts
  local written = require("edgeai.nonn.pictures")(run, { fan = results.fan, parts = p,
    names = results.data.names, teacher = extra.teacher, nonn = extra.nonn })
  r.teacher.accuracy, r.teacher.fit = accuracy.teacher, fit_record(results.teacher.fit)
  run:summary {
    teacher = r.teacher,
    nonn = { accuracy = accuracy.nonn, drop = accuracy.teacher - accuracy.nonn,
      students = r.students, fc = r.fc, fit = fit_record(results.nonn.fit) },
    partition = { modularity = p.modularity, communities = p.communities, sizes = p.sizes,
      unused = #p.unused, agreement = p.agreement, seed = p.seed },
    comm = r.comm, gain = r.gain, pictures = written,
  }
  run:note("everything is in %s", run.dir)
  return accuracy
end
