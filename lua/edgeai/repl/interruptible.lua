-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.repl.interruptible - makes the user's code stop at Ctrl-C also where it is compiled.
--
-- LuaJIT's machine code does not look at debug hooks, so what the user types or loads at the
-- prompt gets a look at the interrupt flag into every loop, every function and before every goto,
-- each eighth time it passes. (A mere read of the flag each time would be cheaper, but the compiler
-- moves it out of the loop, `volatile` or not.) It costs about 1 ns a pass in machine code and
-- 10 ns in the interpreter. What stands on a line stays on that line.

local F = require "edgeai.ffi"
local lexer = require "edgeai.repl.lexer"
local source = require "edgeai.source"

local interruptible = {}

local PASSES = 8
local LOOK = " EA_N = EA_N - 1 if EA_N < 0 then EA_N = EA_LOOK() end "

--- The text with the looks in it.
function interruptible.rewrite(text)
  local inserts, tokens = {}, lexer.tokens(text)
  local parameters = false -- between `function` and the end of its parameters
  for i, token in ipairs(tokens) do
    local word = token.kind ~= "string" and token.kind ~= "comment" and token.text
    if word == "function" then
      parameters = true
    elseif word == ")" and parameters or word == "do" or word == "repeat" then
      parameters = false
      inserts[token.last + 1] = LOOK
    elseif word == "goto" and tokens[i + 1] and tokens[i + 1].kind == "name" then
      inserts[token.first] = LOOK
    end
  end
  return lexer.insert(text, inserts)
end

local look
local chunks = setmetatable({}, { __mode = "k" }) -- the functions of whole chunks

--- Is f the function of a whole chunk that was made here?
function interruptible.is_chunk(f) return chunks[f] ~= nil end

--- The chunk of a text that compiles, such that it can be stopped. `plain` is the chunk as it is:
-- where the looks do not fit (a function of 60 upvalues), that, never compiled to machine code.
function interruptible.chunk(text, name, plain)
  local wrapped = source.load_text("local EA_LOOK, EA_N = ... return function(...) "
    .. interruptible.rewrite(text) .. "\nend", name, "t")
  if not wrapped then
    jit.off(plain, true)
    return plain
  end
  local chunk = wrapped(look, 0)
  chunks[chunk] = true
  return chunk
end

--- What the looks call, every eighth time: a function that raises or returns how many times it need
-- not be called.
function interruptible.prepare(fn) look = fn end

--- From now on all that is loaded from files and strings can be stopped, too.
function interruptible.start()
  local stop = require("edgeai.cli.host").prompt()
  interruptible.prepare(function()
    if F.C.ea_interrupt_pending() ~= 0 then stop() end
    return PASSES
  end)
  source.finish = interruptible.chunk
end

return interruptible
