-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai bench [NAME...] - how fast it is here. See edgeai.bench.

local options = require "edgeai.cli.options"

local command = {
  usage = "bench [NAME...]",
  summary = "how fast training, inference and dreaming are on this machine",
  options = {
    { "--batch", "N", "images in a step (default: the benchmark's)" },
    { "--threads", "N", "threads (default 1)" },
    { "--precision", "f32|bf16", "type of the activations (default f32)" },
    { "--seconds", "S", "how long each is repeated (default 3)" },
    { "--json", nil, "one JSON object a line" },
    { "--profile", nil, "time of every op of the named benchmarks, forward and backward" },
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

local function row_of(r)
  return { r.name, ("%s %s"):format(short(r.value), r.unit),
    ("%s .. %s"):format(short(r.low), short(r.high)), r.batch, r.precision,
    short(r.gflops), r.bound_share and ("%.0f %%"):format(100 * r.bound_share) or "",
    r.peak_bytes and ("%.0f MB"):format(r.peak_bytes / 1e6) or "" }
end

local function run_all(names, o, as_json)
  local bench = require "edgeai.bench"
  local rows = {}
  for _, name in ipairs(names) do
    local r = bench.run(name, o)
    if as_json then
      print(require("edgeai.json").encode(r, { sort = true }))
      io.stdout:flush()
    else
      rows[#rows + 1] = row_of(r)
      io.stderr:write(("%s: %s %s\n"):format(name, short(r.value), r.unit))
    end
  end
  if as_json then return end
  print(require("edgeai.table")({ "benchmark", "median", "slowest .. fastest", "batch", "precision",
    "GFLOP/s", "of bound", "memory" }, rows))
end

local function per_second(amount, seconds)
  return seconds > 0 and ("%.0f"):format(amount / seconds / 1e9) or ""
end

local function profile(name, o)
  local nodes, step = require("edgeai.bench").profile(name, o)
  local rows, by_op, order = {}, {}, {}
  for _, node in ipairs(nodes) do
    local total = by_op[node.op]
    if not total then
      total = { 0, 0 }
      by_op[node.op], order[#order + 1] = total, node.op
    end
    total[1], total[2] = total[1] + node.forward, total[2] + node.backward
    if not node.fused then
      rows[#rows + 1] = { node.op, table.concat(node.shape, "x"),
        ("%.3f"):format(1e3 * node.forward), ("%.3f"):format(1e3 * node.backward),
        node.flops > 0 and per_second(node.flops, node.forward) or "",
        node.flops > 0 and per_second(2 * node.flops, node.backward) or "" }
    end
  end
  local tables = require "edgeai.table"
  rows[#rows + 1] = tables.rule
  table.sort(order, function(a, b)
    return by_op[a][1] + by_op[a][2] > by_op[b][1] + by_op[b][2]
  end)
  for _, op in ipairs(order) do
    rows[#rows + 1] = { op, "all", ("%.3f"):format(1e3 * by_op[op][1]),
      ("%.3f"):format(1e3 * by_op[op][2]), "", "" }
  end
  print(tables({ "op", "output", "forward [ms]", "backward [ms]", "GFLOP/s", "backward" }, rows,
    { title = ("%s: %.2f ms a step"):format(name, 1e3 * step),
      align = { "left", "left", "right", "right", "right", "right" } }))
end

function command.run(given, operands)
  local precision = given.precision or "f32"
  if precision ~= "f32" and precision ~= "bf16" then
    options.fail(command, "--precision must be f32 or bf16, not '%s'", precision)
  end
  local o = { batch = number(given, "batch", 1, true), precision = precision,
    seconds = number(given, "seconds", 0) }
  local threads = number(given, "threads", 1, true)
  if threads then require("edgeai").threads(threads) end
  if given.profile then
    if #operands == 0 then options.fail(command, "--profile needs the name of a benchmark") end
    for _, name in ipairs(operands) do profile(name, o) end
    return 0
  end
  run_all(#operands > 0 and operands or require("edgeai.bench").names, o, given.json)
  return 0
end

return command
