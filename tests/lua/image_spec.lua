-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.image: bytes from floats, grids, frames, upscaling, files.
local ea = require "edgeai"
local program = require "program"
local image = ea.image

local function refused(says, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_truthy(message:find(says, 1, true), message)
end

describe("ea.image", function()
  it("turns floats into bytes", function()
    local x = ea.tensor { -1, 0, 0.5, 1, 2 }
    assert.are.same({ 0, 0, 128, 255, 255 }, image.to_u8(x):tolist())
    assert.are.same({ 0, 85, 128, 170, 255 }, image.to_u8(x, { auto = true }):tolist())
    assert.are.same({ 0, 128, 191, 255, 255 }, image.to_u8(x, { low = -1 }):tolist())
    assert.are.same({ 0, 0 }, image.to_u8(ea.tensor { 7, 7 }, { auto = true }):tolist())
    assert.are.same({ 0, 255 }, image.to_u8(ea.tensor({ 0, 1 }, "bf16")):tolist())
    local bytes = ea.tensor({ 3 }, "u8")
    assert.are.equal(bytes:hash(), image.to_u8(bytes):hash())
    local g = ea.tensor({ 0.5 }):require_grad()
    assert.is_false(image.to_u8(g * 2).requires_grad)
    refused("expected floats or u8", image.to_u8, ea.tensor({ 1 }, "i32"))
    refused("must be above low", image.to_u8, x, { low = 1, high = 1 })
  end)

  it("lays pictures out in a grid", function()
    local x = ea.tensor({ 10, 20, 30 }, "u8"):reshape(3, 1, 1, 1)
    assert.are.same({ { 9, 9, 9, 9, 9 }, { 9, 10, 9, 20, 9 }, { 9, 9, 9, 9, 9 }, { 9, 30, 9, 9, 9 },
      { 9, 9, 9, 9, 9 } }, image.grid(x, { color = 9 }):reshape(5, 5):tolist())
    assert.are.same({ { 10, 20, 30 } },
      image.grid(x, { columns = 3, border = 0 }):reshape(1, 3):tolist())
    assert.are.same({ 2, 6, 1 }, image.grid(x, { columns = 9, border = 0, scale = 2 }).shape)
    local list = { ea.tensor { { 0, 4 } }, ea.tensor { { 2, 1 } } }
    assert.are.same({ { 0, 255, 128, 64 } },
      image.grid(list, { auto = true, border = 0, columns = 2 }):reshape(1, 4):tolist())
    local rgb = image.grid(ea.zeros { 1, 1, 1, 3 }, { color = { 1, 2, 3 } })
    assert.are.same({ 1, 2, 3 }, rgb[1][1]:tolist())
    assert.are.same({ 0, 0, 0 }, rgb[2][2]:tolist())
    refused("no pictures", image.grid, {})
    refused("expected pictures {n, height, width, channels}", image.grid, ea.ones { 2, 2 })
    refused("picture 2 is {2, 2, 1} u8", image.grid, { ea.ones { 1, 2 }, ea.ones { 2, 2 } })
    refused("expected a picture", image.grid, ea.ones { 2, 2, 2, 2 })
    refused("a colour for 1 channels", image.grid, x, { color = { 1, 2, 3 } })
  end)

  it("frames and enlarges", function()
    local x = ea.tensor({ { 1, 2 } }, "u8")
    assert.are.same({ { 5, 5, 5, 5 }, { 5, 1, 2, 5 }, { 5, 5, 5, 5 } },
      image.border(x, { color = 5 }):reshape(3, 4):tolist())
    assert.are.same({ { 1, 1, 2, 2 }, { 1, 1, 2, 2 } }, image.upscale(x, 2):reshape(2, 4):tolist())
    refused("whole number", image.upscale, x, 1.5)
  end)

  it("resizes: linear between pixels, all of them counting where there are fewer", function()
    local x = ea.rng("x"):uniform { 6, 9, 3 }
    local function off(a, b) return (a - b):abs():max():item() end
    assert.is_true(off(image.resize(x, 6, 9), x) < 1e-6)
    local larger = ea.resize(x:reshape(1, 6, 9, 3), { height = 11, width = 20 })[1]
    assert.is_true(off(image.resize(x, 11, 20), larger) < 1e-5)
    local checks = ea.zeros({ 32, 32 }, "u8") -- of single pixels: grey, not black or white
    for i = 1, 32 do for j = 1, 32 do checks:set(i, j, (i + j) % 2 * 255) end end
    local small = image.resize(checks, 8, 4)
    assert.same({ 8, 4, 1 }, small.shape)
    assert.is_true(off(small, ea.full({ 8, 4, 1 }, 0.5)) < 0.02)
    assert.is_true(off(image.resize(ea.full({ 7, 5, 3 }, 0.3), 3, 2), ea.full({ 3, 2, 3 }, 0.3))
      < 1e-6)
    local line = image.resize(ea.tensor { { 0, 1, 2, 3 } }, 1, 2)
    assert.is_true(off(line:reshape(-1), ea.tensor { 0.625, 2.375 }) < 1e-6) -- (1, 3, 3, 1) / 8
    assert.error_matches(function() image.resize(x, 0, 2) end,
      "image.resize: height must be a whole number of pixels, got 0")
    assert.error_matches(function() image.resize(ea.zeros { 2 }, 2, 2) end,
      "image.resize: expected a picture {height, width, channels}, got {2} f32", 1, true)
  end)

  it("saves and loads, converting channels", function()
    local folder = program.folder()
    local x = ea.tensor { { { 1, 0, 0 }, { 0, 1, 0 } } }
    image.save(folder .. "/a.png", x)
    assert.are.same({ { { 255, 0, 0 }, { 0, 255, 0 } } }, image.load(folder .. "/a.png"):tolist())
    assert.are.same({ { { 76 }, { 150 } } }, image.load(folder .. "/a.png", 1):tolist())
    assert.are.same({ 0, 255, 0, 255 }, image.load(folder .. "/a.png", 4)[1][2]:tolist())
    image.save(folder .. "/b.png", ea.tensor { { -3, 3 } }, { low = -3, high = 3 })
    assert.are.same({ { { 0 }, { 255 } } }, image.load(folder .. "/b.png"):tolist())
    refused("PNG", image.save, folder .. "/a.jpg", x)
    refused("neither .png nor .jpg", image.load, folder .. "/a.gif")
    refused("1, 3 or 4 channels", image.load, folder .. "/a.png", 2)
    program.remove(folder)
  end)
end)
