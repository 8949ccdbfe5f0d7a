-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.json - JSON texts (RFC 8259) from and to Lua values.
--
-- A table with the keys 1..n becomes a list, one with string keys an object, an empty one an object
-- unless made by json.array. null is json.null both ways. NaN and infinities are refused: JSON has
-- none, and a file with them could not be read back.

local ffi = require "ffi"
local F = require "edgeai.ffi"

local json = {}

local MOST_DEPTH = 256 -- what the reader takes
local LINE = 100       -- lists of plain values stay on one line up to this width

json.null = setmetatable({}, { __tostring = function() return "null" end })

local array_mark = {}
--- Marks a table as a list, so that it is written as [] even when empty. Returns it.
function json.array(list) return setmetatable(list or {}, array_mark) end

-- ---- writing -----------------------------------------------------------------------------------

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
local function escape(c) return escapes[c] or ("\\u%04x"):format(c:byte()) end

--- Length of the well-formed UTF-8 character at byte i; nil if there is none.
local function utf8_length(s, i)
  local a, b, c, d = s:byte(i, i + 3)
  local function tail(x) return x and x >= 0x80 and x < 0xC0 end
  if a < 0x80 then return 1 end
  if a >= 0xC2 and a < 0xE0 then return tail(b) and 2 end
  if a >= 0xE0 and a < 0xF0 then
    if not (tail(b) and tail(c)) then return nil end
    return not (a == 0xE0 and b < 0xA0 or a == 0xED and b > 0x9F) and 3 or nil
  end
  if a >= 0xF0 and a < 0xF5 then
    if not (tail(b) and tail(c) and tail(d)) then return nil end
    return not (a == 0xF0 and b < 0x90 or a == 0xF4 and b > 0x8F) and 4 or nil
  end
  return nil
end

local function is_utf8(s)
  local i = s:find("[\128-\255]")
  while i and i <= #s do
    local n = utf8_length(s, i)
    if not n then return false end
    i = i + n
  end
  return true
end

local function refuse(path, format, ...)
  local place = #path > 0 and table.concat(path):gsub("^%.", "") or "the value itself"
  F.raise("json.encode: %s at %s", format:format(...), place)
end

local function encode_string(s, path)
  if not is_utf8(s) then refuse(path, "a string is not UTF-8 text") end
  return '"' .. s:gsub('[%c"\\\127]', escape) .. '"'
end

local function encode_number(x, path)
  if x ~= x or x == math.huge or x == -math.huge then
    refuse(path, "%s has no form in JSON", x ~= x and "NaN" or "an infinity")
  end
  if x % 1 == 0 and math.abs(x) < 2 ^ 53 then return ("%d"):format(x) end
  for digits = 15, 17 do -- the fewest that read back as the same number
    local text = ("%%.%dg"):format(digits):format(x)
    if tonumber(text) == x then return text end
  end
end

--- "list" or "object"; refuses what is neither.
local function kind_of(t, path)
  local names, numbers = 0, 0
  for key in pairs(t) do
    if type(key) == "string" then names = names + 1
    elseif type(key) == "number" then numbers = numbers + 1
    else refuse(path, "a key is a %s; keys must be strings", type(key)) end
  end
  if names > 0 and numbers > 0 then refuse(path, "a table has both numbers and names as keys") end
  if numbers ~= #t then refuse(path, "a list has holes, or keys that are not 1..n") end
  if names == 0 and (numbers > 0 or getmetatable(t) == array_mark) then return "list" end
  return "object"
end

local encode

local function joined(items, open, close, indent, options, one_line)
  if #items == 0 then return open .. close end
  if not options.pretty then return open .. table.concat(items, ",") .. close end
  if one_line then
    local line = table.concat(items, ", ")
    if #line + #indent <= LINE then return open .. line .. close end
  end
  local inner = indent .. "  "
  return open .. "\n" .. inner .. table.concat(items, ",\n" .. inner) .. "\n" .. indent .. close
end

local function encode_list(t, options, path, indent)
  local items, plain = {}, true
  for i = 1, #t do
    path[#path + 1] = ("[%d]"):format(i)
    items[i] = encode(t[i], options, path, indent .. "  ")
    path[#path] = nil
    plain = plain and (type(t[i]) ~= "table" or t[i] == json.null)
  end
  return joined(items, "[", "]", indent, options, plain)
end

local function encode_object(t, options, path, indent)
  local keys, items = {}, {}
  for key in pairs(t) do keys[#keys + 1] = key end
  if options.sort then table.sort(keys) end
  local colon = options.pretty and ": " or ":"
  for i, key in ipairs(keys) do
    path[#path + 1] = "." .. key
    items[i] = encode_string(key, path) .. colon .. encode(t[key], options, path, indent .. "  ")
    path[#path] = nil
  end
  return joined(items, "{", "}", indent, options, false)
end

function encode(value, options, path, indent)
  local kind = type(value)
  if value == json.null then return "null" end
  if kind == "number" then return encode_number(value, path) end
  if kind == "string" then return encode_string(value, path) end
  if kind == "boolean" then return tostring(value) end
  if F.is_tensor(value) then refuse(path, "a tensor has no form in JSON; use t:tolist()") end
  if kind ~= "table" then refuse(path, "a %s has no form in JSON", kind) end
  if #path >= MOST_DEPTH then
    F.raise("json.encode: tables are nested more than %d deep (does one contain itself?)",
      MOST_DEPTH)
  end
  if kind_of(value, path) == "list" then return encode_list(value, options, path, indent) end
  return encode_object(value, options, path, indent)
end

--- The JSON text of a value. options: pretty (indented by two blanks; false), sort (object keys in
-- bytewise order, so that the same value gives the same text; true).
function json.encode(value, options)
  return encode(value, F.options(options, { pretty = false, sort = true }, "json.encode"), {}, "")
end

-- ---- reading -----------------------------------------------------------------------------------

local bytes_out = ffi.new("size_t[1]")

local function text_of(v)
  local s = F.C.ea_json_string(v, bytes_out)
  return ffi.string(s, bytes_out[0])
end

local function build(v)
  local kind = F.C.ea_json_type(v)
  if kind == 0 then return json.null end
  if kind == 1 then return F.C.ea_json_number(v) ~= 0 end
  if kind == 2 then return F.C.ea_json_number(v) end
  if kind == 3 then return text_of(v) end
  local n, t = tonumber(F.C.ea_json_count(v)), {}
  if kind == 4 then
    for i = 1, n do t[i] = build(F.C.ea_json_item(v, i - 1)) end
    return n == 0 and json.array(t) or t
  end
  for i = 0, n - 1 do t[ffi.string(F.C.ea_json_key(v, i))] = build(F.C.ea_json_item(v, i)) end
  return t
end

--- The value of a JSON text; raises with line and column if it is none, has a key twice, or is
-- nested more than 256 deep.
function json.decode(text)
  if type(text) ~= "string" then F.raise("json.decode: expected a string, got a %s", type(text)) end
  local out = ffi.new("ea_json *[1]")
  F.check(F.C.ea_json_parse(text, #text, out))
  local value = build(out[0])
  F.C.ea_json_free(out[0])
  return value
end

return json
