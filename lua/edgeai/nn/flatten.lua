-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.flatten{}: {n, h, w, c} -> {n, c*h*w} in PyTorch's order (channel, row, column), so that
-- linear layers behind it can be loaded from PyTorch; other shapes {n, ...} -> {n, the rest}.

local Module = require "edgeai.nn.module"

local Flatten = Module.class("flatten")

local function constructor(given)
  Module.options("flatten", given, {}, {})
  return Flatten.new()
end

function Flatten.forward(_, x)
  local size = x.shape
  local rest = 1
  for i = 2, #size do rest = rest * size[i] end
  if #size == 4 and size[4] > 1 and size[2] * size[3] > 1 then x = x:permute(1, 4, 2, 3) end
  return x:reshape(rest > 0 and -1 or size[1], rest) -- -1: a recorded network takes any batch
end

function Flatten.arguments() return "" end

return constructor
