-- SPDX-License-Identifier: GPL-3.0-or-later
-- lint.lua - `edgeai run tests/lint.lua`: the rules of the house that no compiler checks.
--   1. Parts of core/ depend downwards only.
--   2. A foreign library's header is included by exactly one file.
--   3. Nothing in the core prints, exits or aborts; nothing in Lua but ffi.lua touches ffi.C.
--   4. Files are short, lines at most 100 columns, no tabs, no trailing blanks, an SPDX line first.
--   5. What is public is documented, exported, bound and tested: lint_api.lua.
--   6. What needs memory is tested without: lint_memory.lua.

local problems = 0
local function complain(format, ...)
  problems = problems + 1
  print(format:format(...))
end

-- Which parts a part may include (besides itself and edgeai.h).
local below = {
  base = {},
  tensor = { "base" },
  ops = { "base", "tensor" },
  graph = { "base", "tensor", "ops" },
  optim = { "base", "tensor", "ops" },
  image = { "base", "tensor" },
  data = { "base", "tensor", "image" },
  partition = { "base", "tensor" },
  runtime = { "base" },
  cli = { "base", "tensor", "ops", "graph", "optim", "image", "data", "partition" },
}

-- Foreign headers (a pattern) and the only file that may include them.
local doors = {
  { "^oneapi/", "core/ops/conv2d_onednn.h" },
  { "^omp%.h$", "core/ops/conv2d_onednn.c" },
  { "^cblas", "core/tensor/blas.c" },
  { "^openblas", "core/tensor/blas.c" },
  { "^lapacke", "core/tensor/lapack.c" },
  { "^igraph/", "core/partition/louvain.c" },
  { "^png%.h$", "core/image/png.c" },
  { "^jpeglib%.h$", "core/image/jpeg.c" },
  { "^jerror%.h$", "core/image/jpeg.c" },
  { "^zip%.h$", "core/tensor/npz.c" },
  { "^zlib%.h$", "core/data/idx.c" },
  { "^jansson", "core/base/json.c" },
  { "^dlfcn%.h$", "core/ops/plugin.c" },
  { "^Random123/", "core/base/philox.c" },
  { "^lua", "core/cli/" },
  { "^lauxlib", "core/cli/" },
  { "^readline/", "core/cli/terminal.c" },
}

local function files(where, pattern)
  local list = {}
  local command = ("find %s -type f -name '%s' 2>/dev/null | sort"):format(where, pattern)
  local pipe = assert(io.popen(command))
  for path in pipe:lines() do list[#list + 1] = path end
  pipe:close()
  return list
end

local function contains(list, item)
  for _, x in ipairs(list) do
    if x == item then return true end
  end
  return false
end

local most_lines, most_columns = 460, 100

local function check_text(path, text)
  local number = 0
  for line in text:gmatch("([^\n]*)\n") do
    number = number + 1
    local _, columns = line:gsub("[^\128-\191]", "")
    if columns > most_columns then
      complain("%s:%d: %d columns; at most %d", path, number, columns, most_columns)
    end
    if line:find("\t") then complain("%s:%d: a tab", path, number) end
    if line:find("%s$") then complain("%s:%d: blanks at the end", path, number) end
  end
  if text ~= "" and text:sub(-1) ~= "\n" then complain("%s: no newline at the end", path) end
  if number > most_lines then complain("%s: %d lines; at most %d", path, number, most_lines) end
  if not text:sub(1, 200):find("SPDX%-License%-Identifier: [%w%-%.]+") then
    complain("%s: no SPDX line at the top", path)
  end
end

local function check_include(path, part, header, number)
  for _, door in ipairs(doors) do
    if header:find(door[1]) and path:sub(1, #door[2]) ~= door[2] then
      complain("%s:%d: <%s> belongs to %s alone", path, number, header, door[2])
    end
  end
  local other = header:match("^%.%./([%w_]+)/")
  if other and not contains(below[part], other) then
    complain("%s:%d: %s must not depend on %s", path, number, part, other)
  end
end

-- Strings and comments hide nothing that matters here, but comments may name anything.
local function without_comments(code)
  return (code:gsub("/%*.-%*/", function(comment) return comment:gsub("[^\n]", " ") end)
    :gsub("//[^\n]*", ""))
end

local forbidden = { "printf", "puts", "fputs", "putchar", "exit", "abort", "perror" }

local function check_c(path)
  local text = assert(io.open(path, "rb")):read("*a")
  check_text(path, text)
  local part = path:match("^core/([%w_]+)/")
  if not part then return end
  if not below[part] then
    complain("%s: add the part %s to `below` in tests/lint.lua", path, part)
  end
  local number = 0
  for line in without_comments(text):gmatch("([^\n]*)\n") do
    number = number + 1
    local header = line:match('^%s*#%s*include%s*[<"]([^>"]+)[>"]')
    if header and below[part] then check_include(path, part, header, number) end
    if part ~= "cli" then
      for _, name in ipairs(forbidden) do
        if line:find("%f[%w_]" .. name .. "%s*%(") then
          complain("%s:%d: the core does not call %s", path, number, name)
        end
      end
    end
  end
end

local function check_lua(path)
  local text = assert(io.open(path, "rb")):read("*a")
  check_text(path, text)
  if path:find("^lua/") and path ~= "lua/edgeai/ffi.lua" and path ~= "lua/edgeai/init.lua" then
    local number = 0
    for line in text:gmatch("([^\n]*)\n") do
      number = number + 1
      local code = line:gsub("%-%-.*$", "")
      if code:find("%f[%w_.]ffi[\"')]*%.C%f[^%w_]") or code:find("%f[%w_.]ffi[\"')]*%.load%(") then
        complain("%s:%d: only ffi.lua touches ffi.C and loads libraries; use F.C", path, number)
      end
    end
  end
end

local checked = 0
for _, pattern in ipairs { "*.c", "*.h" } do
  for _, path in ipairs(files("core plugins tests/c tests/fuzz tests/bench", pattern)) do
    checked = checked + 1
    check_c(path)
  end
end
for _, path in ipairs(files("lua experiments plugins tests core/cli docs", "*.lua")) do
  checked = checked + 1
  check_lua(path)
end
local c_functions, lua_functions = dofile "tests/lint_api.lua"(complain)
local hungry = dofile "tests/lint_memory.lua"(complain)
print(("lint: %d files, %d C functions, %d of which need memory, %d of Lua, %d problems"):format(
  checked, c_functions, hungry, lua_functions, problems))
return problems == 0 and 0 or 1
