-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.repl.print - prints results for eval and the REPL: tables as Lua would write them, short.

local text = require "edgeai.text"

local print_values = {}

local function is_name(key) return type(key) == "string" and key:find("^[%a_][%w_]*$") end

local function describe(value, indent, seen)
  if type(value) == "string" then return ("%q"):format(value):gsub("\\\n", "\\n") end
  local meta = debug.getmetatable(value)
  if type(value) ~= "table" or (meta and meta.__tostring) then return tostring(value) end
  if seen[value] then return "(seen above)" end
  if indent > 3 then return "{...}" end
  seen[value] = true
  local parts, length, count = {}, 0, #value
  local function add(part)
    parts[#parts + 1] = part
    length = length + #part + 2
  end
  for i = 1, math.min(count, 20) do add(describe(value[i], indent + 1, seen)) end
  if count > 20 then add(("... (%d in all)"):format(count)) end
  local shown = 0
  for _, key in ipairs(text.keys(value)) do
    if not (type(key) == "number" and key >= 1 and key <= count and key % 1 == 0) then
      shown = shown + 1
      if shown > 60 then
        add("...")
        break
      end
      local name = is_name(key) and key or "[" .. describe(key, 4, seen) .. "]"
      add(name .. " = " .. describe(value[key], indent + 1, seen))
    end
  end
  if #parts == 0 then return "{}" end
  local flat = table.concat(parts, ", ")
  if length < 90 and not flat:find("\n") then return "{ " .. flat .. " }" end
  local pad = ("  "):rep(indent + 1)
  return "{\n" .. pad .. table.concat(parts, ",\n" .. pad) .. "\n" .. ("  "):rep(indent) .. "}"
end

--- The text of one value.
function print_values.describe(value) return (describe(value, 0, {})) end

--- Prints values, one to a line; nothing for none. A string alone is printed as it is.
function print_values.values(...)
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    print(type(value) == "string" and value or print_values.describe(value))
  end
end

--- After results: a line that says what can be drawn, where it can.
function print_values.offer(...)
  local show = require "edgeai.show"
  for i = 1, select("#", ...) do
    if show.is_picture((select(i, ...))) and require("edgeai.show.terminal").mode() ~= "none" then
      return print(select("#", ...) == 1 and "a picture? show(_) draws it"
        or "a picture? show(x) draws it")
    end
  end
end

return print_values
