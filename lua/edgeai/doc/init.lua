-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.doc - documentation out of the comments in the sources, for `:help` and the reference.
--
-- A doc comment is a block of comment lines that begins with three dashes, directly above a
-- function. A file's head is the comment at its top, below the SPDX line. Ops are documented by the
-- head of their C file.
--
--   doc.parse(text)    { head = "...", entries = { { name =, parameters =, text =, line = } } }
--   doc.file(chunk)    the same of a chunk name ("@edgeai/tensor.lua"), or nil
--   doc.of(f)          a function's { parameters, text, head, where }, or nil
--   doc.link(f, g)     f, made by code, is documented as g; g may be such a table
--   doc.sentence(text) the first sentence

local doc = {}

-- ---- reading -----------------------------------------------------------------------------------

local name = "([%w_.:]+)"
local definitions = { -- of functions; the captures are name and parameters
  "^%s*local%s+function%s+" .. name .. "%s*(%b())",
  "^%s*function%s+" .. name .. "%s*(%b())",
  "^%s*local%s+" .. name .. "%s*=%s*function%s*(%b())",
  "^%s*([%w_.%[%]]+)%s*=%s*function%s*(%b())",
  "^%s*return%s+()function%s*(%b())",
  "^[^\n]-(__call)%s*=%s*function%s*(%b())",
}

local function definition(text, at)
  for _, pattern in ipairs(definitions) do
    local found, parameters = text:match(pattern, at)
    if parameters then
      return type(found) == "string" and found or "", (parameters:gsub("%s+", " "))
    end
  end
end

local function plain(line) return (line:gsub("^%s*%-%-%-? ?", "")) end

--- The doc comment that ends in line `last` of the list `lines`, or nil.
local function comment_above(lines, last)
  local first = last
  while first >= 1 and lines[first]:find("^%s*%-%-") do
    if lines[first]:find("^%s*%-%-%-[^%-]") then
      local block = {}
      for i = first, last do block[#block + 1] = plain(lines[i]) end
      return table.concat(block, "\n")
    end
    first = first - 1
  end
end

local function head_of(lines)
  local block, first = {}, 1
  while lines[first] and (lines[first]:find("^#!") or lines[first]:find("^%-%- SPDX")) do
    first = first + 1
  end
  for i = first, #lines do
    if not lines[i]:find("^%-%-") then break end
    block[#block + 1] = plain(lines[i])
  end
  return #block > 0 and table.concat(block, "\n") or nil
end

--- What a Lua source says about itself: `head`, the comment at its top (nil without one), and
-- `entries`, every function in it: name ("tensor.empty", "Module:add", "" for a function that the
-- file returns), parameters ("(size, dtype)"), line, and text, its doc comment, if it has one.
function doc.parse(text)
  local lines, starts, at = {}, {}, 1
  for line, stop in text:gmatch("([^\n]*)()\n?") do
    if at > #text then break end
    lines[#lines + 1], starts[#starts + 1] = line, at
    at = stop + 1
  end
  local entries = {}
  for i, line in ipairs(lines) do
    if line:find("function", 1, true) then
      local found, parameters = definition(text, starts[i])
      if found then
        entries[#entries + 1] = { name = found, parameters = parameters, line = i,
          text = comment_above(lines, i - 1) }
      end
    end
  end
  return { head = head_of(lines), entries = entries }
end

-- ---- finding -----------------------------------------------------------------------------------

--- The text of a chunk: a file, or one of those inside the program; nil for others.
function doc.source(chunk)
  if chunk:sub(1, 1) ~= "@" then return nil end
  local path = chunk:sub(2)
  local inside, embedded = pcall(require, "edgeai.embedded")
  local text = inside and embedded(path)
  if text then return text end
  local file = io.open(path, "rb")
  text = file and file:read("*a")
  if file then file:close() end
  return text
end

local files = {} -- chunk name -> what doc.parse gave, for edgeai's own, which do not change

--- doc.parse of a chunk's text; nil where there is none.
function doc.file(chunk)
  if files[chunk] then return files[chunk] end
  local text = doc.source(chunk)
  local parsed = text and doc.parse(text)
  if chunk:find("^@edgeai/") then files[chunk] = parsed end
  return parsed
end

local links = setmetatable({}, { __mode = "k" })

--- Says that `f`, made by other code, is documented as `as`: another function, or a table
-- { parameters =, text =, where = }.
function doc.link(f, as) links[f] = as end

local op_of -- function of an op -> the op

--- "(x, { axis = -1, eps = 1e-12 })": how an op is called.
function doc.op_parameters(op)
  local words, attributes = {}, {}
  for i = 1, math.min(op.most, 3) do
    words[i] = op.most == 1 and "x" or ("x%d"):format(i)
    if i > op.least then words[i] = "[" .. words[i] .. "]" end
  end
  if op.most > 3 then words[#words + 1] = "..." end
  for _, attr in ipairs(op.attrs) do
    local default = attr.default and ("%.6g"):format(attr.default) or "..."
    if attr.kind == "b" and attr.default then default = tostring(attr.default ~= 0) end
    if attr.kind == "x" and attr.default and attr.default >= 0 then -- C counts axes from 0
      default = ("%d"):format(attr.default + 1)
    end
    if attr.kind == "o" then default = "1" end
    attributes[#attributes + 1] = ("%s = %s"):format(attr.name, default)
  end
  if op.list then attributes[#attributes + 1] = op.list.name .. " = { ... }" end
  if #attributes > 0 then
    words[#words + 1] = "{ " .. table.concat(attributes, ", ") .. " }"
  end
  return "(" .. table.concat(words, ", ") .. ")"
end

local function of_op(f)
  if not op_of then
    op_of = {}
    local ops = require "edgeai.ops"
    for _, op in ipairs(ops.list) do op_of[ops.functions[op.name]] = op end
  end
  local op = op_of[f]
  if not op then return nil end
  local found, comments = pcall(require, "edgeai.op_comments")
  local comment = found and comments[op.name] or {}
  return { op = op, parameters = doc.op_parameters(op), text = comment.text, where = comment.file }
end

--- What there is to know about a function: parameters ("(size, dtype)"), text (its doc comment),
-- head (of its file), where ("edgeai/tensor.lua:33"), and op, an op's entry of ops.list. nil for a
-- function of C, one without a source, and for anything that is no function.
function doc.of(f)
  if type(f) ~= "function" then
    local call = type(f) == "table" and (getmetatable(f) or {}).__call
    local found = type(call) == "function" and doc.of(call)
    if not found then return nil end
    local parameters = found.parameters:gsub("^%([%w_]+,? ?", "(") -- the table itself
    return { parameters = parameters, text = found.text, head = found.head, where = found.where }
  end
  local as = links[f]
  if type(as) == "function" then return doc.of(as) end
  if as then return as end
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return nil end
  if info.source:find("edgeai/ops%.lua$") then
    local op = of_op(f)
    if op then return op end
  end
  local file = doc.file(info.source)
  for _, entry in ipairs(file and file.entries or {}) do
    if entry.line == info.linedefined then
      return { parameters = entry.parameters, text = entry.text, head = file.head,
        name = entry.name, where = ("%s:%d"):format(info.short_src, entry.line) }
    end
  end
end

--- The first sentence of a doc comment, on one line.
function doc.sentence(text)
  local line = text:gsub("\n\n.*$", ""):gsub("%s+", " ")
  return line:match("^(.-[%.:;])%s") or line
end

return doc
