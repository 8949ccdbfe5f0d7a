-- SPDX-License-Identifier: GPL-3.0-or-later
-- markdown.lua - the reference as Markdown pages: list of { file =, text = } of what is public in C
-- (header.lua), of the ops, and of what is public in Lua (public.lua).

local header = dofile "docs/reference/header.lua"
local ops = require "edgeai.ops"
local doc = require "edgeai.doc"

local markdown = {}

-- ---- texts of comments -------------------------------------------------------------------------

--- Characters that Markdown would take for emphasis or HTML, outside of `code`.
local function escape(line)
  local parts = {}
  for plain, code in (line .. "``"):gmatch("([^`]*)(`[^`]*`)") do
    parts[#parts + 1] = plain:gsub("[*<|]", "\\%0") .. (code == "``" and "" or code)
  end
  return (table.concat(parts):gsub("^(%s*)([-+#])", "%1\\%2"))
end

--- A comment's text: what is indented or set in columns is a formula, a table or an example and
-- stays as it is.
local function prose(text)
  local out, code = {}, false
  local function fence(kind)
    while out[#out] == "" do out[#out] = nil end
    if not code then out[#out + 1] = "" end
    out[#out + 1] = "```" .. kind
    if code then out[#out + 1] = "" end
    code = not code
  end
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do
    local kept = line:find("^%s%s") ~= nil or line:find("%S   +%S") ~= nil
    if kept ~= code and (kept or line ~= "") then fence(kept and "text" or "") end
    out[#out + 1] = code and line or escape(line)
  end
  if code then fence "" end
  return (table.concat(out, "\n"):gsub("^\n+", ""):gsub("\n+$", ""))
end

local function page(title)
  local out = { "# " .. title, "" }
  local function add(text)
    if text and text ~= "" then out[#out + 1], out[#out + 2] = text, "" end
  end
  return add, function() return table.concat(out, "\n") end
end

-- ---- C -----------------------------------------------------------------------------------------

local function c_page(path, title)
  local file = assert(io.open(path, "rb"))
  local parsed = header.parse(file:read("*a"))
  file:close()
  local add, finish = page(title)
  add(prose(parsed.intro))
  for _, section in ipairs(parsed.sections) do
    add(section.title ~= "" and "## " .. section.title:sub(1, 1):upper() .. section.title:sub(2))
    add(prose(section.text))
    for _, group in ipairs(section.groups) do
      local lines, names = {}, {}
      for _, d in ipairs(group.declarations) do
        lines[#lines + 1] = d.code .. (d.comment and " /* " .. d.comment .. " */" or "")
        if d.name then names[#names + 1] = "`" .. d.name .. "`" end
      end
      if #names > 0 then add("### " .. table.concat(names, ", ")) end
      if #lines > 0 then add("```c\n" .. table.concat(lines, "\n") .. "\n```") end
      add(group.comment and prose(group.comment))
    end
  end
  return finish()
end

-- ---- ops ---------------------------------------------------------------------------------------

--- Ops of one file share its comment: they stand together.
local function ops_page()
  local add, finish = page "Ops"
  add("`ea.NAME(tensors..., { attributes })` or `t:NAME{...}`; in C `ea_apply`, with the\n"
    .. "attributes as numbers in this order. A number in the place of a tensor becomes one.")
  local order, groups = {}, {}
  for _, op in ipairs(ops.list) do
    local found = doc.of(ops.functions[op.name])
    local key = found.where or op.name
    if not groups[key] then
      groups[key] = { text = found.text }
      order[#order + 1] = key
    end
    table.insert(groups[key], ("ea.%s%s"):format(op.name, found.parameters))
  end
  for _, key in ipairs(order) do
    local names = {}
    for i, call in ipairs(groups[key]) do names[i] = "`" .. call:match("^ea%.([%w_]+)") .. "`" end
    add("## " .. table.concat(names, ", "))
    add("```text\n" .. table.concat(groups[key], "\n") .. "\n```")
    add(groups[key].text and prose(groups[key].text))
  end
  return finish()
end

-- ---- Lua ---------------------------------------------------------------------------------------

local function lua_page(title, module)
  local add, finish = page(title)
  add(prose(module.head or ""))
  for _, f in ipairs(module.functions) do
    if not f.op then
      add(("## `%s%s`"):format(f.name, f.parameters))
      local text, head = f.text or "", module.head or ""
      if head ~= "" and text:sub(-#head) == head then text = text:sub(1, -#head - 1) end -- above
      add(prose(text))
    end
  end
  return finish()
end

--- All pages; `public` is public.lua's table.
function markdown.pages(public)
  local pages, lines = {}, {}
  local function add(file, what, text)
    pages[#pages + 1] = { file = file .. ".md", text = text }
    lines[#lines + 1] = ("- [%s](%s.md): %s"):format(file, file, what)
  end
  add("c", "`edgeai.h`, the C library", c_page("core/edgeai.h", "edgeai.h"))
  add("c_ops", "`edgeai_op.h`, for writing ops", c_page("core/edgeai_op.h", "edgeai_op.h"))
  add("ops", "all ops, in C and Lua", ops_page())
  for _, m in ipairs(public.modules()) do
    add(m.name, "`" .. m.name .. "`: "
      .. doc.sentence(m.head:gsub("^[%w_.]+ %- ", "")):gsub("[:;]$", ""),
      lua_page(m.name, m))
  end
  for _, m in ipairs(public.methods()) do
    add("object_" .. m.name, "methods of " .. m.title,
      lua_page(("`%s`: %s"):format(m.name, m.title), m))
  end
  table.insert(pages, 1, { file = "index.md",
    text = "# edgeai: reference\n\n" .. table.concat(lines, "\n") .. "\n" })
  return pages
end

return markdown
