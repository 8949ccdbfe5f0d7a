-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.repl.history - what was typed, kept from one session to the next in
-- $XDG_STATE_HOME/edgeai/history: an entry of several lines stays one, the same is kept once.
--
-- The file: one entry after the other, its second and further lines behind a tab. Entries are added
-- when they are typed, so that sessions side by side lose nothing.

local F = require "edgeai.ffi"

local history = { most = 5000 }

--- Where it is kept; nil if there can be no such folder.
function history.path()
  local state = os.getenv("XDG_STATE_HOME")
  if not state or state == "" then state = (os.getenv("HOME") or "/tmp") .. "/.local/state" end
  if F.C.ea_make_folder(state .. "/edgeai") < 0 then return nil end
  return state .. "/edgeai/history"
end

--- An entry as it stands in the file.
function history.encode(entry)
  return entry:gsub("^%s+", ""):gsub("%s+$", ""):gsub("\n", "\n\t") .. "\n"
end

--- The entries in a text, oldest first; of equal ones the last. Second result: how many there were.
function history.decode(text)
  local all = {}
  for line in text:gmatch("[^\n]+") do
    local more = line:match("^\t(.*)$")
    if more and #all > 0 then all[#all] = all[#all] .. "\n" .. more
    elseif not line:find("^%s*$") then all[#all + 1] = line end
  end
  local seen, list = {}, {}
  for i = #all, math.max(1, #all - 4 * history.most), -1 do
    if not seen[all[i]] and #list < history.most then
      seen[all[i]] = true
      table.insert(list, all[i])
    end
  end
  local first = {}
  for i = #list, 1, -1 do first[#first + 1] = list[i] end
  return first, #all
end

--- The entries in a file; one that has grown far too long is written anew.
function history.load(path, append)
  local file = io.open(path, "rb")
  if not file then return {} end
  local list, count = history.decode(file:read("*a"))
  file:close()
  if count > 2 * history.most then
    local lines = {}
    for i, entry in ipairs(list) do lines[i] = history.encode(entry) end
    local new = ("%s.%s"):format(path, tostring(F.C.ea_clock()):gsub("%D", ""))
    if not (append(new, table.concat(lines)) and os.rename(new, path)) then os.remove(new) end
  end
  return list
end

return history
