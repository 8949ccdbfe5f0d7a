-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.plugin.native - the native part of a plugin: NAME.c, compiled to NAME.so beside it by
-- `edgeai plugin build`. It is loaded only if it was built from that very C file, for this ABI.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local place = require "edgeai.plugin.place"
local random = require "edgeai.random"
local source = require "edgeai.source"
local text = require "edgeai.text"
local thing = require "edgeai.plugin.thing"

local native = {}

--- Paths of a plugin's C file and of its library.
function native.files(record)
  local stem = record.folder .. "/" .. record.name
  return stem .. ".c", stem .. ".so"
end

--- Has the plugin a C file?
function native.has(record) return F.C.ea_file_exists((native.files(record))) == 1 end

--- What EA_PLUGIN_SOURCE must be: a hash of the C file's text.
function native.hash(code) return tostring(F.C.ea_stream_id(code)):match("^%d+") end

local function first_and_count(record)
  local c_file, library = native.files(record)
  local wrong = place.wrong(record, record.name .. ".c")
  if wrong then thing.bad("ops", "it brings ops, but %s", wrong) end
  if F.C.ea_file_exists(library) ~= 1 then
    thing.bad("ops", "its C file is not compiled yet: `edgeai plugin build %s` does it",
      record.name)
  end
  wrong = place.wrong(record, record.name .. ".so")
  if wrong then thing.bad("ops", "%s", wrong) end
  local code, message = source.read(c_file)
  if not code then thing.bad("ops", "cannot read %s", message) end
  local first, count = ffi.new("int[1]"), ffi.new("int[1]")
  if F.C.ea_plugin_load(library, native.hash(code), first, count) < 0 then
    thing.bad("ops", "%s (`edgeai plugin build %s`)", ffi.string(F.C.ea_error()), record.name)
  end
  return first[0], count[0]
end

--- Loads the library; its ops must be those that `declared` (by name) says.
function native.load(record, declared)
  local first, count = first_and_count(record)
  local bound, wrong = {}, nil
  for number = first, first + count - 1 do
    local name = ops.bind(number)
    bound[name] = true
    if not declared[name] then
      wrong = wrong or ("the op `%s` of its C file is not in `ops`"):format(name)
    end
  end
  for _, name in ipairs(text.keys(declared)) do
    if not bound[name] then
      wrong = wrong or ("the op `%s` is not in its C file"):format(name)
    end
  end
  if wrong then
    native.unload(bound)
    thing.bad("ops", "%s", wrong)
  end
end

--- Takes the ops (by name) away again.
function native.unload(declared)
  for name in pairs(declared) do
    if ops.by_name[name] then ops.unbind(name) end
  end
end

-- ---- checking ----------------------------------------------------------------------------------

local function largest(t) return math.max(1, t:detach():abs():max():item()) end

--- Raises unless the op gives in `dtype` what it gives in f64 for the same numbers.
local function check_type(name, inputs, attrs, dtype, tolerance)
  local narrow, wide = {}, {}
  for i, x in ipairs(inputs) do
    narrow[i] = x.dtype == "f64" and x:to(dtype) or x
    wide[i] = x.dtype == "f64" and narrow[i]:to("f64") or x
  end
  local got, want = { ops.apply(name, narrow, attrs) }, { ops.apply(name, wide, attrs) }
  for j, y in ipairs(want) do
    if y.dtype == "f64" then
      local off = (got[j]:to("f64") - y):abs():max():item() / largest(y)
      if not (off <= tolerance) then
        F.raise("%s: output %d in %s is %.2g away from that in f64; at most %g is right", name, j,
          dtype, off, tolerance)
      end
    end
  end
end

--- The inputs, of which those of f64 require a gradient; and these alone.
local function leaves_of(inputs)
  local leaves, wanted = {}, {}
  for i, x in ipairs(inputs) do
    leaves[i] = x.dtype == "f64" and x:clone():require_grad() or x
    if x.dtype == "f64" then wanted[#wanted + 1] = leaves[i] end
  end
  return leaves, wanted
end

--- The f64 inputs with the gradients of fn, whose outputs weigh the same each time.
local function gradients(fn, inputs)
  local leaves, list = leaves_of(inputs)
  local y = fn(unpack(leaves))
  local weights = random.rng("gradcheck", { seed = 7 }):uniform(y.shape, 0.5, 1.5, y.dtype)
  local total = (y * weights):sum()
  total:backward()
  return list
end

local function check_once(name, check)
  local stream = random.rng("check " .. name, { seed = 3 })
  local inputs, attrs, like = check(function(shape, dtype)
    return stream:normal(shape, 0, 1, dtype or "f64")
  end)
  local wide = 0
  for i, x in ipairs(type(inputs) == "table" and inputs or {}) do
    F.need_tensor(x, ("%s: input %d of check"):format(name, i))
    if x.dtype == "f64" then wide = wide + 1 end
  end
  if wide == 0 then
    F.raise("%s: check must return a list of inputs of which one at least is f64", name)
  end
  check_type(name, inputs, attrs, "f32", 1e-5)
  check_type(name, inputs, attrs, "bf16", 2e-2)
  -- Through copies: what the op does not say that its backward reads is gone by then.
  local function op(...)
    local copies = {}
    for i, x in ipairs { ... } do copies[i] = x.dtype == "f64" and x * 1 or x end
    return (ops.apply(name, copies, attrs)) * 1
  end
  local grad = require "edgeai.grad"
  local leaves = leaves_of(inputs)
  if not op(unpack(leaves)).requires_grad then return nil end
  if not like then return grad.check(op, { unpack(inputs) }) end
  grad.check(like, { unpack(inputs) })
  local worst, want = 0, gradients(like, inputs)
  for i, x in ipairs(gradients(op, inputs)) do
    local zero = x:detach() * 0
    local a, b = x.grad or zero, want[i].grad or zero
    local off = (a - b):abs():max():item() / largest(b)
    if not (off <= 1e-9) then
      F.raise("%s: the gradient of input %d is %.3g away from that of check's function", name, i,
        off)
    end
    worst = math.max(worst, off)
  end
  return worst
end

--- Checks an op by the inputs and attributes that `check` (a function, or a list of them) gives:
-- its gradient in f64 against differences, or against that of a third result of `check`, a function
-- of the inputs, where the gradient is not meant to be the op's own (straight-through estimators);
-- and that f32 and bf16 give what f64 does. Returns the largest difference of gradients; nil if the
-- op has none. Raises what is wrong.
function native.check(name, check)
  local worst
  for _, one in ipairs(type(check) == "table" and check or { check }) do
    local off = check_once(name, one)
    if off then worst = math.max(worst or 0, off) end
  end
  return worst
end

return native
