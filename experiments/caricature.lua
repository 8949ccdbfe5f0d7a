-- SPDX-License-Identifier: GPL-3.0-or-later
-- Caricatures (Lucid's "feature inversion"): what each layer sees in a picture, exaggerated:
-- pictures whose activations, as a whole, point the way that picture's do.
--   edgeai run experiments/caricature.lua --set photo=PHOTO.png
local ea = require "edgeai"

local cfg = ea.config {
  model = { "zoo:wrn16-4-cifar10", "FILE.safetensors or zoo:NAME" },
  photo = { type = "string", required = true, help = "a PNG or JPEG file" },
  layers = { default = { "conv0", "group1", "group2", "group3" }, help = "from left to right" },
  steps = { 256, "of each picture", type = "integer", least = 1 },
  power = { 1, "of the cosine: how much the direction counts against the size" },
}

local net, vis = ea.zoo.load(cfg.model), ea.vis
local photo = ea.image.resize(ea.image.load(cfg.photo, 3), net.input_shape[2], net.input_shape[3])

local run = ea.run.open("caricature", cfg)
local page = { title = "Caricature", text = ("a picture as layers of %s see it, exaggerated; "
  .. "cosine to the power of %g, %d steps"):format(cfg.model, cfg.power, cfg.steps), scale = 4,
  columns = #cfg.layers + 1, { photo, "the picture" } }
for _, layer in ipairs(cfg.layers) do
  local r = vis.render(net, vis.objectives.dot_compare(layer, photo, { cossim_pow = cfg.power }),
    { steps = cfg.steps, seed = cfg.seed, precision = cfg.precision })
  page[#page + 1] = { r.images[1], layer }
end
local path = vis.exhibit(run, "caricature", page)
run:summary { layers = #cfg.layers }
print(("%d caricatures: %s"):format(#cfg.layers, path))
