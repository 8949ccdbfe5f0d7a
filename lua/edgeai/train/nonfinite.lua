-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.train.nonfinite - where NaN and infinities are, in words.

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local grad = require "edgeai.grad"

local nonfinite = {}

local function first_in(list, prefix)
  for _, item in ipairs(list) do
    if item.tensor:count_nonfinite() > 0 then return prefix .. item.name end
  end
end

--- Name of the first weight, running statistic or optimiser buffer with a NaN or an infinity; nil
-- if all are finite.
function nonfinite.in_state(net, optimizer)
  return first_in(net:state_dict(), "") or first_in(optimizer:state(), "the optimiser's ")
end

--- The first layer, in the order of running, that makes them out of x; nil if none does.
local function in_layers(net, x)
  local first
  grad.no_grad(pcall, Module.observe, function(m, _, y)
    if not first and #m.children == 0 and F.is_tensor(y) and y:count_nonfinite() > 0 then
      first = m:path() or "the network"
    end
  end, net, x)
  return first
end

--- Where the first one is, for a network whose loss on x is one: in x, in the weights (then what
-- went wrong is the step before), in a layer's output, or only in the loss.
function nonfinite.where(net, x)
  if x:count_nonfinite() > 0 then return "the images themselves" end
  local name = first_in(net:parameters(), "")
  if name then return name .. " since the step before" end
  name = in_layers(net, x)
  return name and "the output of " .. name or "the objective, not the network"
end

return nonfinite
