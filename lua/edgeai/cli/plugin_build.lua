-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.cli.plugin_build - compiles the C file of a plugin with $CC (cc) and $CFLAGS against the
-- public headers that are inside the program, so always those of its version.

local F = require "edgeai.ffi"
local native = require "edgeai.plugin.native"
local place = require "edgeai.plugin.place"
local source = require "edgeai.source"
local text = require "edgeai.text"

local build = {}

local always = "-std=gnu11 -shared -fPIC -fvisibility=hidden -Wall -Wextra -ffp-contract=off "
  .. "-fno-math-errno"

local function variable(name, otherwise)
  local value = os.getenv(name)
  return value and value ~= "" and value or otherwise
end

--- The folder with the headers, in the user's cache.
local function headers()
  local files, all = require "edgeai.cli.headers", {}
  for _, name in ipairs(text.keys(files)) do all[#all + 1] = files[name] end
  local folder = ("%s/include-%s"):format(require("edgeai.data.place").cache(),
    native.hash(table.concat(all)))
  F.check(F.C.ea_make_folder(folder))
  for name, code in pairs(files) do
    local path = folder .. "/" .. name
    if source.read(path) ~= code then F.check(F.C.ea_file_write(path, code, #code)) end
  end
  return folder
end

--- Is the library there, built from this very C file? Looks into it without loading it.
function build.is_current(record)
  local c_file, library = native.files(record)
  local code, made = source.read(c_file), source.read(library)
  return code and made and made:find(native.hash(code), 1, true) ~= nil
end

--- Compiles; true, or false and a sentence. What the compiler says goes to stderr.
function build.compile(record)
  local c_file, library = native.files(record)
  local wrong = place.wrong(record, record.name .. ".c")
  if wrong then return false, wrong end
  local code, message = source.read(c_file)
  if not code then return false, message end
  local cc = variable("CC", "cc")
  local made = ("%s/.%s-%s.tmp"):format(record.folder, record.name,
    tostring({}):match("0x(%x+)") .. os.time())
  local status = os.execute(("%s %s %s -DEA_PLUGIN_SOURCE='\"%s\"' -I %s %s -o %s -lm"):format(cc,
    always, variable("CFLAGS", "-O3 -march=native"), native.hash(code), text.shell(headers()),
    text.shell(c_file), text.shell(made)))
  if status == 0 then
    status, message = os.rename(made, library)
    if status then return true end
    os.remove(made)
    return false, message
  end
  os.remove(made)
  if status == 127 * 256 then
    return false, ("there is no C compiler `%s`: install gcc, or say which in $CC"):format(cc)
  end
  return false, ("%s does not compile: the compiler's words are above"):format(c_file)
end

return build
