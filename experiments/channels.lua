-- SPDX-License-Identifier: GPL-3.0-or-later
-- What the channels of a layer (or the classes, layer = "output") look for: a picture of each one,
-- side by side in a PNG and with their numbers in one HTML file.
--   edgeai run experiments/channels.lua
--   edgeai run experiments/channels.lua --set model=FILE.safetensors --set layer=layer3
local ea = require "edgeai"

local cfg = ea.config {
  model = { "zoo:wrn16-4-cifar10", "FILE.safetensors or zoo:NAME" },
  layer = { "output", "a layer's name; with /pre: before its activation" },
  first = { 1, "first channel", type = "integer", least = 1 },
  count = { 10, "how many channels; 0: all of the layer", type = "integer", least = 0 },
  negative = { false, "also what they are smallest for" },
  steps = { 256, "of each image", type = "integer", least = 1 },
  variation = { 0, "weight of the total variation, for smoother pictures" },
  param = { default = "fourier", choices = { "fourier", "pixel" }, help = "what is optimised" },
  colour = { default = "lucid", choices = { "lucid", "data", "none" },
    help = "how colours are joined; data: as in the data set's images" },
  data = { "cifar10", "data set for colour=data, or the path of a folder of images per class" },
  transforms = { default = "standard", choices = { "standard", "none", "lucid" },
    help = "lucid: all as Lucid does it" },
}

local net = ea.zoo.load(cfg.model)
local obj, channels, count = ea.vis.objectives, {}, cfg.count
if count == 0 then
  local s = net.input_shape
  local one = ea.vis.layers(net:eval(), ea.zeros { 1, s[2], s[3], s[4] }, { cfg.layer })[cfg.layer]
  count = math.max(1, one:size(one.ndim) - cfg.first + 1)
end
for k = 1, count do channels[k] = cfg.first + k - 1 end

local run = ea.run.open("channels", cfg)
local colour = cfg.colour
if colour == "data" then colour = ea.vis.colour(ea.data.load(cfg.data).train) end
local goal = obj.channel(cfg.layer, channels)
local smooth = cfg.variation * obj.total_variation()
local options = { steps = cfg.steps, seed = cfg.seed, precision = cfg.precision,
  param = ea.vis.param[cfg.param] { colour = colour ~= "none" and colour },
  transforms = cfg.transforms == "none" and {} or nil, lucid = cfg.transforms == "lucid",
  dead = "keep" }
local function render(name, sign) -- in a folder: --resume goes on
  options.out = run:path(name)
  return ea.vis.render(net, sign * goal - smooth, options)
end
local most, least = render("most", 1), cfg.negative and render("least", -1)

local names = cfg.layer == "output" and net.meta and net.meta.names
local columns = cfg.negative and 2 * math.ceil(math.sqrt(count / 2)) or count <= 10 and 5
  or math.ceil(math.sqrt(count))
local page = { scale = 4, columns = columns, title = ("What %s looks for in %s"):format(cfg.model,
  names and "its classes" or cfg.layer), text = ("%d %s, %d steps each; below a picture what it "
  .. "reaches"):format(count, names and "classes" or "channels", cfg.steps) }
local dead = {}
for _, r in ipairs { most, least or nil } do
  dead[r] = {}
  for _, k in ipairs(r.dead) do dead[r][k] = true end
end
for k, channel in ipairs(channels) do
  for _, r in ipairs { most, least or nil } do
    page[#page + 1] = { r.images[k], (r == least and "less of %s" or names and "%s"
      or "channel %s"):format(names and names[channel] or channel),
      dead[r][k] and "nothing reaches it"
      or ("%.3g"):format(r.history.total:get(cfg.steps, k)) }
  end
end
local path = ea.vis.exhibit(run, "channels", page)
run:summary { seconds = most.seconds, peak_bytes = most.peak, value = most.values:mean():item() }
print(("%d pictures in %s and .html"):format(#page, path))
