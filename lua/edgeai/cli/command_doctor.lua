-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai doctor - looks at this installation and says what is wrong, slow or missing. See
-- edgeai.doctor.

local options = require "edgeai.cli.options"

local command = {
  usage = "doctor",
  summary = "test every kernel; say what is wrong, slow or missing here, and what to type",
  help = "Exit code 1 if a kernel gives wrong numbers or a data set is damaged.",
  options = {
    { "--verbose", nil, "the largest error of every op" },
    { "--json", nil, "one JSON object" },
  },
}

-- JSON knows no infinity.
local function finite(value)
  if type(value) == "table" then
    for key, item in pairs(value) do value[key] = finite(item) end
  elseif value == math.huge then
    return "inf"
  end
  return value
end

local function print_ops(results)
  local rows = {}
  for i, r in ipairs(results) do
    rows[i] = { r.op, r.engine or "", r.dtype, tostring(r.comparisons), ("%.1e"):format(r.error),
      r.ok and "" or "FAILED", r.error > 0 and r.worst or "" }
  end
  print(require("edgeai.table")({ "op", "engine", "type", "comparisons", "error", "", "where" },
    rows, { align = { "left", "left", "left", "right", "right", "left", "left" } }))
end

local function print_report(report)
  local counts = { failed = 0, slow = 0, missing = 0 }
  local width = 0
  for _, f in ipairs(report.findings) do width = math.max(width, #f.about) end
  local line = ("%%-7s  %%-%ds  %%s"):format(width)
  print(("edgeai %s, %s, %s"):format(report.edgeai, report.luajit, report.os))
  for _, f in ipairs(report.findings) do
    counts[f.level] = (counts[f.level] or 0) + 1
    print(line:format(f.level == "failed" and "FAILED" or f.level, f.about, f.says))
    if f.try then print(line:format("", "", "try: " .. f.try)) end
  end
  print(("%d failed, %d slow, %d missing"):format(counts.failed, counts.slow, counts.missing))
end

function command.run(given, operands)
  if #operands > 0 then
    options.fail(command, "doctor takes no arguments, not '%s'", operands[1])
  end
  require("edgeai.cli.host").catch_signals()
  local report = require("edgeai.doctor").examine()
  if given.json then
    print(require("edgeai.json").encode(finite(report), { sort = true, pretty = true }))
  else
    if given.verbose then print_ops(report.selftest) end
    print_report(report)
  end
  return report.ok and 0 or 1
end

return command
