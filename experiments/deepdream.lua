-- SPDX-License-Identifier: GPL-3.0-or-later
-- DeepDream (Mordvintsev et al. 2015): a photograph changed towards more of what a layer sees in
-- it, from small to large: the details found at one size are carried to the next.
--   edgeai run experiments/deepdream.lua --set model=FILE.safetensors --set photo=PHOTO.jpg
local ea = require "edgeai"

local cfg = ea.config {
  model = { type = "string", required = true, help = "FILE.safetensors or zoo:NAME" },
  photo = { type = "string", required = true, help = "a PNG or JPEG file" },
  layer = { "layer3.0", "whose activations are to grow" },
  height = { 128, "of the picture, in pixels", type = "integer", least = 16 },
  octaves = { 4, "sizes", type = "integer", least = 1 },
  ratio = { 1.4, "from one size to the next" },
  steps = { 10, "at each size", type = "integer", least = 1 },
  rate = { 1.5, "mean change of a pixel in a step, of 255" },
}

local net, vis = ea.zoo.load(cfg.model), ea.vis
local photo = ea.image.load(cfg.photo, 3):to("f32") / 255
photo = photo:reshape { 1, unpack(photo.shape) }

local function resized(x, h, w) return ea.resize(x, { height = h, width = w }) end

local h, w = cfg.height, math.floor(cfg.height * photo:size(3) / photo:size(2) + 0.5)
local whole, run = resized(photo, h, w), ea.run.open("deepdream", cfg)
local details, page = nil, { title = "DeepDream", text = ("%s of %s"):format(cfg.layer, cfg.model),
  scale = 2, { whole[1], "the photograph" } }
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
ea.image.save(run:path("deepdream.png"), (whole + details)[1])
vis.gallery(run:path("deepdream.html"), page)
run:summary { change = details:abs():mean():item() }
print("a dream in " .. run:path("deepdream.png"))
