-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.vis.param, ea.vis.colour: against Lucid's numbers where its files are ($EDGEAI_SHARED, or
-- ../shared beside the repository), and by their properties.

local colour = require "edgeai.vis.colour"
local fourier = require "edgeai.vis.param.fourier"
local lowres = require "edgeai.vis.param.lowres"
local param = ea.vis.param

local numbers = require "lucid_numbers"

local function close(got, want, limit, what)
  got = got:detach():to("f64"):reshape(-1)
  want = (type(want) == "table" and ea.tensor(want, "f64") or want):reshape(-1)
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

--- Spectra {n, c, m, 2, h} from f(part, n, c, ky, kx), counted from 0.
local function spectrum(n, c, h, m, f)
  local t = ea.empty({ n, c, m, 2, h }, "f64")
  for i = 1, n do
    for k = 1, c do
      for x = 1, m do
        for p = 1, 2 do
          for y = 1, h do t:set(i, k, x, p, y, f(p - 1, i - 1, k - 1, y - 1, x - 1)) end
        end
      end
    end
  end
  return t
end

local function fourier_image(leaf, h, w, c, options)
  local o = { colour = false, squash = "sigmoid" }
  for key, value in pairs(options or {}) do o[key] = value end
  local built = param.fourier(o):build({ h, w }, c)
  return built.image({ spectrum = leaf }, T_of(leaf:size(1)))
end

--- The image before it is squashed.
local function raw(leaf, h, w, decay)
  local scale = ea.tensor(fourier.scale(h, w, decay), leaf.dtype):t():clone()
  local m = scale:size(1)
  return fourier.inverse(leaf * scale:reshape(1, 1, m, 1, h), fourier.basis(h, w, 0.25, leaf.dtype))
end

describe("Lucid's parameterisations", function()
  local gold, fixtures, has_read_all = numbers.of "vis_param"
  if not gold then return pending(numbers.absent) end

  it("scale", function()
    for _, size in ipairs { { 8, 8 }, { 4, 4 }, { 5, 5 }, { 6, 8 }, { 4, 5 } } do
      local name = ("fft.scale.%dx%d"):format(size[1], size[2])
      close(ea.tensor(fourier.scale(size[1], size[2], 1), "f64"), gold[name].scale, 1e-9, name)
    end
  end)

  local images = { ["8x8"] = { 1, 8, 8, 3, 1 }, ["5x5"] = { 1, 5, 5, 1, 1 },
    ["6x8_b2"] = { 2, 6, 8, 3, 1 }, ["8x8_decay1.5"] = { 1, 8, 8, 3, 1.5 } }
  for name, s in pairs(images) do
    local function image_in(dtype, limit)
      local want = gold["fft.image." .. name]
      local n, h, w, c, decay = unpack(s)
      local m = fourier.columns(w)
      local leaf = spectrum(n, c, h, m, fixtures.S):to(dtype):require_grad()
      local x = raw(leaf, h, w, decay)
      assert.same(want.shape, x.shape)
      local size = dtype == "f32" and x:abs():sum():item() or 0 -- what cancels in the sum
      close(x:sum() + size, { want.sum + size }, limit, "sum")
      close(x:square():sum(), { want.sumsq }, limit, "squares")
      close(x[{ 1, 1, {}, 1 }], want.first_row_c0, limit, "first row")
      close(x[{ n, h, {}, c }], want.last_row_c_last, limit, "last row")
      local G = ea.empty({ n, h, w, c }, dtype)
      for i = 1, n do
        for y = 1, h do
          for k = 1, w do
            for l = 1, c do G:set(i, y, k, l, fixtures.G(i - 1, y - 1, k - 1, l - 1)) end
          end
        end
      end
      x:backward(G)
      close(leaf.grad:square():sum():sqrt(), { want.grad_norm }, limit, "norm of the gradient")
      for row = 0, 1 do
        for p, part in ipairs { "re", "im" } do
          close(leaf.grad[{ 1, 1, {}, p, row + 1 }], want[("grad_%s_row%d"):format(part, row)],
            limit, part)
        end
      end
    end
    it("Fourier image " .. name, function()
      image_in("f64", 1e-6)
      image_in("f32", 2e-5)
    end)
  end

  it("single parts of a spectrum", function()
    local function one(ky, kx, re, im)
      return raw(spectrum(1, 1, 8, 5, function(p, _, _, y, x)
        return y == ky and x == kx and (p == 0 and re or im) or 0
      end), 8, 8, 1)
    end
    close(one(0, 0, 0.01, 0), ea.full({ 64 }, gold["fft.single.DC_re0.01"].all_pixels, "f64"), 1e-9,
      "DC")
    local none = gold["fft.single.DC_im0.01"].all_pixels
    assert.is_true((one(0, 0, 0, 0.01) - none):abs():max():item() < 1e-15)
    close(one(1, 1, 0.01, 0)[{ 1, 1 }], gold["fft.single.(1,1)_re0.01"].row0, 1e-9, "row 0")
    close(one(1, 1, 0.01, 0)[{ 1, 2 }], gold["fft.single.(1,1)_re0.01"].row1, 1e-9, "row 1")
    close(one(0, 4, 0.01, 0)[{ 1, 1 }], gold["fft.single.(0,4)_re0.01"].row0, 1e-9, "Nyquist")
    close(one(2, 0, 0.01, 0.02)[{ 1, {}, 1 }], gold["fft.single.(2,0)_0.01+0.02i"].col0, 1e-9,
      "column 0")
  end)

  it("images of S: colours, alpha, two channels, grey", function()
    local S = fixtures.S
    local x = fourier_image(spectrum(1, 3, 8, 5, S), 8, 8, 3, { colour = "lucid" })
    close(x[{ 1, 1 }], gold["param.image(8)"].value, 1e-6, "colours")
    x = fourier_image(spectrum(1, 4, 8, 5, S), 8, 8, 3, { colour = "lucid", alpha = true })
    close(x[{ 1, 1, {}, 4 }], gold["param.image(8,alpha)"].value, 1e-6, "alpha")
    x = fourier_image(spectrum(1, 2, 8, 5, S), 8, 8, 2, { colour = "lucid" })
    close(x[{ 1, 1 }], gold["param.image(8,channels=2)"].value, 1e-6, "two channels")
    x = fourier_image(spectrum(1, 1, 8, 5, S), 8, 8, 1, { colour = "lucid" })
    for c = 1, 3 do
      close(x[{ 1, 1, { 1, 3 }, 1 }], ea.tensor(gold["param.grayscale_image_rgb(8)"].value)
        :narrow(2, c, 1):to("f64"), 1e-6, "grey")
    end
  end)

  it("deviation of the pixels at the start", function()
    for _, n in ipairs { 8, 16, 32, 64 } do
      local built = param.fourier { colour = false }:build({ n, n }, 1)
      local count, sum = 100, 0
      for i = 1, count do
        local leaf = built.leaves[1].init(ea.rng("std", { index = i }), i, "f64")
        sum = sum + raw(leaf:reshape { 1, unpack(leaf.shape) }, n, n, 1):square():mean():item()
      end
      local want = gold["fft.init_pixel_std." .. n]
      assert.is_true(math.abs(math.sqrt(sum / count) / want - 1) < 0.06)
    end
  end)

  it("colours", function()
    close(ea.tensor(colour.lucid, "f64"), gold["color.matrix_over_maxnorm"].value, 1e-6, "matrix")
    local t = ea.tensor({ { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 }, { 0.5, -1, 2 }, { 0, 0, 0 },
      { -3, 0.2, 0.4 } }, "f64"):reshape(1, 1, 6, 3)
    for _, matrix in ipairs { true, false } do
      for _, squash in ipairs { "sigmoid", "clip" } do
        local name = ("to_valid_rgb(decorrelate=%s,sigmoid=%s)"):format(
          matrix and "True" or "False", squash == "sigmoid" and "True" or "False")
        for dtype, limit in pairs { f64 = 1e-6, f32 = 2e-5 } do
          local x = colour.decode(t:to(dtype), matrix and colour.lucid or nil, squash)
          close(x, gold[name].value, limit, name)
        end
      end
    end
    local x = ea.tensor({ { { 0.2, 0.5, 0.9 } } }, "f64")
    close(colour.encode(x, colour.lucid, "sigmoid"), gold["color.encode[.2,.5,.9]"], 1e-6, "encode")
  end)

  it("small pictures, enlarged", function()
    local function line(n, out, offset)
      local v = ea.empty({ 1, n }, "f64")
      for i = 1, n do v:set(1, i, i - 1) end
      return v:matmul(lowres.matrix(n, out, offset, "f64"))
    end
    close(line(2, 5, 0), gold["lowres[2]->[5]"].value, 1e-9, "2 to 5")
    close(line(2, 4, 1), gold["lowres[2]->[4],offset=1"].value, 1e-9, "2 to 4, moved")
    close(line(4, 6, 0), gold["resize.conventions 4->6"].lucid_legacy, 1e-9, "4 to 6")
    local two = ea.tensor({ 0, 1, 2, 3 }, "f64"):reshape(1, 2, 2, 1)
    close(lowres.enlarge(two, { 4, 4 }, 0, "f64"), gold["lowres[2,2]->[4,4]"].value, 1e-9, "2 x 2")
    local built = param.laplacian { levels = 3, squash = "clip", colour = false }:build({ 8, 8 }, 1)
    local values = {}
    for _, leaf in ipairs(built.leaves) do
      local n = leaf.size[1] * leaf.size[2]
      values[leaf.name] = ea.arange(0, n - 1, 1, "f64"):reshape(1, leaf.size[1], leaf.size[2], 1)
        / 100
    end
    local x = built.image(values, T_of(1)) * 100
    close(x[{ 1, 1 }], gold["laplacian[1,8,8,1]n3.row0"].value, 1e-9, "first row")
    close(x[{ 1, 8 }], gold["laplacian[1,8,8,1]n3.row7"].value, 1e-9, "last row")
  end)

  it("CPPN", function()
    local built = param.cppn { hidden = 4, layers = 2 }:build({ 3, 3 }, 3)
    local values = {}
    for k, sizes in ipairs { { 2, 4 }, { 8, 4 }, { 8, 3 } } do
      local n, out = sizes[1], sizes[2]
      local w, b = ea.empty({ 1, n, out }, "f64"), ea.empty({ 1, 1, out }, "f64")
      for o = 0, out - 1 do
        for i = 0, n - 1 do
          w:set(1, i + 1, o + 1, fixtures.V(i + 3 * o + 5 * (k - 1)) / math.sqrt(n))
        end
        b:set(1, 1, o + 1, 0.1 * fixtures.V(o + 7 * (k - 1)))
      end
      values["weight" .. k], values["bias" .. k] = w, b
    end
    local want = gold["cppn(width=3,hidden=4,layers=2)"].value
    close(built.image(values, T_of(1)), want, 1e-6, "cppn")
    for name, t in pairs(values) do values[name] = t:to("f32") end
    close(built.image(values, T_of(1, { dtype = "f32" })), want, 2e-5, "cppn in f32")
  end)

  it("MACO", function()
    local magnitude = ea.empty({ 3, 4, 3 }, "f64")
    local phase = spectrum(1, 3, 4, 3, function(_, _, c, y, x)
      return 100 * fixtures.S(0, 0, c, y, x)
    end):narrow(4, 1, 1):clone()
    for c = 0, 2 do
      for k = 0, 3 do
        for j = 0, 2 do magnitude:set(c + 1, k + 1, j + 1, (1 + c) / (1 + k + 2 * j)) end
      end
    end
    local built = param.maco { magnitude = magnitude }:build({ 4, 4 }, 3)
    local want = gold["maco.4x4 (population std, eps 1e-5)"]
    for dtype, limit in pairs { f64 = 1e-6, f32 = 2e-5 } do
      local x = built.image({ phase = phase:to(dtype) }, T_of(1, { dtype = dtype }))
      close(x[{ 1, 1 }], want.row0, limit, "first row")
      close(x[{ 1, 4 }], want.row3, limit, "last row")
    end
  end)

  it("has read all of the numbers that are its own", has_read_all)
end)

describe("ea.vis.param", function()
  it("has exact gradients", function()
    local start = ea.rng("start"):uniform({ 4, 5, 3 }, 0.2, 0.8, "f64")
    local mask = ea.zeros { 4, 5 }
    mask[{ {}, { 1, 3 } }] = 1
    for name, p in pairs {
      pixel = param.pixel {}, fourier = param.fourier { alpha = true }, decay = param.fourier {
        decay = 1.3, colour = false }, lowres = param.lowres { factor = 2, offset = 1 },
      shared = param.lowres { factor = 2, images = 2 }, laplacian = param.laplacian { levels = 2 },
      cppn = param.cppn { hidden = 3, layers = 2 },
      maco = param.maco { size = { 4, 4 }, magnitude = ea.rng("m"):uniform({ 3, 4, 3 }, 0.5, 1) },
      sum = param.sum { param.fourier {}, param.lowres { images = 1 } },
      masked = param.pixel { image = start, mask = mask },
    } do
      local built = p:build({ 4, 5 }, 3)
      local leaves = {}
      for i, leaf in ipairs(built.leaves) do
        local rows = leaf.shared or 2
        leaves[i] = ea.rng("leaf"):normal({ rows, unpack(leaf.size) }, 0, 0.5, "f64")
      end
      local worst = ea.gradcheck(function(...)
        local values = {}
        for i, leaf in ipairs(built.leaves) do values[leaf.name] = (select(i, ...)) end
        return built.image(values, T_of(2))
      end, leaves, { tolerance = 1e-5 })
      assert.is_true(worst < 1e-5, name)
    end
  end)

  it("stays near the image it starts from: projected ascent", function()
    local ball = require "edgeai.vis.param.ball"
    local function gradient(norm, d, step)
      local leaf = ea.tensor({ d }, "f64"):require_grad()
      ball { [norm] = 1 } (leaf):backward(-ea.tensor({ step }, "f64"))
      return (-leaf.grad):reshape(-1)
    end
    close(gradient("l2", { 3, 4 }, { 1, 0 }), { 0.64, -0.48 }, 1e-9, "outwards: along the edge")
    close(gradient("l2", { 3, 4 }, { -1, 0 }), { -1, 0 }, 1e-9, "back inside: as it is")
    close(gradient("l2", { 0.3, 0.4 }, { 1, 0 }), { 1, 0 }, 1e-9, "inside")
    close(gradient("linf", { 0.5, 2, -2, 2 }, { 1, 1, -1, -1 }), { 1, 0, 0, -1 }, 1e-9, "linf")
    local leaf = ea.tensor({ { 0.5, 2, -0.1 } }, "f64"):require_grad()
    ball { linf = 1, sign = true } (leaf):backward(-ea.tensor({ { 1e-3, 5, 0 } }, "f64"))
    close(-leaf.grad, { 1, 0, 0 }, 0, "signs")
    local start = ea.full({ 2, 4, 5, 3 }, 0.5)
    for norm, radius in pairs { l2 = 0.2, linf = 0.03 } do
      local net = ea.nn.sequential { ea.nn.identity {} }
      net.mean, net.std = { 0, 0, 0 }, { 1, 1, 1 }
      local r = ea.vis.render(net, function(T) return T:mean(T "input") end, { images = 2,
        size = { 4, 5 }, transforms = {}, steps = 30, quiet = true,
        param = param.pixel { image = start, within = { [norm] = radius } } })
      local d = r.images[1] - start[1]
      local size = norm == "l2" and d:square():sum():sqrt():item() or d:abs():max():item()
      assert.is_true(math.abs(size - radius) < 1e-4, norm)
    end
    for sentence, o in pairs { ["within needs an image"] = { within = { l2 = 1 } },
      ["within must be { l2 = radius }"] = { image = start, within = { l3 = 1 } },
      ["with linf also sign"] = { image = start, within = { l2 = 1, sign = true } } } do
      local ok, message = pcall(param.pixel(o).build, param.pixel(o), { 4, 5 }, 3)
      assert.is_false(ok)
      assert.truthy(message:find(sentence, 1, true), message)
    end
  end)

  it("takes one of the user's own, checked", function()
    local function refused(sentence, fn, ...)
      local ok, message = pcall(fn, ...)
      assert.is_false(ok)
      assert.truthy(message:find(sentence, 1, true), message)
    end
    local function make(given)
      return function(o)
        return { leaves = { param.normal("grey", { o.size[1], o.size[2], 1 }, o.sd) },
          raw = given or function(values)
            return values.grey:expand(values.grey:size(1), o.size[1], o.size[2], o.channels)
              * o.gain
          end }
      end
    end
    local options = { gain = { 1, "of the numbers", above = 0 } }
    ea.vis.register_param("grey", { help = "One number a pixel.", options = options,
      make = make() })
    local built = param.grey({ colour = false, gain = 2 }):build({ 4, 5 }, 3)
    local v = ea.rng("v"):normal({ 2, 4, 5, 1 }, 0, 1, "f64")
    close(built.image({ grey = v }, T_of(2)), (v * 2):sigmoid():expand(2, 4, 5, 3), 1e-12, "grey")
    refused("param.grey: 'gain' must be a number above 0", param.grey, { gain = 0 })
    refused("there is a parameterisation 'grey' already", ea.vis.register_param, "grey",
      { make = make() })
    refused("the option `sd` is one that all have", ea.vis.register_param, "g",
      { make = make(), options = { sd = 1 } })
    ea.vis.unregister_param "grey"
    refused("there is no parameterisation 'grey'", function() return param.grey end)
    refused("there is no parameterisation 'fourrier'; did you mean `fourier`?", function()
      return param.fourrier
    end)
    for sentence, bad in pairs {
      ["it gives {3, 5, 6, 1} f64, not images {3, 5, 6, 3}"] = function(values)
        return values.grey
      end,
      ["gradcheck: "] = function(values)
        local wrong = ea.custom("wrong", { forward = function(_, u) return u * 2 end,
          backward = function(_, g) return g * 3 end })
        return wrong(values.grey:expand(values.grey:size(1), 5, 6, 3) * 1)
      end,
      ["image 2 alone comes out otherwise"] = function(values)
        local x = values.grey
        return (x - x:mean { axes = { 1 }, keep = true }):expand(x:size(1), 5, 6, 3)
      end,
    } do
      refused("parameterisation grey was refused: " .. sentence, ea.vis.register_param, "grey",
        { make = make(bad), check = { colour = false } })
      refused("there is no parameterisation 'grey'", function() return param.grey end)
    end
    refused("expected { leaves = { ... }, raw = function(values, T) } of its make, got a number",
      ea.vis.register_param, "grey", { make = function() return 1 end })
  end)

  it("measures colours and spectra of a data set", function()
    local images = ea.rng("data"):uniform({ 50, 6, 6, 3 }, 0, 1, "f64")
    images[{ {}, {}, {}, 2 }] = images[{ {}, {}, {}, 1 }] -- red and green alike
    local M = ea.tensor(ea.vis.colour(images), "f64")
    local C = M:matmul(M, { tb = true })
    assert.is_true(math.abs(C:get(1, 1) - C:get(1, 2)) < 1e-6 * C:get(1, 1))
    assert.is_true(math.abs(C:get(1, 3)) < 0.1 * C:get(1, 1))
    local size = ea.vis.magnitude(images)
    assert.same({ 3, 6, 4 }, size.shape)
    local mean = images:narrow(4, 1, 1):sum { 2, 3 }:mean():item()
    assert.is_true(math.abs(size:get(1, 1, 1) / mean - 1) < 1e-5)
  end)

  it("says what is wrong", function()
    local function sentence(fn, ...)
      local ok, message = pcall(fn, ...)
      assert.is_false(ok)
      return message
    end
    assert.matches("there is no option 'decai'; did you mean `decay`",
      sentence(param.fourier, { decai = 1 }))
    assert.matches("magnitude must be given", sentence(function()
      param.maco {}:build({ 4, 4 }, 3)
    end))
    assert.matches("images must be 1 or 2", sentence(function()
      param.lowres { images = 3 }:build({ 4, 4 }, 3)
    end))
    ea.vis.register_param("fixed", { make = function(o)
      return { leaves = { ea.vis.param.normal("v", { o.size[1], o.size[2], o.channels }, 1) },
        raw = function(values) return values.v end }
    end })
    assert.matches("param.fixed cannot start from an image", sentence(function()
      param.fixed { image = ea.zeros { 4, 4, 3 } }:build({ 4, 4 }, 3)
    end))
    param.remove "fixed"
    assert.matches("fit must be a whole number of steps, got 1.5", sentence(function()
      param.cppn { fit = 1.5 }:build({ 4, 4 }, 3)
    end))
    assert.matches("a mask needs an image", sentence(function()
      local b = param.pixel { mask = ea.zeros { 4, 4 } }:build({ 4, 4 }, 3)
      b.image({ pixels = ea.zeros { 1, 4, 4, 3 } }, T_of(1))
    end))
  end)
end)
