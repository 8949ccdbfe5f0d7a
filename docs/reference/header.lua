-- SPDX-License-Identifier: GPL-3.0-or-later
-- header.lua - a public C header as its sections, comments and declarations, for the reference and
-- for the lint rule that every function has a comment.
--
--   header.parse(text) -> { intro =, sections = { { title =, text =, groups = { {
--     comment = "..." or nil, declarations = { { code =, comment =, name = } } } } } } }
--
-- A section begins with a comment `---- title ----`. A group is a run of declarations without a
-- blank line or comment of its own line in between; the comment above it is about all of them, and
-- may be the section's (`titled`). A declaration's own comment stands behind it. name: of a
-- function.

local header = {}

--- The words of a comment: no stars, no rule of dashes. Its lines stay, for they may be tables.
local function words(comment)
  local text = comment:gsub("^/%*", ""):gsub("%*/$", "")
  local lines = {}
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do
    lines[#lines + 1] = (line:gsub("^%s*%* ?", ""):gsub("%s+$", ""))
  end
  lines[1] = lines[1]:gsub("^%s+", "")
  return (table.concat(lines, "\n"):gsub("^\n+", ""):gsub("\n+$", ""))
end

--- Joins a trailing comment's lines, which are indented to its column.
local function joined(comment) return (words(comment):gsub("\n%s*", " ")) end

--- Where the declaration that begins at `at` ends: behind its `;` outside of braces and comments.
local function declaration_end(text, at)
  local depth = 0
  while true do
    local from, to, what = text:find("([{};/])", at)
    if not from then return nil end
    if what == "/" and text:sub(from, from + 1) == "/*" then
      to = select(2, text:find("*/", from, true))
    elseif what == "{" then
      depth = depth + 1
    elseif what == "}" then
      depth = depth - 1
    elseif what == ";" and depth == 0 then
      return to
    end
    at = to + 1
  end
end

local function without_preprocessor(text)
  text = text:gsub("\\\n", "\1"):gsub("\n#[^\n]*", "\n"):gsub("\1", "\\\n")
  return (text:gsub('\nextern "C" {', "\n"):gsub("\n}\n", "\n\n"))
end

--- Removes the declarations' `EA_API` and runs of blanks left by alignment.
local function tidy(code) return (code:gsub("EA_API ", "")) end

function header.parse(text)
  local first, last = text:find("/%*.-%*/")
  local intro = words(text:sub(first, last)):gsub("^SPDX[^\n]*\n+", "")
  text = without_preprocessor(text:sub(last + 1))
  local section = { title = "", text = "", groups = {} }
  local sections, group, at, titled = { section }, nil, 1, false
  while true do
    local blank, from = text:match("^(%s*)()", at)
    at = from
    if at > #text then break end
    if blank:find("\n%s*\n") then group, titled = nil, false end
    if text:sub(at, at + 1) == "/*" then
      local _, stop = text:find("*/", at, true)
      local comment = text:sub(at, stop)
      local title, rest = comment:match("^/%* %-%-%-%- (.-) %-+(.*)%*/$")
      if title then
        section = { title = title, text = words("/*" .. rest .. "*/"), groups = {} }
        sections[#sections + 1], group, titled = section, nil, true
      else
        group = { comment = words(comment), declarations = {} }
        section.groups[#section.groups + 1] = group
      end
      at = stop + 1
    else
      local stop = declaration_end(text, at)
      if not stop then break end
      local code = tidy(text:sub(at, stop))
      if not group then
        group = { declarations = {}, titled = titled and section.text ~= "" }
        section.groups[#section.groups + 1] = group
      end
      local behind, after = text:match("^[ \t]*(/%*.-%*/)()", stop + 1)
      table.insert(group.declarations, { code = code, comment = behind and joined(behind),
        name = code:match("^[%w_ %*]-%f[%w_](ea_[%w_]+)%(") })
      at = after or stop + 1
    end
  end
  return { intro = intro, sections = sections }
end

--- List of { name =, documented = } of all functions of a parsed header.
function header.functions(parsed)
  local list = {}
  for _, section in ipairs(parsed.sections) do
    for _, group in ipairs(section.groups) do
      for _, d in ipairs(group.declarations) do
        if d.name then
          list[#list + 1] = { name = d.name,
            documented = (d.comment or group.comment or group.titled) and true or false }
        end
      end
    end
  end
  return list
end

return header
