-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.conclude(run, d, results, opts) - the end of a run of distillation: teacher and
-- students once on the test set, a table with mean and deviation over the seeds, summary.json and
-- pictures. results: teacher, methods (names, in order), runs (by method: list of
-- { net =, fit = }). opts: transfer (its name), images (how many), precision. Returns, by method,
-- { mean, deviation, runs, gain = over the first method }.

local evaluate = require "edgeai.train.evaluate"
local F = require "edgeai.ffi"
local plot = require "edgeai.plot"
local tables = require "edgeai.table"

--- Mean and standard deviation (unbiased; 0 of one number).
local function spread(list)
  local mean, square = 0, 0
  for _, x in ipairs(list) do mean = mean + x / #list end
  for _, x in ipairs(list) do square = square + (x - mean) ^ 2 end
  return mean, #list > 1 and math.sqrt(square / (#list - 1)) or 0
end

local function draw(run, results, means, teacher)
  local written, values, curves = {}, {}, {}
  local function keep(file, ok, why)
    if ok then written[#written + 1] = file else run:note("no %s: %s", file, why) end
  end
  for i, method in ipairs(results.methods) do
    values[i] = means[method].mean
    local losses = {}
    for k, record in ipairs(results.runs[method][1].fit.history) do losses[k] = record.loss end
    curves[i] = { name = method, y = losses }
  end
  local names = { unpack(results.methods) }
  names[#names + 1], values[#values + 1] = "teacher", teacher
  local low = 100
  for _, v in ipairs(values) do low = math.min(low, v) end
  keep("accuracy.png", plot.bars(run:path("accuracy.png"), { title = "Accuracy on the test set",
    categories = names, y = "accuracy [%]", numbers = "%.2f",
    y_range = { math.max(0, 10 * math.floor(low / 10 - 0.2)), 100 },
    series = { { name = "accuracy", values = values } } }))
  keep("training.png", plot.lines(run:path("training.png"), { title = "Training, first seed",
    x = "epoch", y = "loss (each its own objective)", log_y = true, series = curves }))
  return written
end

return function(run, d, results, opts)
  local o = F.options(opts, { transfer = "real", images = F.none, precision = "f32" },
    "distill.conclude")
  local function accuracy(net)
    return (evaluate.accuracy(net, d.test, { dtype = o.precision }))
  end
  local teacher = results.teacher
  local report = { teacher = { accuracy = accuracy(teacher), params = teacher:parameter_count() },
    transfer = { name = o.transfer, images = o.images }, student = {} }
  local rows, means, base = {}, {}, nil
  for _, method in ipairs(results.methods) do
    local list = {}
    for i, one in ipairs(results.runs[method]) do
      list[i] = accuracy(one.net)
      report.student.params = one.net:parameter_count()
      report.student.mflop = one.net:mflop { 1, unpack(d.shape) }
    end
    local mean, deviation = spread(list)
    base = base or mean
    means[method] = { mean = mean, deviation = deviation, runs = list, gain = mean - base }
    report.student[method] = { accuracy = means[method] }
    rows[#rows + 1] = { method, ("%.2f"):format(mean), #list > 1 and ("%.2f"):format(deviation)
      or "", ("%+.2f"):format(mean - base), #list }
  end
  rows[#rows + 1] = tables.rule
  rows[#rows + 1] = { "teacher", ("%.2f"):format(report.teacher.accuracy), "", "", 1 }
  print(tables({ "student", "test accuracy [%]", "deviation", "over " .. results.methods[1],
    "seeds" }, rows, { title = ("Learned from %s, %s images"):format(o.transfer,
    o.images and tables.number(o.images) or "?"),
    align = { "left", "right", "right", "right", "right" } }))
  report.pictures = draw(run, results, means, report.teacher.accuracy)
  run:summary(report)
  run:note("everything is in %s", run.dir)
  return means
end
