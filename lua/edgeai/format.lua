-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.format - tensors as text: a line with shape and type, then values with a common scale,
-- four significant digits, and "..." where there are many.

local format = {}

local EDGE = 3 -- items shown at each end of a long dimension

local function shown(n)
  if n <= 2 * EDGE + 2 then
    local all = {}
    for i = 1, n do all[i] = i end
    return all
  end
  return { 1, 2, 3, false, n - 2, n - 1, n }
end

local function pattern_for(values)
  local whole, largest, smallest = true, 0, math.huge
  for _, v in ipairs(values) do
    if v == v and math.abs(v) ~= math.huge then
      whole = whole and v % 1 == 0
      largest = math.max(largest, math.abs(v))
      if v ~= 0 then smallest = math.min(smallest, math.abs(v)) end
    end
  end
  if whole and largest < 1e9 then return "%d" end
  if largest >= 1e5 or (largest > 0 and smallest < 1e-4 and largest < 1e-2) then return "%.3e" end
  local digits = math.max(0, 3 - math.floor(math.log10(math.max(largest, 1e-4))))
  return ("%%.%df"):format(math.min(digits, 6))
end

local function collect(t, values)
  if t.ndim == 0 then
    values[#values + 1] = t:item()
    return
  end
  for _, i in ipairs(shown(t:size(1))) do
    if i then
      local part = t:select(1, i)
      if part.ndim == 0 then values[#values + 1] = part:item() else collect(part, values) end
    end
  end
end

local function one(pattern, v)
  if v ~= v then return "nan" end
  if math.abs(v) == math.huge then return v > 0 and "inf" or "-inf" end
  return pattern:format(v)
end

local function lines(t, pattern, width, indent, out)
  if t.ndim == 1 then
    local items = {}
    for _, i in ipairs(shown(t:size(1))) do
      items[#items + 1] = i and ("%" .. width .. "s"):format(one(pattern, t:get(i))) or "..."
    end
    out[#out + 1] = indent .. "{ " .. table.concat(items, "  ") .. " }"
    return
  end
  out[#out + 1] = indent .. "{"
  for _, i in ipairs(shown(t:size(1))) do
    if i then lines(t:select(1, i), pattern, width, indent .. "  ", out)
    else out[#out + 1] = indent .. "  ..." end
  end
  out[#out + 1] = indent .. "}"
end

--- Text of a tensor.
function format.tensor(t)
  local head = ("tensor {%s} %s"):format(table.concat(t.shape, ", "), t.dtype)
  if require("edgeai.ffi").C.ea_tensor_symbolic(t) ~= 0 then return head .. " (being captured)" end
  if t.requires_grad then head = head .. ", requires grad" end
  if t:numel() == 0 then return head .. ", empty" end
  local plain = t.requires_grad and t:detach() or t
  local values = {}
  collect(plain, values)
  local pattern = pattern_for(values)
  if t.ndim == 0 then return head .. ": " .. one(pattern == "%d" and "%d" or "%.6g", values[1]) end
  local width = 0
  for _, v in ipairs(values) do width = math.max(width, #one(pattern, v)) end
  local out = { head }
  lines(plain, pattern, width, "", out)
  return table.concat(out, "\n")
end

return format
