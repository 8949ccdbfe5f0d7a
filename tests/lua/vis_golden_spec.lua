-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.vis against Lucid's numbers beside objectives, parameterisations and transforms: what is
-- shown and measured. Files: those of $EDGEAI_SHARED, or of ../shared beside the repository.

local colour = require "edgeai.vis.colour"
local fourier = require "edgeai.vis.param.fourier"
local hues = require "edgeai.hues"
local overrides = require "edgeai.vis.overrides"
local numbers = require "lucid_numbers"

local function close(got, want, limit, what)
  local function list(x)
    if type(x) == "number" then x = { x } end
    return (ea.is_tensor(x) and x:detach():to("f64") or ea.tensor(x, "f64")):reshape(-1)
  end
  got, want = list(got), list(want)
  assert.equal(want:numel(), got:numel(), what)
  local d = (got - want):abs():max():item() / math.max(want:abs():max():item(), 1e-3)
  assert.is_true(d <= limit, ("%s: off by %.3g"):format(what, d))
end

describe("Lucid's other numbers", function()
  local gold, fixtures, has_read_all = numbers.of "vis_golden"
  if not gold then return pending(numbers.absent) end

  --- {n, h, w, c} of a fixture, whose indices count from 0.
  local function fill(size, f)
    local t = ea.empty(size, "f64")
    for n = 1, size[1] do
      for y = 1, size[2] do
        for x = 1, size[3] do
          for c = 1, size[4] do t:set(n, y, x, c, f(n - 1, y - 1, x - 1, c - 1)) end
        end
      end
    end
    return t
  end

  it("hues, and maps of many channels in them", function()
    local count = 0
    for degrees, want in pairs(gold.hue_to_rgb) do
      close(hues.rgb(tonumber(degrees)), want, 1e-9, degrees .. " degrees")
      close(hues.rgb(tonumber(degrees) - 720), want, 1e-9, degrees .. " degrees, two turns before")
      count = count + 1
    end
    assert.is_true(count >= 9)
    local pos = { { 1, 0, 0, 0, 0 }, { 1, 2, 3, 4, 5 }, { 0, 0, 2, 0, 0 } }
    close(ea.image.hues(ea.tensor(pos, "f64")), gold.collapse_channels.pos, 1e-9, "positive")
    local signed = ea.tensor({ { 1, -2, 0.5 }, { 0, 0, -3 } }, "f64")
    close(ea.image.hues(signed), gold.collapse_channels.signed, 1e-9, "signed")
    assert.same({ 2, 4, 5, 3 }, ea.image.hues(ea.randn { 2, 4, 5, 7 }).shape)
  end)

  it("sizes of octaves", function()
    local sizes = {}
    for k, size in ipairs(ea.vis.octaves(224, 112, { count = 4, ratio = 1.4 })) do
      sizes[5 - k] = size[1]
      assert.equal(math.floor(112 / 1.4 ^ (4 - k) + 0.5), size[2])
    end
    assert.same(gold["deepdream.octave_sizes(224,1.4,4)"], sizes)
  end)

  it("a step of DeepDream", function()
    local t = ea.zeros { 1, 4 }:require_grad()
    t:set_grad(ea.tensor { { 1, -2, 0.5, 0 } })
    ea.vis.optimizer.steepest { lr = 1.5 }.make({ t }):step()
    close(-t, gold["deepdream.step1.5"], 1e-6, "against the gradient")
  end)

  it("gradients of smoothed max pools", function()
    local pool = ea.nn.sequential { ea.nn.max_pool {} }
    local x = fill({ 1, 4, 4, 1 }, fixtures.A)
    local upstream = ea.tensor({ 1, 2, 3, 4 }, "f64"):reshape(1, 2, 2, 1)
    for kind, name in pairs { mean = "maxpool_avg_grad", l2 = "maxpool_L2_grad" } do
      local leaf = x:clone():require_grad()
      local y = ea.nn.Module.replace(overrides(false, kind), pool, leaf)
      close(y, pool(x), 1e-12, "the value is the maximum's")
      y:backward(upstream)
      close(leaf.grad, gold[name].value, 1e-9, name)
    end
    local ok, message = pcall(overrides, false, "L3")
    assert.is_false(ok)
    assert.matches('smooth_pool must be false, true or "mean", or "l2", got L3', message)
  end)

  it("attribution", function()
    local net = ea.nn.sequential { { "a", ea.nn.identity {} }, { "relu", ea.nn.relu {} } }
    local x, w = ea.tensor { { 2, 1, -3 } }, ea.tensor { 1, -2, 0.5 }
    local function score(out) return out:square() * w end
    local function attribution(options) return ea.vis.attribution(net, x, "a", score, options) end
    close(attribution(), gold["attribution.linear"], 1e-6, "linear")
    for _, n in ipairs { 10, 100 } do
      local want = gold["attribution.path.N=" .. n]
      close(attribution { steps = n, rule = "left" }, want.notebook_left_sum, 2e-5, "left")
      close(attribution { steps = n, rule = "right" }, want.rl_util_right_sum, 2e-5, "right")
    end
  end)

  it("the atlas", function()
    local points, activations = ea.empty({ 20, 2 }, "f64"), ea.empty({ 20, 2 }, "f64")
    for i = 0, 19 do
      points:set(i + 1, 1, 7 * i % 11 + 0.5 * (i % 3))
      points:set(i + 1, 2, 5 * i % 13 - 0.25 * (i % 4))
      activations:set(i + 1, 1, i)
      activations:set(i + 1, 2, i * i)
    end
    local unit = ea.vis.atlas.normalise(points)
    close(unit, gold.normalize_layout, 1e-9, "layout")
    local cells, means = ea.vis.atlas.cells(unit, activations, { grid = 3, least = 2 })
    local want, places = gold.bin_laid_out_activations, {}
    for k, cell in ipairs(cells) do places[k] = { cell.x - 1, cell.y - 1 } end
    assert.same(want.coords, places)
    close(means, want.means, 1e-9, "means")
  end)

  it("colours: the matrix, its columns, its inverse, gradients", function()
    local M = ea.tensor({ { 0.26, 0.09, 0.02 }, { 0.27, 0, -0.05 }, { 0.27, -0.09, 0.03 } }, "f64")
    close(M:square():sum { 1 }:sqrt(), gold["color.column_norms"], 1e-6, "columns")
    close(ea.tensor(colour.lucid, "f64") * gold["color.max_norm"], M, 1e-6, "norm")
    local inverse = ea.eye(3, "f64")
    for k = 1, 3 do -- what decodes to the unit vector k
      local t = colour.encode(inverse:narrow(1, k, 1) + ea.tensor({ 0.48, 0.46, 0.41 }, "f64"),
        colour.lucid, "clip")
      close(t, ea.tensor(gold["color.inverse_matrix"], "f64"):narrow(2, k, 1), 1e-6, "inverse")
    end
    local list = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 }, { 0.5, -1, 2 }, { 0, 0, 0 },
      { -3, 0.2, 0.4 } }
    local upstream = ea.arange(1, 18, 1, "f64"):reshape(1, 1, 6, 3)
    for _, matrix in ipairs { true, false } do
      for _, squash in ipairs { "sigmoid", "clip" } do
        local want = gold[("to_valid_rgb(decorrelate=%s,sigmoid=%s)"):format(matrix and "True"
          or "False", squash == "sigmoid" and "True" or "False")]
        local t = ea.tensor(list, "f64"):reshape(1, 1, 6, 3):require_grad()
        colour.decode(t, matrix and colour.lucid or nil, squash):backward(upstream)
        for k = 1, 6 do -- where Lucid clips, ours lets what was cut off come back
          local inside = true
          for c = 1, 3 do inside = inside and want.value[k][c] > 0 and want.value[k][c] < 1 end
          if inside then close(t.grad[{ 1, 1, k }], want.grad[k], 1e-6, squash) end
        end
      end
    end
  end)

  it("a random background", function()
    local want = gold["random.image_sample[1,8,8,3]sd=.5"].value
    local rows, spectrum = fourier.scale(8, 8, 1), ea.empty({ 1, 3, 5, 2, 8 }, "f64")
    for c = 1, 3 do
      for kx = 1, 5 do
        for p = 1, 2 do
          for ky = 1, 8 do
            spectrum:set(1, c, kx, p, ky, rows[ky][kx] * 50
              * fixtures.S(p - 1, 0, c - 1, ky - 1, kx - 1))
          end
        end
      end
    end
    local x = fourier.inverse(spectrum, fourier.basis(8, 8, 0.25, "f64"))
    close(colour.decode(x, colour.lucid, "sigmoid")[{ 1, 1 }], want, 1e-6, "background")
  end)

  it("deviation of the pixels at the start, by its formula", function()
    for _, n in ipairs { 8, 16, 32, 64, 128, 224 } do
      local sum = 0
      for _, row in ipairs(fourier.scale(n, n, 1)) do
        for k, scale in ipairs(row) do
          local mask = (k == 1 or k == #row) and 1 or 2
          sum = sum + (mask * scale) ^ 2
        end
      end
      close(0.01 * math.sqrt(sum) / (4 * n * n), gold["fft.init_pixel_std." .. n], 1e-6,
        "size " .. n)
    end
  end)

  it("unit balls: the values, and Lucid's gradients at the step turned round", function()
    local ball = require "edgeai.vis.param.ball"
    for name, case in pairs { inside = { 0.3, 0.4 }, outside = { 3, 4 } } do
      for way, g in pairs { g_out = { 1, 0 }, g_in = { -1, 0 } } do
        local want = gold[("unit.L2_%s.%s"):format(name, way)]
        local leaf = ea.tensor({ case }, "f64"):require_grad()
        local y = ball { l2 = 1 } (leaf)
        close(y, want.y, 1e-9, "value")
        y:backward(-ea.tensor({ g }, "f64"))
        close(-leaf.grad, want.grad, 1e-9, "gradient")
      end
    end
    for key, sign in pairs { [""] = false, _precondition = true } do
      local want = gold["unit.constrain_L_inf" .. key]
      local x = ea.tensor({ { 0.5, -0.5, 1.5, 2, -1.5, -2 } }, "f64"):require_grad()
      local y = ball { linf = 1, sign = sign } (x)
      close(y, want.y, 1e-9, "value")
      y:backward(-ea.tensor({ { 0.3, 0.3, 0.3, -0.3, 0.3, -0.3 } }, "f64"))
      close(-x.grad, want.grad, 1e-9, "gradient")
    end
  end)

  it("bytes of pictures: cut off as Lucid's, where asked to", function()
    local x = ea.tensor({ { -0.1, 0, 0.25, 0.5 }, { 0.498, 0.999, 1, 1.2 } }, "f64")
    local want = gold.normalize_array
    for key, o in pairs { domain01 = {}, domainNone = { auto = true }, ["domain-1..1"] = {
      low = -1 } } do
      local nearest = ea.image.to_u8(x, o):to("f64")
      o.cut = true
      local cut = ea.image.to_u8(x, o):to("f64")
      close(cut, want[key], 0, key)
      local d = nearest - cut
      assert.is_true(d:min():item() >= 0 and d:max():item() == 1)
    end
  end)

  it("the rules of enlarging", function()
    local line = ea.tensor({ 0, 1, 2, 3 }, "f64"):reshape(1, 1, 4, 1)
    local want = gold["resize.conventions 4->6"]
    close(line:resize { height = 1, width = 6 }, want.half_pixel, 1e-9, "half pixel")
    close(line:resize { height = 1, width = 6, align_corners = true }, want.lucent_align_corners,
      1e-9, "corners")
    local built = ea.vis.param.lowres { factor = 2, offset = true, squash = "clip" }
      :build({ 4, 4 }, 1)
    local x = built.image({ small = ea.tensor({ 0, 0, 1, 1 }, "f64"):reshape(1, 2, 2, 1) },
      ea.vis.context({ L = ea.zeros({ 1, 1 }, "f64") }, { dtype = "f64", n = 1 }))
    close(x[{ 1, {}, 2 }], gold["lowres[2]->[4],offset=True"].value, 1e-9, "offset")
  end)

  it("what turning by the nearest pixel moves and leaves black", function()
    for _, n in ipairs { 32, 48, 144 } do
      local v = ea.arange(1, n * n, 1, "f64"):reshape(1, n, n, 1)
      for _, degrees in ipairs { 1, 2, 3, 5, 7, 10 } do
        local y = ea.vis.lucid.apply(ea.vis.context { L = v }, v,
          { ea.vis.lucid.random_rotate { degrees } }, 1)
        local black = y:equal(0):to("f64")
        local stays = (y - v):equal(0):to("f64")
        local want = gold["rotate.nearest_stats"][("n=%d deg=%d"):format(n, degrees)]
        close(black:sum(), want.black_pixels, 0, "black")
        close(1 - black:mean() - stays:mean(), want.moved_fraction, 1e-9, "moved")
      end
    end
  end)

  it("Gram matrices, diversity's short form, comparing by a dot product", function()
    local obj, L = ea.vis.objectives, fill({ 2, 3, 4, 3 }, fixtures.A)
    local T = ea.vis.context({ L = L }, { of = function() return L:narrow(1, 1, 1) * 0 end })
    local G = ea.tensor(gold["style.gram_style"].value, "f64") -- against one of zeros
    local picture = ea.zeros { 1, 1, 3 }
    local l1 = obj.activation_difference("L", picture, { gram = true }):value(T)
    close(l1[1], G:abs():mean(), 1e-6, "mean of the matrix")
    local l2 = obj.activation_difference("L", picture, { gram = true, loss = "l2" }):value(T)
    close(l2[1], G:square():mean():sqrt(), 1e-6, "its length")
    local small = fill({ 4, 2, 2, 3 }, fixtures.A)
    close(obj.diversity("L"):value(ea.vis.context({ L = small }, { lucid = true })),
      gold["diversity.fast_form(L[4,2,2,3])"], 1e-6, "diversity")
    for power, name in pairs { [0] = "", [1] = ",cossim_pow=1" } do
      local want = gold[("obj.dot_compare(L,batch=1%s)"):format(name)]
      local leaf = L:clone():require_grad()
      local v = obj.dot_compare("L", 1, { cossim_pow = power }):value(ea.vis.context { L = leaf })
      v:narrow(1, 2, 1):sum():backward()
      close(leaf.grad:square():sum():sqrt(), want.grad_norm, 1e-6, "norm of the gradient")
      close(leaf.grad:reshape(-1):narrow(1, 1, 6), want.grad_first6, 2e-6, "gradient")
    end
  end)

  it("Adam with PyTorch's epsilon", function()
    local t = ea.ones { 1 }:require_grad()
    local adam = ea.vis.optimizer.adam {}.make({ t }, false)
    for k, want in ipairs(gold["adam.x0=1,g=1e-7*4"].torch) do
      t.grad:fill(1e-7)
      adam:step()
      close(t, want, 2e-5, "step " .. k)
    end
  end)

  it("which steps thresholds mean", function()
    local net = ea.nn.sequential { ea.nn.identity {} }
    net.mean, net.std = { 0, 0, 0 }, { 1, 1, 1 }
    local want, count = gold["thresholds=(0,1,512)"], 0
    local o = { lucid = true, size = 2, transforms = {}, thresholds = { 0, 1, 512 }, quiet = true,
      on_step = function() count = count + 1 end }
    local function goal(T) return T:mean(T "input") end
    local r = ea.vis.render(net, goal, o)
    assert.equal(want.lucid_total_updates, count)
    for k, updates in ipairs(want.lucid_updates_before_snapshot) do
      o.thresholds = { updates - 1 }
      close(ea.vis.render(net, goal, o).images, r.thresholds[k], 0, "after " .. updates)
    end
  end)

  it("has read all of the numbers that are its own", has_read_all)

  it("every number of the file is some spec's, but for these", function()
    local nobodys = {}
    for key in pairs(numbers.all()) do
      if not numbers.held(key) then nobodys[#nobodys + 1] = key end
    end
    table.sort(nobodys)
    assert.same(require("edgeai.text").keys(numbers.without), nobodys)
    assert.equal(4, #nobodys)
  end)
end)
