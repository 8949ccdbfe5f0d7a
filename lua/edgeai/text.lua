-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.text - words for messages: the nearest name, lists. Plain Lua, needs nothing.

local text = {}

--- Edit distance (insert, delete, replace, swap of neighbours: 1 each) of two short strings.
function text.distance(a, b)
  local before, last = nil, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + cost)
      if before and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
    before, last = last, row
  end
  return last[#b]
end

--- The name among `names` (a list, or the keys of a table) closest to `word`; nil if none is
-- close enough to be what was meant.
function text.nearest(word, names)
  local best, best_cost
  local function look(name)
    if type(name) ~= "string" then return end
    local cost = text.distance(word:lower(), name:lower())
    local at = #word >= 3 and name:lower():find(word:lower(), 1, true)
    if at then cost = math.min(cost, at == 1 and 0.5 or 1) end
    if not best or cost < best_cost or (cost == best_cost and name < best) then
      best, best_cost = name, cost
    end
  end
  if #names > 0 then
    for _, name in ipairs(names) do look(name) end
  else
    for name in pairs(names) do look(name) end
  end
  if best and best_cost <= math.max(1, math.floor(#word / 2)) then return best end
end

--- "; did you mean `x`?", or "" if nothing is near.
function text.suggest(word, names)
  local near = text.nearest(word, names)
  return near and ("; did you mean `%s`?"):format(near) or ""
end

--- "a", "a or b", "a, b or c".
function text.list(words, conjunction)
  local n = #words
  if n <= 1 then return words[1] or "" end
  return table.concat(words, ", ", 1, n - 1) .. " " .. (conjunction or "or") .. " " .. words[n]
end

--- A whole number for reading, with separators from a thousand on: 77850 -> "77,850". Files, code
-- and the sentences of errors have them without.
function text.grouped(n)
  local digits = ("%.0f"):format(math.abs(n))
  digits = digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
  return (n < 0 and "-" or "") .. digits
end

--- "0 filters", "1 filter", "1,024 filters"; `many`: the plural, where it is not `one` and an s.
function text.count(n, one, many)
  return text.grouped(n) .. " " .. (n == 1 and one or many or one .. "s")
end

--- Sorted keys of a table.
function text.keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

--- A word quoted for the shell.
function text.shell(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

return text
