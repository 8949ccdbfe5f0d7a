-- SPDX-License-Identifier: GPL-3.0-or-later
-- What a layer sees in one picture (Olah et al. 2018, "The Building Blocks of Interpretability"):
-- its activations in groups by non-negative matrix factorisation, or along their principal
-- components; where each group is, and what it looks for.
--   edgeai run experiments/groups.lua --set photo=PHOTO.png
local ea = require "edgeai"

local cfg = ea.config {
  model = { "zoo:wrn16-4-cifar10", "FILE.safetensors or zoo:NAME" },
  photo = { type = "string", required = true, help = "a PNG or JPEG file" },
  layer = { "group2/post", "a layer behind a ReLU" },
  groups = { 6, "how many", type = "integer", least = 1 },
  by = { default = "nmf", choices = { "nmf", "pca" },
    help = "nmf: groups that add up; pca: directions, shown where they are above the mean" },
  steps = { 256, "of each picture", type = "integer", least = 1 },
}

local net, vis = ea.zoo.load(cfg.model):eval(), ea.vis
local size = net.input_shape
local photo = ea.image.resize(ea.image.load(cfg.photo, 3), size[2], size[3])
  :reshape(1, size[2], size[3], 3)
local A = ea.no_grad(function()
  local x = (photo - ea.tensor(net.mean)) / ea.tensor(net.std)
  return vis.layers(net, x, { cfg.layer })[cfg.layer]:to("f32")
end)
local h, w, c = A:size(2), A:size(3), A:size(4)
local places = A:reshape(h * w, c)
local where, what, left -- maps {places, groups}, directions {groups, c}, the share left over
if cfg.by == "nmf" then
  local errors
  where, what, errors = vis.nmf(places, cfg.groups, { seed = cfg.seed })
  left = errors[errors:numel()] / A:square():sum():sqrt():item()
else
  local main = ea.pca(places, { components = cfg.groups })
  where, what = main:project(places):clamp { low = 0 }, main.components
  left = math.sqrt(math.max(0, 1 - main.variances:sum():item() / main.total))
end
local groups = what:size(1) -- of few directions there are fewer

local run = ea.run.open("groups", cfg)
local r = vis.render(net, vis.objectives.direction(cfg.layer, what), { steps = cfg.steps,
  seed = cfg.seed, precision = cfg.precision, dead = "keep" })
local function enlarged(maps)
  return ea.resize(maps, { height = size[2], width = size[3] })
end
local together = enlarged(ea.image.hues(where:to("f32"):reshape(1, h, w, groups)))
together = together / together:max():item()
local page = { title = "Groups of " .. cfg.layer, scale = 4, columns = 4,
  text = ("%s, %s: where each group is in the picture, and what it looks for; %.0f %% of the layer "
    .. "is left over"):format(cfg.model, cfg.by, 100 * left), { photo[1], "the picture" },
  { together[1], "all groups", "a hue for each" } }
for k = 1, groups do
  local map = where:narrow(2, k, 1):to("f32"):reshape(1, h, w, 1)
  map = enlarged(map / math.max(map:max():item(), 1e-12))
  page[#page + 1] = { (photo * 0.4 + map * 0.6)[1], "group " .. k, "where" }
  page[#page + 1] = { r.images[k], "group " .. k, "what" }
end
local path = vis.exhibit(run, "groups", page)
run:summary { left_over = left }
print(("%d groups, %.1f %% of the layer left over: %s"):format(groups, 100 * left,
  path))
