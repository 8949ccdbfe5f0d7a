-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.cli.setup - what a command does to the Lua state before a user's code runs in it.

local setup = {}

--- Modules are looked for beside the script (in these folders), in $EDGEAI_PATH, then where Lua is
-- installed; never in the current folder by accident.
function setup.paths(...)
  local places = {}
  local function add(place)
    if place ~= "" then places[#places + 1] = place .. "/?.lua;" .. place .. "/?/init.lua" end
  end
  for _, folder in ipairs { ... } do add(folder) end
  for place in (os.getenv("EDGEAI_PATH") or ""):gmatch("[^:]+") do add(place) end
  places[#places + 1] = package.path:gsub("^%./%?%.lua;", "")
  package.path = table.concat(places, ";")
  package.cpath = package.cpath:gsub("^%./%?%.so;", "")
end

--- Makes `ea` a global. It loads at its first use: `print(1)` need not wait for it.
function setup.globals()
  local meta = getmetatable(_G) or {}
  meta.__index = function(_, name)
    if name == "ea" then
      meta.__index = nil
      rawset(_G, "ea", require "edgeai")
      return rawget(_G, "ea")
    end
  end
  setmetatable(_G, meta)
end

function setup.threads(n)
  if n then
    local F = require "edgeai.ffi"
    F.check(F.C.ea_set_threads(n))
  end
end

return setup
