-- SPDX-License-Identifier: GPL-3.0-or-later
-- DeepDream (Mordvintsev et al. 2015): a photograph changed towards more of what a layer sees in
-- it, from small to large: the details found at one size are carried to the next.
--   edgeai run experiments/deepdream.lua --set photo=PHOTO.jpg
local ea = require "edgeai"

local cfg = ea.config {
  model = { "zoo:wrn16-4-cifar10", "FILE.safetensors or zoo:NAME" },
  photo = { type = "string", required = true, help = "a PNG or JPEG file" },
  layer = { "group2", "whose activations are to grow" },
  height = { 128, "of the picture, in pixels", type = "integer", least = 16 },
  octaves = { 4, "sizes", type = "integer", least = 1 },
  ratio = { 1.4, "from one size to the next" },
  steps = { 10, "at each size", type = "integer", least = 1 },
  rate = { 1.5, "mean change of a pixel in a step, of 255" },
}

local net, vis = ea.zoo.load(cfg.model), ea.vis
local photo = ea.image.load(cfg.photo, 3)

local function resized(x, h, w) return ea.resize(x, { height = h, width = w }) end

local h, w = cfg.height, math.floor(cfg.height * photo:size(2) / photo:size(1) + 0.5)
local whole, run = ea.image.resize(photo, h, w):reshape(1, h, w, 3), ea.run.open("deepdream", cfg)
local details, page = nil, { title = "DeepDream", text = ("%s of %s, %d steps at each of %d sizes")
  :format(cfg.layer, cfg.model, cfg.steps, cfg.octaves), scale = 2, columns = 2,
  { whole[1], "the photograph" }, { whole[1], "the dream" } }
for _, size in ipairs(vis.octaves(h, w, { count = cfg.octaves, ratio = cfg.ratio })) do
  local base = resized(whole, size[1], size[2])
  local start = details and (base + resized(details, size[1], size[2])):clamp { low = 0, high = 1 }
    or base
  local r = vis.render(net, vis.objectives.deepdream(cfg.layer), { size = size, input = size,
    steps = cfg.steps, seed = cfg.seed, redirect = 0, transforms = { vis.transform.roll(8) },
    param = vis.param.pixel { image = start, squash = "clip", colour = false },
    optimizer = vis.optimizer.steepest { lr = cfg.rate / 255 }, precision = cfg.precision })
  details = r.images - base
  page[#page + 1] = { r.images[1], ("%d x %d"):format(size[1], size[2]) }
end
page[2][1], page.shown = (whole + details)[1], 2
table.insert(page, 3, { heading = "how it grew" })
ea.image.save(run:path("dream.png"), page[2][1])
ea.vis.exhibit(run, "deepdream", page)
run:summary { change = details:abs():mean():item() }
print(("a dream in %s, beside the photograph in %s"):format(run:path("dream.png"),
  run:path("deepdream.png")))
