-- SPDX-License-Identifier: GPL-3.0-or-later
-- param.cppn: for each image a small network from the place (x, y), -sqrt 3 .. sqrt 3, to its
-- colour, as Lucid's: `layers` times a linear layer to `hidden` numbers a, whose activation is
-- (atan a / 0.67, atan^2 a / 0.6); then a linear layer that starts with zeros, and the sigmoid.
-- Weights: normal with variance 1 / inputs, cut at 2 deviations; biases normal, deviation 0.1.
-- Learns best at a rate of 0.003 to 0.005; what it learned can be drawn at any size.

local ops = require "edgeai.ops"
local tensor = require "edgeai.tensor"

local functions = ops.functions

--- Normal numbers cut at two deviations: those outside are drawn again, up to 8 times.
local function cut_normal(stream, size, sd, dtype)
  local t = stream:normal(size, 0, 1, "f64")
  for _ = 1, 8 do
    local again = stream:normal(size, 0, 1, "f64")
    t = functions.where(t:abs():greater(2), again, t)
  end
  return (t:clamp { low = -2, high = 2 } * (sd / 0.87962566103423978)):to(dtype)
end

return function(param)
  param.register("cppn", { hidden = 24, layers = 8 }, function(o)
    local h, w, c = o.size[1], o.size[2], o.channels
    local leaves, inp = {}, 2
    for k = 1, o.layers + 1 do
      local n, out = inp, k > o.layers and c or o.hidden
      local last = k > o.layers
      leaves[#leaves + 1] = { name = "weight" .. k, size = { n, out },
        init = function(stream, _, dtype)
          if last then return tensor.zeros({ n, out }, dtype) end
          return cut_normal(stream, { n, out }, math.sqrt(1 / n), dtype)
        end }
      leaves[#leaves + 1] = { name = "bias" .. k, size = { 1, out },
        init = function(stream, _, dtype)
          if last then return tensor.zeros({ 1, out }, dtype) end
          return stream:normal({ 1, out }, 0, 0.1, dtype)
        end }
      inp = 2 * out
    end
    return { leaves = leaves, finished = true, raw = function(values, T)
      local place = tensor.empty({ 1, h * w, 2 }, T.dtype)
      local function at(i, n) return n > 1 and math.sqrt(3) * (2 * i / (n - 1) - 1) or 0 end
      for i = 0, h - 1 do
        for j = 0, w - 1 do
          place:set(1, i * w + j + 1, 1, at(j, w))
          place:set(1, i * w + j + 1, 2, at(i, h))
        end
      end
      local x = place:expand(T.n, h * w, 2):clone()
      for k = 1, o.layers + 1 do
        x = functions.matmul(x, values["weight" .. k]) + values["bias" .. k]
        if k <= o.layers then
          local a = functions.atan(x)
          x = functions.concat({ a / 0.67, a:square() / 0.6 }, { axis = 3 })
        end
      end
      return x:sigmoid():reshape(-1, h, w, c)
    end }
  end, { help = "A small network from place to colour for each image." })
end
