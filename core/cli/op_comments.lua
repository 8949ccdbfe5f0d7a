-- SPDX-License-Identifier: GPL-3.0-or-later
-- op_comments.lua - build step: the comments that document the ops, as a Lua module.
--   luajit core/cli/op_comments.lua OUTPUT.lua OPS_FOLDER
-- The module is { conv2d = { text = "...", file = "core/ops/conv2d.c" }, ... }: the comment at the
-- top of the file that defines the op, whose first line names the file or the op.

local output, folder = arg[1], arg[2]
assert(folder, "usage: op_comments.lua OUTPUT.lua OPS_FOLDER")

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function head_of(text)
  local comment = assert(text:match("^/%*(.-)%*/"))
  local lines = {}
  for line in comment:gmatch("[^\n]+") do
    line = line:gsub("^ %* ?", "")
    if not line:find("^%s*SPDX") and (line ~= "" or #lines > 0) then lines[#lines + 1] = line end
  end
  return (table.concat(lines, "\n"):gsub("%s+$", ""))
end

local sources = {}
local pipe = assert(io.popen(("ls '%s'/*.c"):format(folder)))
for path in pipe:lines() do sources[#sources + 1] = { path = path, text = read(path) } end
pipe:close()

-- An op is `const ea_op ea_op_NAME = {` or made by a macro, `UNARY(NAME, ...)`.
local function defines(text, name)
  return text:find("ea_op ea_op_" .. name .. "%s*=") or text:find("\n%u[%u_]+%(" .. name .. "%s*,")
    or text:find("\n%u[%u_]+%(" .. name .. "%s*%)")
end

local out = { "return {\n" }
for name in read(folder .. "/ops.def"):gmatch("EA_OP%(([%w_]+)%)") do
  if name ~= "name" then
    local found
    for _, source in ipairs(sources) do
      if defines(source.text, name) then found = found or source end
    end
    assert(found, name .. " is in ops.def, but no file defines it")
    out[#out + 1] = ("  [%q] = { file = %q, text = %q },\n"):format(name, found.path,
      head_of(found.text))
  end
end
out[#out + 1] = "}\n"

local file = assert(io.open(output, "wb"))
assert(file:write(table.concat(out)))
assert(file:close())
