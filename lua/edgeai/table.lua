-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.table - tables of text for the terminal.
--
--   print(ea.table({ "network", "accuracy", "params" },
--     { { "teacher", 94.1, 2748890 }, ea.table.rule, { "NoNN", "93.2 %", 860000 } }))
--
-- Numbers, and columns in which every cell is a number, are aligned right; whole numbers get
-- thousands separators, others four significant digits unless they are given as text.
-- Options: title; align, a list of "left" or "right" by column. Box drawing where the locale is
-- UTF-8, ASCII elsewhere.

local F = require "edgeai.ffi"
local text = require "edgeai.text"

local tables = { rule = {} } -- as a row: a horizontal line

local boxes = {
  utf8 = { h = "─", v = "│",
    top = { "┌", "┬", "┐" }, mid = { "├", "┼", "┤" }, low = { "└", "┴", "┘" } },
  ascii = { h = "-", v = "|",
    top = { "+", "+", "+" }, mid = { "+", "+", "+" }, low = { "+", "+", "+" } },
}

local function wants_utf8()
  local locale = os.getenv("LC_ALL") or ""
  if locale == "" then locale = os.getenv("LC_CTYPE") or "" end
  if locale == "" then locale = os.getenv("LANG") or "" end
  return locale:upper():find("UTF%-?8") ~= nil
end

-- Columns that a text takes: code points (wide ones are not used here).
local function width(s)
  local _, count = s:gsub("[^\128-\191]", "")
  return count
end

--- A number as the tables show it: 2748890 -> "2,748,890", 0.123456 -> "0.1235".
function tables.number(x)
  if x ~= x then return "nan" end
  if x % 1 == 0 and math.abs(x) < 1e15 then return text.grouped(x) end
  return ("%.4g"):format(x)
end

local function is_number(value)
  return type(value) == "number"
    or (type(value) == "string" and value:find("^[%+%-]?[%d][%d,%.]*[%w%%× ]*$") ~= nil)
end

--- The text of a table: header, a list of names; rows, a list of lists.
function tables.format(header, rows, options)
  options = F.options(options or {}, { title = false, align = false, ascii = not wants_utf8() },
    "ea.table")
  local box = options.ascii and boxes.ascii or boxes.utf8
  local columns, widths, right = #header, {}, {}
  for c = 1, columns do
    widths[c], right[c] = width(tostring(header[c])), true
  end
  local cells = {}
  for r, row in ipairs(rows) do
    if row ~= tables.rule then
      if #row > columns then
        F.raise("ea.table: row %d has %d cells, the header %d", r, #row, columns)
      end
      cells[r] = {}
      for c = 1, columns do
        local value = row[c]
        local word = value == nil and ""
          or type(value) == "number" and tables.number(value) or tostring(value)
        cells[r][c] = word
        widths[c] = math.max(widths[c], width(word))
        if word ~= "" and word ~= "-" and not is_number(value) then right[c] = false end
      end
    end
  end
  for c, side in pairs(options.align or {}) do right[c] = side == "right" end

  local lines = {}
  local function rule(ends)
    local parts = {}
    for c = 1, columns do parts[c] = box.h:rep(widths[c] + 2) end
    lines[#lines + 1] = ends[1] .. table.concat(parts, ends[2]) .. ends[3]
  end
  local function line(words)
    local parts = {}
    for c = 1, columns do
      local word = tostring(words[c])
      local pad = (" "):rep(widths[c] - width(word))
      parts[c] = " " .. (right[c] and pad .. word or word .. pad) .. " "
    end
    lines[#lines + 1] = box.v .. table.concat(parts, box.v) .. box.v
  end
  if options.title then lines[#lines + 1] = options.title end
  rule(box.top)
  line(header)
  rule(box.mid)
  for r, row in ipairs(rows) do
    if row == tables.rule then rule(box.mid) else line(cells[r]) end
  end
  rule(box.low)
  return table.concat(lines, "\n")
end

return setmetatable(tables, { __call = function(_, ...) return tables.format(...) end })
