-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.mlp{inp=784, hidden={256, 128}, classes=10, activation="relu", dropout=0, batch_norm=false}
-- Images or vectors {n, ...} are flattened first; then fc1, (bn1,) act1, (dropout1,) fc2, ...

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local activation = require "edgeai.nn.activation"
local batch_norm = require "edgeai.nn.batch_norm"
local dropout = require "edgeai.nn.dropout"
local flatten = require "edgeai.nn.flatten"
local linear = require "edgeai.nn.linear"
local named = require "edgeai.nn.arch.named"

return function(given)
  local o = Module.options("mlp", given, {}, { inp = 784, hidden = { 256, 128 }, classes = 10,
    activation = "relu", dropout = 0, batch_norm = false })
  Module.check_count("mlp", o, "inp")
  Module.check_count("mlp", o, "classes")
  if type(o.hidden) ~= "table" then
    F.raise("mlp: hidden must be a list of widths, such as {256, 128}, got a %s", type(o.hidden))
  end
  local layers, inp = { { "flatten", flatten {} } }, o.inp
  for i, width in ipairs(o.hidden) do
    layers[#layers + 1] = { "fc" .. i, linear { inp, width } }
    if o.batch_norm then layers[#layers + 1] = { "bn" .. i, batch_norm { width } } end
    layers[#layers + 1] = { "act" .. i, activation.by_name(o.activation, "mlp") }
    if o.dropout > 0 then layers[#layers + 1] = { "dropout" .. i, dropout { o.dropout } } end
    inp = width
  end
  local head = "fc" .. #o.hidden + 1
  layers[#layers + 1] = { head, linear { inp, o.classes } }
  local last = #o.hidden > 0 and "act" .. #o.hidden or "flatten"
  local aliases = { features = last, pool = last }
  if head ~= "fc" then aliases.fc = head end
  return named("mlp", ("inp=%d, hidden={%s}, classes=%d"):format(o.inp,
    table.concat(o.hidden, ", "), o.classes), layers, head, { 1, o.inp }, aliases)
end
