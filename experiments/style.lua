-- SPDX-License-Identifier: GPL-3.0-or-later
-- Style and content (Gatys et al. 2016, as in Lucid): pictures that show what one photograph does,
-- in the manner of another: near to the first in a layer's activations, to the second in the Gram
-- matrices of several layers. A row of pictures, from content alone to style alone.
--   edgeai run experiments/style.lua --set content=A.png --set style=B.png
local ea = require "edgeai"

local cfg = ea.config {
  model = { "zoo:wrn16-4-cifar10", "FILE.safetensors or zoo:NAME" },
  content = { type = "string", required = true, help = "PNG or JPEG file: what is to be seen" },
  style = { type = "string", required = true, help = "PNG or JPEG file: in what manner" },
  content_layer = { "group2", "where the first is followed" },
  style_layers = { default = { "conv0", "group1", "group2", "group3" },
    help = "where the second is, each on a footing" },
  weights = { default = { 0, 0.3, 1, 3, 10 }, help = "of the style, one for each picture" },
  size = { 64, "pixels of a side; the network sees them all", type = "integer", least = 16 },
  steps = { 256, "of each picture", type = "integer", least = 1 },
}

local net, obj = ea.zoo.load(cfg.model), ea.vis.objectives

local function photo(path) return ea.image.resize(ea.image.load(path, 3), cfg.size, cfg.size) end
local content, style = photo(cfg.content), photo(cfg.style)
local options = { size = cfg.size, input = cfg.size, steps = cfg.steps, seed = cfg.seed,
  precision = cfg.precision, transforms = { ea.vis.transform.jitter(1) },
  param = ea.vis.param.fourier { image = content } }

--- Distance from a picture in a layer, over what it is for the other picture.
local function distance(layer, to, other, gram)
  local goal = obj.activation_difference(layer, to, { gram = gram })
  local o = { size = cfg.size, input = cfg.size, steps = 1, transforms = {}, quiet = true,
    param = ea.vis.param.pixel { image = other } }
  return goal / ea.vis.render(net, goal, o).values[1]
end

local like_content, parts = distance(cfg.content_layer, content, style, false), {}
for i, layer in ipairs(cfg.style_layers) do
  parts[i] = distance(layer, style, content, true) / #cfg.style_layers
end
local like_style = ea.vis.sum(parts)

local run = ea.run.open("style", cfg)
local page = { title = "Style and content", scale = 2, columns = #cfg.weights + 2,
  text = ("%s, %d steps; content at %s, style at %s"):format(cfg.model, cfg.steps,
    cfg.content_layer, table.concat(cfg.style_layers, ", ")), { content, "content" },
  { style, "style" } }
for _, weight in ipairs(cfg.weights) do
  local r = ea.vis.render(net, -like_content - weight * like_style, options)
  page[#page + 1] = { r.images[1], ("style %g"):format(weight),
    ("off by %.2f"):format(-r.values[1]) }
end
local path = ea.vis.exhibit(run, "style", page)
run:summary { pictures = #cfg.weights }
print(("%d pictures between two: %s"):format(#cfg.weights, path))
