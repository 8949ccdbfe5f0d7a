-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.bench.network - the benchmarks of whole networks: train.NET, infer.NET, dream.NET with
-- NET = wrn-DEPTH-WIDTH or resnet-DEPTH, on 32x32 images of random numbers; vis.NET.
--
--   train   one SGD step with momentum: forward, loss, backward, update
--   infer   forward in evaluation mode
--   dream   one Adam step on the images alone: the frozen network's pooled features drawn to a
--           target
--   vis       one step of ea.vis.render with its defaults (spectra, transforms, Adam) for as many
--             channels of the last group as the batch has images

local capture = require "edgeai.capture"
local grad = require "edgeai.grad"
local nn = require "edgeai.nn"
local optim = require "edgeai.optim"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"

local network = {}

--- The network that a name means, or nil.
local function build(name)
  if name:find("^wrn%-%d+%-%d+$") or name:find("^resnet%-%d+$") then return nn.by_name(name) end
end

local function images(batch, precision)
  return random.rng("bench"):normal({ batch, 32, 32, 3 }, 0, 1, precision)
end

local function labels(batch)
  local list = {}
  for i = 1, batch do list[i] = (i - 1) % 10 + 1 end
  return tensor.tensor(list, "i32")
end

local function train(net, batch, precision)
  net:train()
  local optimizer = optim.sgd(net, { lr = 1e-3, momentum = 0.9, weight_decay = 5e-4 })
  local x, y = images(batch, precision), labels(batch)
  local graph = capture(function(a, b) return net(a):to("f32"):cross_entropy(b) end, { x, y })
  graph.inputs[1]:copy(x)
  graph.inputs[2]:copy(y)
  return graph, function()
    local loss = graph:forward()
    graph:backward()
    optimizer:step()
    return loss
  end
end

local function infer(net, batch, precision)
  net:eval()
  local x = images(batch, precision)
  local graph = grad.no_grad(capture, function(a) return net(a) end, { x })
  graph.inputs[1]:copy(x)
  return graph, function() return graph:forward() end
end

local function dream(net, batch, precision)
  net:eval():requires_grad(false)
  local image = images(batch, "f32"):require_grad()
  local target = grad.no_grad(function() return net:features(image, { "pool" }).pool:to("f32") end)
    * 1.5
  local optimizer = optim.adam({ image }, { lr = 0.05 })
  local graph = capture(function()
    local found = net:features(image:to(precision), { "pool" })
    return (found.pool:to("f32") - target):square():mean()
  end, {})
  return graph, function()
    local loss = graph:forward()
    graph:backward()
    optimizer:step()
    return loss
  end
end

local kinds = { train = train, infer = infer, dream = dream }
local usual_batch = { ["wrn-40-4"] = 32, ["vis.wrn-16-4"] = 64, ["vis.wrn-16-1"] = 1 }

--- The benchmark vis.NET.
local function open_vis(net, batch)
  local vis, last = require "edgeai.vis", net.kind == "wrn" and "group3" or "layer3"
  net.mean, net.std = { 0.5, 0.5, 0.5 }, { 0.25, 0.25, 0.25 }
  local channels = {}
  for k = 1, batch do channels[k] = (k - 1) % net.out_channels + 1 end
  local h = vis.start(net, vis.objectives.channel(last, channels), { seed = 1, quiet = true,
    redirect = 0, size = 32, input = 32 })
  return { step = function() return h:step(1) end, images = batch, batch = batch,
    unit = "image-steps/s", peak = h.session.engine:peak(), close = function() h:stop() end }
end

--- The benchmark KIND.NET as { step, images, batch, unit, flops, peak, net, passes (of backward),
-- graph, close }, or nil if the name is not one of these.
function network.open(name, o)
  local kind, what = name:match("^(%a+)%.(.+)$")
  if kind ~= "vis" and not kinds[kind] then return nil end
  local net = build(what)
  if not net then return nil end
  net:set_precision(o.precision)
  local batch = o.batch or usual_batch[name] or usual_batch[what] or 128
  if kind == "vis" then return open_vis(net, batch) end
  local graph, step = kinds[kind](net, batch, o.precision)
  return { step = step, images = batch, batch = batch, graph = graph, net = net,
    unit = kind == "dream" and "image-steps/s" or "images/s",
    flops = graph.flops + (kind ~= "infer" and graph.backward_flops or 0), peak = graph.peak,
    passes = kind == "train" and { data = true, weights = true }
      or kind == "dream" and { data = true } or {},
    close = function() graph:free() end }
end

--- Two students as of the preset cifar10, together.
function network.open_nonn(o)
  local net = nn.nonn { parts = { 128, 128 }, arch = { depth = 16, widths = { 16, 32, 64, 80 } } }
  net:set_precision(o.precision)
  local batch = o.batch or 128
  local graph, step = infer(net, batch, o.precision)
  return { step = step, images = batch, batch = batch, graph = graph, net = net, unit = "images/s",
    flops = graph.flops, peak = graph.peak, passes = {}, close = function() graph:free() end }
end

--- Examples of names, for messages.
network.names = { "train.wrn-40-4", "train.wrn-16-1", "infer.wrn-40-4", "infer.wrn-16-1",
  "dream.wrn-40-4", "dream.wrn-16-1", "vis.wrn-16-4", "vis.wrn-16-1" }

return network
