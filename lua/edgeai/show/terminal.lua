-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.show.terminal - what the terminal can draw, and pictures in its language:
--   kitty    PNG in kitty's graphics protocol (also Ghostty, Konsole, WezTerm)
--   iterm2   PNG as an inline file (iTerm2, mintty)
--   sixel    DEC's sixels (xterm, foot, mlterm, Windows Terminal, ...)
--   blocks   half blocks of text, two pixels each
--   none     nothing: standard output is no terminal
-- $EDGEAI_GRAPHICS chooses one of them. Otherwise the terminal is asked, once: for its name, for an
-- answer in kitty's protocol, and for its attributes, of which 4 are sixels.

local F = require "edgeai.ffi"
local image = require "edgeai.image"
local sixel = require "edgeai.show.sixel"

local terminal = {}

-- ---- what it can -------------------------------------------------------------------------------

local modes = { kitty = true, iterm2 = true, sixel = true, blocks = true, none = true }

--- What is answered by every terminal comes last: then nothing more will come.
terminal.question = "\27_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\27\\\27[>q\27[c"

--- The mode that an answer to the question speaks for.
function terminal.understand(answer)
  if answer:find("\27_Gi=31;OK", 1, true) then return "kitty" end
  if answer:find("\27P>|iTerm2", 1, true) or answer:find("\27P>|mintty", 1, true) then
    return "iterm2"
  end
  local attributes = answer:match("\27%[%?([%d;]+)c")
  if attributes and (";" .. attributes .. ";"):find(";4;", 1, true) then return "sixel" end
  return "blocks"
end

local mode

--- "kitty", "iterm2", "sixel", "blocks" or "none".
function terminal.mode()
  local wanted = os.getenv("EDGEAI_GRAPHICS")
  if wanted and modes[wanted] then return wanted end
  if F.C.ea_isatty(1) == 0 or os.getenv("TERM") == "dumb" then return "none" end
  if mode then return mode end
  local inside, host = pcall(require, "edgeai.cli.terminal")
  local answer = inside and F.C.ea_isatty(0) ~= 0 and host.ask(terminal.question, "c", 0.3) or ""
  mode = terminal.understand(answer)
  return mode
end

--- Columns, rows, and the width and height of a character in pixels.
function terminal.size()
  local inside, host = pcall(require, "edgeai.cli.terminal")
  if not inside then return F.C.ea_terminal_width(), 24, 8, 16 end
  local columns, rows, width, height = host.size()
  if width == 0 or height == 0 then return columns, rows, 8, 16 end
  return columns, rows, math.max(1, width / columns), math.max(1, height / rows)
end

-- ---- pictures ----------------------------------------------------------------------------------

local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

--- Bytes in base64.
function terminal.base64(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local n = a * 65536 + (b or 0) * 256 + (c or 0)
    for k = 3, 0, -1 do
      local digit = math.floor(n / 64 ^ k) % 64 + 1
      out[#out + 1] = letters:sub(digit, digit)
    end
    if not b then out[#out - 1] = "=" end
    if not c then out[#out] = "=" end
  end
  return table.concat(out)
end

local function png(picture)
  local name = os.tmpname()
  local path = name .. ".png"
  local ok, message = pcall(image.save, path, picture)
  local file = ok and io.open(path, "rb")
  local bytes = file and file:read("*a")
  if file then file:close() end
  os.remove(path)
  os.remove(name)
  if not bytes then F.raise("show: the picture could not be written: %s", tostring(message)) end
  return bytes
end

local encode = {} -- mode -> function of a u8 picture {h, w, 1, 3 or 4}: what to write

function encode.kitty(picture)
  local code, parts = terminal.base64(png(picture)), {}
  for at = 1, #code, 4096 do
    local more = at + 4096 <= #code and 1 or 0
    parts[#parts + 1] = ("\27_G%sm=%d;%s\27\\"):format(at == 1 and "a=T,f=100,q=2," or "", more,
      code:sub(at, at + 4095))
  end
  return table.concat(parts) .. "\n"
end

function encode.iterm2(picture)
  local bytes = png(picture)
  return ("\27]1337;File=inline=1;size=%d;width=%dpx;height=%dpx:%s\7\n"):format(#bytes,
    picture:size(2), picture:size(1), terminal.base64(bytes))
end

--- Three bytes a pixel; what is see-through is on black.
local function rgb(picture)
  local h, w, c = unpack(picture.shape)
  if c == 3 then return picture:contiguous() end
  if c == 1 then return picture:expand(h, w, 3):clone() end
  local alpha = picture:narrow(3, 4, 1):to("f32") / 255
  local colour = picture:narrow(3, 1, 3):to("f32") * alpha:expand(h, w, 3)
  return colour:to("u8")
end

function encode.sixel(picture)
  local plain = rgb(picture)
  local text = sixel.encode(F.data(plain), plain:size(2), plain:size(1))
  return plain and text .. "\n" -- the pointer is good as long as `plain` lives
end

--- The upper half block in the upper pixel's colour on the lower one's. A last row alone keeps the
-- terminal's background below.
function encode.blocks(picture)
  local plain = rgb(picture)
  local h, w = plain:size(1), plain:size(2)
  local p, lines = F.data(plain), {}
  local function colour(x, y)
    local at = (y * w + x) * 3
    return ("%d;%d;%d"):format(p[at], p[at + 1], p[at + 2])
  end
  for y = 0, h - 1, 2 do
    local parts, front, back = {}, nil, nil
    for x = 0, w - 1 do
      local upper, lower = colour(x, y), y + 1 < h and colour(x, y + 1) or nil
      if upper ~= front then parts[#parts + 1] = "\27[38;2;" .. upper .. "m" end
      if lower ~= back then parts[#parts + 1] = "\27[48;2;" .. lower .. "m" end
      front, back = upper, lower
      parts[#parts + 1] = "\226\150\128"
    end
    lines[#lines + 1] = table.concat(parts) .. "\27[0m\n"
  end
  return plain and table.concat(lines)
end

--- What to write for a u8 picture in that mode.
function terminal.encode(way, picture) return encode[way](picture) end

return terminal
