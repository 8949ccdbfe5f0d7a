-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.config - the options of a script, declared once.
--
--   local cfg = ea.config {
--     preset = { default = "quick", quick = {}, cifar10 = { train = { epochs = 40 } } },
--     data = { "fashion-mnist", "data set: fashion-mnist, cifar10 or cifar100" },
--     students = { 2, "number of students", type = "integer", least = 2 },
--     train = { epochs = 3, lr = { 0.1, "peak learning rate" } },          -- a group
--     rule = { default = "hub", choices = { "hub", "random" }, help = "edge rule" },
--     teacher = { type = "string", help = "file of a trained teacher" },   -- nil unless set
--     widths = { { 16, 32, 64 }, "free widths" },                          -- a list
--   }
--   cfg.train.lr                                                            -- a plain table
--
-- A declaration is a value (number, boolean, string), a pair { value, "help" }, a description
-- { default =, help =, type =, choices =, required = true, least =, most =, above = }, or a group:
-- a table of declarations by name. A pair may have a description's other fields beside it. The type
-- is the default's: "number", "boolean", "string" or "list"; "integer" has to be asked for. least,
-- most and above bound a number, so that what only the last step needs is refused at once.
--
-- Values come, later ones winning, from: the defaults; the default preset; the run that is resumed;
-- the preset asked for by `--set preset=NAME`; `--set key=value` (`--set train.lr=0.05`, lists as
-- 16,32,64); --seed and --precision.
--
-- `seed` (1) and `precision` ("f32"; "auto": bf16 where the processor has it) exist in every
-- script; ea.config sets ea.seed(cfg.seed).
-- `edgeai run SCRIPT --help` prints the comment at the script's top and all this, and ends. Errors:
-- unknown keys (with the nearest known one), values of another type or out of bounds, presets that
-- do not exist: raised at the script's line, or, if they came from the command line, or a required
-- one did not, wrong usage (exit code 2).

local F = require "edgeai.ffi"
local declare = require "edgeai.declare"
local session = require "edgeai.session"
local text = require "edgeai.text"

local config = {}

local function is_group(declared)
  return type(declared) == "table" and #declared == 0
    and declared.default == nil and type(declared.type) ~= "string"
end

-- What is wrong with the command line is no error of the script's line.
local function fail(from_line, format, ...)
  if not from_line then F.raise(format, ...) end
  session.fail_usage(("run %s --help"):format(session.script or "SCRIPT"), format, ...)
end

local function unknown(options, key, what, from_line)
  fail(from_line, "%sthere is no option `%s`%s", what, key, text.suggest(key, options))
end

-- A value from the command line.
local function parse(option, key, word)
  local value = declare.parse(option, word)
  if value == nil then fail(true, "--set %s=%s: `%s` is a %s", key, word, key, option.type) end
  return value
end

local function check(option, key, value, what, from_line)
  local wrong = declare.wrong(option, value)
  if wrong then fail(from_line, "%s`%s` %s", what, key, wrong) end
end

-- Fills `options` (dotted key -> description) and `order`.
local function flatten(declarations, prefix, options, order)
  for _, name in ipairs(text.keys(declarations)) do
    declare.check_name("config: ", name)
    local key, declared = prefix .. name, declarations[name]
    if is_group(declared) then
      flatten(declared, key .. ".", options, order)
    else
      options[key] = declare.option("config: ", key, declared)
      order[#order + 1] = key
    end
  end
end

-- Lays a tree of values over the flat ones.
local function overlay(options, values, tree, prefix, what)
  for _, name in ipairs(text.keys(tree)) do
    local key, value = prefix .. tostring(name), tree[name]
    if options[key] then
      check(options[key], key, value, what)
      values[key] = value
    elseif type(value) == "table" and #value == 0 then
      overlay(options, values, value, key .. ".", what)
    else
      unknown(options, key, what)
    end
  end
end

-- The comment at the top of the script, without licence lines: what it says of itself.
local function opening_comment(path)
  local lines, file = {}, io.open(path)
  for line in file and file:lines() or function() end do
    local words = line:match("^%-%- ?(.*)$")
    if not words and not line:find("^#!") then break end
    if words and not words:find("^SPDX%-") then lines[#lines + 1] = words end
  end
  if file then file:close() end
  return lines
end

-- Words in lines of at most 100 columns, the first behind `head`, the others below it.
local function wrap(head, words)
  local lines = { head }
  for _, word in ipairs(words) do
    local last = lines[#lines]
    if #last + #word + 1 > 100 and last:find("%S", #head) then
      lines[#lines + 1] = (" "):rep(#head) .. " " .. word
    else
      lines[#lines] = last .. " " .. word
    end
  end
  return (table.concat(lines, "\n"):gsub("%s+$", ""))
end

local function help_text(options, order, presets)
  local script = session.script or "SCRIPT"
  local lines = { ("Usage: edgeai run %s [--set KEY=VALUE]..."):format(script), "" }
  for _, line in ipairs(opening_comment(script)) do lines[#lines + 1] = line end
  if #lines > 2 then lines[#lines + 1] = "" end
  lines[#lines + 1] = "Options of this script, with their defaults:"
  for _, key in ipairs(order) do
    local option = options[key]
    lines[#lines + 1] = (("  %-32s %s"):format(key .. "=" .. declare.word_of(option.default),
      declare.about(option)):gsub("%s+$", ""))
  end
  if presets then
    lines[#lines + 1] = "\nPresets, for --set preset=NAME:"
    for _, name in ipairs(text.keys(presets)) do
      local values, words = {}, {}
      overlay(options, values, presets[name], "", "")
      for _, key in ipairs(text.keys(values)) do
        words[#words + 1] = key .. "=" .. declare.word_of(values[key])
      end
      lines[#lines + 1] = wrap(("  %-9s"):format(name), words)
    end
  end
  lines[#lines + 1] = "\n`edgeai run --help` lists the options of every script."
  return table.concat(lines, "\n") .. "\n"
end

local function resumed_values(options, values)
  local folder = require("edgeai.run").resume_folder()
  if not folder then return end
  local stored = require("edgeai.run").read_config(folder)
  for _, key in ipairs(text.keys(stored)) do
    -- Options that the script no longer has are of no use to it.
    if options[key] then
      check(options[key], key, stored[key], folder .. "/config.json: ")
      values[key] = stored[key]
    end
  end
end

local function nest(values)
  local tree = {}
  for key, value in pairs(values) do
    local node = tree
    for group in key:gmatch("([^.]+)%.") do
      node[group] = node[group] or {}
      node = node[group]
    end
    node[key:match("[^.]+$")] = value
  end
  return tree
end

--- Flat form of a resolved config: dotted key -> value. What config.json holds.
function config.flat(cfg)
  local flat = {}
  local function walk(node, prefix)
    for key, value in pairs(node) do
      if type(value) == "table" and #value == 0 then walk(value, prefix .. key .. ".")
      else flat[prefix .. key] = value end
    end
  end
  walk(cfg, "")
  return flat
end

--- Declares the options and returns the resolved table. See the top of this file.
function config.resolve(declarations)
  if type(declarations) ~= "table" then
    F.raise("ea.config takes a table of options, not a %s", type(declarations))
  end
  local declared, presets = {}, nil
  for name, value in pairs(declarations) do declared[name] = value end
  if type(declared.preset) == "table" and #declared.preset == 0 then
    presets = {}
    for name, value in pairs(declared.preset) do
      if type(value) == "table" and name ~= "choices" then presets[name] = value end
    end
    declared.preset = { default = declared.preset.default or text.keys(presets)[1],
      choices = text.keys(presets), help = "set of values to start from" }
  end
  if declared.seed == nil then
    declared.seed = { 1, "seed of all random numbers", type = "integer", least = 0 }
  end
  if declared.precision == nil then
    declared.precision = { default = "f32", choices = { "f32", "bf16", "auto" },
      help = "type of the activations; auto: bf16 where the processor has it" }
  end
  local options, order = {}, {}
  flatten(declared, "", options, order)
  session.configured = true
  if session.help then
    io.write(help_text(options, order, presets))
    os.exit(0, true)
  end

  local values, given = {}, {}
  for key, option in pairs(options) do values[key] = option.default end
  for _, setting in ipairs(session.settings) do
    local key, word = setting[1], setting[2]
    if not options[key] then unknown(options, key, "--set: ", true) end
    local value = parse(options[key], key, word)
    check(options[key], key, value, "--set: ", true)
    given[key] = value
  end
  if session.seed then given.seed = session.seed end
  if session.precision then given.precision = session.precision end
  local function lay_preset(name)
    check(options.preset, "preset", name, "preset: ")
    overlay(options, values, presets[name], "", ("preset %s: "):format(name))
    values.preset = name
  end
  if presets then lay_preset(values.preset) end
  if session.resume then resumed_values(options, values) end
  if given.preset and presets then lay_preset(given.preset) end
  for key, value in pairs(given) do values[key] = value end
  if values.precision == "auto" then -- settled here, so that a resumed run keeps it
    values.precision = F.C.ea_cpu_has_bf16() ~= 0 and "bf16" or "f32"
  end
  for _, key in ipairs(order) do
    if options[key].required and values[key] == nil then
      fail(true, "`%s` must be given, by --set %s=...%s", key, key,
        options[key].help and ": " .. options[key].help or "")
    end
  end
  local cfg = nest(values)
  if type(cfg.seed) == "number" then require("edgeai").seed(cfg.seed) end
  return cfg
end

return setmetatable(config, { __call = function(_, declarations)
  return config.resolve(declarations)
end })
