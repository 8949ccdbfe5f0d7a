-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.nonn.pictures(run, results) - the pictures of a NoNN run, in its folder:
--   filter_network.png   the teacher's filters, coloured by the student that gets them
--   training.png         loss and validation accuracy of teacher and students
--   confusion.png        of the NoNN on the test set
--   per_class.png        accuracy by class, teacher beside NoNN
-- results: fan, parts, names (classes), teacher and nonn, each { fit =, confusion = }. A picture
-- that cannot be drawn (no gnuplot) is left out with a note. Returns the list of files written.

local draw_network = require("edgeai.draw").network
local plot = require "edgeai.plot"

--- Share of each class answered rightly, in percent, from a matrix of counts.
local function per_class(confusion)
  local list = {}
  for i = 1, confusion:size(1) do
    local row = confusion:select(1, i)
    local total = 0
    for j = 1, row:numel() do total = total + row:get(j) end
    list[i] = total > 0 and 100 * row:get(i) / total or 0
  end
  return list
end

--- Where an axis of percentages starts that shows all of them: a multiple of ten.
local function lowest(...)
  local low = 100
  for _, list in ipairs { ... } do
    for _, value in ipairs(list) do low = math.min(low, value) end
  end
  return math.max(0, 10 * math.floor(low / 10 - 0.2))
end

local function column(history, key)
  local list = {}
  for i, record in ipairs(history) do list[i] = record[key] or 0 / 0 end
  return list
end

local function training(path, results)
  local loss, accuracy = {}, {}
  for _, who in ipairs { "teacher", "nonn" } do
    local fit, label = results[who].fit, who == "nonn" and "NoNN" or "teacher"
    if fit and #fit.history > 0 then
      loss[#loss + 1] = { name = label, y = column(fit.history, "loss") }
      accuracy[#accuracy + 1] = { name = label .. ", train", y = column(fit.history, "acc"),
        dashed = true, colour = who == "nonn" and "#D55E00" or "#0072B2" }
      accuracy[#accuracy + 1] = { name = label .. ", val", y = column(fit.history, "val"),
        colour = who == "nonn" and "#D55E00" or "#0072B2" }
    end
  end
  if #loss == 0 then return nil, "nothing was trained" end
  return plot.panels(path, { title = "Training", columns = 2, width = 1400, height = 500,
    { kind = "lines", title = "Loss", x = "epoch", y = "loss (each its own objective)",
      series = loss, log_y = true },
    { kind = "lines", title = "Accuracy", x = "epoch", y = "accuracy [%]", series = accuracy } })
end

return function(run, results)
  local written = {}
  local function draw(file, fn, ...)
    local ok, why = fn(run:path(file), ...)
    if ok then written[#written + 1] = file else run:note("no %s: %s", file, why) end
  end
  local students = {}
  for i in ipairs(results.parts.sizes) do students[i] = "student " .. i end
  draw("filter_network.png", draw_network, { weights = results.fan.network,
    membership = results.parts.membership, names = students,
    title = "The teacher's filters that fire together, by student" })
  draw("training.png", training, results)
  draw("confusion.png", plot.confusion, { counts = results.nonn.confusion, classes = results.names,
    title = "NoNN on the test set" })
  local teacher, nonn = per_class(results.teacher.confusion), per_class(results.nonn.confusion)
  draw("per_class.png", plot.bars, { title = "Accuracy by class on the test set",
    categories = results.names, y = "accuracy [%]", numbers = "%.1f",
    y_range = { lowest(teacher, nonn), 100 }, series = {
      { name = "teacher", values = teacher }, { name = "NoNN", values = nonn } } })
  return written
end
