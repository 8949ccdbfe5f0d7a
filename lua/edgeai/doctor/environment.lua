-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.doctor.environment - the environment variables that change what edgeai does or how fast
-- it is, and what each of those that are set means here.

local machine = require "edgeai.machine"
local text = require "edgeai.text"

local environment = {}

local IGNORED = { "note", "is ignored: --threads says how many threads there are" }
local BINDS = { "slow", "ties all threads to the processors of the first one" }
local LIMITS = { "slow", "keeps oneDNN from instructions that the processor may have" }
local PRINTS = { "slow", "makes oneDNN print each of its calls on standard output" }

-- name -> level and meaning, or a function of the value that gives them.
local known = {
  EDGEAI_CONV = function(value)
    if value == "portable" then return "slow", "computes convolutions without oneDNN" end
    if value == "onednn" then return "slow", "computes convolutions without our own kernels" end
    return "note", "means nothing: only `portable` and `onednn` do"
  end,
  EDGEAI_DATA = { "ok", "is looked in first for data sets" },
  EDGEAI_LUA = { "note", "replaces the program's own Lua files by those of this folder" },
  EDGEAI_PATH = { "ok", "is looked in for Lua modules" },
  EDGEAI_PLUGINS = { "ok", "is looked in for plugins" },
  EDGEAI_ZOO = { "ok", "is looked in first for networks" },
  OPENBLAS_CORETYPE = { "note",
    "chooses OpenBLAS's kernels: results differ in their last digits, wrong kernels are slow" },
  OPENBLAS_NUM_THREADS = IGNORED, GOTO_NUM_THREADS = IGNORED, OMP_NUM_THREADS = IGNORED,
  OPENBLAS_VERBOSE = { "ok", "makes OpenBLAS say which kernels it chose" },
  OMP_PROC_BIND = BINDS, OMP_PLACES = BINDS, GOMP_CPU_AFFINITY = BINDS,
  DNNL_MAX_CPU_ISA = LIMITS, ONEDNN_MAX_CPU_ISA = LIMITS,
  DNNL_VERBOSE = PRINTS, ONEDNN_VERBOSE = PRINTS,
  DNNL_JIT_DUMP = { "slow", "makes oneDNN write its kernels into files" },
  MALLOC_CHECK_ = { "slow", "makes the C library check its memory" },
  MALLOC_PERTURB_ = { "slow", "makes the C library overwrite freed memory" },
  LD_PRELOAD = { "note", "puts a library before all others" },
}

local families = { "^EDGEAI_", "^OPENBLAS_", "^GOTO_", "^OMP_", "^GOMP_", "^DNNL_", "^ONEDNN_" }

local function meaning(name, value)
  local entry = known[name]
  if type(entry) == "function" then return entry(value) end
  if name:find("_VERBOSE$") and (value == "0" or value == "") then return "ok", "is off" end
  if (name == "OMP_PROC_BIND") and value:lower() == "false" then return "ok", "is off" end
  if entry then return entry[1], entry[2] end
  if name:find("^EDGEAI_") then
    return "note", "is not read by edgeai" .. text.suggest(name, known)
  end
  return "note", "is not known to matter here"
end

--- Those that are set: a list of { name, value, level, says }; level: "ok", "note" or "slow".
function environment.list()
  local found = {}
  for line in machine.output("env"):gmatch("[^\n]+") do
    local name, value = line:match("^([%w_]+)=(.*)$")
    local matters = name and known[name]
    for _, family in ipairs(name and families or {}) do
      matters = matters or name:find(family)
    end
    if matters then
      local level, says = meaning(name, value)
      found[#found + 1] = { name = name, value = value, level = level, says = says }
    end
  end
  table.sort(found, function(a, b) return a.name < b.name end)
  return found
end

return environment
