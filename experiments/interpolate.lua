-- SPDX-License-Identifier: GPL-3.0-or-later
-- From one channel to another: a row of pictures that change step by step. They share what is
-- coarse, and neighbours are kept alike, so that the row reads as one (Lucid's "feature
-- interpolation").
--   edgeai run experiments/interpolate.lua --set model=FILE.safetensors --set from=4 --set to=6
local ea = require "edgeai"

local cfg = ea.config {
  model = { type = "string", required = true, help = "FILE.safetensors or zoo:NAME" },
  layer = { "output", "whose channels" },
  from = { 1, "channel of the first picture", type = "integer", least = 1 },
  to = { 2, "channel of the last", type = "integer", least = 1 },
  count = { 6, "pictures", type = "integer", least = 2 },
  align = { "", "layer at which neighbours are kept alike; empty: none" },
  strength = { 0.1, "of that" },
  steps = { 256, "of each picture", type = "integer", least = 1 },
}

local net, obj, param = ea.zoo.load(cfg.model), ea.vis.objectives, ea.vis.param
local parts = { param.fourier {} }
for _, factor in ipairs { 2, 4, 8 } do
  parts[#parts + 1] = param.lowres { factor = factor, images = factor > 4 and 2 or 1 }
end
local goal = obj.channel_interpolate(cfg.layer, cfg.from, cfg.layer, cfg.to)
if cfg.align ~= "" then goal = goal + cfg.strength * obj.alignment(cfg.align) end

local run = ea.run.open("interpolate", cfg)
local r = ea.vis.render(net, goal, { images = cfg.count, steps = cfg.steps, seed = cfg.seed,
  param = param.sum(parts), precision = cfg.precision })
ea.image.save(run:path("interpolate.png"), ea.image.grid(r.images, { scale = 4,
  columns = cfg.count }))
local page = { title = ("%s: %d to %d"):format(cfg.layer, cfg.from, cfg.to), text = cfg.model,
  scale = 5 }
for k = 1, cfg.count do page[k] = { r.images[k], ("%d of %d"):format(k, cfg.count) } end
ea.vis.gallery(run:path("interpolate.html"), page)
run:summary { value = r.values:mean():item() }
print(("%d pictures: %s"):format(cfg.count, run:path("interpolate.png")))
