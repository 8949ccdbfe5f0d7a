-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai bench [NAME...] - how fast it is here. See edgeai.bench.

local options = require "edgeai.cli.options"

local command = {
  usage = "bench [NAME...]",
  summary = "how fast training, inference and dreaming are on this machine",
  options = {
    { "--batch", "N", "images in a step (default: the benchmark's)" },
    { "--threads", "N", "threads (default 1)" },
    { "--precision", "f32|bf16", "type of the activations (default f32); f32,bf16: both" },
    { "--seconds", "S", "how long each is repeated (default 3)" },
    { "--json", nil, "one JSON object a line" },
    { "--no-bound", nil, "do not measure the convolutions by themselves" },
    { "--history", "FILE", "add the results to FILE; say what got slower since it was last used" },
    { "--profile", nil, "time of every layer's ops, forward and backward, longest first" },
  },
}

local function number(given, name, least, whole)
  local word = given[name]
  if not word then return nil end
  local n = tonumber(word)
  if not n or n < least or (whole and n % 1 ~= 0) then
    options.fail(command, "--%s must be a %s of at least %g, not '%s'", name,
      whole and "whole number" or "number", least, word)
  end
  return n
end

local function short(x) return x and (x >= 100 and "%.0f" or "%.3g"):format(x) or "" end

local function share(x) return x and ("%.0f %%"):format(100 * x) or "" end

local function row_of(r)
  return { r.name, ("%s %s"):format(short(r.value), r.unit),
    ("%s .. %s"):format(short(r.low), short(r.high)), r.batch, r.precision,
    short(r.gflops), share(r.bound_share), share(r.onednn_share),
    r.peak_bytes and ("%.0f MB"):format(r.peak_bytes / 1e6) or "" }
end

--- Says what is slower than in the last run of the same work on this machine; keeps the results.
local function compare(path, results)
  local history = require "edgeai.bench.history"
  local new = history.sign(results)
  local slower, compared = history.slower(history.read(path), new)
  history.append(path, new)
  local rows = {}
  for i, s in ipairs(slower) do
    rows[i] = { s.now.name, s.now.precision, short(s.before.value), short(s.now.value),
      ("%.1f %%"):format(100 * s.change), (s.before.revision or ""):sub(1, 10), s.before.date }
  end
  if #rows > 0 then
    print(require("edgeai.table")({ "slower", "precision", "before", "now", "by",
      "revision before", "date" }, rows))
  elseif compared > 0 then
    print(("nothing is slower than in the last run by more than the spread (%d compared)")
      :format(compared))
  else
    print("nothing to compare with: the first run of this on this machine")
  end
end

--- The line of --json: every key is there, null where a benchmark has nothing of the kind.
local function json_line(r)
  local json = require "edgeai.json"
  local line = { gflops = json.null, bound_share = json.null, onednn_share = json.null,
    peak_bytes = json.null }
  for key, value in pairs(r) do line[key] = value end
  return json.encode(line, { sort = true })
end

local function run_all(names, precisions, o, given)
  local bench = require "edgeai.bench"
  local results, rows = {}, {}
  for _, name in ipairs(names) do
    for i = 1, bench.of_no_precision[name] and 1 or #precisions do
      o.precision = precisions[i]
      local r = bench.run(name, o)
      results[#results + 1] = r
      if given.json then
        print(json_line(r))
        io.stdout:flush()
      else
        rows[#rows + 1] = row_of(r)
        io.stderr:write(("%s, %s: %s %s\n"):format(name, r.precision, short(r.value), r.unit))
      end
    end
  end
  if not given.json then
    print(require("edgeai.table")({ "benchmark", "median", "spread", "batch", "precision",
      "GFLOP/s", "of bound", "of oneDNN", "memory" }, rows))
  end
  if given.history then compare(given.history, results) end
end

local function ms(seconds) return seconds > 0 and ("%.3f"):format(1e3 * seconds) or "" end

--- "210 GFLOP/s" of what computes, "9 GB/s" of what only moves.
local function rate(flops, bytes, seconds)
  if seconds <= 0 then return "" end
  local amount, unit = flops > 0 and flops or bytes, flops > 0 and "GFLOP/s" or "GB/s"
  return ("%.0f %s"):format(amount / seconds / 1e9, unit)
end

local function cost_row(layer, node, shape, step)
  local total = node.forward + node.backward
  return { layer, node.op, shape, ("%.1f %%"):format(100 * total / step), ms(node.forward),
    ms(node.backward), rate(node.flops, node.bytes, node.forward),
    rate(node.backward_flops, node.backward_bytes, node.backward) }
end

local function by_time(a, b) return a.forward + a.backward > b.forward + b.backward end

--- The nodes of one op added up, longest first.
local function by_op(nodes)
  local sums, list = {}, {}
  for _, node in ipairs(nodes) do
    local sum = sums[node.op]
    if not sum then
      sum = { op = node.op, count = 0 }
      sums[node.op], list[#list + 1] = sum, sum
    end
    sum.count = sum.count + 1
    for _, key in ipairs { "forward", "backward", "flops", "backward_flops", "bytes",
      "backward_bytes" } do
      sum[key] = (sum[key] or 0) + node[key]
    end
  end
  table.sort(list, by_time)
  return list
end

local function profile(name, o, as_json)
  local all, step = require("edgeai.bench").profile(name, o)
  local nodes, rest = {}, step
  for _, node in ipairs(all) do
    if node.forward + node.backward > 0 then nodes[#nodes + 1] = node end
    rest = rest - node.forward - node.backward
    node.name = name
    if as_json then print(require("edgeai.json").encode(node, { sort = true })) end
  end
  if as_json then return end
  table.sort(nodes, by_time)
  local tables, rows = require "edgeai.table", {}
  for _, sum in ipairs(by_op(nodes)) do
    rows[#rows + 1] = cost_row("all " .. sum.count, sum, "", step)
  end
  rows[#rows + 1] = { "the rest", "", "", ("%.1f %%"):format(100 * rest / step), ms(rest) }
  rows[#rows + 1] = tables.rule
  for _, node in ipairs(nodes) do
    rows[#rows + 1] = cost_row(node.layer, node, table.concat(node.shape, "x"), step)
  end
  print(tables({ "layer", "op", "output", "of step", "forward [ms]", "backward [ms]", "forward",
    "backward" }, rows, { title = ("%s, %s: %.2f ms a step"):format(name, o.precision, 1e3 * step),
      align = { "left", "left", "left", "right", "right", "right", "right", "right" } }))
end

--- The precisions that --precision names.
local function precisions_of(given)
  local list = {}
  for word in ((given.precision or "f32") .. ","):gmatch("([^,]*),") do
    if word ~= "f32" and word ~= "bf16" then
      options.fail(command, "--precision must be f32, bf16 or f32,bf16, not '%s'", given.precision)
    end
    list[#list + 1] = word
  end
  return list
end

function command.run(given, operands)
  local precisions = precisions_of(given)
  local o = { batch = number(given, "batch", 1, true), seconds = number(given, "seconds", 0) }
  local threads = number(given, "threads", 1, true)
  if threads then require("edgeai").threads(threads) end
  if given.json and given.history then
    options.fail(command, "--history prints words, --json only JSON: give one of them")
  end
  if given.profile then
    if #operands == 0 then options.fail(command, "--profile needs the name of a benchmark") end
    for _, name in ipairs(operands) do
      for _, precision in ipairs(precisions) do
        o.precision = precision
        profile(name, o, given.json)
      end
    end
    return 0
  end
  o.bound = not given["no-bound"]
  run_all(#operands > 0 and operands or require("edgeai.bench").names, precisions, o, given)
  return 0
end

return command
