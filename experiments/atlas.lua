-- SPDX-License-Identifier: GPL-3.0-or-later
-- Activation atlas (Carter et al. 2019): what a layer sees in many images of a data set, laid out
-- by t-SNE so that neighbours mean nearly the same, or by PCA; each square shows what its mean
-- activation looks for.
--   edgeai run experiments/atlas.lua
--   edgeai run experiments/atlas.lua --set model=FILE.safetensors --set layer=layer3
local ea = require "edgeai"

local cfg = ea.config {
  model = { "zoo:wrn16-4-cifar10", "FILE.safetensors or zoo:NAME" },
  data = { "cifar10", "data set, or the path of a folder of images per class" },
  layer = { "group3", "whose activations" },
  by = { default = "tsne", choices = { "tsne", "pca" }, help = "what lays them out: t-SNE, or the "
    .. "first two principal components" },
  images = { 1500, "of the test images", type = "integer", least = 10 },
  grid = { 12, "squares along each side", type = "integer", least = 2 },
  least = { 4, "images that a square must have", type = "integer", least = 1 },
  steps = { 128, "of each picture", type = "integer", least = 1 },
}

local net, atlas = ea.zoo.load(cfg.model), ea.vis.atlas
local d = ea.data.load(cfg.data, { seed = cfg.seed })
local A, ids = atlas.sample(net, d.test, cfg.layer, { count = cfg.images, seed = cfg.seed })
local main = ea.pca(A, { components = math.min(50, A:size(2)) })
local flat = main:project(A)
local points = atlas.normalise(cfg.by == "pca" and flat:narrow(2, 1, 2):clone()
  or (ea.tsne(flat, { perplexity = math.min(30, math.floor((A:size(1) - 1) / 3)) })))
local cells, means = atlas.cells(points, A, { grid = cfg.grid, least = cfg.least })

local run = ea.run.open("atlas", cfg)
local goal = ea.vis.objectives.direction_neuron(cfg.layer, means, { cossim_pow = 2 })
local r = ea.vis.render(net, goal, { steps = cfg.steps, seed = cfg.seed, precision = cfg.precision,
  dead = "keep", out = run:path("squares") })

local h, w, c = r.images:size(2), r.images:size(3), r.images:size(4)
local canvas = ea.full({ cfg.grid * h, cfg.grid * w, c }, 1)
local page = { title = "Atlas of " .. cfg.layer, scale = 2, text = ("what %s of %s sees in %d "
  .. "images of %s: neighbours mean nearly the same"):format(cfg.layer, cfg.model, A:size(1),
  cfg.data),
  { canvas, ("%d squares"):format(#cells) }, { heading = "square by square" }, shown = 1 }
for k, cell in ipairs(cells) do
  canvas:narrow(1, (cell.y - 1) * h + 1, h):narrow(2, (cell.x - 1) * w + 1, w):copy(r.images[k])
  local votes, best = {}, nil
  for _, i in ipairs(cell.members) do
    local name = d.names[d.test.labels[ids[i]]]
    votes[name] = (votes[name] or 0) + 1
    if not best or votes[name] > votes[best] then best = name end
  end
  page[#page + 1] = { r.images[k], best, ("%d of %d; row %d, column %d"):format(votes[best],
    cell.count, cell.y, cell.x) }
end
local path = ea.vis.exhibit(run, "atlas", page)
run:summary { squares = #cells, seconds = r.seconds }
print(("%d squares: %s"):format(#cells, path))
