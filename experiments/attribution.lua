-- SPDX-License-Identifier: GPL-3.0-or-later
-- Why this class and not that one: how much each place and each channel of a layer counts for the
-- difference of two classes' logits (integrated gradients between zero and the activations), with
-- pictures of what the channels look for that count most on either side.
--   edgeai run experiments/attribution.lua --set photo=PHOTO.png
local ea = require "edgeai"

local cfg = ea.config {
  model = { "zoo:wrn16-4-cifar10", "FILE.safetensors or zoo:NAME" },
  photo = { type = "string", required = true, help = "a PNG or JPEG file" },
  layer = { "group3/post", "whose activations; /post: behind the ReLU, where 0 is unseen" },
  class = { 0, "number of the class; 0: the one that the network sees", type = "integer",
    least = 0 },
  against = { 0, "of the other class; 0: the next likely one", type = "integer", least = 0 },
  points = { 20, "of the path; 0: the gradient at its end alone", type = "integer", least = 0 },
  channels = { 6, "shown on either side", type = "integer", least = 1 },
  steps = { 128, "of each picture", type = "integer", least = 1 },
}

local net, vis = ea.zoo.load(cfg.model):eval(), ea.vis
local h, w = net.input_shape[2], net.input_shape[3]
local photo = ea.image.resize(ea.image.load(cfg.photo, 3), h, w):reshape(1, h, w, 3)
local x = (photo - ea.tensor(net.mean)) / ea.tensor(net.std)
local logits = ea.no_grad(function() return net(x) end)
local _, order = logits:topk { k = 2 }
local class = cfg.class > 0 and cfg.class or order:get(1, 1)
local against = cfg.against > 0 and cfg.against or order:get(1, order:get(1, 1) == class and 2 or 1)
if math.max(class, against) > logits:size(2) then
  error(("%s has %d classes; there is no class %d"):format(cfg.model, logits:size(2),
    math.max(class, against)), 0)
end
local names = net.meta and net.meta.names or {}
local function name(k) return names[k] or "class " .. k end

local parts = vis.attribution(net, x, cfg.layer, function(out)
  return out:narrow(2, class, 1) - out:narrow(2, against, 1)
end, { steps = cfg.points })
if parts.ndim == 2 then parts = parts:reshape(1, 1, 1, parts:size(2)) end
local where, what = parts:sum { 4 }, parts:sum({ 1, 2, 3 })

local maps = {}
for _, side in ipairs { 1, -1 } do -- where it speaks for the class, and for the other one
  local map = (where * side):clamp { low = 0 } / math.max(where:abs():max():item(), 1e-12)
  map = ea.resize(map:reshape(1, map:size(2), map:size(3), 1), { height = h, width = w })
  maps[#maps + 1] = (photo * (map * 0.8 + 0.2))[1]
end

local values, best = what:sort { descending = true }
local n, chosen = math.min(cfg.channels, math.floor(what:numel() / 2)), {}
for k = 1, n do
  chosen[k], chosen[n + k] = best[k], best[what:numel() + 1 - k]
end
local run = ea.run.open("attribution", cfg)
local r = vis.render(net, vis.objectives.channel(cfg.layer, chosen), { steps = cfg.steps,
  seed = cfg.seed, precision = cfg.precision, dead = "keep" })
local page = { title = ("%s, not %s"):format(name(class), name(against)), scale = 4,
  columns = math.max(3, n),
  text = ("%s: logits %.2f and %.2f, attributed to %s: %.2f in all"):format(cfg.model,
    logits:get(1, class), logits:get(1, against), cfg.layer, parts:sum():item()),
  { photo[1], "the picture" }, { maps[1], "speaks for " .. name(class) },
  { maps[2], "speaks for " .. name(against) } }
for k = 1, 2 * n do
  if k == 1 then page[#page + 1] = { heading = "channels for " .. name(class) } end
  if k == n + 1 then page[#page + 1] = { heading = "channels for " .. name(against) } end
  page[#page + 1] = { r.images[k], "channel " .. chosen[k],
    ("%+.2f"):format(values[k <= n and k or what:numel() + 1 - (k - n)]) }
end
local path = vis.exhibit(run, "attribution", page)
run:summary { class = class, against = against, attributed = parts:sum():item(),
  difference = logits:get(1, class) - logits:get(1, against) }
print(("%s, not %s: %s"):format(name(class), name(against), path))
