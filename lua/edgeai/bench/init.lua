-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.bench - how fast it is here: named benchmarks, each a step repeated for some seconds.
--
--   local r = ea.bench.run("train.wrn-16-1", { batch = 128, precision = "bf16", seconds = 3 })
--   r.value, r.unit          by the median step: "images/s", ...
--   r.low, r.high            the spread: half of all steps were between these
--   r.gflops                 2 per multiply-add of convolutions and linear layers
--   r.bound_share            the step's convolutions, each at its own best time, over the step
--   r.onednn_share           the same by oneDNN's kernels: above 1, the step is faster than these
--   r.peak_bytes             planned memory of the step
--   r.steps, r.batch, r.threads, r.precision, r.name

local F = require "edgeai.ffi"
local layers = require "edgeai.bench.layers"
local network = require "edgeai.bench.network"
local small = require "edgeai.bench.small"
local text = require "edgeai.text"

local C = F.C
local bench = {}

--- The benchmarks that `edgeai bench` runs when none is named.
bench.names = { unpack(network.names) }
for _, name in ipairs { "nonn2s.infer", "data.augment", "louvain.256", "startup" } do
  bench.names[#bench.names + 1] = name
end

--- What takes the same time in any precision.
bench.of_no_precision = { ["louvain.256"] = true, startup = true }

local function open(name, o)
  if name == "nonn2s.infer" then return network.open_nonn(o) end
  if small[name] then return small[name](o) end
  return network.open(name, o) or F.raise("bench: there is no benchmark '%s'%s; there are %s, and "
    .. "train, infer, dream, vis of any wrn-DEPTH-WIDTH or resnet-DEPTH", name,
    text.suggest(name, bench.names), text.list(bench.names, "and"))
end

--- Seconds of each step, sorted; at least three steps.
local function time_steps(case, seconds)
  case.step()
  local times, stop = {}, C.ea_clock() + seconds
  repeat
    local start = C.ea_clock()
    case.step()
    times[#times + 1] = C.ea_clock() - start
  until C.ea_clock() > stop and #times >= 3 or C.ea_interrupt_pending() ~= 0
  table.sort(times)
  return times
end

--- The value below which a share of a sorted list lies, between neighbours if need be.
local function quantile(sorted, share)
  local at = 1 + share * (#sorted - 1)
  local below = math.floor(at)
  local value = sorted[below]
  return value + (at - below) * ((sorted[below + 1] or value) - value)
end

--- Opens a benchmark without running it: { step = function, images = in a step, batch, unit }, of
-- a network also net, graph, flops, peak, and close = function. A step of a network returns its
-- loss, or its answers. Options: batch, precision.
function bench.open(name, opts)
  return open(name, F.options(opts, { batch = F.none, precision = "f32" }, "bench"))
end

--- Runs one benchmark. Options: batch (the benchmark's own), precision ("f32"), seconds (3), bound
-- (true: also measure the share of the convolutions).
function bench.run(name, opts)
  local o = F.options(opts, { batch = F.none, precision = "f32", seconds = 3, bound = true },
    "bench")
  local case = open(name, o)
  local times = time_steps(case, o.seconds)
  local typical = quantile(times, 0.5)
  local result = { name = name, value = case.images / typical, unit = case.unit,
    low = case.images / quantile(times, 0.75), high = case.images / quantile(times, 0.25),
    steps = #times,
    batch = case.batch, threads = C.ea_threads(), precision = o.precision,
    gflops = case.flops and case.flops / typical / 1e9, peak_bytes = case.peak }
  if case.net and o.bound then
    local bound = require "edgeai.bench.bound"
    local how = { precision = o.precision, seconds = math.min(0.3, o.seconds / 10) }
    result.bound_share = bound.of(case, how) / typical
    how.onednn = true
    local limit = bound.of(case, how)
    result.onednn_share = limit and limit / typical
  end
  if case.close then case.close() end
  return result
end

--- Time of every node of a network benchmark, averaged over `seconds` of steps: the list that
-- graph:node_list() gives, each with its `layer` ("" outside of the network), and the step's median
-- seconds.
function bench.profile(name, opts)
  local o = F.options(opts, { batch = F.none, precision = "f32", seconds = 3 }, "bench")
  local case, calls = layers.watch(open, name, o)
  if not case.graph then F.raise("bench: '%s' is not of a network; it has no profile", name) end
  case.step()
  case.graph:profile()
  local times = time_steps(case, o.seconds)
  local steps = #times + 1
  local nodes, paths = case.graph:node_list(), layers.of_nodes(case.graph, calls)
  for i, node in ipairs(nodes) do
    node.layer = paths[i]
    node.forward, node.backward = node.forward / steps, node.backward / steps
  end
  case.close()
  return nodes, quantile(times, 0.5)
end

return bench
