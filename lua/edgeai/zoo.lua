-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.zoo - trained networks by name. "zoo:NAME" is NAME.safetensors in $EDGEAI_ZOO, in zoo/ beside
-- the running script, in ./experiments/zoo, in ${XDG_DATA_HOME:-~/.local/share}/edgeai/zoo, or in
-- share/edgeai/zoo of the installation; anything else is a file. Each network has a card NAME.md
-- beside it: data, recipe, seed, command, accuracy.

local F = require "edgeai.ffi"
local session = require "edgeai.session"

local zoo = {}

local FILE = 1

local function folders()
  local list = {}
  if os.getenv("EDGEAI_ZOO") then list[1] = os.getenv("EDGEAI_ZOO") end
  if session.script then
    list[#list + 1] = (session.script:match("^(.*)/[^/]*$") or ".") .. "/zoo"
  end
  list[#list + 1] = "experiments/zoo"
  for _, share in ipairs(require("edgeai.plugin.place").shares()) do
    list[#list + 1] = share .. "/zoo"
  end
  return list
end

--- The file that `name` means.
function zoo.path(name)
  local short = name:match("^zoo:(.+)$")
  if not short then return name end
  if not short:find("^[%w_%-%.]+$") then F.raise("zoo: '%s' is not a network's name", short) end
  for _, folder in ipairs(folders()) do
    local path = ("%s/%s.safetensors"):format(folder, short)
    if F.C.ea_file_exists(path) == FILE then return path end
  end
  F.raise("zoo: there is no network '%s' in %s", short, table.concat(folders(), ", "))
end

--- The network of that name or file, in evaluation mode; net.meta is the file's metadata.
function zoo.load(name) return require("edgeai.nn").load(zoo.path(name)) end

return zoo
