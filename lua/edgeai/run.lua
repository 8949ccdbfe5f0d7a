-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.run - the folder of one run of an experiment: what went in, what came out.
--
--   local run = ea.run.open("nonn2s", cfg)       -- runs/nonn2s/20261123-065012/, or --out DIR
--   run:log { step = 10, loss = 1.2, val = { accuracy = 71.2 } }   -- metrics.jsonl, metrics.csv
--   run:summary { teacher = { accuracy = 93.1 } }                  -- summary.json
--   ea.io.save(run:path("teacher.safetensors"), ...)
--
-- Files: config.json (every option by its dotted key), env.json (machine, versions, git revision),
-- script.lua (a copy), metrics.jsonl (one record a line, written at once), metrics.csv (the same as
-- a table), summary.json. runs/NAME/latest points at the newest run. In records and summaries
-- nested tables become dotted keys ("val.accuracy"), items of lists of tables "students[1].params".
--
-- With --resume, `open` goes on in the latest (or the given) folder: run.resumed is true, and
-- run:rewind(step) drops the records beyond the step from which the experiment goes on. Nothing is
-- written before the first new result: a --resume that is refused leaves the folder as it was.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local json = require "edgeai.json"
local machine = require "edgeai.machine"
local session = require "edgeai.session"
local text = require "edgeai.text"

local run = {}
local object = {}
object.__index = object

local FILE = 1 -- what ea_file_exists says

local function write_file(path, data)
  F.check(F.C.ea_file_write(path, data, #data))
end

local function read_file(path)
  local file, message = io.open(path, "rb")
  if not file then F.raise("cannot read %s", message) end
  local data = file:read("*a")
  file:close()
  return data
end

local function script_name()
  local stem = session.script and session.script:match("([^/]*)$"):gsub("%.lua$", "")
  return stem and stem ~= "" and stem ~= "-" and stem or "run"
end

--- The folder that --resume means, or nil without --resume. Raises if there is no run in it.
function run.resume_folder(name)
  if not session.resume then return nil end
  local folder = session.resume
  if folder == true then
    folder = session.out or ("runs/%s/latest"):format(name or script_name())
  end
  if F.C.ea_file_exists(folder .. "/config.json") ~= FILE then
    session.fail_usage("run --help", "--resume: there is no run in %s (no config.json); start one "
      .. "without --resume, or name its folder: --resume DIR", folder)
  end
  return folder
end

--- The options that a run folder's config.json holds: dotted key -> value.
function run.read_config(folder)
  local path = folder .. "/config.json"
  local ok, stored = pcall(json.decode, read_file(path))
  if not ok or type(stored) ~= "table" or stored == json.null then
    F.raise("%s does not hold the options of a run", path)
  end
  return stored
end

-- JSON knows no nan and no infinity.
local function plain(value)
  if type(value) == "number" and (value ~= value or math.abs(value) == math.huge) then
    return tostring(value)
  end
  return value
end

--- Nested tables to one level of dotted keys; lists of plain values stay lists.
function run.flatten(record)
  local flat = {}
  local function walk(node, prefix)
    for key, value in pairs(node) do
      local name = type(key) == "number" and ("%s[%d]"):format(prefix, key)
        or (prefix == "" and key or prefix .. "." .. key)
      if type(value) == "table" and not (#value > 0 and type(value[1]) ~= "table") then
        walk(value, name)
      elseif type(value) == "table" then
        local list = {}
        for i, item in ipairs(value) do list[i] = plain(item) end
        flat[name] = list
      else
        flat[name] = plain(value)
      end
    end
  end
  walk(record, "")
  return flat
end

-- ---- the machine --------------------------------------------------------------------------------

local function git_revision(folder)
  local describe = "describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null"
  local pipe = io.popen(("git -C %s %s"):format(text.shell(folder), describe))
  local revision = pipe and pipe:read("*l")
  if pipe then pipe:close() end
  return revision ~= "" and revision or nil
end

--- What env.json holds.
function run.environment(cfg)
  local model, flags = machine.processor()
  local folder = session.script and session.script:match("^(.*)/[^/]*$") or "."
  return {
    date = os.date("!%Y-%m-%dT%H:%M:%SZ"),
    cpu = model,
    cpu_flags = flags,
    bf16_in_hardware = F.C.ea_cpu_has_bf16() ~= 0,
    blas_core = ffi.string(F.C.ea_blas_core()),
    conv_engine = ffi.string(F.C.ea_conv_engine()),
    edgeai = ffi.string(F.C.ea_version()),
    luajit = jit.version,
    os = jit.os .. " " .. jit.arch,
    threads = F.C.ea_threads(),
    precision = cfg and cfg.precision or session.precision or "f32",
    git_revision = git_revision(folder),
  }
end

-- ---- opening ------------------------------------------------------------------------------------

local function new_folder(name)
  if session.out then
    if F.C.ea_file_exists(session.out .. "/config.json") == FILE then
      session.fail_usage("run --help", "--out %s: a run is already there; go on with it by "
        .. "--resume, or name another folder", session.out)
    end
    F.check(F.C.ea_make_folder(session.out))
    return session.out
  end
  local base = "runs/" .. name
  local stamp = os.date("%Y%m%d-%H%M%S")
  local folder, n = stamp, 1
  while F.C.ea_file_exists(base .. "/" .. folder) ~= 0 do
    n = n + 1
    folder = ("%s-%d"):format(stamp, n)
  end
  local dir = base .. "/" .. folder
  F.check(F.C.ea_make_folder(dir))
  -- The new link takes the old one's place at once.
  local link = text.shell(dir .. "/.latest.0-0.tmp")
  local status = os.execute(("ln -s %s %s 2>/dev/null && mv -fT %s %s 2>/dev/null"):format(
    text.shell(folder), link, link, text.shell(base .. "/latest")))
  if status ~= 0 then
    F.raise("cannot make %s/latest point at the new run: is the disk full, or is it no link?", base)
  end
  return dir
end

-- What a killed process left of files it was writing, ".NAME.PID-K.tmp" (core/base/file.c), if NAME
-- matches the pattern.
local function remove_leftovers(folder, pattern)
  local out = ffi.new("char *[1]")
  F.check(F.C.ea_list_folder(folder, out))
  local names = ffi.string(out[0])
  F.C.ea_buffer_free(out[0])
  for name in names:gmatch("[^\n]+") do
    if name:find("^%." .. pattern .. "%.%d+%-%d+%.tmp$") then os.remove(folder .. "/" .. name) end
  end
end

local function to_json(value) return json.encode(value, { pretty = true, sort = true }) .. "\n" end

--- Opens a run folder. name: of the experiment (default: the script's); cfg: what ea.config gave.
function run.open(name, cfg)
  if type(name) == "table" then name, cfg = nil, name end
  name, cfg = name or script_name(), cfg or {}
  if not name:find("^[%w_%-%.]+$") or name:find("^%.") then
    F.raise("ea.run.open: a name is made of letters, digits, - _ and ., not `%s`", name)
  end
  local resumed = run.resume_folder(name)
  local flat = require("edgeai.config").flat(cfg)
  local about = { ["config.json"] = to_json(next(flat) and flat or { name = name }),
    ["env.json"] = to_json(run.environment(cfg)) }
  if session.script and F.C.ea_file_exists(session.script) == FILE then
    about["script.lua"] = read_file(session.script)
  end
  local self = setmetatable({ name = name, dir = resumed or new_folder(name), about = about,
    resumed = resumed ~= nil, columns = {}, known = {} }, object)
  session.run = self.dir
  if resumed then self:rewind(math.huge) else self:commit() end
  return self
end

--- The path of a file in the run's folder; "plots/x.png" makes the folder plots.
function object:path(file)
  local folder = file:match("^(.*)/[^/]*$")
  if folder then F.check(F.C.ea_make_folder(self.dir .. "/" .. folder)) end
  return self.dir .. "/" .. file
end

--- A line about what is going on, on stderr; nothing with --quiet.
function object:note(format, ...) -- luacheck: no self
  if session.quiet then return end
  io.stderr:write(select("#", ...) > 0 and format:format(...) or format, "\n")
end

--- Writes what the folder says about the run (config.json, env.json, script.lua), once. A resumed
-- run does so when its first result comes: what it goes on with has been checked by then. All that
-- writes a result calls it.
function object:commit()
  local about = self.about
  if not about then return end
  self.about = nil
  -- A run killed before its first file was whole is begun anew in the same folder.
  remove_leftovers(self.dir, self.resumed and ".+" or "config%.json")
  for name, data in pairs(about) do write_file(self:path(name), data) end
  if self.resumed then self:write_records(self:read_records()) end -- whole lines only
end

-- ---- metrics ------------------------------------------------------------------------------------

local function append(self, file, line)
  local handle = self[file]
  if not handle then
    local message
    handle, message = io.open(self:path(file), "a")
    if not handle then F.raise("cannot write %s", message) end
    self[file] = handle
  end
  local ok, message = handle:write(line, "\n")
  if ok then ok, message = handle:flush() end
  if not ok then F.raise("cannot write %s: %s", self:path(file), message) end
end

local function csv_cell(value)
  if value == nil then return "" end
  if type(value) == "table" then value = table.concat(value, " ") end
  value = type(value) == "number" and ("%.9g"):format(value) or tostring(value)
  if value:find('[",\n]') then value = '"' .. value:gsub('"', '""') .. '"' end
  return value
end

local function csv_line(columns, record)
  local cells = {}
  for i, column in ipairs(columns) do cells[i] = csv_cell(record[column]) end
  return table.concat(cells, ",")
end

local leading = { step = 1, epoch = 2 }

-- Takes up new columns: step and epoch first, then by name in the order of appearance.
local function add_columns(self, record)
  local fresh = {}
  for key in pairs(record) do
    if not self.known[key] then fresh[#fresh + 1] = key end
  end
  table.sort(fresh, function(a, b)
    local x, y = leading[a] or 9, leading[b] or 9
    if x ~= y then return x < y end
    return a < b
  end)
  for _, key in ipairs(fresh) do
    self.known[key] = true
    self.columns[#self.columns + 1] = key
  end
  return #fresh > 0
end

local function close(self, file)
  if self[file] then self[file]:close() end
  self[file] = nil
end

--- The whole list of records, without a last line that a crash cut off.
function object:read_records()
  local records = {}
  local path = self:path("metrics.jsonl")
  if F.C.ea_file_exists(path) ~= FILE then return records end
  for line in read_file(path):gmatch("[^\n]+") do
    local ok, record = pcall(json.decode, line)
    if ok and type(record) == "table" then records[#records + 1] = run.flatten(record) end
  end
  return records
end

local function write_csv(self, records)
  close(self, "metrics.csv")
  local lines = { table.concat(self.columns, ",") }
  for i, record in ipairs(records) do lines[i + 1] = csv_line(self.columns, record) end
  write_file(self:path("metrics.csv"), table.concat(lines, "\n") .. "\n")
end

--- Appends a record to metrics.jsonl and metrics.csv; it is on the disk when this returns.
function object:log(record)
  self:commit()
  local flat = run.flatten(record)
  append(self, "metrics.jsonl", json.encode(flat, { sort = true }))
  if add_columns(self, flat) then
    write_csv(self, self:read_records())
  else
    append(self, "metrics.csv", csv_line(self.columns, flat))
  end
end

--- Writes the list of records in the place of all that are there.
function object:write_records(records)
  close(self, "metrics.jsonl")
  local lines = {}
  self.columns, self.known = {}, {}
  for i, record in ipairs(records) do
    lines[i] = json.encode(record, { sort = true }) .. "\n"
    add_columns(self, record)
  end
  if F.C.ea_file_exists(self:path("metrics.jsonl")) ~= FILE then return end
  write_file(self:path("metrics.jsonl"), table.concat(lines))
  write_csv(self, records)
end

--- Drops the records whose `key` (step) is beyond `last`: they will be made again.
function object:rewind(last, key)
  key = key or "step"
  local records, kept = self:read_records(), {}
  for _, record in ipairs(records) do
    if type(record[key]) ~= "number" or record[key] <= last then
      kept[#kept + 1] = record
      add_columns(self, record)
    end
  end
  if #kept == #records then return end
  self:commit()
  self:write_records(kept)
end

--- Adds results to summary.json, which is written whole, unless they are there already. Returns all
-- of them, flat.
function object:summary(results)
  local path = self:path("summary.json")
  local before = self.resumed and F.C.ea_file_exists(path) == FILE and read_file(path)
  if not self.results then
    local ok, stored = pcall(json.decode, before or "{}")
    if not ok or type(stored) ~= "table" or stored == json.null then
      F.raise("%s does not hold the results of a run; remove it, and go on", path)
    end
    self.results = stored
  end
  for key, value in pairs(run.flatten(results)) do self.results[key] = value end
  local now = to_json(self.results)
  if now ~= before then
    self:commit()
    write_file(path, now)
  end
  return self.results
end

return run
