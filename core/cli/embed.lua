-- SPDX-License-Identifier: GPL-3.0-or-later
-- embed.lua - build step: turns Lua files into a C array of strings.
--   luajit core/cli/embed.lua OUTPUT.c DIR...    embeds DIR/**/*.lua under their paths below DIR

local output = assert(arg[1], "usage: embed.lua OUTPUT.c DIR...")

local function find(dir)
  local pipe = assert(io.popen("cd '" .. dir .. "' && find . -name '*.lua'"))
  local names = {}
  for line in pipe:lines() do names[#names + 1] = line:gsub("^%./", "") end
  pipe:close()
  return names
end

local files, text_of = {}, {}
for i = 2, #arg do
  for _, path in ipairs(find(arg[i])) do
    local file = assert(io.open(arg[i] .. "/" .. path, "rb"))
    local text = file:read("*a")
    file:close()
    assert(not text:find("^\27"), path .. " is bytecode; only text is embedded")
    assert(loadstring(text, "@" .. path))
    assert(not text_of[path], path .. " exists twice")
    files[#files + 1], text_of[path] = path, text
  end
end
table.sort(files)

-- '?' is escaped against trigraphs; digits after an octal escape are safe because it has three.
local escapes = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n", ["?"] = "\\?" }
local function literal(line)
  return '"' .. line:gsub('[%c\\"?\127-\255]', function(c)
    return escapes[c] or ("\\%03o"):format(c:byte())
  end) .. '"'
end

local out = { '/* Written by core/cli/embed.lua. */\n#include "embedded.h"\n\n',
  "const ea_embedded_file ea_embedded_files[] = {\n" }
for _, path in ipairs(files) do
  local text = text_of[path]
  out[#out + 1] = "  {" .. literal(path) .. ",\n"
  for line in text:gmatch("[^\n]*\n?") do
    if line ~= "" then out[#out + 1] = "   " .. literal(line) .. "\n" end
  end
  out[#out + 1] = ('   "", %d},\n'):format(#text)
end
out[#out + 1] = ("  {0, 0, 0}\n};\nconst size_t ea_embedded_count = %d;\n"):format(#files)

local file = assert(io.open(output, "wb"))
assert(file:write(table.concat(out)))
assert(file:close())
