-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream.pictures(run, results) - the four panels of Dream Distillation's figure 2 as files in
-- the run's folder, and the losses of the synthesis:
--   clusters.png   activations of one class along their first two components, by cluster, centroids
--   tsne.png       t-SNE of real activations and of targets together
--   dreams.png     dreams, one row for each class
--   accuracy.png   test accuracy by images learned from, a bar for each student
--   figure2.png    those four in one
--   synthesis.png  the terms of the loss, part by part
-- results: teacher, split (the share that the metadata came from), metadata, report (of
-- ea.dream.synthesise), data, sets and accuracy ([student][set]), students; class (1), points (600
-- for the t-SNE), perplexity (30), seed. What cannot be drawn (no gnuplot, no metadata) is left out
-- with a note. Returns the names of the files.

local F = require "edgeai.ffi"
local files = require "edgeai.dream.files"
local image = require "edgeai.image"
local kmeans = require "edgeai.kmeans"
local metadata = require "edgeai.dream.metadata"
local ops = require "edgeai.ops"
local pca = require "edgeai.pca"
local plot = require "edgeai.plot"
local raw = require "edgeai.data.raw"
local targets_of = require "edgeai.dream.targets"
local tensor = require "edgeai.tensor"
local tsne = require "edgeai.tsne"

--- Points {n, 2} as lists x and y, those at `list`.
local function xy(points, list)
  local x, y = {}, {}
  for i, row in ipairs(list) do x[i], y[i] = points:get(row, 1), points:get(row, 2) end
  return x, y
end

local function sequence(first, last, step)
  local list = {}
  for i = first, last, step or 1 do list[#list + 1] = i end
  return list
end

local function clusters(path, r, activations, labels)
  local own = {}
  for i = 1, labels:size(1) do
    if labels:get(i) == r.class then own[#own + 1] = i end
  end
  local rows = activations:index_select(raw.from_list(own), { axis = 1 })
  local k = 0
  for m = 1, r.metadata.classes:size(1) do
    if r.metadata.classes:get(m) == r.class then k = k + 1 end
  end
  local found = kmeans(rows, math.min(k, rows:size(1)), { seed = r.seed })
  local directions = pca(rows)
  if directions.components:size(1) < 2 then return nil, "the activations vary in one direction" end
  local points, series = directions:project(rows), {}
  for m = 1, found.counts:size(1) do
    local list = {}
    for i = 1, rows:size(1) do
      if found.assignment:get(i) == m then list[#list + 1] = i end
    end
    local x, y = xy(points, list)
    if #list > 0 then series[#series + 1] = { name = ("cluster %d"):format(m), x = x, y = y } end
  end
  local x, y = xy(directions:project(found.centroids), sequence(1, found.counts:size(1)))
  series[#series + 1] = { name = "centroids", x = x, y = y, colour = "#000000",
    size = 2 }
  return plot.scatter(path, { title = ("Activations of the class %s: %d clusters"):format(
    r.data.names[r.class], k), x = "first principal component",
    y = "second principal component", series = series })
end

local function together(path, r, activations)
  local n = math.min(math.floor(r.points / 2), activations:size(1))
  local some = raw.from_list(sequence(1, activations:size(1),
    math.max(1, math.floor(activations:size(1) / n))))
  local real = activations:index_select(some, { axis = 1 })
  n = real:size(1)
  local targets = targets_of(r.metadata, n, { seed = r.seed, scale = r.scale })
  local points = tsne(ops.functions.concat({ real, targets }, { axis = 1 }),
    { perplexity = math.min(r.perplexity, math.floor((2 * n - 1) / 3)) })
  local x, y = xy(points, sequence(1, n))
  local u, v = xy(points, sequence(n + 1, 2 * n))
  return plot.scatter(path, { title = "t-SNE of real activations and of targets", series = {
    { name = "real", x = x, y = y, colour = "#0072B2" },
    { name = "targets", x = u, y = v, colour = "#D55E00" } } })
end

--- One row for each class, ten of it from all parts, the first ones to the left.
local function samples(path, r)
  local rows, parts, columns = {}, 0, 10
  while F.C.ea_file_exists(files.part(r.report.folder, parts + 1)) == 1 do parts = parts + 1 end
  for label = 1, r.data.classes do rows[label] = {} end
  for k = 1, parts do
    local part = files.read(files.part(r.report.folder, k))
    for i = 1, part.images:size(1) do
      local row = rows[part.labels:get(i)]
      if #row < math.ceil(10 * k / parts) then row[#row + 1] = part.images:select(1, i):clone() end
    end
  end
  local list = {}
  for label = 1, r.data.classes do columns = math.min(columns, #rows[label]) end
  if columns == 0 then return nil, "there are fewer dreams than classes" end
  for label = 1, r.data.classes do
    for i = 1, columns do list[#list + 1] = rows[label][i] end
  end
  local grid = image.grid(list, { columns = columns, scale = math.max(1, math.floor(
    600 / r.data.classes / list[1]:size(1) + 0.5)) })
  if grid:size(3) == 1 then grid = ops.functions.concat({ grid, grid, grid }, { axis = 3 }) end
  image.save(path, grid)
  plot.pictures(path, { picture = path, rows = r.data.names, title = "Dreams" }) -- else without
  return true
end

local words = { noise = "noise", dreams = "dreams", alternate = "other data", real = "real images",
  real10pct = "metadata's images" }

local function bars(path, r)
  local series, names = {}, {}
  for k, set in ipairs(r.sets) do names[k] = words[set] or set end
  for i, name in ipairs(r.students) do
    local values = {}
    for k, set in ipairs(r.sets) do values[k] = r.accuracy[name][set] end
    series[i] = { name = name, values = values }
  end
  return plot.bars(path, { title = ("Test accuracy%s by what was learned from"):format(
    #series == 1 and " of " .. series[1].name or ""), categories = names,
    y = "accuracy [%]", numbers = "%.1f", y_range = { 0, 100 }, series = series })
end

--- Pictures in cells of equal size, two in a row, on white.
local function compose(path, paths)
  local list, h, w = {}, 0, 0
  for i, one in ipairs(paths) do
    list[i] = image.load(one, 3)
    h, w = math.max(h, list[i]:size(1)), math.max(w, list[i]:size(2))
  end
  local all = tensor.full({ math.ceil(#list / 2) * h, 2 * w, 3 }, 255, "u8")
  for i, picture in ipairs(list) do
    local height, width = picture:size(1), picture:size(2)
    local top = math.floor((i - 1) / 2) * h + math.floor((h - height) / 2)
    local left = (i - 1) % 2 * w + math.floor((w - width) / 2)
    all:narrow(1, top + 1, height):narrow(2, left + 1, width):copy(picture)
  end
  image.save(path, all)
end

local function terms(path, r)
  if not r.report.losses then return nil, "the losses were not kept" end
  local series, names = {}, {}
  for _, record in ipairs(r.report.losses) do
    for name in pairs(record.last) do names[name] = true end
  end
  for _, name in ipairs(require("edgeai.text").keys(names)) do
    local y = {}
    for k, record in ipairs(r.report.losses) do y[k] = record.last[name] or 0 / 0 end
    series[#series + 1] = { name = name, y = y }
  end
  return plot.lines(path, { title = "Synthesis: the last step of each part", x = "part",
    y = #series == 1 and series[1].name or "term of the loss", series = series })
end

return function(run, results)
  local r = F.options(results, { teacher = F.none, split = F.none, metadata = F.none,
    report = F.none, data = F.none, sets = F.none, accuracy = F.none, students = F.none, class = 1,
    points = 600, perplexity = 30, scale = 1, seed = 1, precision = "f32" }, "dream.pictures")
  local written, panels = {}, {}
  local function draw(file, fn, ...)
    local ok, why = fn(run:path(file), r, ...)
    if ok then written[#written + 1] = file else run:note("no %s: %s", file, why) end
  end
  if r.metadata then
    local activations, labels = metadata.activations(r.teacher, r.split,
      { layer = r.metadata.layer, dtype = r.precision })
    draw("clusters.png", clusters, activations, labels)
    draw("tsne.png", together, activations)
  end
  draw("dreams.png", samples)
  draw("accuracy.png", bars)
  for i, file in ipairs(written) do panels[i] = run:path(file) end
  if #panels > 1 then
    compose(run:path("figure2.png"), panels)
    written[#written + 1] = "figure2.png"
  end
  draw("synthesis.png", terms)
  return written
end
