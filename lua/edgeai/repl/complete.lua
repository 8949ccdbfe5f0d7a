-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.repl.complete - what may stand at the cursor: globals, fields, methods behind a colon,
-- options inside the { of a call, data sets inside ea.data.load's string, :commands.

local lexer = require "edgeai.repl.lexer"
local members = require "edgeai.repl.members"
local text = require "edgeai.text"

local complete = {}

--- Those of a set that begin so, sorted; names with an underscore in front only if asked for.
local function matching(names, beginning, behind)
  local list = {}
  for _, name in ipairs(text.keys(names)) do
    if name:sub(1, #beginning) == beginning
      and (name:sub(1, 1) ~= "_" or beginning:sub(1, 1) == "_") then
      list[#list + 1] = name .. (behind or "")
    end
  end
  return list
end

--- The value of `a.b["c"][1]` that ends with token `last`, found without calling anything but what
-- indexing calls; and the first token of it. nil where it cannot be known.
local function value_before(tokens, last)
  local path, at = {}, last
  while true do
    local token = tokens[at]
    if not token then return nil end
    if token.text == "]" then
      local key, open = tokens[at - 1], tokens[at - 2]
      if not open or open.text ~= "[" or not (key.kind == "number" or key.kind == "string") then
        return nil
      end
      table.insert(path, 1, tonumber(key.text) or key.text:sub(2, -2))
      at = at - 3
    elseif token.kind == "name" then
      table.insert(path, 1, token.text)
      local dot = tokens[at - 1]
      if not dot or (dot.text ~= "." and dot.text ~= ":") then break end
      at = at - 2
    elseif token.kind == "string" and at == last then
      return "", at
    else
      return nil
    end
  end
  local value = _G
  for _, key in ipairs(path) do
    local ok, found = pcall(function() return value[key] end)
    if not ok or found == nil then return nil end
    value = found
  end
  return value, at
end

local opening = { ["("] = 1, ["{"] = 1, ["["] = 1, [")"] = -1, ["}"] = -1, ["]"] = -1 }

--- The index of the bracket that is still open before token `at`.
local function open_bracket(tokens, at)
  local depth = 0
  for i = at, 1, -1 do
    local step = tokens[i].kind == "op" and opening[tokens[i].text]
    if step then
      depth = depth + step
      if depth > 0 then return i end
    end
  end
end

--- The function in whose call token `at` stands: f(..., AT or f { AT; its name too.
local function callee(tokens, at)
  local open = open_bracket(tokens, at)
  if open and tokens[open].text == "{" then
    local before = tokens[open - 1] or {}
    if before.text ~= "(" and before.text ~= "," then
      return (value_before(tokens, open - 1))
    end
    open = open_bracket(tokens, open - 1)
  end
  if open and tokens[open].text == "(" then return (value_before(tokens, open - 1)) end
end

local function is_key(tokens)
  local before = tokens[#tokens]
  if not before or (before.text ~= "{" and before.text ~= ",") then return false end
  local open = open_bracket(tokens, #tokens)
  return open and tokens[open].text == "{"
end

local QUOTES, BLANKS = "\"'", " \t\"'" -- what ends a word in a string, in a shell's command

local function in_string(tokens)
  local inside = tokens[#tokens]
  tokens[#tokens] = nil
  local f = callee(tokens, #tokens)
  local ea = package.loaded["edgeai.init"] or package.loaded["edgeai"]
  if f and ea and rawget(ea, "data") and f == ea.data.load then
    local names = {}
    for _, set in ipairs(ea.data.list()) do names[set.name] = true end
    local list = matching(names, inside.text:sub(2))
    if #list > 0 then return list, QUOTES end
  end
  return nil, QUOTES
end

local keywords = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat "
  .. "return then true until while"):gmatch("%a+") do keywords[word] = true end

--- What may replace the last word of `before`, the text up to the cursor: a sorted list, or nil
-- where names of files may; and the characters that end a word here, nil for Lua's. `commands`: a
-- set of names for a line that begins with a colon.
function complete.at(before, commands)
  local command, rest = before:match("^%s*:(%a*)(.*)$")
  if command and rest == "" then return matching(commands or {}, command) end
  if command == "load" or command == "edit" or before:find("^%s*%$") then
    return nil, BLANKS
  end
  if command then before = rest end
  local tokens = lexer.tokens(before)
  local last = tokens[#tokens]
  if last and last.open and last.kind == "string" then return in_string(tokens) end
  if last and last.kind == "comment" and (last.open or not before:find("\n", last.last)) then
    return {}
  end
  local word = before:match("[%a_][%w_]*$") or ""
  if word ~= "" then tokens[#tokens] = nil end
  last = tokens[#tokens] or {}
  if last.text == "." or last.text == ":" then
    local value = value_before(tokens, #tokens - 1)
    return matching(members.of(value, last.text == ":"), word)
  end
  local names = {}
  if is_key(tokens) then
    local f = callee(tokens, #tokens)
    if f then
      local options = matching(members.options(f), word, " = ")
      if #options > 0 then return options end
    end
  end
  if word == "" then return {} end
  for name in pairs(_G) do names[name] = true end
  for name in pairs(keywords) do names[name] = true end
  names.ea = true
  return matching(names, word)
end

return complete
