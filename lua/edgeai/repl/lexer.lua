-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.repl.lexer - Lua source as tokens, for the prompt: what stands where, also in unfinished
-- input.

local lexer = {}

local keywords = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat "
  .. "return then true until while"):gmatch("%a+") do keywords[word] = true end

--- Where the long bracket that opens at `at` ends, and true if it does not end.
local function long_end(text, at)
  local level = text:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, stop = text:find("]" .. level .. "]", at, true)
  return stop or #text, not stop
end

local function string_end(text, at)
  local quote, i = text:sub(at, at), at + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == quote then return i, false end
    if c == "\n" then return i - 1, true end
    i = i + (c == "\\" and 2 or 1)
  end
  return #text, true
end

local function next_token(text, at)
  local c = text:sub(at, at)
  if c:find("[%a_]") then
    local _, stop = text:find("^[%w_]+", at)
    local word = text:sub(at, stop)
    return keywords[word] and "keyword" or "name", stop
  elseif text:find("^%.?%d", at) then
    local _, stop = text:find("^[%w_.]+", at)
    while text:find("^[eEpP][+-]", stop) and not text:find("^0[xX].*[eE]$", at) do
      _, stop = text:find("^[+-]%w*", stop + 1)
    end
    return "number", stop
  elseif text:find("^%-%-", at) then
    local stop, open = long_end(text, at + 2)
    if stop then return "comment", stop, open end
    return "comment", (text:find("\n", at, true) or #text + 1) - 1
  elseif c == '"' or c == "'" then
    return "string", string_end(text, at)
  elseif text:find("^%[=*%[", at) then
    return "string", long_end(text, at)
  end
  local _, stop = text:find("^%.%.%.", at)
  if not stop then _, stop = text:find("^[.~<>=:]?[.=:]", at) end
  local two = stop and text:sub(at, stop)
  if two and #two == 2 and not ({ [".."] = 1, ["~="] = 1, ["<="] = 1, [">="] = 1, ["=="] = 1,
    ["::"] = 1 })[two] then stop = at end
  return "op", stop or at
end

--- List of { kind = "name", "keyword", "number", "string", "comment" or "op", text =, first =,
-- last =, open = true where a string or comment has no end }.
function lexer.tokens(text)
  local list, at = {}, 1
  while true do
    at = text:find("%S", at)
    if not at then return list end
    local kind, stop, open = next_token(text, at)
    list[#list + 1] = { kind = kind, text = text:sub(at, stop), first = at, last = stop,
      open = open or nil }
    at = stop + 1
  end
end

--- The text with pieces put in: inserts[position] goes in front of that character.
function lexer.insert(text, inserts)
  local places, parts, at = {}, {}, 1
  for place in pairs(inserts) do places[#places + 1] = place end
  table.sort(places)
  for _, place in ipairs(places) do
    parts[#parts + 1] = text:sub(at, place - 1)
    parts[#parts + 1] = inserts[place]
    at = place
  end
  parts[#parts + 1] = text:sub(at)
  return table.concat(parts)
end

return lexer
