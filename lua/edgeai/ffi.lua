-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.ffi - the one door between Lua and libedgeai: declarations, checked calls, ownership.
--
-- Native memory is invisible to Lua's collector, so own() watches the core's byte count and
-- collects when it has grown past a budget.

local ffi = require "ffi"
local cdef = require "edgeai.cdef"
local text = require "edgeai.text"

local F = {}

ffi.cdef(cdef.text)

--- The library's functions: in this program, or in libedgeai.so under plain luajit.
local function library()
  local inside = pcall(function() return ffi.C.ea_abi end)
  if inside then return ffi.C end
  local path = cdef.library
  if not path:find("[./]") then -- in a rock, which lies where C modules are looked for
    path = package.searchpath(path, package.cpath) or path
  end
  local ok, lib = pcall(ffi.load, path, true) -- for all: plugins' ops call it too
  if not ok then
    error(("edgeai: cannot load %s: %s; run `make install` or set LD_LIBRARY_PATH"):format(path,
      lib), 0)
  end
  return lib
end

local C = library()
F.C = C
if C.ea_abi() ~= cdef.abi then
  error(("edgeai: libedgeai has ABI %d, its Lua files expect %d; install both from one version")
    :format(C.ea_abi(), cdef.abi), 0)
end

-- ---- errors ------------------------------------------------------------------------------------

-- "@edgeai/" in the program, "@/usr/local/share/lua/5.1/edgeai/" where installed.
local own_folder = debug.getinfo(1, "S").source:match("^(.*/)ffi%.lua$") or "@edgeai/"

--- Is this chunk one of edgeai's own Lua files? Errors are raised at the first frame that is not.
local function is_internal(source)
  return source:sub(1, #own_folder) == own_folder
end

--- Functions whose first argument has a path, such as a layer's call: function -> path(argument).
F.frames = {}

--- Raises "FILE:LINE: [path: ]sentence" at the caller's line outside edgeai's own files. The path
-- is that of the innermost frame in F.frames.
function F.raise(format, ...)
  local sentence = select("#", ...) > 0 and format:format(...) or format
  local level, path = 2, nil
  while true do
    local info = debug.getinfo(level, "Slf")
    if not info then break end
    local path_of = path == nil and F.frames[info.func]
    if path_of then
      local _, argument = debug.getlocal(level, 1)
      path = path_of(argument) or false
      if path then sentence = path .. ": " .. sentence end
    end
    if info.what ~= "C" and info.currentline > 0 and not is_internal(info.source) then
      error(("%s:%d: %s"):format(info.short_src, info.currentline, sentence), 0)
    end
    level = level + 1
  end
  error(sentence, 0)
end

--- Raises the core's sentence if `status` is negative; returns the status otherwise.
function F.check(status)
  if status < 0 then F.raise("%s", ffi.string(C.ea_error())) end
  return status
end

--- A default that means: optional, without a value.
F.none = setmetatable({}, { __tostring = function() return "none" end })

--- `given` with `defaults` filled in; a key that is not in `defaults` is refused by name.
function F.options(given, defaults, where)
  if given ~= nil and type(given) ~= "table" then
    F.raise("%s: expected a table of options, got a %s", where, type(given))
  end
  local out = {}
  for key, value in pairs(defaults) do
    if value ~= F.none then out[key] = value end
  end
  for key, value in pairs(given or {}) do
    if defaults[key] == nil then
      F.raise("%s: there is no option '%s'%s", where, tostring(key),
        text.suggest(tostring(key), text.keys(defaults)))
    end
    out[key] = value
  end
  return out
end

-- ---- ownership ---------------------------------------------------------------------------------

local tensor_type = ffi.typeof("ea_ref") -- the pointer wrapped: see core/cli/handles.sed
local out_type = ffi.typeof("ea_ref[4]")
local sizes_type = ffi.typeof("int64_t[?]")

--- What to pass where C takes NULL for a tensor.
F.null = tensor_type()

--- Is x a tensor?
function F.is_tensor(x)
  return type(x) == "cdata" and ffi.istype(tensor_type, x)
end

--- "{2, 3} f32"
function F.describe(t)
  local sizes = {}
  for d = 1, C.ea_tensor_ndim(t) do sizes[d] = tostring(tonumber(C.ea_tensor_size(t, d - 1))) end
  return ("{%s} %s"):format(table.concat(sizes, ", "), F.dtype_names[C.ea_tensor_dtype(t)])
end

--- Raises if a tensor was dropped; returns it.
function F.need_alive(t)
  if t.p == nil then
    F.raise("this tensor was dropped: by :drop(), or at the end of the ea.scope that made it")
  end
  return t
end

--- Raises unless x is a tensor; returns it.
function F.need_tensor(x, where)
  if not F.is_tensor(x) then F.raise("%s: expected a tensor, got a %s", where, type(x)) end
  return F.need_alive(x)
end

--- Lists of tensors that stand in a buffer during a call: the collector does not see into that.
F.held = {}

local budget = 256 * 2 ^ 20
local limit = budget
local scope -- list of the tensors made in the innermost ea.scope, or nil

--- Takes over one reference (such as out[0]): the collector gives it back.
function F.own(ref)
  local t = ffi.gc(tensor_type(ref.p), C.ea_tensor_release)
  if scope then scope[#scope + 1] = t end
  if tonumber(C.ea_memory_live()) > limit then
    collectgarbage()
    limit = tonumber(C.ea_memory_live()) + budget
  end
  return t
end

--- A borrowed tensor (may be NULL) as one that Lua owns a reference of; NULL gives nil.
function F.share(ref)
  if ref.p == nil then return nil end
  return F.own(C.ea_tensor_retain(ref))
end

--- Gives the reference back now; the tensor must not be used any more.
function F.drop(t)
  ffi.gc(t, nil)
  C.ea_tensor_release(t)
  t.p = nil -- a scope may still list it
end

--- Makes `list` (or nil) collect the tensors made from now on; returns the list before.
function F.set_scope(list)
  local outer = scope
  scope = list
  return outer
end

-- `out[0]` is a reference into `out` that does not keep it alive: in `return F.own(out[0])` the
-- collector may come by (leaving a trace, it does) between the call and the reading. So the last
-- few are held here.
F.last_outs = {}
local out_turn = 0

--- Room for the tensors an ea_* function hands out; to be read before 64 more are asked for.
function F.out()
  local out = out_type()
  out_turn = out_turn % 64 + 1
  F.last_outs[out_turn] = out
  return out
end

--- Raises unless value is a number.
function F.need_number(value, where)
  if type(value) ~= "number" then F.raise("%s: expected a number, got a %s", where, type(value)) end
end

--- Raises unless v is a whole number that a double holds exactly; returns it.
function F.need_whole(v, where, what)
  if type(v) == "number" and v % 1 == 0 and v >= -2 ^ 53 and v <= 2 ^ 53 then return v end
  F.raise("%s: %s must be a whole number, got %s", where, what, tostring(v))
end

--- A Lua list of numbers as int64_t[n], n.
function F.sizes(list)
  local n = #list
  local sizes = sizes_type(math.max(n, 1))
  for i = 1, n do sizes[i - 1] = F.need_whole(list[i], "tensor", "a size") end
  return sizes, n
end

-- ---- element types -----------------------------------------------------------------------------

F.dtypes = { f32 = 0, f64 = 1, bf16 = 2, i32 = 3, u8 = 4, i8 = 5 }
F.dtype_names = { [0] = "f32", "f64", "bf16", "i32", "u8", "i8" }
F.ctypes = { f32 = ffi.typeof("float *"), f64 = ffi.typeof("double *"),
  bf16 = ffi.typeof("uint16_t *"), i32 = ffi.typeof("int32_t *"), u8 = ffi.typeof("uint8_t *"),
  i8 = ffi.typeof("int8_t *") }

--- The number of an element type by its name (nil: f32); raises if there is none.
function F.dtype(name, where)
  local number = F.dtypes[name or "f32"]
  if not number then
    F.raise("%s: there is no element type '%s'; there are f32, f64, bf16, i32, u8 and i8", where,
      tostring(name))
  end
  return number
end

--- Pointer to the first element, typed (bf16 as uint16_t). Valid while t lives; t is contiguous.
function F.data(t)
  local p = C.ea_tensor_data(t)
  if p == nil then F.raise("this tensor has no values yet: it is being captured into a graph") end
  return ffi.cast(F.ctypes[F.dtype_names[C.ea_tensor_dtype(t)]], p)
end

return F
