-- SPDX-License-Identifier: GPL-3.0-or-later
-- From one channel to another: a row of pictures that change step by step. They share what is
-- coarse, and neighbours are kept alike, so that the row reads as one (Lucid's "feature
-- interpolation").
--   edgeai run experiments/interpolate.lua --set from=4 --set to=6
local ea = require "edgeai"

local cfg = ea.config {
  model = { "zoo:wrn16-4-cifar10", "FILE.safetensors or zoo:NAME" },
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
local names = cfg.layer == "output" and net.meta and net.meta.names or {}
local from, to = names[cfg.from] or cfg.from, names[cfg.to] or cfg.to
local page = { title = ("%s: from %s to %s"):format(cfg.layer, from, to), scale = 4,
  columns = cfg.count, text = ("%s, %d steps, %s"):format(cfg.model, cfg.steps,
    cfg.align == "" and "not aligned" or "aligned at " .. cfg.align) }
for k = 1, cfg.count do
  local share = 100 * (k - 1) / (cfg.count - 1)
  page[k] = { r.images[k], ("%.0f %% %s"):format(share < 50 and 100 - share or share,
    share < 50 and from or to) }
end
local path = ea.vis.exhibit(run, "interpolate", page)
run:summary { value = r.values:mean():item() }
print(("%d pictures: %s"):format(cfg.count, path))
