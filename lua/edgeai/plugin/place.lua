-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.plugin.place - where plugins are looked for, and whether what lies there is the user's.
--
-- In this order: plugins/ beside the running script, ./plugins, the folders in $EDGEAI_PLUGINS
-- (joined by colons), ${XDG_DATA_HOME:-~/.local/share}/edgeai/plugins, and share/edgeai/plugins of
-- the installation. A plugin is a folder NAME with an init.lua. The first of a name wins.
--
-- A plugin is a program. So those of the working folder are taken only if nobody else can have put
-- them there: the plugin, its place and the folder that holds that belong to the user or to root
-- and are not open to everybody. What is named in $EDGEAI_PLUGINS is trusted. The plugin's folder
-- may be a link; the files in it may not lead out of it.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local session = require "edgeai.session"

local place = {}

local FILE, FOLDER = 1, 2

local text_out = ffi.new("char *[1]")

--- The text that C hands out by call(path, char **); nil if it cannot.
local function text_of(call, path)
  if call(path, text_out) < 0 then return nil end
  local text = ffi.string(text_out[0])
  F.C.ea_buffer_free(text_out[0])
  return text
end

--- The absolute path without links; nil if nothing is there.
function place.real(path) return text_of(F.C.ea_real_path, path) end

--- Where the last part of a path leads, if that is a link.
function place.link(path)
  local at, last = path:match("^(.*)/([^/]+)$")
  local real = place.real(path)
  if real and real ~= place.real(at == "" and "/" or at) .. "/" .. last then return real end
end

--- edgeai's folders of shared files: ${XDG_DATA_HOME:-~/.local/share}/edgeai, then
-- PREFIX/share/edgeai of the installed program and of these Lua files under plain luajit.
function place.shares()
  local data = os.getenv("XDG_DATA_HOME")
  if not data or data == "" then data = (os.getenv("HOME") or "") .. "/.local/share" end
  local list = { data .. "/edgeai" }
  for _, path in pairs { place.real("/proc/self/exe"),
    debug.getinfo(1, "S").source:match("^@(/.*)$") } do
    local prefix = path:match("^(.*)/share/lua/5%.1/") or path:match("^(.*)/[^/]+/[^/]+$")
    list[#list + 1] = prefix .. "/share/edgeai"
  end
  return list
end

--- The places: list of { path =, trusted = named by the user }.
function place.all()
  local list, seen = {}, {}
  local function add(path, trusted)
    local real = place.real(path)
    if not real or F.C.ea_file_exists(path) ~= FOLDER then return end
    if not seen[real] then
      seen[real] = { path = path }
      list[#list + 1] = seen[real]
    end
    seen[real].trusted = trusted or seen[real].trusted
  end
  local beside = session.script and session.script:match("^(.*)/[^/]*$")
  if beside then add(beside .. "/plugins") end
  add("plugins")
  for path in (os.getenv("EDGEAI_PLUGINS") or ""):gmatch("[^:]+") do add(path, true) end
  for _, share in ipairs(place.shares()) do add(share .. "/plugins") end
  return list
end

--- The plugins of a place: list of { name =, folder =, place =, trusted = }.
local function plugins_in(at, list)
  for name in (text_of(F.C.ea_list_folder, at.path) or ""):gmatch("([^\n]+)/%f[\n%z]") do
    if name:sub(1, 1) ~= "." then
      list[#list + 1] = { name = name, folder = at.path .. "/" .. name, place = at.path,
        trusted = at.trusted }
    end
  end
  return list
end

--- All plugins of all places, the first places' first, the hidden ones too.
function place.scan()
  local list = {}
  for _, at in ipairs(place.all()) do plugins_in(at, list) end
  return list
end

--- Is it a name that a plugin, and what it brings, may have?
function place.is_name(name)
  return type(name) == "string" and #name <= 63 and name:find("^%l[%l%d_]*$") ~= nil
end

local function foreign(path)
  local whose = F.C.ea_file_foreign(path)
  if whose <= 0 then return nil end
  if whose == 2 then
    return ("everybody may write to %s; `chmod o-w %s` makes it yours, or name the plugin's place "
      .. "in $EDGEAI_PLUGINS"):format(path, path)
  end
  return ("%s belongs to another user; copy the plugin, or name its place in $EDGEAI_PLUGINS if "
    .. "you trust it"):format(path)
end

--- What is wrong with a file of a plugin, as a sentence; nil: nothing.
function place.wrong(record, file)
  local path = record.folder .. "/" .. file
  if F.C.ea_file_exists(path) ~= FILE then return ("there is no %s"):format(path) end
  local real, folder = place.real(path), place.real(record.folder)
  if real ~= folder .. "/" .. file then
    return ("%s is a link to %s; the files of a plugin must lie in its folder"):format(path, real)
  end
  if record.trusted then return nil end
  local above = record.place:match("^(.*)/[^/]+$") or "."
  for _, part in ipairs { above == "" and "/" or above, record.place, record.folder, path } do
    local sentence = foreign(part)
    if sentence then return sentence end
  end
end

return place
