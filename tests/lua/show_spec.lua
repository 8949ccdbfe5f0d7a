-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.show: what is drawn, and the bytes of each way to draw it.

local curve = require "edgeai.show.curve"
local program = require "program"
local pty = require "pty"
local sixel = require "edgeai.show.sixel"
local terminal = require "edgeai.show.terminal"

--- A picture {2, 2, 3}: red, green; blue, white.
local function four()
  return ea.tensor({ { { 255, 0, 0 }, { 0, 255, 0 } }, { { 0, 0, 255 }, { 255, 255, 255 } } }, "u8")
end

local function decode64(text)
  local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  local bits, out = 0, {}
  local count = 0
  for c in text:gmatch("[^=]") do
    bits, count = bits * 64 + letters:find(c, 1, true) - 1, count + 6
    if count >= 8 then
      count = count - 8
      out[#out + 1] = string.char(math.floor(bits / 2 ^ count))
      bits = bits % 2 ^ count
    end
  end
  return table.concat(out)
end

local function picture_in(png)
  local path = os.tmpname() .. ".png"
  program.write(path, png)
  local picture = ea.image.load(path)
  os.remove(path)
  return picture
end

describe("show.terminal", function()
  it("knows base64", function()
    assert.equal("", terminal.base64(""))
    assert.equal("TQ==", terminal.base64("M"))
    assert.equal("TWE=", terminal.base64("Ma"))
    assert.equal("TWFu", terminal.base64("Man"))
    assert.equal("\0\255\128", decode64(terminal.base64("\0\255\128")))
  end)

  it("understands what terminals answer", function()
    assert.equal("kitty", terminal.understand("\27_Gi=31;OK\27\\\27P>|kitty(0.26)\27\\\27[?62;c"))
    assert.equal("iterm2", terminal.understand("\27P>|iTerm2 3.4.16\27\\\27[?62;4c"))
    assert.equal("sixel", terminal.understand("\27P>|foot(1.13)\27\\\27[?62;4;22c"))
    assert.equal("sixel", terminal.understand("\27[?4c"))
    assert.equal("blocks", terminal.understand("\27[?1;2c"))
    assert.equal("blocks", terminal.understand("\27[?64;14;40c"))
    assert.equal("blocks", terminal.understand(""))
  end)

  it("speaks kitty's protocol: PNG in base64, in pieces of 4096", function()
    local text = terminal.encode("kitty", four())
    local data = text:match("^\27_Ga=T,f=100,q=2,m=0;([^\27]*)\27\\\n$")
    assert.equal(four():hash(), picture_in(decode64(data)):hash())
    local large = ea.rand { 64, 64, 3 }
    local picture, parts = ea.image.to_u8(large), {}
    for more, part in terminal.encode("kitty", picture):gmatch("m=(%d);([^\27]*)\27\\") do
      assert.is_true(#part <= 4096 and (more == "0" or #part == 4096))
      parts[#parts + 1] = part
      parts.last = more
    end
    assert.is_true(#parts > 2 and parts.last == "0")
    assert.equal(picture:hash(), picture_in(decode64(table.concat(parts))):hash())
  end)

  it("speaks iTerm2's protocol", function()
    local size, data = terminal.encode("iterm2", four()):match(
      "^\27%]1337;File=inline=1;size=(%d+);width=2px;height=2px:([^\7]*)\7\n$")
    local png = decode64(data)
    assert.equal(tonumber(size), #png)
    assert.equal(four():hash(), picture_in(png):hash())
  end)

  it("writes half blocks, two pixels in one character", function()
    assert.equal("\27[38;2;255;0;0m\27[48;2;0;0;255m▀\27[38;2;0;255;0m\27[48;2;255;255;255m▀"
      .. "\27[0m\n", terminal.encode("blocks", four()))
    assert.equal("\27[38;2;7;7;7m▀▀\27[0m\n",
      terminal.encode("blocks", ea.full({ 1, 2, 1 }, 7, "u8")))
    local clear = ea.tensor({ { { 200, 100, 50, 0 } } }, "u8")
    assert.equal("\27[38;2;0;0;0m▀\27[0m\n", terminal.encode("blocks", clear))
  end)

  it("writes sixels", function()
    assert.equal('\27P0;1;0q"1;1;2;2#0;2;100;0;0#1;2;0;100;0#2;2;0;0;100#3;2;100;100;100'
      .. "#0@$#1?@$#2A$#3?A-\27\\\n", terminal.encode("sixel", four()))
  end)
end)

describe("show.sixel", function()
  --- The picture {h, w, 3} in percent that sixels draw.
  local function draw(text, w, h)
    local colours, picture, x, top, colour = {}, ea.full({ h, w, 3 }, -1), 0, 0, nil
    local body = text:match('^\27P0;1;0q"1;1;%d+;%d+(.*)\27\\$')
    body = body:gsub("#(%d+);2;(%d+);(%d+);(%d+)", function(n, r, g, b)
      colours[tonumber(n)] = { tonumber(r), tonumber(g), tonumber(b) }
      return ""
    end)
    body = body:gsub("!(%d+)(.)", function(n, c) return c:rep(tonumber(n)) end)
    local at = 1
    while at <= #body do
      local number, stop = body:match("^#(%d+)()", at)
      local c = body:sub(at, at)
      if number then colour, at = colours[tonumber(number)], stop
      else
        if c == "$" then x = 0
        elseif c == "-" then x, top = 0, top + 6
        else
          local bits = c:byte() - 63
          for k = 0, 5 do
            if math.floor(bits / 2 ^ k) % 2 == 1 then
              for d = 1, 3 do picture[{ top + k + 1, x + 1, d }] = colour[d] end
            end
          end
          x = x + 1
        end
        at = at + 1
      end
    end
    return picture
  end

  it("keeps few colours exactly, to a percent", function()
    local h, w = 13, 9
    local grey = ea.arange(0, h * w - 1):reshape(h, w, 1):expand(h, w, 3):clone():to("u8")
    local text = sixel.encode(require("edgeai.ffi").data(grey), w, h)
    local off = (draw(text, w, h) - grey:to("f32") * (100 / 255)):abs():max():item()
    assert.is_true(off <= 0.51, tostring(off))
  end)

  it("draws all pixels of many colours, near what they are", function()
    ea.seed(1)
    local picture = ea.image.to_u8(ea.rand { 20, 20, 3 })
    local text = sixel.encode(require("edgeai.ffi").data(picture), 20, 20)
    local off = (draw(text, 20, 20) - picture:to("f32") * (100 / 255)):abs()
    assert.is_true(off:max():item() <= 21, tostring(off:max()))
    assert.is_true(off:mean():item() < 9, tostring(off:mean()))
  end)
end)

describe("show.curve", function()
  it("draws braille dots with a scale", function()
    assert.equal(table.concat({ "         2 ┤ ⡏", "         1 ┤⣸", "           └──",
      "            1 4", "" }, "\n"), curve.text({ { values = { 1, 1, 2, 2 } } }, 2, 2, true))
  end)

  it("names and colours several, leaves gaps for NaN, and takes any numbers", function()
    local text = curve.text({ { name = "a", values = { 0, 1 } },
      { name = "b", values = { 1, 0 } } }, 10, 4)
    assert.truthy(text:find("\27[34m■ a\27[0m", 1, true))
    assert.truthy(text:find("\27[33m■ b\27[0m", 1, true))
    local _, lines = text:gsub("\n", "")
    assert.equal(4 + 3, lines)
    assert.truthy(curve.text({ { values = { 0 / 0, 1 / 0 } } }, 5, 2, true):find("┤"))
    assert.truthy(curve.text({ { values = { 3 } } }, 5, 2, true):find("3.5 ┤"))
    local gap = curve.text({ { values = { 1, 1, 0 / 0, 0 / 0, 1, 1 } } }, 6, 1, true)
    assert.truthy(gap:find("[^ ]  [^ ]"), gap)
  end)
end)

describe("show", function()
  local show = require "edgeai.show"

  it("says what is a picture of 8 x 8 or more", function()
    for size, is in pairs { ["8,8"] = true, ["28,28,1"] = true, ["32,32,3"] = true,
      ["2,8,8,4"] = true, ["7,8"] = false, ["8,8,2"] = false, ["100"] = false } do
      local sizes = {}
      for n in size:gmatch("%d+") do sizes[#sizes + 1] = tonumber(n) end
      assert.equal(is, show.is_picture(ea.zeros(sizes)), size)
    end
    assert.is_false(show.is_picture("a"))
  end)

  it("does nothing where there is no terminal", function()
    local code, out, err = program.run("/tmp", "eval 'ea.show(ea.rand { 8, 8 })'",
      "EDGEAI_GRAPHICS=")
    assert.same({ 0, "", "" }, { code, out, err })
  end)

  it("draws tensors, grids, filters, curves, records, graphs, networks and files", function()
    local folder = program.folder()
    ea.image.save(folder .. "/four.png", four())
    local function drawn(code, graphics)
      local c, out, err = program.run(folder, ("eval '%s'"):format(code),
        "EDGEAI_GRAPHICS=" .. (graphics or "blocks"))
      assert.equal("", err)
      assert.equal(0, c)
      local _, blocks = out:gsub("▀", "")
      return out, blocks
    end
    local _, count = drawn "ea.show(ea.rand { 32, 40 })"
    assert.equal(32 * 40 / 2, count)
    _, count = drawn "ea.show(ea.rand { 8, 8, 3 })" -- enlarged four times
    assert.equal(32 * 32 / 2, count)
    _, count = drawn "ea.show(ea.rand { 4, 20, 20, 1 })" -- three and one, with borders
    assert.equal(64 * 22, count)
    drawn "ea.show(ea.randn { 8, 4, 3, 3 })"
    drawn "ea.show { ea.rand { 9, 9 }, ea.rand { 9, 9 } }"
    drawn "ea.show(ea.full({ 8, 8 }, 0/0))"
    drawn "ea.show(ea.rand { 300, 500, 3 })"
    assert.truthy(drawn("ea.show { 1, 2, 3 }"):find("└"))
    assert.truthy(drawn("ea.show(ea.rand { 5 })"):find("└"))
    local out = drawn("ea.show { { epoch = 1, loss = 2, acc = 50 }, "
      .. "{ epoch = 2, loss = 1, acc = 60 } }")
    assert.truthy(out:find("■ loss", 1, true) and out:find("■ acc", 1, true), out)
    assert.truthy(drawn("ea.show(ea.nn.mlp { inp = 4, hidden = { 3 } })"):find("linear"))
    assert.truthy(drawn('ea.show "four.png"', "kitty"):find("\27_G", 1, true))
    assert.truthy(drawn("ea.show(ea.rand { 20, 20 })", "sixel"):find("\27P0;1;0q", 1, true))
    if os.execute("command -v gnuplot >/dev/null") == 0 then
      _, count = drawn('local w = ea.ones { 6, 6 }; ea.show { weights = w, membership = '
        .. 'ea.tensor({ 1, 1, 1, 2, 2, 2 }, "i32") }')
      assert.is_true(count > 100)
    end
    program.remove(folder)
  end)

  it("refuses what cannot be drawn, with a sentence", function()
    for code, sentence in pairs { ["ea.show(3)"] = "show: expected a tensor",
      ["ea.show {}"] = "neither pictures nor curves",
      ["ea.show(ea.zeros { 0, 3 })"] = "no elements",
      ["ea.show(ea.zeros { 2, 2, 2, 2, 2 })"] = "is no picture" } do
      local c, _, err = program.run("/tmp", ("eval '%s'"):format(code), "EDGEAI_GRAPHICS=blocks")
      assert.equal(1, c)
      assert.truthy(err:find(sentence, 1, true), err)
    end
  end)

  it("asks the terminal what it can", function()
    local folder = program.folder()
    local t = pty.open { "repl", environment = { XDG_STATE_HOME = folder } }
    t:wait("> ")
    t:type("show(ea.ones { 8, 8 })\n")
    t:wait(terminal.question)
    t:type("\27_Gi=31;OK\27\\\27[?62;c")
    assert.truthy(t:wait("\n> "):find("\27_Ga=T,f=100", 1, true))
    assert.equal(0, t:close())
    program.remove(folder)
  end)
end)
