-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.vis.param with `image`: what each kind starts from.

local colour = require "edgeai.vis.colour"
local fourier = require "edgeai.vis.param.fourier"
local param = ea.vis.param

local function close(got, want, limit, what)
  got, want = got:detach():to("f64"):reshape(-1), want:reshape(-1)
  assert.equal(want:numel(), got:numel(), what)
  local d = (got - want):abs():max():item() / math.max(want:abs():max():item(), 1e-3)
  assert.is_true(d <= limit, ("%s: off by %.3g"):format(what, d))
end

--- A T of n images for build().image, in f64.
local function T_of(n, more)
  local o = { dtype = "f64", n = n }
  for key, value in pairs(more or {}) do o[key] = value end
  return ea.vis.context({ L = ea.zeros({ n, 1 }, "f64") }, o)
end

describe("a parameterisation with an image", function()
  --- Images of a parameterisation as it starts, n of them.
  local function begun(p, n, h, w)
    local built, values = p:build({ h, w }, 3), {}
    for _, leaf in ipairs(built.leaves) do
      local rows = {}
      for k = 1, leaf.shared or n do
        local row = leaf.init(nil, k, "f32")
        rows[k] = row:reshape { 1, unpack(row.shape) }
      end
      values[leaf.name] = ea.concat(rows, { axis = 1 })
    end
    return built.image(values, T_of(n, { dtype = "f32", total = n })), values
  end

  it("gives back the image it starts from, of odd and even widths", function()
    for _, w in ipairs { 6, 7 } do
      local start = ea.rng("start"):uniform({ 2, 5, w, 3 }, 0.05, 0.95, "f64")
      for name, p in pairs {
        pixel = param.pixel { image = start }, fourier = param.fourier { image = start },
        laplacian = param.laplacian { levels = 2, image = start },
        sum = param.sum { param.pixel {}, param.lowres { factor = 2 }, image = start },
        whole = param.lowres { factor = 1, image = start },
        clip = param.fourier { image = start, squash = "clip", colour = false },
      } do
        local built = p:build({ 5, w }, 3)
        local values = {}
        for _, leaf in ipairs(built.leaves) do
          local rows = {}
          for k = 1, 2 do
            local row = leaf.init(nil, k, "f64")
            rows[k] = row:reshape { 1, unpack(row.shape) }
          end
          values[leaf.name] = ea.concat(rows, { axis = 1 })
        end
        close(built.image(values, T_of(2)), start, 1e-9, name)
      end
    end
  end)

  it("of few pixels starts as near to an image as these can be", function()
    local small = ea.rng("small"):normal({ 3, 4, 3 }, 0, 1, "f64")
    local p = param.lowres { factor = 2, colour = false }
    local picture = p:build({ 6, 8 }, 3).image({ small = small:reshape(1, 3, 4, 3) }, T_of(1))
    p = param.lowres { factor = 2, colour = false, image = picture:clamp { low = 2e-3,
      high = 1 - 2e-3 } }
    close(p:build({ 6, 8 }, 3).leaves[1].init(nil, 1, "f64"), small, 1e-6, "found again")
  end)

  it("of phases starts with those of the images", function()
    local start = ea.rng("start"):uniform({ 2, 6, 8, 3 }, 0.1, 0.9, "f64")
    local function parts(x) -- phases but that of the mean, and magnitudes
      local s = fourier.forward(colour.encode(x, colour.lucid, "sigmoid"))
      local re, im = s:narrow(3, 1, 1):contiguous(), s:narrow(3, 2, 1):contiguous()
      local size = (re:square() + im:square()):sqrt()
      local re1, im1 = re / size, im / size
      re1[{ {}, 1, 1, 1 }], im1[{ {}, 1, 1, 1 }] = 0, 0
      return ea.concat({ re1, im1 }, { axis = 3 }), size
    end
    local magnitude = ea.vis.magnitude(ea.rng("others"):uniform({ 20, 6, 8, 3 }, 0, 1, "f64"))
    local x = begun(param.maco { magnitude = magnitude, image = start }, 2, 6, 8)
    for k = 1, 2 do
      local phases, size = parts(x[k])
      close(phases, (parts(start[k])), 2e-3, "phases")
      local want = magnitude:permute(1, 3, 2):contiguous():to("f64"):reshape(3, 5, 1, 6)
      local ratio = (size / want):narrow(2, 2, 4)
      close(ratio, ea.full(ratio.shape, ratio:mean():item(), "f64"), 2e-3, "magnitudes")
    end
  end)

  it("of small networks starts near the images, each always alike", function()
    local start = ea.empty { 2, 8, 8, 3 }
    for y = 1, 8 do
      for x = 1, 8 do
        for c = 1, 3 do
          start:set(1, y, x, c, 0.5 + 0.3 * math.sin(x * 0.5 + c) * math.cos(y * 0.4))
          start:set(2, y, x, c, (x > 4) == (c == 2) and 0.8 or 0.3)
        end
      end
    end
    local p = param.cppn { hidden = 8, layers = 3, image = start, fit = 200 }
    local x, values = begun(p, 2, 8, 8)
    local again = begun(p, 2, 8, 8)
    assert.equal(x:hash(), again:hash())
    for k = 1, 2 do
      local error = (x[k] - start[k]):square():mean():sqrt():item()
      assert.is_true(error < 0.08, ("image %d is off by %.3f"):format(k, error))
    end
    assert.is_true((values.weight1[1] - values.weight1[2]):abs():max():item() > 0)
  end)

  it("shared by all images starts with their mean", function()
    local small = ea.rng("small"):normal({ 3, 3, 4, 3 }, 0, 1, "f64")
    local plain = param.lowres { factor = 2, colour = false }
    local start = plain:build({ 6, 8 }, 3).image({ small = small }, T_of(3))
    start = start:clamp { low = 2e-3, high = 1 - 2e-3 }
    for images = 1, 2 do
      local p = param.lowres { factor = 2, colour = false, images = images, image = start }
      local _, values = begun(p, 3, 6, 8)
      for k = 1, images do close(values.small[k], small:mean { axes = { 1 } }, 1e-5, "mean") end
    end
    local both = param.sum { param.lowres { factor = 2, images = 1 }, param.pixel {},
      colour = false, image = start }
    local _, values = begun(both, 3, 6, 8)
    close(values["1.small"], small:mean { axes = { 1 } }, 1e-5, "mean of the sum")
    assert.equal(0, values["2.pixels"]:abs():max():item())
  end)
end)
