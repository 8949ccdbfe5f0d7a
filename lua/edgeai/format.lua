-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.format - tensors as text: a line with shape, type and, where the numbers are very large or
-- very small, their common factor; then the values, four significant digits of the largest one, and
-- "..." where there are many.

local F = require "edgeai.ffi"

local format = {}

local EDGE = 3      -- items shown at each end of a long dimension
local ROWS = 20     -- lines of numbers
local WRAPPED = 100 -- a vector that long is shown whole, on several lines

--- Indices to show of n, `edge` at each end with false between them; all if n <= most.
local function shown(n, most, edge)
  local list = {}
  if n <= math.max(most, 2 * edge + 1) then
    for i = 1, n do list[i] = i end
    return list
  end
  for i = 1, edge do list[i], list[edge + 1 + i] = i, n - edge + i end
  list[edge + 1] = false
  return list
end

-- ---- numbers -----------------------------------------------------------------------------------

local function is_finite(v) return v == v and math.abs(v) < math.huge end

--- How to write numbers: a pattern, and what they are to be divided by before.
local function pattern_for(values)
  local whole, largest, smallest = true, 0, math.huge
  for _, v in ipairs(values) do
    if is_finite(v) then
      whole = whole and v % 1 == 0
      largest = math.max(largest, math.abs(v))
      if v ~= 0 then smallest = math.min(smallest, math.abs(v)) end
    end
  end
  if whole and largest < 1e9 then return "%d", 1 end
  local exponent = math.floor(math.log10(largest))
  if exponent >= -3 and exponent < 5 then
    return ("%%.%df"):format(math.max(0, math.min(3 - exponent, 6))), 1
  end
  if smallest < largest * 1e-4 then return "%.3e", 1 end
  return "%.3f", 10 ^ exponent
end

local function one(pattern, factor, v)
  if v ~= v then return "nan" end
  if not is_finite(v) then return v > 0 and "inf" or "-inf" end
  return pattern:format(v / factor)
end

-- ---- which, and where --------------------------------------------------------------------------

--- For each dimension the indices to show, so that there are about ROWS lines of numbers.
local function plan(size, room)
  local n, rows = #size, 1
  for d = 1, n - 1 do rows = rows * size[d] end
  local edge = EDGE
  while n > 2 and edge > 1 and (2 * edge) ^ (n - 1) > ROWS do edge = edge - 1 end
  local list = {}
  for d = 1, n - 1 do list[d] = shown(size[d], rows <= ROWS and size[d] or 0, edge) end
  list[n] = shown(size[n], room, EDGE)
  return list
end

local function collect(t, dims, depth, values)
  for _, i in ipairs(dims[depth]) do
    if i then
      local part = depth == #dims and t:get(i) or t:select(1, i)
      if depth == #dims then values[#values + 1] = part
      else collect(part, dims, depth + 1, values) end
    end
  end
end

local function row(t, indices, write)
  local items = {}
  for _, i in ipairs(indices) do items[#items + 1] = i and write(t:get(i)) or "..." end
  return items
end

local function lines(t, dims, depth, write, out)
  local indent = ("  "):rep(depth - 1)
  if depth == #dims then
    out[#out + 1] = indent .. "{ " .. table.concat(row(t, dims[depth], write), "  ") .. " }"
    return
  end
  out[#out + 1] = indent .. "{"
  for _, i in ipairs(dims[depth]) do
    if i then lines(t:select(1, i), dims, depth + 1, write, out)
    else out[#out + 1] = indent .. "  ..." end
  end
  out[#out + 1] = indent .. "}"
end

--- A vector on as many lines as it takes.
local function wrapped(t, room, write, out)
  local items = row(t, shown(t:size(1), WRAPPED, EDGE), write)
  for first = 1, #items, room do
    local last = math.min(first + room - 1, #items)
    out[#out + 1] = (first == 1 and "{ " or "  ") .. table.concat(items, "  ", first, last)
      .. (last == #items and " }" or "")
  end
end

--- Text of a tensor.
function format.tensor(t)
  local head = ("tensor {%s} %s"):format(table.concat(t.shape, ", "), t.dtype)
  if F.C.ea_tensor_symbolic(t) ~= 0 then return head .. " (being captured)" end
  if t.requires_grad then head = head .. ", requires grad" end
  if t:numel() == 0 then return head .. ", empty" end
  local plain = t.requires_grad and t:detach() or t
  if t.ndim == 0 then
    local v = plain:item()
    return head .. ": " .. one(v % 1 == 0 and math.abs(v) < 1e9 and "%d" or "%.6g", 1, v)
  end
  local columns = math.max(40, F.C.ea_terminal_width()) - 2 * t.ndim - 2
  local most = t.ndim == 1 and WRAPPED or math.floor(columns / 3)
  local dims, values = plan(t.shape, most), {}
  collect(plain, dims, 1, values)
  local pattern, factor = pattern_for(values)
  local width = 0
  for _, v in ipairs(values) do width = math.max(width, #one(pattern, factor, v)) end
  local pad = "%" .. width .. "s"
  local function write(v) return pad:format(one(pattern, factor, v)) end
  if factor ~= 1 then head = ("%s, times %.0e"):format(head, factor) end
  local out, room = { head }, math.max(1, math.floor((columns + 2) / (width + 2)))
  if t.ndim == 1 then
    wrapped(plain, room, write, out)
  else
    dims[t.ndim] = shown(t:size(t.ndim), room, EDGE)
    lines(plain, dims, 1, write, out)
  end
  return table.concat(out, "\n")
end

return format
