-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.layers - activations of a network by name.
--
--   "group2.0.conv1"   what that layer (or block, or group) gives
--   "NAME/in"          what comes into it
--   "NAME/pre"         what comes into the last activation (ReLU, ...) in it: before it
--   "NAME/post"        what the first activation behind it gives: after it
--   "output"           what the network gives

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local text = require "edgeai.text"

local layers = {}

local activations = {}
for _, kind in ipairs { "relu", "relu6", "leaky_relu", "sigmoid", "tanh", "gelu", "silu",
  "softplus" } do
  activations[kind] = true
end

local parts = { ["in"] = true, pre = true, post = true }

--- { name, module, part } of a layer's name; raises where there is none, with the nearest.
local function parse(net, name)
  if type(name) ~= "string" then
    F.raise("expected a layer's name, such as \"group3\", got a %s", type(name))
  end
  local base, part = name:match("^(.*)/([^/]*)$")
  if base and not parts[part] then
    F.raise("layer '%s': behind the slash there can be in, pre or post%s", name,
      text.suggest(part, parts))
  end
  if (base or name) == "output" and not (net.aliases or {}).output then
    return { name = name, module = net, part = part or "out" }
  end
  return { name = name, module = net:get(base or name), part = part or "out" }
end

--- Raises if there is no layer of that name.
function layers.check(net, name) parse(net, name) end

local function is_inside(m, outer)
  while m do
    if m == outer then return true end
    m = m.parent
  end
  return false
end

--- Looks at a layer that has just run; the tensor if it is what the entry wants.
local function look(entry, m, x, y)
  if entry.part == "post" then
    if entry.passed and activations[m.kind] then return y end
    entry.passed = entry.passed or m == entry.module
    return nil
  end
  if entry.part == "pre" and activations[m.kind] and is_inside(m, entry.module) then
    entry.before = x
  end
  if m ~= entry.module then return nil end
  if entry.part == "in" then return x end
  if entry.part == "out" then return y end
  if entry.before == nil then
    F.raise("layer '%s': there is no activation in %s", entry.name, m.kind)
  end
  return entry.before
end

--- The layer whose output has that name for the input x: with /post, the activation behind it.
function layers.module(net, x, name)
  local entry, found = parse(net, name), nil
  if entry.part == "out" then return entry.module end
  if entry.part ~= "post" then
    F.raise("layer '%s': only what a layer gives can be looked at here: without /%s, or with /post",
      name, entry.part)
  end
  Module.observe(function(m)
    found = found or entry.passed and activations[m.kind] and m
    entry.passed = entry.passed or m == entry.module
  end, net, x)
  if not found then F.raise("layer '%s': there is no activation behind it", name) end
  return found
end

local all_found = {}

--- Applies net to x until the named layers have run: { name = tensor }. Works eagerly and in
-- captures; each name once.
function layers.run(net, x, names)
  local open, found = {}, {}
  for _, name in ipairs(names) do open[#open + 1] = parse(net, name) end
  if #open == 0 then return found end
  local ok, message = pcall(Module.observe, function(m, from, to)
    for i = #open, 1, -1 do
      local got = look(open[i], m, from, to)
      if got ~= nil then
        found[open[i].name] = got
        table.remove(open, i)
      end
    end
    if #open == 0 then error(all_found, 0) end
  end, net, x)
  if not ok and message ~= all_found then error(message, 0) end
  if #open > 0 then
    F.raise(open[1].part == "post" and "layer '%s': there is no activation behind it"
      or "layer '%s' did not run", open[1].name)
  end
  for name, t in pairs(found) do
    if not F.is_tensor(t) then F.raise("layer '%s' gives a %s, not a tensor", name, type(t)) end
  end
  return found
end

return layers
