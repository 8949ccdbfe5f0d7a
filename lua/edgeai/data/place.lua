-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.place - where data sets are looked for, and what lies there.
--
-- Looked for in this order: $EDGEAI_DATA, the user's cache (${XDG_CACHE_HOME:-~/.cache}/edgeai),
-- /usr/share/datasets (Debian's data set packages).

local text = require "edgeai.text"

local place = {}

local function variable(name)
  local value = os.getenv(name)
  return value and value ~= "" and value:gsub("(.)/+$", "%1") or nil
end

--- The user's cache folder.
function place.cache()
  local base = variable "XDG_CACHE_HOME" or (variable "HOME" or "/root") .. "/.cache"
  return base .. "/edgeai"
end

--- The folders to look in, best first. `root`: this one alone.
function place.roots(root)
  if root then return { root } end
  local roots = { place.cache(), "/usr/share/datasets" }
  if variable "EDGEAI_DATA" then table.insert(roots, 1, variable "EDGEAI_DATA") end
  return roots
end

--- The folder that fetch writes to.
function place.home() return place.roots()[1] end

--- Bytes of a file, or nil if it cannot be read.
function place.bytes(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local bytes = file:read(0) ~= nil and file:seek "end" or (file:seek "end" == 0 and 0 or nil)
  file:close()
  return bytes
end

--- Where `source` lies: its folder, "ready"; or a sentence of what is wrong, "damaged" (a file
-- lacks or has the wrong size where others are) or "missing" (nothing is there).
function place.find(source, root)
  local damage
  for _, folder in ipairs(place.roots(root)) do
    local dir, there, wrong = folder .. "/" .. source.folder, 0, nil
    for _, file in ipairs(source.files) do
      local path = dir .. "/" .. file.name
      local bytes = place.bytes(path)
      if bytes then there = there + 1 end
      if not bytes then
        wrong = wrong or ("there is no %s"):format(path)
      elseif file.bytes and bytes ~= file.bytes then
        wrong = wrong or ("%s has %d bytes instead of %d: it is truncated or another file")
          :format(path, bytes, file.bytes)
      end
    end
    if not wrong then return dir, "ready" end
    if there > 0 then damage = damage or wrong end
  end
  if damage then
    return ("%s: %s; %s"):format(source.name, damage, place.remedy(source)), "damaged"
  end
  return place.missing(source, root), "missing"
end

--- How to get the data: the command, and by hand.
function place.remedy(source)
  if not source.url then return "put the right files there" end
  return ("`edgeai data fetch %s` gets it again"):format(source.name)
end

--- The sentence for data that are nowhere.
function place.missing(source, root)
  local files = {}
  for _, file in ipairs(source.files) do files[#files + 1] = file.name end
  local home = root or place.home()
  local fetch = source.url and ("`edgeai data fetch %s` downloads it%s, or "):format(source.name,
    source.megabytes and (" (%d MB)"):format(source.megabytes) or "") or ""
  local sentence = ("%s: there is no %s/%s in %s; %sput the files %s into %s/%s%s"):format(
    source.name, source.folder, files[1], text.list(place.roots(root)), fetch,
    text.list(files, "and"), home, source.folder, source.url and ", from " .. source.url or "")
  if source.debian then
    sentence = sentence .. (", or install Debian's package %s"):format(source.debian)
  end
  return sentence
end

return place
