-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.cli.text_only - makes every way to load Lua in this program take text alone: require of
-- files, load, loadstring, loadfile, dofile. What a script's own code reaches by them, too.

local source = require "edgeai.source"

local load_any = source.load_text

local function finish(name, chunk, message)
  if chunk then return chunk end
  return nil, source.explain(message, name)
end

local function chunk_name(code, name)
  if type(name) == "string" then return (name:gsub("^[@=]", "")) end
  return type(code) == "string" and "the string" or "the chunk"
end

local replaced = {}

function replaced.load(code, name, _, ...)
  local chunk, message = finish(chunk_name(code, name), load_any(code, name, "t"))
  if chunk and source.finish and type(code) == "string" then
    chunk = source.finish(code, name or code, chunk)
  end
  if chunk and select("#", ...) > 0 then setfenv(chunk, (...)) end
  return chunk, message
end

function replaced.loadstring(code, name) return replaced.load(code, name) end

function replaced.loadfile(path, _, ...)
  local chunk, message = source.load(path)
  if chunk and select("#", ...) > 0 then setfenv(chunk, (...)) end
  return chunk, message
end

function replaced.dofile(path)
  local chunk, message = source.load(path)
  if not chunk then error(message, 0) end
  return chunk()
end

--- What `require` asks for a Lua file, in place of Lua's own.
local function find_file(module)
  local path, tried = package.searchpath(module, package.path)
  if not path then return tried end
  local chunk, message = source.load(path)
  if not chunk then error(("cannot load the module '%s': %s"):format(module, message), 0) end
  return chunk
end

for name, fn in pairs(replaced) do _G[name] = fn end
package.loaders[3] = find_file -- behind package.preload and main.c's for the embedded files
