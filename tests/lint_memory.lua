-- SPDX-License-Identifier: GPL-3.0-or-later
-- lint_memory.lua - part of lint.lua: every public C function that can run out of memory and say
-- so has a case in tests/c/test_no_memory.c, which refuses it its memory. Which reach ea_alloc
-- is read from the machine code of libedgeai.so, so nobody has to keep a list. Calls through
-- pointers, such as of the ops' kernels, are not seen; the cases of ea_apply, ea_backward and
-- ea_graph_end go there. Returns a function of `complain`; it gives the number of such functions.

local header = dofile "docs/reference/header.lua"
local cases_path = "tests/c/test_no_memory.c"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

--- Function -> set of the functions that it names, calls or not. Functions are known by their
-- address, as static ones may share a name; `address` gives that of a symbol.
local function call_graph(library)
  local calls, address, plt, current = {}, {}, {}, nil
  local pipe = assert(io.popen("objdump -d --no-show-raw-insn '" .. library .. "' 2>/dev/null"))
  for line in pipe:lines() do
    local at, name = line:match("^0*(%x+) <([^>]+)>:$")
    if at then
      current, calls[at] = at, {}
      local outside = name:match("^(.*)@plt$")
      if outside then plt[at] = outside else address[name] = at end
    elseif current then
      for to in line:gmatch("(%x+) <[^>+]+>") do calls[current][to] = true end
    end
  end
  pipe:close()
  return calls, address, plt
end

local function reaches(graph, from, goal, seen)
  if from == goal then return true end
  if not from or seen[from] then return false end
  seen[from] = true
  local calls, address, plt = unpack(graph)
  if plt[from] then return reaches(graph, address[plt[from]], goal, seen) end
  for to in pairs(calls[from] or {}) do
    if reaches(graph, to, goal, seen) then return true end
  end
  return false
end

return function(complain)
  local graph = { call_graph((os.getenv("BUILD") or "build") .. "/libedgeai.so") }
  local goal = graph[2].ea_alloc
  if not goal then
    complain("%s: cannot be read; objdump, of binutils, is needed", "libedgeai.so")
    return 0
  end
  local cases, count = {}, 0
  for name in read(cases_path):gmatch("CASE%((ea_[%w_]+)%)") do cases[name] = true end
  local text = read "core/edgeai.h"
  for _, f in ipairs(header.functions(header.parse(text))) do
    local silent = text:find("EA_API void " .. f.name .. "(", 1, true)
    if not silent and reaches(graph, graph[2][f.name], goal, {}) then
      count = count + 1
      if not cases[f.name] then
        complain("core/edgeai.h: %s can run out of memory; add a case to %s", f.name, cases_path)
      end
    end
  end
  return count
end
