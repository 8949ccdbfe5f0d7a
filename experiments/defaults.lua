-- SPDX-License-Identifier: GPL-3.0-or-later
-- What the defaults of ea.vis.render rest on: the same classes drawn from pixels and from spectra,
-- with colours apart and joined, with transforms and without, and as Lucid does it; a row for each.
-- Another network, that had no part in it, says how many of the pictures it recognises, as they are
-- and with their details gone: what only hangs on single pixels is not seen any more then.
--   edgeai run experiments/defaults.lua
local ea = require "edgeai"

local cfg = ea.config {
  model = { "zoo:wrn16-4-cifar10", "FILE.safetensors or zoo:NAME" },
  judge = { "zoo:nonn2s-cifar10", "a network that knows the same classes" },
  data = { "cifar10", "data set whose own colours are joined in a row of theirs; empty: none" },
  classes = { 10, "how many: columns", type = "integer", least = 1 },
  each = { 4, "pictures of each class that are judged; the first is shown", type = "integer",
    least = 1 },
  steps = { 256, "of each picture", type = "integer", least = 1 },
  coarse = { 12, "pixels to which pictures are shrunk, and enlarged again, for their details to go",
    type = "integer", least = 1 },
  scale = { 2, "of the picture", type = "integer", least = 1 },
}

local settings = {
  { "pixels", param = "pixel", colour = false, transforms = {} },
  { "pixels, joined colours", param = "pixel", colour = "lucid", transforms = {} },
  { "pixels, joined colours, transforms", param = "pixel", colour = "lucid" },
  { "spectra", param = "fourier", colour = false, transforms = {} },
  { "spectra, joined colours", param = "fourier", colour = "lucid", transforms = {} },
  { "spectra, transforms", param = "fourier", colour = false },
  { "spectra, joined colours, transforms: the defaults", param = "fourier", colour = "lucid" },
  { "Lucid's defaults", param = "fourier", colour = "lucid", lucid = true },
}
if cfg.data ~= "" then
  table.insert(settings, #settings, { "spectra, the data's joined colours, transforms",
    param = "fourier", colour = ea.vis.colour(ea.data.load(cfg.data).train) })
end

local net, judge, labels = ea.zoo.load(cfg.model), ea.zoo.load(cfg.judge), {}
for i = 1, cfg.each * cfg.classes do labels[i] = (i - 1) % cfg.classes + 1 end

--- In how many of the pictures the judge sees the class that was asked for, in percent.
local function recognised(images)
  local x = (images - ea.tensor(judge.mean)) / ea.tensor(judge.std)
  local best, right = ea.no_grad(function() return judge:eval()(x) end):argmax { axis = 2 }, 0
  for i, label in ipairs(labels) do right = right + (best[i] == label and 1 or 0) end
  return 100 * right / #labels
end

local function without_details(images)
  local small = ea.resize(images, { height = cfg.coarse, width = cfg.coarse })
  return ea.resize(small, { height = images:size(2), width = images:size(3) })
end

local run = ea.run.open("defaults", cfg)
local goal = ea.vis.objectives.class_logit("output", labels)
local names, rows = net.meta and net.meta.names or {}, {}
local page = { title = "What the defaults rest on", scale = cfg.scale, columns = cfg.classes,
  text = ("classes of %s, %d steps; what %s names rightly without details"):format(cfg.model,
    cfg.steps, cfg.judge) }
for row, s in ipairs(settings) do
  local r = ea.vis.render(net, goal, { steps = cfg.steps, seed = cfg.seed, dead = "keep",
    precision = cfg.precision, param = ea.vis.param[s.param] { colour = s.colour },
    transforms = s.transforms, lucid = s.lucid, out = run:path("row-" .. row) })
  local sharp, coarse = recognised(r.images), recognised(without_details(r.images))
  rows[#rows + 1] = { setting = s[1], recognised = sharp, coarse = coarse, seconds = r.seconds }
  page[#page + 1] = { heading = ("%s: %.0f %%"):format(s[1], coarse) }
  for k = 1, cfg.classes do
    page[#page + 1] = { r.images[k], names[k] or k }
  end
  print(("%-50s recognised %3.0f %%, without details %3.0f %%"):format(s[1], sharp, coarse))
end
local path = ea.vis.exhibit(run, "defaults", page)
run:summary { settings = rows }
print("a row for each in " .. path)
