-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.plugin - what users add to edgeai: layers, losses, architectures, data sets, commands,
-- objectives, parameterisations and transforms of ea.vis, ops.
--
-- A plugin is a folder NAME in one of the places of place.lua. Its init.lua returns a table: about,
-- one line, and for each kind of kinds.lua the things of that kind by name; thing.lua says what a
-- thing is. It is called with the plugin's name and folder (`...`) and finds its further files by
-- require "NAME.file".
--
--   return {
--     about = "focal loss",
--     losses = { focal_loss = { inputs = { "logits", "labels" }, help = "...",
--       options = { gamma = { 2, "focus on what is hard", least = 0 } },
--       call = function(logits, labels, o) ... end } },
--   }
--
-- Nothing is loaded before it is needed. A name that edgeai does not have (ea.focal_loss,
-- ea.nn.NAME, ea.data.load "NAME", `edgeai NAME`, the architecture of a file) is looked for in the
-- init.lua of every plugin; those in which it stands as a word are loaded. ea.plugin.use "NAME"
-- loads one at once. One that fails is left out with a sentence on stderr, and brings nothing.

local F = require "edgeai.ffi"
local kinds = require "edgeai.plugin.kinds"
local native = require "edgeai.plugin.native"
local place = require "edgeai.plugin.place"
local source = require "edgeai.source"
local text = require "edgeai.text"
local thing = require "edgeai.plugin.thing"

local plugin = {}

local records = {}   -- in the order of the places
local by_folder = {} -- the same; kept while the process lives
local by_name = {}   -- the first of each name
local owners = {}    -- "ea.nn.x" -> the plugin that brought it
local given = {}     -- those of plugin.record's folders, before all others

--- Looks again which plugins there are.
local function refresh()
  records, by_name = {}, {}
  for _, list in ipairs { given, place.scan() } do
    for _, found in ipairs(list) do
      local record = by_folder[found.folder] or found
      by_folder[found.folder] = record
      records[#records + 1] = record
      record.hidden_by = by_name[record.name]
      by_name[record.name] = by_name[record.name] or record
    end
  end
end

-- ---- loading -----------------------------------------------------------------------------------

--- May it be loaded, and does the word stand in its init.lua?
local function mentions(record, word)
  if record.hidden_by or record.state then return false end
  local code = source.read(record.folder .. "/init.lua")
  return code and code:find("%f[%w_]" .. word:gsub("%p", "%%%0") .. "%f[^%w_]") ~= nil
end

--- Loads a plugin unless it is loaded; returns whether it is now. record.problem says why not.
local load_plugin

--- "plugins/x/init.lua:7": where the word stands first, as a key if it is one.
local function locate(record, word)
  local path = record.folder .. "/init.lua"
  if not record.text or not word then return path end
  local plain = "%f[%w_]" .. word:gsub("%p", "%%%0") .. "%f[^%w_]"
  for _, pattern in ipairs { plain .. "['\"%]]*%s*=", plain } do
    local number = 0
    for line in (record.text .. "\n"):gmatch("([^\n]*)\n") do
      number = number + 1
      if line:gsub("%-%-.*$", ""):find(pattern) then return ("%s:%d"):format(path, number) end
    end
  end
  return path
end

--- The sentence for a failure that was raised while loading.
local function explain(record, failure)
  if type(failure) == "table" and failure.sentence then
    failure = locate(record, failure.word) .. ": " .. failure.sentence
  end
  failure = tostring(failure)
  if not failure:find(record.folder, 1, true) then
    failure = ("%s/init.lua: %s"):format(record.folder, failure)
  end
  return ("plugin %s: %s"):format(record.name, failure)
end

local function check_clash(kind, name)
  local full = kind.as .. name
  local owner = owners[full]
  if owner then
    thing.bad(name, "the %s `%s` is there already: %s comes from the plugin %s (%s)", kind.what,
      name, full, owner.name, owner.folder)
  end
  if kind.taken(name) then
    thing.bad(name, "the %s `%s` needs another name: %s is edgeai's own", kind.what, name, full)
  end
end

--- What the table of an init.lua says: list of { kind =, of =, name =, read = }.
local function read(said)
  if type(said) ~= "table" then
    thing.bad(nil, "it must return a table of what it brings, not %s",
      said == nil and "nothing" or "a " .. type(said))
  end
  local things, seen = {}, {}
  for _, key in ipairs(text.keys(said)) do
    local kind = kinds[key]
    if kind and type(said[key]) ~= "table" then
      thing.bad(key, "`%s` must be a table of things by name, not a %s", key, type(said[key]))
    elseif not kind and key ~= "about" then
      local known = text.keys(kinds)
      thing.bad(tostring(key), "there is no kind `%s`%s; a plugin has `about` and %s",
        tostring(key), text.suggest(tostring(key), kinds), text.list(known, "and"))
    end
    for _, name in ipairs(kind and text.keys(said[key]) or {}) do
      local plain = kind.any_name and type(name) == "string" and name:gsub("%-", "_") or name
      if not place.is_name(plain) then
        thing.bad(tostring(name), "`%s` is no name for a %s: it is made of small letters, digits "
          .. "and _", tostring(name), kind.what)
      end
      if seen[kind.as .. name] then
        thing.bad(name, "`%s` is there twice: as a %s and a %s", name, kind.what,
          seen[kind.as .. name])
      end
      seen[kind.as .. name] = kind.what
      table.insert(things, { kind = kind, of = key, name = name,
        read = kind.read(name, said[key][name]) })
    end
  end
  if said.about ~= nil and type(said.about) ~= "string" then
    thing.bad("about", "`about` must be a line of text, not a %s", type(said.about))
  end
  return things
end

--- Loads those before this plugin that may bring one of these things: the first has the name,
-- whichever was asked for first.
local function let_others_go_first(record, things)
  for _, other in ipairs(records) do
    if other == record then return end
    for _, t in ipairs(things) do
      if mentions(other, t.name) then load_plugin(other) end
    end
  end
end

local function ops_of(said)
  return next(said.ops or {}) and said.ops or nil
end

local function bring(record)
  if not place.is_name(record.name) then
    thing.bad(nil, "`%s` is no name for a plugin: it is made of small letters, digits and _",
      record.name)
  end
  local wrong = place.wrong(record, "init.lua")
  if wrong then thing.bad(nil, "%s", wrong) end
  local chunk, message, code = source.load(record.folder .. "/init.lua")
  if not chunk then error(message, 0) end
  record.text = code
  local said = chunk(record.name, record.folder)
  local things = read(said)
  let_others_go_first(record, things)
  for _, t in ipairs(things) do check_clash(t.kind, t.name) end
  if ops_of(said) then
    native.load(record, said.ops)
  elseif native.has(record) then
    thing.bad(nil, "there is a %s.c, but no `ops` that says what ops are in it", record.name)
  end
  record.table, record.ops = said, ops_of(said)
  table.sort(things, function(a, b) -- ops first: the checks of what else there is may need them
    if (a.of == "ops") ~= (b.of == "ops") then return a.of == "ops" end
    return a.of < b.of or a.of == b.of and a.name < b.name
  end)
  for _, t in ipairs(things) do
    t.kind.add(t.name, t.read, locate(record, t.name))
    owners[t.kind.as .. t.name] = record
    table.insert(record.things, t)
  end
end

--- Takes away what a plugin has brought.
local function undo(record)
  for _, t in ipairs(record.things or {}) do
    t.kind.remove(t.name)
    owners[t.kind.as .. t.name] = nil
  end
  native.unload(record.ops or {})
  record.things, record.ops, record.table, record.state = {}, nil, nil, nil
  for name in pairs(package.loaded) do
    if type(name) == "string" and name:find("^" .. record.name .. "%.") then
      package.loaded[name] = nil
    end
  end
end

function load_plugin(record)
  if record.state == "loaded" then return true end
  if record.state == "loading" then return false end
  record.state, record.problem, record.things = "loading", nil, {}
  -- In a coroutine, where no line of the user's code is on the stack that errors could be put to;
  -- and what it makes outlives the ea.scope in which its name was missed.
  local run, scope = coroutine.create(bring), F.set_scope(nil)
  local ok, failure = coroutine.resume(run, record)
  F.set_scope(scope)
  if ok and coroutine.status(run) ~= "dead" then
    ok, failure = false, "it yields while it is loaded"
  end
  if ok then
    record.state = "loaded"
    return true
  end
  undo(record)
  if F.C.ea_interrupt_pending() ~= 0 then error(failure, 0) end
  record.state, record.problem = "broken", explain(record, failure)
  return false
end

--- What `require "NAME.file"` asks: further Lua files of the plugins that are being used.
table.insert(package.loaders, function(module)
  local name, rest = module:match("^([%l%d_]+)%.([%w_.]+)$")
  local record = name and by_name[name]
  if not record or not (record.state == "loading" or record.state == "loaded") then return nil end
  local file = rest:gsub("%.", "/") .. ".lua"
  local wrong = place.wrong(record, file)
  if wrong then return "\n\t" .. wrong end
  local chunk, message = source.load(record.folder .. "/" .. file)
  if not chunk then error(message, 0) end
  return chunk
end)

-- ---- what others call --------------------------------------------------------------------------

local function find(name)
  refresh()
  local record = by_name[name]
  if record then return record end
  local paths = {}
  for i, at in ipairs(place.all()) do paths[i] = at.path end
  F.raise("there is no plugin '%s'%s in %s", tostring(name), text.suggest(tostring(name), by_name),
    #paths > 0 and text.list(paths)
    or "./plugins, $EDGEAI_PLUGINS or ~/.local/share/edgeai/plugins")
end

--- Loads the plugin of that name unless it is loaded, and returns the table of its init.lua. Raises
-- what is wrong with it.
function plugin.use(name)
  local record = find(name)
  if not load_plugin(record) then
    F.raise("%s", record.problem
      or ("plugin %s: it is being loaded: it uses itself, by way of others"):format(name))
  end
  return record.table
end

--- Takes away what a plugin has brought, for loading a changed one: ea.plugin.use reads it again.
-- Its native part stays the one that was loaded first.
function plugin.drop(name) undo(find(name)) end

local function warn(record)
  if record.warned then return end
  record.warned = true
  io.stderr:write("edgeai: ", record.problem, "; it is left out\n")
end

--- Loads the plugins in whose init.lua the word stands; the broken ones are named on stderr.
function plugin.offer(word)
  refresh()
  for _, record in ipairs(records) do
    if mentions(record, word) and not load_plugin(record) then warn(record) end
  end
end

--- Names of all things of a kind ("layers", "data", ...) that plugins bring, sorted. Loads the
-- plugins in whose init.lua the kind stands.
function plugin.names(kind)
  plugin.offer(kind)
  local names = {}
  for _, record in ipairs(records) do
    for _, t in ipairs(record.things or {}) do
      if t.of == kind then names[#names + 1] = t.name end
    end
  end
  table.sort(names)
  return names
end

local function brings(record)
  local list = {}
  for _, t in ipairs(record.things or {}) do
    list[t.of] = list[t.of] or {}
    table.insert(list[t.of], t.name)
  end
  return list
end

--- All plugins, in the order in which they are looked for: { name =, folder =, about =, brings = {
-- layers = { names } }, native = boolean, link = where the folder leads if it is a link, problem =
-- sentence or nil, hidden_by = folder or nil }. Loads them all.
function plugin.list()
  refresh()
  local list = {}
  for i, record in ipairs(records) do
    if not record.hidden_by and record.state ~= "loading" then load_plugin(record) end
    list[i] = { name = record.name, folder = record.folder, brings = brings(record),
      about = record.table and record.table.about, native = native.has(record),
      problem = record.problem, hidden_by = record.hidden_by and record.hidden_by.folder,
      link = place.link(record.folder) }
  end
  return list
end

--- The plugin of that name, or in that folder (with a "/"; it is then found by its name, too):
-- name, folder, and when it is loaded its table and ops.
function plugin.record(name)
  if name:find("/", 1, true) then
    local at, short = name:match("^(.-)/*([^/]+)/*$")
    local folder = (at == "" and not name:find("^/") and "." or at) .. "/" .. short
    given[#given + 1] = { name = short, folder = folder, place = at, trusted = true }
    name = short
  end
  return find(name)
end

return plugin
