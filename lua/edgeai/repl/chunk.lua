-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.repl.chunk - what is typed as something to run: is it whole, an expression or statements?

local interruptible = require "edgeai.repl.interruptible"
local lexer = require "edgeai.repl.lexer"
local source = require "edgeai.source"

local chunk = {}

local function significant(text)
  local list = {}
  for _, token in ipairs(lexer.tokens(text)) do
    if token.kind ~= "comment" then list[#list + 1] = token end
  end
  return list
end

local deeper = { ["function"] = 1, ["do"] = 1, ["if"] = 1, ["repeat"] = 1, ["end"] = -1,
  ["until"] = -1 }

--- The text with the outermost `local`s made globals: a local of one entry would be gone in the
-- next. `local x` without a value becomes `x = nil`.
function chunk.share_locals(text)
  local tokens, inserts, depth, cuts = significant(text), {}, 0, {}
  for i, token in ipairs(tokens) do
    if token.kind == "keyword" then
      depth = depth + (deeper[token.text] or 0)
      if token.text == "local" and depth == 0 and tokens[i + 1] then
        cuts[#cuts + 1] = token
        local k = i + 1
        while tokens[k + 1] and tokens[k + 1].text == "," and tokens[k + 2] do k = k + 2 end
        if tokens[i + 1].kind == "name" and (not tokens[k + 1] or tokens[k + 1].text ~= "=") then
          inserts[tokens[k].last + 1] = " = nil"
        end
      end
    end
  end
  for _, token in ipairs(cuts) do -- as long as before: places stay
    text = text:sub(1, token.first - 1) .. (" "):rep(5) .. text:sub(token.last + 1)
  end
  return lexer.insert(text, inserts)
end

local function is_unfinished(message, text)
  if not message or message:find("unfinished string", 1, true) and not text:find("\\\n?$") then
    return false
  end
  return (message:find("near '<eof>'$") or message:find("unfinished long")) ~= nil
end

local function values(...) return ... end

--- A text typed as `name`: a function that runs it and returns its values, and whether they are to
-- be kept quiet (a ; at the end); nil and a sentence where it is no Lua; nil alone where it needs
-- more lines.
function chunk.compile(text, name)
  local tokens = significant(text)
  local last = tokens[#tokens]
  local quiet = last ~= nil and last.kind == "op" and last.text == ";"
  local expression = quiet and text:sub(1, last.first - 1) or text
  -- Handed to a function and not returned, or a tail call would take the line from errors.
  local wrapped = "return (...)(" .. expression .. "\n)"
  local plain = source.load_text(wrapped, name, "t")
  if plain and expression:find("%S") then
    local run = interruptible.chunk(wrapped, name, plain)
    return function() return run(values) end, quiet
  end
  local message
  plain, message = source.load_text(text, name, "t")
  if plain then
    local shared = chunk.share_locals(text)
    plain = source.load_text(shared, name, "t") or plain
    return interruptible.chunk(shared, name, plain), quiet
  end
  if is_unfinished(message, text) then return nil end
  local _, as_expression = source.load_text("return " .. expression, name, "t")
  if not quiet and is_unfinished(as_expression, text) then return nil end
  return nil, source.explain(message, "this")
end

return chunk
