-- SPDX-License-Identifier: GPL-3.0-or-later
-- lint_api.lua - part of lint.lua: nothing public without a comment, a use and a test.
--   C    every function of the public headers is exported, has a comment, and is called from Lua or
--        from a test; every function called from Lua is declared.
--   Lua  every function that is not local has a comment; every one that a script can reach is named
--        in a test.
-- Returns a function of `complain`; it gives the numbers of C and Lua functions seen.

local ffi = require "ffi"
local header = dofile "docs/reference/header.lua"
local public = dofile "docs/reference/public.lua"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

--- The texts of all files that find gives, in one.
local function all(where)
  local pipe, texts = assert(io.popen("find " .. where .. " 2>/dev/null")), {}
  for path in pipe:lines() do texts[#texts + 1] = read(path) end
  pipe:close()
  return table.concat(texts, "\n")
end

local function words(text, pattern)
  local set = {}
  for word in text:gmatch(pattern) do set[word] = true end
  return set
end

-- ---- C -----------------------------------------------------------------------------------------

--- Is the symbol visible? edgeai_op.h is not in the FFI's declarations, so it is declared here.
local function exported(name)
  pcall(ffi.cdef, ("void %s(void);"):format(name))
  return pcall(function() return ffi.C[name] end)
end

local function check_c(complain)
  local used = words(all "lua tests plugins core/cli -name '*.lua' -o -name '*.c' -o -name '*.h'",
    "%f[%w_](ea_[%w_]+)")
  local declared, count = {}, 0
  for _, path in ipairs { "core/edgeai.h", "core/edgeai_op.h" } do
    for _, f in ipairs(header.functions(header.parse(read(path)))) do
      count = count + 1
      declared[f.name] = true
      if not exported(f.name) then complain("%s: %s is declared, not exported", path, f.name) end
      if not f.documented then complain("%s: %s has no comment", path, f.name) end
      if not used[f.name] then
        complain("%s: %s is called neither from Lua nor from a test", path, f.name)
      end
    end
  end
  for name in pairs(words(all "lua -name '*.lua'", "%f[%w_]C%.(ea_[%w_]+)")) do
    if not declared[name] then complain("lua/: %s is called, but no header declares it", name) end
  end
  return count
end

-- ---- Lua ---------------------------------------------------------------------------------------

--- Reached by another name: called as ea.config, and so on.
local also = { ["ea.progress.new"] = "ea.progress", ["ea.config.resolve"] = "ea.config" }

local function check_lua(complain)
  for path, list in pairs(public.files()) do
    if not path:find("/cli/") then
      for _, f in ipairs(list) do
        if not f.text then complain("%s:%d: %s has no comment", path, f.line, f.name) end
      end
    end
  end
  local text = all "tests experiments plugins *.md -name '*.lua' -o -name '*.md'"
  local named = words(text, "[.:\"']([%a_][%w_]*)%f[^%w_]")
  local count = 0
  for _, list in ipairs { public.modules(), public.methods() } do
    for _, module in ipairs(list) do
      for _, f in ipairs(module.functions) do
        count = count + 1
        if not f.text then complain("%s: %s has no comment", f.where, f.name) end
        local known = f.op or also[f.name] and text:find(also[f.name], 1, true) or named[f.short]
          or named[module.name:match("[%w_]+$")] and f.name == module.name
        if not known then complain("%s: %s is in no test", f.where, f.name) end
      end
    end
  end
  return count
end

return function(complain) return check_c(complain), check_lua(complain) end
