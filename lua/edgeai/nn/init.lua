-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nn - layers and networks: ea.nn.conv2d{16, 32}, ea.nn.sequential{...}, ea.nn.wrn{}.
--
-- Layers       conv2d conv_transpose2d linear batch_norm dropout flatten identity
--              relu leaky_relu relu6 sigmoid tanh gelu silu softplus
--              max_pool avg_pool global_avg_pool global_max_pool
-- Containers   sequential residual parallel
-- Networks     wrn resnet vgg mobilenet_v2 lenet5 mlp nonn; ea.nn.register(name, build) adds one
-- By name      ea.nn.build("wrn", options), ea.nn.by_name("wrn16-2", options)
-- Files        ea.nn.load(path), ea.nn.from_state(path)
-- Every layer's constructor and methods are described in its own file; what all have, in
-- module.lua, state.lua and inspect.lua. Inputs of image networks are {n, h, w, c}.

local F = require "edgeai.ffi"
local doc = require "edgeai.doc"
local Module = require "edgeai.nn.module"
local text = require "edgeai.text"

for _, part in ipairs { "state", "inspect" } do
  for name, fn in pairs(require("edgeai.nn." .. part)) do Module[name] = fn end
end

local nn = { Module = Module, is_module = Module.is }

for _, name in ipairs { "conv2d", "conv_transpose2d", "linear", "batch_norm", "dropout", "flatten",
  "identity", "sequential", "residual", "parallel" } do
  nn[name] = require("edgeai.nn." .. name)
end
for _, family in ipairs { "activation", "pool" } do
  for name, constructor in pairs(require("edgeai.nn." .. family)) do
    if name ~= "by_name" then nn[name] = constructor end
  end
end

-- ---- architectures -----------------------------------------------------------------------------

local builders = {}

--- Makes `build(options)` -> network known as ea.nn.NAME{...}, so that files written by net:save
-- say how to build it. `build` gets the options as given; they must be plain values (JSON).
function nn.register(name, build)
  if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") or type(build) ~= "function" then
    F.raise("nn.register: expected a name and a function, got %s and a %s", tostring(name),
      type(build))
  end
  if rawget(nn, name) and not builders[name] then
    F.raise("nn.register: '%s' is taken by a layer or function of ea.nn", name)
  end
  builders[name] = build
  nn[name] = function(given)
    local net = build(given or {})
    if not Module.is(net) then F.raise("nn.%s: its builder returned no network", name) end
    net.arch = { name = name, options = given or {} }
    return net
  end
  doc.link(nn[name], build)
end

for _, name in ipairs { "wrn", "resnet", "vgg", "mobilenet_v2", "lenet5", "mlp", "nonn" } do
  nn.register(name, require("edgeai.nn.arch." .. name))
end

--- Takes an architecture away again.
function nn.unregister(name)
  if builders[name] then builders[name], nn[name] = nil, nil end
end

--- Sorted names of the architectures.
function nn.architectures() return text.keys(builders) end

--- The architecture of that name with a table of options.
function nn.build(name, options)
  if not builders[name] and type(name) == "string" then require("edgeai.plugin").offer(name) end
  if not builders[name] then
    F.raise("nn: there is no architecture '%s'%s; there are %s", tostring(name),
      text.suggest(tostring(name), builders), text.list(text.keys(builders), "and"))
  end
  return nn[name](options)
end

--- The network that a short name means: "wrn16-2" (depth 16, widen 2), "resnet20", "vgg11",
-- "lenet5". options: its further ones, such as { classes = 10, channels = 3 }.
function nn.by_name(name, options)
  local arch, depth, widen = tostring(name):match("^(%a[%a_]*)%-?(%d+)%-?(%d*)$")
  if builders[name] then arch, depth, widen = name, nil, nil end
  if not builders[arch] or arch == "wrn" and widen == "" then
    F.raise("nn.by_name: '%s' names no network; expected one such as \"wrn16-2\" (depth 16, widen "
      .. "2), \"resnet20\", \"vgg11\" or \"lenet5\"", tostring(name))
  end
  local o = { depth = tonumber(depth), widen = tonumber(widen) }
  for key, value in pairs(options or {}) do o[key] = value end
  return nn[arch](o)
end

--- The network in a safetensors file, in evaluation mode: see file.lua.
function nn.load(path) return require("edgeai.nn.file").load(path, nn.build) end
--- A network from a bare PyTorch state dict (WRN, CIFAR ResNet), recognised by names and shapes.
function nn.from_state(path) return require("edgeai.nn.file").from_state(path, nn.build) end

return require "edgeai.plugin.miss"(nn)
