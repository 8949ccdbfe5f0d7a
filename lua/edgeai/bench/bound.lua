-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.bench.bound - the least time a step can take: the sum of its convolutions' own best times,
-- each shape run alone, pass by pass, in the precision of the step, by the engine that the step
-- uses or by oneDNN, a limit that stays where it is when kernels of our own get faster.

local ffi = require "ffi"

local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local capture = require "edgeai.capture"
local grad = require "edgeai.grad"
local ops = require "edgeai.ops"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"

local C = F.C
local bound = {}

--- The distinct convolutions of one forward run: { size = input's, opts = layer's, count, first }.
-- first: nothing before it needs a gradient.
local function convolutions(net, batch)
  local by_key, list = {}, {}
  grad.no_grad(function()
    Module.observe(function(m, x)
      if m.kind ~= "conv2d" then return end
      local o, s = m.opts, x.shape
      s[1] = batch
      local key = table.concat({ s[2], s[3], s[4], o.out, o.kernel, o.stride, o.pad, o.groups },
        " ")
      if not by_key[key] then
        by_key[key] = { size = s, opts = o, attrs = m.attrs, count = 0, first = #list == 0 }
        list[#list + 1] = by_key[key]
      end
      by_key[key].count = by_key[key].count + 1
    end, net, tensor.zeros { 1, 32, 32, 3 })
  end)
  return list
end

local function best_of(seconds, fn)
  fn()
  local best, stop = math.huge, C.ea_clock() + seconds
  repeat
    local start = C.ea_clock()
    fn()
    best = math.min(best, C.ea_clock() - start)
  until C.ea_clock() > stop
  return best
end

--- Best seconds of one convolution: forward, and backward with the wanted gradients.
local function time_one(conv, passes, precision, seconds)
  local o = conv.opts
  local rng = random.rng("bench")
  local x = rng:normal(conv.size, 0, 1, precision)
  local w = rng:normal({ o.out, o.inp / o.groups, o.kernel, o.kernel }, 0, 0.1)
  local function run_conv() return ops.functions.conv2d(x, w, conv.attrs) end
  local forward = grad.no_grad(capture, run_conv)
  local total = best_of(seconds, function() forward:forward() end)
  forward:free()
  if passes.data and not (conv.first and passes.weights) then x:require_grad() end
  if passes.weights then w:require_grad() end
  if not (x.requires_grad or w.requires_grad) then return total end
  local graph = capture(function()
    return (run_conv() * 1):to("f32"):sum()
  end)
  graph:profile()
  local best = math.huge
  local before = 0
  best_of(seconds, function()
    graph:forward()
    graph:backward()
    for _, node in ipairs(graph:node_list()) do
      if node.op == "conv2d" then
        best = math.min(best, node.backward - before)
        before = node.backward
      end
    end
  end)
  graph:free()
  return total + best
end

local function total_of(case, o)
  local total = 0
  for _, conv in ipairs(convolutions(case.net, case.batch)) do
    total = total + conv.count * time_one(conv, case.passes, o.precision, o.seconds)
  end
  return total
end

--- Seconds of all convolutions of a case (see network.open), each at its best of `seconds`; with
-- onednn=true by oneDNN alone, nil where that is not built in.
function bound.of(case, o)
  if not o.onednn then return total_of(case, o) end
  local before = C.ea_conv_set_engine(2)
  local there = ffi.string(C.ea_conv_engine()):find "^oneDNN"
  local ok, total = pcall(function() return there and total_of(case, o) or nil end)
  C.ea_conv_set_engine(before)
  if not ok then error(total, 0) end
  return total
end

return bound
