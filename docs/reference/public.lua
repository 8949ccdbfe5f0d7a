-- SPDX-License-Identifier: GPL-3.0-or-later
-- public.lua - all that a script can call: the functions of `ea` and its modules, the methods of
-- tensors, networks and other objects; for the reference and for the lint rule that each has its
-- comment and a test.
--
--   public.modules()  { { name = "ea.nn", head = "...", functions = { ... } }, ... }, in order
--   public.methods()  the same of objects: { name = "net", head =, functions = { ... } }
--   public.files()    file -> all functions in it that are not local, private modules' too
--
-- A function: { name = "ea.nn.load", short = "load", parameters = "(path)", text =, where = }.
-- Constructors that are a file of their own are documented by the head of the file.

local ea = require "edgeai"
local doc = require "edgeai.doc"

local public = {}

local function sorted(t)
  local keys = {}
  for key in pairs(t) do
    if type(key) == "string" then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end

--- Does a head say something about that function? A file's only function is in every head.
local function head_for(found, short)
  if found.head and found.head:find("%f[%w_]" .. short .. "%f[^%w_]") then return found.head end
end

local function describe(name, short, f)
  local found = doc.of(f)
  if not found then return nil end
  local text = found.text or head_for(found, short)
  -- A comment that sends its reader to the head of the file takes it along.
  if found.text and found.head and found.text:find("top of this file", 1, true) then
    text = found.text:gsub("[;.]? ?[Ss]ee the top of this file%.?", "."):gsub("^%.%s*", "")
      .. "\n\n" .. found.head
  end
  if found.op and text then text = text:gsub("^[%w_]+%.c %- ", "") end -- the file's name
  -- A layer's text begins with its options: nn.relu{}.
  local options = not found.text and text and text:match("%f[%w_]" .. short .. "(%b{})")
  return { name = name, short = short, parameters = options or found.parameters,
    where = found.where, op = found.op, text = text, own = found.name }
end

-- What functions call the object they are a method of.
local is_self = { self = true, t = true, _ = true }

--- The same as a method, object:short, without its first parameter; a function of the class that
-- is no method becomes Class.short.
local function describe_method(object, class, short, f)
  local found = describe(object .. ":" .. short, short, f)
  if not found or found.own and found.own:find(":", 1, true) then return found end
  local first, rest = found.parameters:match("^%(([%w_]*),?%s*(.*)$")
  if found.op or is_self[first] then
    found.parameters = "(" .. rest
  else
    found.name = class .. "." .. short
  end
  return found
end

--- Those of all functions in a table.
local function methods_in(object, class, t)
  local list = {}
  for _, short in ipairs(sorted(t)) do
    if type(t[short]) == "function" and not short:find("^__") then
      list[#list + 1] = describe_method(object, class, short, t[short])
    end
  end
  return list
end

local function add_all(list, prefix, t)
  for _, short in ipairs(sorted(t)) do
    local value = t[short]
    local call = type(value) == "table" and (getmetatable(value) or {}).__call
    if (type(value) == "function" or call) and not short:find("^__") then
      list[#list + 1] = describe(prefix .. short, short, value)
    end
  end
  return list
end

--- The head of the file that a module came from.
local function head_of(file)
  local path = ("lua/edgeai/%s"):format(file)
  local found = doc.file("@edgeai/" .. file .. ".lua")
    or doc.file("@edgeai/" .. file .. "/init.lua")
  return assert(found, path .. ": no such file").head
end

local file_of = { graph = "community" }

function public.modules()
  local list, named = {}, getmetatable(ea).modules
  local top = {}
  for key, value in pairs(ea) do
    if type(value) == "function" and not named[key] then top[key] = value end
  end
  list[1] = { name = "ea", head = head_of "init", functions = add_all({}, "ea.", top) }
  for _, name in ipairs(sorted(named)) do
    local module, functions = ea[name], {}
    if type(module) == "function" or (getmetatable(module) or {}).__call then
      functions[1] = describe("ea." .. name, name, module)
    end
    if type(module) == "table" then add_all(functions, "ea." .. name .. ".", module) end
    list[#list + 1] = { name = "ea." .. name, head = head_of(file_of[name] or name),
      functions = functions }
  end
  return list
end

-- ---- objects -----------------------------------------------------------------------------------

--- Methods defined as `function CLASS:name` or `function CLASS.name` in a file.
local function methods_of(file, class, object)
  local list = {}
  for _, entry in ipairs(doc.file("@edgeai/" .. file .. ".lua").entries) do
    local owner, separator, short = entry.name:match("^([%w_]+)([.:])([%w_]+)$")
    if owner == class and not short:find("^__") then
      local parameters = entry.parameters
      if separator == "." then parameters = parameters:gsub("^%([%w_]+,? ?", "(") end
      list[#list + 1] = { name = object .. ":" .. short, short = short, parameters = parameters,
        text = entry.text, where = ("edgeai/%s.lua:%d"):format(file, entry.line) }
    end
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- What objects there are: what they are called in examples, file, class in it, what they are.
local objects = {
  { "net", "nn/module", "Module", "a layer or network" },
  { "graph", "capture", "graph", "a captured function, of ea.capture" },
  { "loader", "data/loader", "Loader", "batches, of split:loader" },
  { "split", "data/split", "Split", "a part of a data set: d.train, d.val, d.test" },
  { "stream", "random", "stream", "random numbers, of ea.rng" },
  { "opt", "optim", "base", "an optimiser, of ea.optim" },
  { "average", "optim", "average", "averaged weights, of ea.optim.ema" },
  { "run", "run", "object", "the folder of a run, of ea.run.open" },
  { "bar", "progress", "bar", "a progress line, of ea.progress" },
}

function public.methods()
  local list = { { name = "t", title = "a tensor", head = head_of "tensor",
    functions = methods_in("t", "t", require("edgeai.tensor").methods) } }
  for _, o in ipairs(objects) do
    local functions = methods_of(o[2], o[3], o[1])
    if o[1] == "net" then functions = methods_in("net", "ea.nn.Module", ea.nn.Module) end
    assert(#functions > 0, o[2] .. ": no methods of " .. o[3])
    list[#list + 1] = { name = o[1], title = o[4], head = head_of(o[2]), functions = functions }
  end
  return list
end

-- ---- files -------------------------------------------------------------------------------------

--- Methods that layers and metatables have by agreement; Module.class says what they do.
local agreed = { forward = true, arguments = true, macs = true, forward_features = true }

function public.files()
  local found = {}
  local pipe = assert(io.popen("find lua/edgeai -name '*.lua' | sort"))
  for path in pipe:lines() do
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    local lines, list = {}, {}
    for line in text:gmatch("([^\n]*)\n") do lines[#lines + 1] = line end
    local parsed = doc.parse(text)
    for _, entry in ipairs(parsed.entries) do
      local short = entry.name:match("[.:]([%w_]+)$")
      if short and not lines[entry.line]:find("^%s*local") and not short:find("^__")
        and not agreed[short] then
        list[#list + 1] = { name = entry.name, short = short, line = entry.line,
          text = entry.text or head_for(parsed, short) }
      end
    end
    found[path] = list
  end
  pipe:close()
  return found
end

return public
