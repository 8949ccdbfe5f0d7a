-- SPDX-License-Identifier: GPL-3.0-or-later
-- param.cppn: for each image a small network from the place (x, y), -sqrt 3 .. sqrt 3, to its
-- colour, as Lucid's: `layers` times a linear layer to `hidden` numbers a, whose activation is
-- (atan a / 0.67, atan^2 a / 0.6); then a linear layer that starts with zeros, and the sigmoid.
-- Weights: normal with variance 1 / inputs, cut at 2 deviations; biases normal, deviation 0.1.
-- Learns best at a rate of 0.003 to 0.005; what it learned can be drawn at any size.
--
-- From a starting image: fitted to it by `fit` (400) steps of Adam, the rate falling from 0.01 to
-- 0, which takes about a second for 32 x 32 pixels. The first six test images of CIFAR-10 are left
-- with an error of 0.014 to 0.033 (root mean square, of values in [0, 1]), fine detail blurred;
-- with 800 steps, of 0.008 to 0.021.

local F = require "edgeai.ffi"
local capture = require "edgeai.capture"
local ops = require "edgeai.ops"
local optim = require "edgeai.optim"
local random = require "edgeai.random"
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

--- Values of the leaves whose one image by raw is near x {h, w, c}: always the same for x.
local function fit(leaves, raw, x, steps)
  local want = x:to("f32"):reshape { 1, unpack(x.shape) }
  local list, values = {}, {}
  for i, leaf in ipairs(leaves) do
    local first = leaf.init(random.rng("cppn/" .. leaf.name, { seed = 1 }), 1, "f32")
    list[i] = first:reshape { 1, unpack(leaf.size) }:clone():require_grad()
    values[leaf.name] = list[i]
  end
  local adam = optim.adam(list, { lr = 0.01 })
  local graph = capture(function()
    return (raw(values, { n = 1, dtype = "f32" }) - want):square():mean()
  end, {})
  for step = 1, steps do
    graph:forward()
    graph:backward()
    adam:step { lr = 0.005 * (1 + math.cos(math.pi * (step - 1) / steps)) }
  end
  graph:free()
  local found = {}
  for i, leaf in ipairs(leaves) do found[leaf.name] = list[i]:detach():select(1, 1):clone() end
  return found
end

return function(param)
  param.register("cppn", { hidden = 24, layers = 8, fit = 400 }, function(o)
    local h, w, c = o.size[1], o.size[2], o.channels
    if type(o.fit) ~= "number" or o.fit < 0 or o.fit % 1 ~= 0 then
      F.raise("param.cppn: fit must be a whole number of steps, got %s", tostring(o.fit))
    end
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
    local function raw(values, T)
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
    end
    local plain = {} -- the leaves as they are, before a start is given to them
    for k, leaf in ipairs(leaves) do
      plain[k] = { name = leaf.name, size = leaf.size, init = leaf.init }
    end
    return { leaves = leaves, finished = true, raw = raw,
      start = function(x) return fit(plain, raw, x, o.fit) end }
  end, { help = "A small network from place to colour for each image." })
end
