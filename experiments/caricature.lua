-- SPDX-License-Identifier: GPL-3.0-or-later
-- Caricatures (Lucid's "feature inversion"): what each layer sees in a picture, exaggerated:
-- pictures whose activations, as a whole, point the way that picture's do.
--   edgeai run experiments/caricature.lua --set model=FILE.safetensors --set photo=PHOTO.png
local ea = require "edgeai"

local cfg = ea.config {
  model = { type = "string", required = true, help = "FILE.safetensors or zoo:NAME" },
  photo = { type = "string", required = true, help = "a PNG or JPEG file" },
  layers = { default = { "conv1", "layer1", "layer2", "layer3" }, help = "from left to right" },
  steps = { 256, "of each picture", type = "integer", least = 1 },
  power = { 1, "of the cosine: how much the direction counts against the size" },
}

local net, vis = ea.zoo.load(cfg.model), ea.vis
local photo = ea.image.load(cfg.photo, 3):to("f32") / 255
photo = ea.resize(photo:reshape { 1, unpack(photo.shape) }, { height = net.input_shape[2],
  width = net.input_shape[3] })[1]

local run = ea.run.open("caricature", cfg)
local pictures = { photo }
local page = { title = "Caricature", text = cfg.model, scale = 5, { photo, "the picture" } }
for _, layer in ipairs(cfg.layers) do
  local r = vis.render(net, vis.objectives.dot_compare(layer, photo, { cossim_pow = cfg.power }),
    { steps = cfg.steps, seed = cfg.seed, precision = cfg.precision })
  pictures[#pictures + 1] = r.images[1]
  page[#page + 1] = { r.images[1], layer }
end
ea.image.save(run:path("caricature.png"), ea.image.grid(pictures, { scale = 4,
  columns = #pictures }))
vis.gallery(run:path("caricature.html"), page)
run:summary { layers = #cfg.layers }
print(("%d caricatures: %s"):format(#cfg.layers, run:path("caricature.png")))
