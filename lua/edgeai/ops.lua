-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.ops - a Lua function for every op of the core's table: ea.NAME(inputs..., attributes).
--
-- Attributes come as one table by name, or one after the other in the order of the op's schema; an
-- op with a list (axes, sizes) takes all its numbers, or one list, as that list. Axes count from 1,
-- or from -1 at the end. A number where a tensor is expected becomes a tensor of the other's type.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local text = require "edgeai.text"

local C = F.C
local MAX_IN, MAX_ATTR = 16, 24
local inputs_buffer = ffi.new("ea_ref[?]", MAX_IN)
local attrs_buffer = ffi.new("double[?]", MAX_ATTR)

--- {name, kind, default or nil} of each attribute in a schema, and the list attribute apart.
local function parse_schema(schema)
  local attrs, list = {}, nil
  for name, kind, default in schema:gmatch("([%w_]+):(%a)=?(%S*)") do
    local attr = { name = name, kind = kind }
    if default ~= "" then attr.default = tonumber(default) or (default:find("inf") and
      (default:sub(1, 1) == "-" and -math.huge or math.huge)) end
    if kind == "L" or kind == "X" then list = attr else attrs[#attrs + 1] = attr end
  end
  return attrs, list
end

local function axis(value, where)
  if type(value) ~= "number" or value % 1 ~= 0 or value == 0 then
    F.raise("%s: axes count from 1, or from -1 at the end; got %s", where,
      type(value) == "table" and "a table" or tostring(value))
  end
  return value > 0 and value - 1 or value
end

local convert = {
  i = function(v, where, name)
    if type(v) ~= "number" or v % 1 ~= 0 then
      F.raise("%s: '%s' must be a whole number, got %s", where, name, tostring(v))
    end
    return v
  end,
  f = function(v, where, name)
    if type(v) ~= "number" then
      F.raise("%s: '%s' must be a number, got %s", where, name, tostring(v))
    end
    return v
  end,
  b = function(v) return (v == true or v == 1) and 1 or 0 end,
  x = function(v, where) return axis(v, where) end,
  t = function(v, where) return type(v) == "string" and F.dtype(v, where) or v end,
}
convert.o = convert.i

local function list_item(attr, value, where)
  if attr.kind == "X" then return axis(value, where) end
  return convert.i(value, where, attr.name)
end

--- Fills attrs_buffer from the named attributes; returns how many.
local function named_attrs(op, given)
  for key in pairs(given) do
    if not op.known[key] then
      F.raise("%s: there is no attribute '%s'%s", op.name, tostring(key),
        text.suggest(tostring(key), text.keys(op.known)))
    end
  end
  local n = 0
  for i, attr in ipairs(op.attrs) do
    local value = given[attr.name]
    if value == nil and attr.kind == "o" then value = 1 end
    if value == nil then value = attr.default end
    if value == nil then F.raise("%s: the attribute '%s' must be given", op.name, attr.name) end
    if given[attr.name] ~= nil or attr.kind == "o" then
      value = convert[attr.kind](value, op.name, attr.name)
    end
    attrs_buffer[i - 1] = value
    n = i
  end
  local list = op.list and given[op.list.name]
  if type(list) == "number" then list = { list } end
  if list and n + #list > MAX_ATTR then F.raise("%s: too many %s", op.name, op.list.name) end
  for _, value in ipairs(list or {}) do
    attrs_buffer[n] = list_item(op.list, value, op.name)
    n = n + 1
  end
  return n
end

--- The arguments behind the inputs as a table of named attributes.
local function gather_attrs(op, args, first, last)
  local value = args[first]
  if first > last then return {} end
  if type(value) == "table" and first == last then
    if #value == 0 then return value end
    if op.list then -- { 1, 2, keep = true }: the list, and attributes by name beside it
      local given, list = {}, {}
      for key, v in pairs(value) do
        if type(key) == "number" then list[key] = v else given[key] = v end
      end
      given[op.list.name] = list
      return given
    end
  end
  local given = {}
  if op.list then
    local list = {}
    for i = first, last do list[#list + 1] = args[i] end
    given[op.list.name] = list
    return given
  end
  local k = 0
  for i = first, last do
    repeat k = k + 1 until not op.attrs[k] or op.attrs[k].kind ~= "o"
    if not op.attrs[k] then
      F.raise("%s: too many arguments; after the tensors it takes %s", op.name,
        #op.attrs == 0 and "nothing" or op.schema)
    end
    given[op.attrs[k].name] = args[i]
  end
  return given
end

--- Raises unless the axes in attrs_buffer are the first tensor's: C would count them from 0.
local function check_axes(op, first, nattr)
  local ndim = C.ea_tensor_ndim(first) + (op.name == "stack" and 1 or 0)
  for k = 1, nattr do
    local kind, axis_of_c = (op.attrs[k] or op.list).kind, attrs_buffer[k - 1]
    if (kind == "x" or kind == "X") and (axis_of_c < -ndim or axis_of_c >= ndim) then
      F.raise("%s: there is no axis %d in %s%s, which has %s", op.name,
        axis_of_c < 0 and axis_of_c or axis_of_c + 1, op.name == "stack" and "a stack of " or "",
        F.describe(first), ndim == 0 and "none: it is a scalar" or ndim == 1 and "one"
        or "axes 1 to " .. ndim)
    end
  end
end

--- Applies an op to a list of tensors with a table of named attributes. Returns its outputs.
local function apply(op, inputs, given)
  local nattr = named_attrs(op, given)
  local nin = #inputs
  if nin > MAX_IN then F.raise("%s: at most %d tensors, got %d", op.name, MAX_IN, nin) end
  for i = 1, nin do inputs_buffer[i - 1] = F.need_tensor(inputs[i], op.name) end
  if op.has_axes and nin > 0 then check_axes(op, inputs[1], nattr) end
  F.held[1] = inputs
  local out = F.out()
  local status = C.ea_apply(op.number, nin, inputs_buffer, nattr, attrs_buffer, out)
  F.held[1] = nil
  F.check(status)
  if op.outputs == 1 then return F.own(out[0]) end
  local made = {}
  for j = 1, op.outputs do made[j] = F.own(out[j - 1]) end
  return unpack(made)
end

--- A number as a tensor without dimensions, of the type of the tensor it meets.
local function number_tensor(value, like)
  local out = F.out()
  local dtype = like and C.ea_tensor_dtype(like) or 0
  F.check(C.ea_tensor_new(dtype, 0, ffi.new("int64_t[1]"), out))
  F.check(C.ea_tensor_fill(out[0], value))
  return F.own(out[0])
end

local function make_function(op)
  return function(...)
    local args, count = { ... }, select("#", ...)
    local inputs, first = {}, 1
    if type(args[1]) == "table" and F.is_tensor(args[1][1]) then
      inputs, first = { unpack(args[1]) }, 2
    else
      while first <= count and (F.is_tensor(args[first]) or
        (first <= op.least and type(args[first]) == "number")) do
        inputs[first] = args[first]
        first = first + 1
      end
    end
    if #inputs < op.least then
      F.raise("%s: expected %s%d tensor%s, got %s", op.name,
        op.most > op.least and "at least " or "", op.least, op.least == 1 and "" or "s",
        args[first] == nil and #inputs or ("a " .. type(args[first])))
    end
    local like
    for i, x in ipairs(inputs) do -- where's condition says nothing about what it chooses from
      if F.is_tensor(x) and (i > 1 or op.name ~= "where") then like = like or x end
    end
    for i, x in ipairs(inputs) do
      if type(x) == "number" then inputs[i] = number_tensor(x, like) end
    end
    return apply(op, inputs, gather_attrs(op, args, first, count))
  end
end

-- ---- the table ---------------------------------------------------------------------------------

local ops = { list = {}, functions = {}, by_name = {}, number_tensor = number_tensor }
local most = ffi.new("int[1]")

--- Takes up the op of that number in the core's table; returns its name.
function ops.bind(number)
  local op = { number = number, name = ffi.string(C.ea_op_name(number)),
    outputs = C.ea_op_outputs(number), least = C.ea_op_inputs(number, most), most = most[0],
    known = {} }
  local schema = C.ea_op_attrs(number)
  op.schema = schema ~= nil and ffi.string(schema) or ""
  op.attrs, op.list = parse_schema(op.schema)
  op.has_axes = op.schema:find(":[xX]") ~= nil
  for _, attr in ipairs(op.attrs) do op.known[attr.name] = true end
  if op.list then op.known[op.list.name] = true end
  ops.list[#ops.list + 1] = op
  ops.by_name[op.name] = op
  ops.functions[op.name] = make_function(op)
  return op.name
end

--- Takes an op from outside away again, here and in the core.
function ops.unbind(name)
  local op = ops.by_name[name]
  F.check(C.ea_op_remove(op.number))
  ops.by_name[name], ops.functions[name] = nil, nil
  for i, other in ipairs(ops.list) do
    if other == op then return table.remove(ops.list, i) end
  end
end

for number = 0, C.ea_op_count() - 1 do ops.bind(number) end

--- Applies the op of that name to a list of tensors with named attributes.
function ops.apply(name, inputs, attrs)
  local op = ops.by_name[name]
  if not op then
    F.raise("there is no op '%s'%s", tostring(name), text.suggest(tostring(name), ops.by_name))
  end
  return apply(op, inputs, attrs or {})
end

return ops
