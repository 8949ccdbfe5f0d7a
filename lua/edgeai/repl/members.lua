-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.repl.members - the names that can stand behind a value: x.NAME, x:NAME, f { NAME = }.

local F = require "edgeai.ffi"
local doc = require "edgeai.doc"
local lexer = require "edgeai.repl.lexer"

local members = {}

local function is_callable(value)
  return type(value) == "function"
    or type(value) == "table" and (getmetatable(value) or {}).__call ~= nil
end

local function add_keys(names, t, only)
  for key, value in next, t do
    if type(key) == "string" and key:find("^[%a_][%w_]*$") and not key:find("^__")
      and (not only or is_callable(value)) then
      names[key] = true
    end
  end
end

--- Of a table: its own, its class's, and so on up. A class whose __index is a function holds its
-- methods itself.
-- The kinds of a plugin's things that appear, when first used, in the table of a module, or in a
-- table of its own there.
local kinds = {
  { "edgeai", kinds = { "losses", "ops" } }, { "edgeai.nn", kinds = { "layers", "architectures" } },
  { "edgeai.distill", kinds = { "distillations" } },
  { "edgeai.vis", "objectives", kinds = { "objectives" } },
  { "edgeai.vis", "param", kinds = { "parameterisations" } },
  { "edgeai.vis", "transform", kinds = { "transforms" } },
}

local function add_plugins(names, t)
  for _, place in ipairs(kinds) do
    local at = package.loaded[place[1]]
    if at and place[2] then at = at[place[2]] end
    for _, kind in ipairs(at == t and place.kinds or {}) do
      for _, name in ipairs(require("edgeai.plugin").names(kind)) do names[name] = true end
    end
  end
end

local function add_table(names, t, methods)
  if not methods then add_plugins(names, t) end
  for _ = 1, 10 do
    add_keys(names, t, methods)
    local meta = debug.getmetatable(t)
    if not meta then return end
    local up = meta.__index
    if type(meta.modules) == "table" and not methods then add_keys(names, meta.modules) end
    if type(up) == "function" then up = meta end
    if type(up) ~= "table" or up == t then return end
    t, methods = up, true
  end
end

--- A set of the names behind a value; methods: only what can be called behind a colon.
function members.of(value, methods)
  local names = {}
  if F.is_tensor(value) then
    add_keys(names, require("edgeai.tensor").methods)
    if not methods then
      for _, name in ipairs { "shape", "dtype", "ndim", "requires_grad", "grad" } do
        names[name] = true
      end
    end
  elseif type(value) == "string" then
    add_keys(names, string)
  elseif type(value) == "table" then
    add_table(names, value, methods)
  end
  return names
end

-- ---- options -----------------------------------------------------------------------------------

--- Keys of the table that opens at the first `{` of `text`, those of its first level.
local function keys_of(text, names)
  local depth, tokens = 0, lexer.tokens(text)
  for i, token in ipairs(tokens) do
    local c = token.kind == "op" and token.text
    if c == "{" or c == "(" then depth = depth + 1
    elseif c == "}" or c == ")" then depth = depth - 1
    elseif token.kind == "name" and depth == 1 and (tokens[i + 1] or {}).text == "=" then
      names[token.text] = true
    end
    if depth == 0 then return end
  end
end

--- The default values in a function's call of F.options or Module.options: in place, or a local
-- table of the file.
local function declared(body, file, names)
  for call in body:gmatch("[.%s]options(%b())") do
    local place = call:match("{[^{}]*}[^{}]*(%b{})") or call:match("%b{}")
    if place then keys_of(place, names) end
    local name = not place and call:match("^%([^,]+,%s*([%w_]+)")
    local table_text = name and file:match("local%s+" .. name .. "%s*=%s*(%b{})")
    if table_text then keys_of(table_text, names) end
  end
end

--- A set of the options that a function takes in a table: those of the op, those it declares, or
-- else those that its comment names.
function members.options(f)
  local names, found = {}, doc.of(f)
  if not found then return names end
  if found.options then -- what a plugin brings declares them
    for name in pairs(found.options) do names[name] = true end
    return names
  end
  if found.op then
    for _, attr in ipairs(found.op.attrs) do names[attr.name] = true end
    if found.op.list then names[found.op.list.name] = true end
    return names
  end
  local path, line = (found.where or ""):match("^(.*):(%d+)$")
  local file = path and doc.source("@" .. path)
  if file then
    local at = 1
    for _ = 2, tonumber(line) do at = (file:find("\n", at, true) or #file) + 1 end
    local stop = file:find("\nend", at, true) or #file
    declared(file:sub(at, stop), file, names)
  end
  if next(names) == nil then
    for list in ((found.text or "") .. "\n" .. (found.head or "")):gmatch("%b{}") do
      for name in list:gmatch("%f[%w_]([%a_][%w_]*)%s*=") do names[name] = true end
    end
  end
  return names
end

return members
