-- SPDX-License-Identifier: GPL-3.0-or-later
-- Activation grid (Olah et al. 2018): what a layer sees at each place of a picture, as a picture
-- for each place: what its channels, as they are there, look for together. Its brightness says how
-- strongly.
--   edgeai run experiments/grid.lua --set photo=PHOTO.png
local ea = require "edgeai"

local cfg = ea.config {
  model = { "zoo:wrn16-4-cifar10", "FILE.safetensors or zoo:NAME" },
  photo = { type = "string", required = true, help = "a PNG or JPEG file" },
  layer = { "group3", "whose activations" },
  cells = { 8, "down and across at most; more places than that are averaged", type = "integer",
    least = 1 },
  side = { 32, "pixels of a picture", type = "integer", least = 8 },
  power = { 2, "of the cosine: how much the direction counts against the size" },
  steps = { 128, "of each picture", type = "integer", least = 1 },
}

local net, vis = ea.zoo.load(cfg.model):eval(), ea.vis
local original, size = ea.image.load(cfg.photo, 3), net.input_shape
local photo = ea.image.resize(original, size[2], size[3]):reshape(1, size[2], size[3], 3)
local A = ea.no_grad(function()
  local x = (photo - ea.tensor(net.mean)) / ea.tensor(net.std)
  return vis.layers(net, x, { cfg.layer })[cfg.layer]:to("f32")
end)
if A.ndim ~= 4 then error(("the layer %s has no places"):format(cfg.layer), 0) end
local window = math.max(1, math.ceil(A:size(2) / cfg.cells))
if window > 1 then A = ea.avg_pool2d(A, { size = window }) end
local h, w, c = A:size(2), A:size(3), A:size(4)
local places = A:reshape(h * w, c)

local run = ea.run.open("grid", cfg)
local r = vis.render(net, vis.objectives.direction(cfg.layer, places, { cossim_pow = cfg.power }), {
  size = cfg.side, steps = cfg.steps, seed = cfg.seed, precision = cfg.precision, dead = "keep",
  out = run:path("places") })

local strength = places:square():sum({ axes = { 2 } }):sqrt()
strength = strength / strength:max():item()
local pictures = r.images * (strength:reshape(h * w, 1, 1, 1) * 0.5 + 0.5)
local whole = ea.image.resize(original, h * cfg.side, w * cfg.side)
local page = { title = "What " .. cfg.layer .. " sees where", scale = 2, shown = 2,
  text = ("%s, %d x %d places, %d steps each"):format(cfg.model, h, w, cfg.steps),
  { whole, "the picture" },
  { ea.image.grid(pictures, { columns = w, border = 0 }), "what is seen, brighter: stronger" },
  { heading = "place by place" } }
for k = 1, h * w do
  page[#page + 1] = { r.images[k], ("row %d, column %d"):format(math.ceil(k / w), (k - 1) % w + 1),
    ("%.0f %% of the strongest"):format(100 * strength[k]) }
end
local path = vis.exhibit(run, "grid", page)
run:summary { places = h * w, seconds = r.seconds }
print(("%d x %d places: %s"):format(h, w, path))
