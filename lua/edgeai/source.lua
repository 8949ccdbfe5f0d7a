-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.source - Lua files as text. Bytecode is refused: LuaJIT does not verify it, and a changed
-- byte of it can do anything to the process.

local source = {}

--- At the prompt, a function of text, chunk name and chunk: the chunk to be used instead. See
-- edgeai.repl.interruptible.
source.finish = nil

--- Lua's own load: the program replaces the global one (edgeai.cli.text_only).
source.load_text = load -- luacheck: ignore

--- What load says of bytecode where text was wanted, as a sentence.
function source.explain(message, name)
  if tostring(message):find("attempt to load chunk with wrong mode", 1, true) then
    return ("%s is Lua bytecode; only text is loaded: give the source"):format(name)
  end
  return message
end

local MOST = 64 * 2 ^ 20 -- bytes: /dev/zero has no end

--- The text of a file (nil: of standard input), or nil and a sentence.
function source.read(path)
  local file, message = io.stdin, nil
  if path then file, message = io.open(path, "rb") end
  if not file then return nil, message end
  local text, trouble = file:read(MOST)
  local more = text and file:read(0)
  if path then file:close() end
  if trouble then return nil, path .. " is a folder; name the file in it" end
  if more then
    return nil, ("%s is no Lua source: it is longer than 64 MiB"):format(path or "standard input")
  end
  return text or ""
end

--- The chunk of a file (nil: of standard input), nil and its text; or nil and a sentence. A first
-- line with #! is skipped.
function source.load(path)
  local text, message = source.read(path)
  if not text then return nil, message end
  -- "@edgeai/..." are our own files' chunk names.
  local name = path and "@" .. (path:find("^edgeai/") and "./" .. path or path) or "=stdin"
  local rest = text:match("^#[^\n]*\n?(.*)$")
  if rest then text = (rest:find("^\27") and "" or "\n") .. rest end -- lines keep their numbers
  local chunk
  chunk, message = source.load_text(text, name, "t")
  if not chunk then return nil, source.explain(message, path or "standard input") end
  if source.finish then chunk = source.finish(text, name, chunk) end
  return chunk, nil, text
end

return source
