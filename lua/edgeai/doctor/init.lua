-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.doctor - looks at this installation: the machine, the libraries, every kernel, data sets,
-- programs, environment variables. `edgeai doctor` prints what it finds.
--
-- A finding is { level, about, says, try }: level is "ok", "note", "slow", "missing" or "failed";
-- try, where there is something to be done, a command or what to change.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local machine = require "edgeai.machine"
local text = require "edgeai.text"

local C = F.C
local doctor = {}

local function has(flags, wanted)
  for _, flag in ipairs(flags) do
    if flag == wanted then return true end
  end
  return false
end

-- ---- the machine and the libraries -------------------------------------------------------------

-- What each set of vector instructions is called by /proc/cpuinfo, narrow to wide.
local vectors = { "sse2", "avx2", "avx512f", "avx512_bf16" }

local function check_processor(report, add)
  local cpu = report.cpu
  add("ok", "processor", ("%s, %s"):format(cpu.model, text.count(cpu.processors, "processor")))
  add("ok", "instructions", #cpu.flags > 0 and table.concat(cpu.flags, " ") or "none that matter")
  if cpu.processors < cpu.all then
    add("note", "processors", ("this process may use %d of %d"):format(cpu.processors, cpu.all))
  end
  if cpu.load and cpu.load > cpu.processors then
    add("slow", "load", ("%.1f programs want to run at once on %s: everything takes longer, and "
      .. "times mean little"):format(cpu.load, text.count(cpu.processors, "processor")))
  end
  local built, best = report.built_for, nil
  for k, name in ipairs(vectors) do
    if name == built then best = k end
    if best and k > best and has(cpu.flags, name) then best = k end
  end
  if best and vectors[best] ~= built then
    add("slow", "built for", ("%s, and the processor has %s"):format(built, vectors[best]),
      "make clean && make ARCH=native")
  else
    add("ok", "built for", built ~= "" and built or "no vector instructions")
  end
end

-- OpenBLAS's kernel sets that use the widest vectors of x86 processors.
local wide_cores = { skylakex = 512, cooperlake = 512, sapphirerapids = 512, haswell = 256,
  zen = 256, excavator = 256 }

local function check_libraries(report, add)
  local width = has(report.cpu.flags, "avx512f") and 512 or has(report.cpu.flags, "avx2") and 256
  if width and (wide_cores[report.blas_core:lower()] or 128) < width then
    add("slow", "OpenBLAS", ("kernels for %s, and the processor has %s"):format(report.blas_core,
      width == 512 and "AVX-512" or "AVX2"),
      os.getenv "OPENBLAS_CORETYPE" and "unset OPENBLAS_CORETYPE"
      or width == 512 and "OPENBLAS_CORETYPE=SkylakeX" or "OPENBLAS_CORETYPE=Haswell")
  else
    add("ok", "OpenBLAS", "kernels for " .. report.blas_core)
  end
  if not report.conv_engine:match "^oneDNN" then
    local built_in = #report.engines > 1 and report.engines[1][1] == "oneDNN"
    add("slow", "convolutions", report.conv_engine .. ", through OpenBLAS: oneDNN is "
      .. (built_in and "switched off" or "not built in"),
      built_in and "unset EDGEAI_CONV" or "apt install libdnnl-dev, then make clean && make")
  else
    add("ok", "convolutions", report.conv_engine)
  end
  if report.bf16_in_hardware then
    add("ok", "bf16", "in hardware: --precision bf16 saves time and memory")
  else
    add("note", "bf16", "emulated: --precision bf16 saves memory, not time")
  end
end

local function check_memory(report, add)
  local pages = machine.read("/sys/kernel/mm/transparent_hugepage/enabled") or ""
  if pages:find("[never]", 1, true) then
    add("slow", "huge pages", "are switched off: large tensors cost more time",
      "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled")
  end
  local memory = report.memory
  if memory then
    local level = memory.available < 1e9 and "slow" or "ok"
    add(level, "memory", ("%.1f GB, of which %.1f GB are free"):format(memory.total / 1e9,
      memory.available / 1e9))
  end
  add("ok", "threads", ("%d%s"):format(report.threads, report.threads < report.cpu.processors
    and (": --threads %d uses all processors, for the same bytes"):format(report.cpu.processors)
    or ""))
end

-- ---- the kernels -------------------------------------------------------------------------------

local function failure_of(r)
  if r.error == math.huge then return tostring(r.worst) end
  return ("%s is off by %.2g of the largest number; at most %.0e is allowed"):format(r.worst,
    r.error, r.limit)
end

local function remedy_of(r)
  if r.engine and r.engine ~= "portable" then return "EDGEAI_CONV=portable, until it is mended" end
  if r.op == "linear" or r.op == "matmul" or r.engine then
    return "OPENBLAS_CORETYPE=Haswell, or another version of OpenBLAS"
  end
  return "make clean && make test"
end

--- One line for all ops of a type, and one for each that failed.
local function check_kernels(report, add)
  local sums = {}
  for _, r in ipairs(report.selftest) do
    local sum = sums[r.dtype]
    if not sum then
      sum = { dtype = r.dtype, ops = 0, comparisons = 0, error = 0 }
      sums[r.dtype], sums[#sums + 1] = sum, sum
    end
    sum.ops, sum.comparisons = sum.ops + 1, sum.comparisons + r.comparisons
    local name = r.op .. (r.engine and (" (%s)"):format(r.engine) or "")
    if not r.ok then
      report.ok, sum.failed = false, true
      add("failed", r.op == "threads" and "same bytes" or ("%s %s"):format(r.dtype, name),
        r.op == "threads" and "another number of threads gives other bytes: " .. tostring(r.worst)
        or failure_of(r), remedy_of(r))
    elseif r.error >= sum.error then
      sum.error, sum.where = r.error, name
    end
  end
  for _, sum in ipairs(sums) do
    if sum.dtype == "f32" or sum.dtype == "bf16" then
      add(sum.failed and "note" or "ok", sum.dtype .. " kernels", ("%d ops, %d comparisons with "
        .. "the slow reference; largest error%s %.1e, %s"):format(sum.ops, sum.comparisons,
        sum.failed and " of the others" or "", sum.error, tostring(sum.where)))
    elseif not sum.failed then
      add("ok", "same bytes", ("for 1 and %d threads in %d comparisons"):format(report.several,
        sum.comparisons))
    end
  end
end

-- ---- data, programs, variables -----------------------------------------------------------------

local function check_data(report, add)
  for _, set in ipairs(report.data) do
    local level = ({ ready = "ok", damaged = "failed" })[set.state] or "missing"
    if level == "failed" then report.ok = false end
    add(level, set.name, level == "ok" and "data set in " .. set.where
      or level == "failed" and set.problem or "data set that is not here",
      level ~= "ok" and "edgeai data fetch " .. set.name or nil)
  end
end

-- name, what without it, Debian package
local programs = {
  { "gnuplot", "ea.plot and ea.draw give no pictures", "gnuplot-nox" },
  { "curl", "`edgeai data fetch` cannot download", "curl" },
  { "git", "env.json of a run does not say the git revision", "git" },
}

local function check_programs(report, add)
  for _, p in ipairs(programs) do
    local path = machine.program(p[1])
    report.programs[p[1]] = path
    add(path and "ok" or "missing", p[1], path or "without it " .. p[2],
      not path and "apt install " .. p[3] or nil)
  end
end

local pictures = { kitty = "pictures by kitty's protocol", iterm2 = "pictures by iTerm2's protocol",
  sixel = "pictures by sixels", blocks = "pictures as half blocks",
  none = "standard output is no terminal, or one without pictures" }

local function check_surroundings(report, add)
  report.terminal = require("edgeai.show.terminal").mode()
  local says, locale = pictures[report.terminal], ""
  for _, name in ipairs { "LC_ALL", "LC_CTYPE", "LANG" } do
    locale = locale .. (os.getenv(name) or "")
  end
  local ascii = C.ea_isatty(1) ~= 0 and not locale:upper():find("UTF%-?8")
  if ascii then says = says .. "; tables in ASCII: the locale is not UTF-8" end
  add(ascii and "note" or "ok", "terminal", says, ascii and "export LC_ALL=C.UTF-8" or nil)
  report.environment = require("edgeai.doctor.environment").list()
  for _, variable in ipairs(report.environment) do
    add(variable.level, variable.name, ("%s: %s"):format(variable.value, variable.says),
      variable.level == "slow" and "unset " .. variable.name or nil)
  end
end

-- ---- all of it ---------------------------------------------------------------------------------

local function memory_of_machine()
  local info = machine.read("/proc/meminfo") or ""
  local total, free = info:match("MemTotal:%s*(%d+)"), info:match("MemAvailable:%s*(%d+)")
  return total and free and { total = total * 1024, available = free * 1024 } or nil
end

--- Examines everything, in about a second. Returns a table: ok (false where a kernel gives wrong
-- numbers or a data set is damaged), findings (a list, see above), and what they rest on: edgeai,
-- luajit, cpu, memory, built_for, blas_core, conv_engine, engines, bf16_in_hardware, threads,
-- selftest (see edgeai.doctor.selftest), data, programs, terminal, environment.
function doctor.examine()
  local selftest = require "edgeai.doctor.selftest"
  local model, flags = machine.processor()
  local processors, all = machine.processors()
  local load = (machine.read("/proc/loadavg") or ""):match("^%S+")
  local report = {
    ok = true, findings = {}, programs = {},
    edgeai = ffi.string(C.ea_version()), luajit = jit.version, os = jit.os .. " " .. jit.arch,
    cpu = { model = model, flags = flags, processors = processors, all = all,
      load = tonumber(load) },
    memory = memory_of_machine(),
    built_for = ffi.string(C.ea_cpu_built_for()),
    blas_core = ffi.string(C.ea_blas_core()),
    conv_engine = ffi.string(C.ea_conv_engine()),
    engines = selftest.engines(),
    bf16_in_hardware = C.ea_cpu_has_bf16() ~= 0,
    threads = C.ea_threads(),
    several = math.max(2, processors),
    data = require("edgeai.data").list(),
  }
  report.selftest = selftest.run(report.several)
  local function add(level, about, says, try)
    table.insert(report.findings, { level = level, about = about, says = says, try = try })
  end
  for _, check in ipairs { check_processor, check_libraries, check_memory, check_kernels,
    check_data, check_programs, check_surroundings } do
    check(report, add)
  end
  return report
end

return doctor
