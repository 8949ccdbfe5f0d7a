-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.vis: attribution, the gallery, steepest ascent, and the experiments made of them.

local program = require "program"

local function close(got, want, limit)
  for i, v in ipairs(want) do
    local g = type(got) == "table" and got[i] or got:reshape(-1):get(i)
    assert.is_true(math.abs(g - v) <= (limit or 1e-6), ("number %d is %g, not %g"):format(i, g, v))
  end
end

describe("ea.vis.attribution", function()
  -- score = sum w relu(a)^2 of a = (2, 1, -3), w = (1, -2, 0.5)
  local net = ea.nn.sequential { { "a", ea.nn.identity {} }, { "relu", ea.nn.relu {} } }
  local x = ea.tensor { { 2, 1, -3 } }
  local w = ea.tensor { 1, -2, 0.5 }
  local function score(out) return out:square() * w end

  it("is the gradient times the activation, or its integral", function()
    close(ea.vis.attribution(net, x, "a", score), { 8, -4, 0 })
    close(ea.vis.attribution(net, x, "a", score, { steps = 10, rule = "left" }), { 3.6, -1.8, 0 })
    close(ea.vis.attribution(net, x, "a", score, { steps = 10, rule = "right" }), { 4.4, -2.2, 0 })
    close(ea.vis.attribution(net, x, "a", score, { steps = 10 }), { 4, -2, 0 })
  end)

  it("sums to the score's change along the way, in a real network", function()
    ea.seed(2)
    local real = ea.nn.wrn { depth = 10, widths = { 4, 4, 8, 8 } }:train()
    local images = ea.rng("images"):normal { 2, 8, 8, 3 }
    local function logit(out) return out:narrow(2, 3, 1) end
    local a = ea.vis.attribution(real, images, "group2", logit, { steps = 50 })
    assert.is_true(real.training)
    real:eval()
    local whole = logit(real(images)):sum():item()
    local module = real:get "group2"
    local zero = ea.nn.Module.intercept({ [module] = function(y) return y * 0 end }, real, images)
    local change = whole - logit(zero):sum():item()
    assert.is_true(math.abs(a:sum():item() - change) < 0.03 * math.max(1, math.abs(change)))
    assert.is_true(math.abs(logit(real(images)):sum():item() - whole) < 1e-6)
  end)

  it("may be of what an activation gives: then nothing seen is zero", function()
    local lin = ea.nn.sequential { { "a", ea.nn.linear { 3, 3 } }, { "relu", ea.nn.relu {} },
      { "b", ea.nn.linear { 3, 2, bias = false } } }
    local function second(out) return out:narrow(2, 2, 1) end
    local v = ea.tensor { { 1, 2, -1 } }
    local got = ea.vis.attribution(lin, v, "a/post", second)
    assert.same(ea.vis.attribution(lin, v, "relu", second):tolist(), got:tolist())
    assert.is_true(math.abs(got:sum():item() - second(lin(v)):sum():item()) < 1e-6)
    local ok, message = pcall(ea.vis.attribution, lin, v, "relu/pre", second)
    assert.is_false(ok)
    assert.truthy(message:find("only what a layer gives can be looked at here", 1, true), message)
    ok, message = pcall(ea.vis.attribution, lin, v, "b/post", second)
    assert.is_false(ok)
    assert.truthy(message:find("there is no activation behind it", 1, true), message)
  end)

  it("says what is wrong", function()
    for sentence, fn in pairs {
      ["there is no layer 'b'"] = function() ea.vis.attribution(net, x, "b", score) end,
      ["expected a function of the network's outputs"] = function()
        ea.vis.attribution(net, x, "a", 3)
      end,
      ["expected steps"] = function()
        ea.vis.attribution(net, x, "a", score, { rule = "upper" })
      end,
      ["gives a tensor, got a number"] = function()
        ea.vis.attribution(net, x, "a", function() return 1 end)
      end,
    } do
      local ok, message = pcall(fn)
      assert.is_false(ok)
      assert.is_true(message:find(sentence, 1, true) ~= nil, message)
    end
  end)
end)

describe("steepest ascent", function()
  it("moves pixels by its rate on average, each image by itself", function()
    local t = ea.zeros { 2, 4 }:require_grad()
    t:set_grad(ea.tensor { { -2, 4, -1, 0 }, { 0, 0, 0, 0 } })
    ea.vis.optimizer.steepest { lr = 1.5 }.make({ t }):step()
    close(t:detach(), { 1.7142857, -3.4285714, 0.8571429, 0, 0, 0, 0, 0 })
  end)
end)

describe("ea.vis.atlas", function()
  local atlas = ea.vis.atlas

  it("lays points out and gathers them in squares, as Lucid does", function()
    local points = ea.empty({ 20, 2 }, "f64")
    local activations = ea.empty({ 20, 2 }, "f64")
    for i = 0, 19 do
      points:set(i + 1, 1, 7 * i % 11 + 0.5 * (i % 3))
      points:set(i + 1, 2, 5 * i % 13 - 0.25 * (i % 4))
      activations:set(i + 1, 1, i)
      activations:set(i + 1, 2, i * i)
    end
    local unit = atlas.normalise(points)
    close(unit[2], { 0.68181818, 0.41666667 }, 1e-6)
    assert.same({ 0, 1 }, { unit:min():item(), unit:max():item() })
    local cells, means = atlas.cells(unit, activations, { grid = 3, least = 2 })
    local counts, places = {}, {}
    for k, cell in ipairs(cells) do
      counts[k], places[k] = cell.count, { cell.x - 1, cell.y - 1 }
    end
    assert.same({ 6, 2, 4, 6 }, counts)
    assert.same({ { 0, 0 }, { 2, 0 }, { 2, 1 }, { 1, 2 } }, places)
    close(means, { 11.1666667, 161.8333333, 4.5, 22.5, 10.25, 141.75, 10.6666667, 141 }, 1e-6)
  end)

  it("samples activations of a data set", function()
    local tiny = require "tiny"
    local net, split = tiny.net():eval(), tiny.split(40, 1)
    net.mean, net.std = { 0.5 }, { 0.25 }
    local A, ids = atlas.sample(net, split, "bn1", { count = 30, seed = 3, batch = 7 })
    assert.same({ 30, 8 }, A.shape)
    assert.equal(30, #ids)
    local again = atlas.sample(net, split, "bn1", { count = 30, seed = 3, batch = 30 })
    assert.is_true((A - again):abs():max():item() < 1e-5)
    local ok, message = pcall(atlas.cells, ea.rand { 4, 2 }, A, { least = 9 })
    assert.is_false(ok)
    assert.matches("take a coarser grid", message)
  end)
end)

describe("ea.vis.nmf", function()
  it("finds non-negative factors, better in every step", function()
    local W, H = ea.rng("W"):uniform { 30, 3 }, ea.rng("H"):uniform { 3, 8 }
    local V = W:matmul(H)
    local w, h, errors = ea.vis.nmf(V, 3, { steps = 400, seed = 2 })
    assert.is_true(w:min():item() >= 0 and h:min():item() >= 0)
    for k = 2, 400 do assert.is_true(errors[k] <= errors[k - 1] + 1e-9) end
    assert.is_true(errors[400] < 0.02 * V:norm():item())
    assert.is_true((w:matmul(h) - V:to("f64")):norm():item() < 0.02 * V:norm():item())
    close(h:square():sum { 2 }, { 1, 1, 1 }, 1e-6)
  end)

  it("says what is wrong", function()
    for sentence, fn in pairs {
      ["with negative ones"] = function() ea.vis.nmf(ea.full({ 2, 2 }, -1), 1) end,
      ["at least 1, got 0"] = function() ea.vis.nmf(ea.ones { 2, 2 }, 0) end,
    } do
      local ok, message = pcall(fn)
      assert.is_false(ok)
      assert.is_true(message:find(sentence, 1, true) ~= nil, message)
    end
  end)
end)

describe("pictures with words", function()
  local folder = program.folder()
  teardown(function() program.remove(folder) end)

  it("in one HTML file", function()
    local path = folder .. "/gallery.html"
    local picture = ea.zeros { 2, 3, 3 }
    ea.vis.gallery(path, { title = "a < b", scale = 5, { picture, "first", "more & more" },
      { heading = "then" }, { picture, "second" } })
    local html = program.read(path)
    assert.truthy(html:find("<h1>a &lt; b</h1>", 1, true))
    assert.truthy(html:find("more &amp; more", 1, true))
    assert.truthy(html:find('width="15" height="10"', 1, true))
    assert.truthy(html:find("data:image/png;base64,iVBORw0KGgo", 1, true)) -- PNG's first bytes
    assert.is_nil(html:find("http", 1, true))
    local _, count = html:gsub("<figure>", "")
    assert.equal(2, count)
    assert.truthy(html:find("display: flex", 1, true))
    ea.vis.gallery(path, { columns = 3, { picture } })
    assert.truthy(program.read(path):find("repeat(3, max-content)", 1, true))
  end)

  it("in one PNG file, each picture at its place and its words below", function()
    local path, picture = folder .. "/sheet.png", ea.zeros { 20, 40, 3 }
    picture:narrow(3, 1, 1):fill(1)
    local small = ea.full({ 10, 10 }, 0.2)
    local page = { title = "a 'title' of 100 %", text = ("words "):rep(60), scale = 2, columns = 2,
      { picture, "first", "more" }, { small, ("very "):rep(30) .. "long" }, { heading = "then" },
      { ea.ones { 20, 40, 4 } } }
    page[4][1]:narrow(3, 4, 1):fill(0.5)
    page[4][1]:narrow(3, 1, 2):fill(0)
    local has_words = ea.vis.sheet(path, page)
    local sheet = ea.image.load(path)
    local width = 10 + 2 * 90
    assert.equal(width, sheet:size(2))
    -- title; lines of 24 letters; pictures, two lines of words; heading; a picture
    local top = 10 + 30 + 20 * 18 + 4
    assert.equal(top + 40 + 16 + 14 + 10 + 32 + 40 + 10, sheet:size(1))
    local function at(y, x) return sheet[{ y + 1, x + 1 }]:tolist() end
    for _, y in ipairs { top, top + 39 } do
      assert.same({ 255, 0, 0 }, at(y, 10))
      assert.same({ 255, 0, 0 }, at(y, 89))
      assert.same({ 255, 255, 255 }, at(y, 95))
    end
    assert.same({ 51, 51, 51 }, at(top + 19, 119))
    assert.same({ 127, 127, 255 }, at(sheet:size(1) - 11, 10)) -- half of it lets white through
    local below = sheet:narrow(1, top + 41, 16):to("f32")
    if has_words then
      assert.is_true(below:narrow(2, 11, 80):min():item() < 100) -- "first"
      assert.is_true(below:narrow(2, 101, 80):min():item() < 100) -- cut, within its column
      assert.equal(255, below:narrow(2, 183, 8):min():item())
    end
    page.shown, page.title, page.text = 1, nil, nil
    ea.vis.sheet(path, page)
    assert.same({ 10 + 40 + 30 + 10, 100, 3 }, ea.image.load(path).shape)
    local gnuplot = require "edgeai.gnuplot"
    local program_was = gnuplot.program
    gnuplot.program = "no-gnuplot"
    local ok, why = ea.vis.sheet(path, page)
    gnuplot.program = program_was
    assert.is_nil(ok)
    assert.truthy(why:find("sheet.png has no words: gnuplot is not installed", 1, true), why)
    assert.equal(255, ea.image.load(path):narrow(1, 51, 30):to("f32"):min():item())
    assert.is_nil(program.read(path .. ".words.png"))
    for sentence, case in pairs { ["expected the path of a PNG file"] = { "sheet.jpg", page },
      ["there are no pictures to show"] = { path, { title = "x" } },
      ["vis.sheet: a picture"] = { path, { { "x" } } } } do
      local fine, message = pcall(ea.vis.sheet, unpack(case))
      assert.is_false(fine)
      assert.truthy(message:find(sentence, 1, true), message)
    end
  end)

  it("by the experiments", function()
    local net = ea.nn.resnet { depth = 8, widths = { 4, 4, 8, 8 } }
    net:save(folder .. "/net.safetensors", { mean = { 0.5, 0.5, 0.5 }, std = { 0.2, 0.2, 0.2 } })
    ea.image.save(folder .. "/photo.png", ea.rng("photo"):uniform { 20, 30, 3 })
    local root = program.root .. "/experiments/"
    local code, out, err = program.run(folder, "run " .. root .. "channels.lua --quiet --out c "
      .. "--set model=net.safetensors --set layer=layer2/pre --set count=3 --set steps=2 "
      .. "--set negative=true")
    assert.equal(0, code, err)
    assert.matches("6 pictures", out)
    assert.truthy(program.read(folder .. "/c/channels.html"))
    code, out, err = program.run(folder, "run " .. root .. "deepdream.lua --quiet --out d "
      .. "--set model=net.safetensors --set photo=photo.png --set height=24 --set octaves=2 "
      .. "--set steps=2 --set layer=layer2/pre")
    assert.equal(0, code, err)
    assert.matches("a dream in", out)
    assert.same({ 24, 36, 3 }, ea.image.load(folder .. "/d/dream.png").shape)
    assert.equal(10 + 2 * 90, ea.image.load(folder .. "/d/deepdream.png"):size(2))
    code, out, err = program.run(folder, "run " .. root .. "groups.lua --quiet --out g "
      .. "--set model=net.safetensors --set photo=photo.png --set groups=2 --set steps=2 "
      .. "--set layer=layer2")
    assert.equal(0, code, err)
    assert.matches("2 groups", out)
    code, out, err = program.run(folder, "run " .. root .. "groups.lua --quiet --out p "
      .. "--set by=pca --set model=net.safetensors --set photo=photo.png --set groups=3 "
      .. "--set steps=2 --set layer=layer2")
    assert.equal(0, code, err)
    assert.matches("3 groups, [%d.]+ %% of the layer left over", out)
    code, out, err = program.run(folder, "run " .. root .. "channels.lua --quiet --out a "
      .. "--set model=net.safetensors --set layer=layer3/pre --set count=0 --set steps=1")
    assert.equal(0, code, err)
    assert.matches("8 pictures", out)
    os.execute(("mkdir -p '%s/pictures/a' '%s/pictures/b'"):format(folder, folder))
    for k = 1, 6 do
      local path = ("%s/pictures/%s/%d.png"):format(folder, k % 2 == 0 and "a" or "b", k)
      ea.image.save(path, ea.rng("data", { index = k }):uniform { 8, 8, 3 })
    end
    code, out, err = program.run(folder, "run " .. root .. "channels.lua --quiet --out o "
      .. "--set model=net.safetensors --set count=2 --set steps=1 --set colour=data "
      .. "--set data=./pictures")
    assert.equal(0, code, err)
    assert.matches("2 pictures", out)
    for script, more in pairs { caricature = "--set photo=photo.png --set layers=layer1,layer2 "
      .. "--set steps=2", interpolate = "--set count=3 --set align=layer1 --set steps=2" } do
      code, out, err = program.run(folder, ("run %s%s.lua --quiet --out %s --set "
        .. "model=net.safetensors %s"):format(root, script, script, more))
      assert.equal(0, code, err)
      assert.matches(script == "caricature" and "2 caricatures" or "3 pictures", out)
    end
    for _, part in ipairs { "train", "test" } do
      os.execute(("mkdir -p '%s/many/%s'; cp -r '%s/pictures/a' '%s/pictures/b' '%s/many/%s'")
        :format(folder, part, folder, folder, folder, part))
    end
    for k = 7, 16 do
      local path = ("%s/many/test/%s/%d.png"):format(folder, k % 2 == 0 and "a" or "b", k)
      ea.image.save(path, ea.rng("data", { index = k }):uniform { 8, 8, 3 })
    end
    for _, by in ipairs { "pca", "tsne" } do
      code, out, err = program.run(folder, ("run %satlas.lua --quiet --out atlas-%s --set by=%s "
        .. "--set model=net.safetensors --set data=./many --set layer=layer2 --set images=16 "
        .. "--set grid=2 --set least=1 --set steps=2"):format(root, by, by))
      assert.equal(0, code, err)
      assert.matches("%d+ squares", out)
      assert.matches("square by square", program.read(folder .. "/atlas-" .. by .. "/atlas.html"))
    end
    ea.image.save(folder .. "/other.png", ea.rng("other"):uniform { 16, 16, 3 })
    for script, case in pairs {
      style = { "--set content=photo.png --set style=other.png --set size=16 --set weights=0,1 "
        .. "--set content_layer=layer2 --set style_layers=conv1,layer1", "2 pictures between two" },
      grid = { "--set photo=photo.png --set layer=layer3 --set cells=2 --set side=16",
        "2 x 2 places" },
      attribution = { "--set photo=photo.png --set layer=layer3 --set points=3 --set channels=2",
        "class %d+, not class %d+" },
      defaults = { "--set judge=net.safetensors --set data= --set classes=3 "
        .. "--set each=1",
        "Lucid's defaults +recognised +%d+ %%" },
    } do
      code, out, err = program.run(folder, ("run %s%s.lua --quiet --out %s --set "
        .. "model=net.safetensors --set steps=2 %s"):format(root, script, script, case[1]))
      assert.equal(0, code, err)
      assert.matches(case[2], out)
      assert.truthy(ea.image.load(("%s/%s/%s.png"):format(folder, script, script)))
      local html = program.read(("%s/%s/%s.html"):format(folder, script, script))
      assert.truthy(html:find("data:image/png;base64,", 1, true))
      assert.is_nil(html:find("http", 1, true))
    end
    local summary = ea.json.decode(program.read(folder .. "/attribution/summary.json"))
    assert.is_true(summary.class ~= summary.against and summary.difference >= 0)
  end)
end)

describe("ea.vis.watch", function()
  local tiny = require "tiny"
  local folder = program.folder()
  teardown(function() program.remove(folder) end)

  it("draws a film strip and leaves the training as it is", function()
    local function trained(watch)
      ea.seed(4)
      local net = tiny.net()
      net.mean, net.std = { 0.5 }, { 0.25 }
      tiny.fit(net, { epochs = 4, optimizer = tiny.sgd(net),
        on_epoch = watch and ea.vis.watch(net, "conv2:1", folder .. "/strip.png",
          { every = 2, images = 3, steps = 2, size = 12, channels = 1, seed = 1 }) or nil })
      return tiny.hash(net:state_dict())
    end
    assert.equal(trained(false), trained(true))
    local strip = ea.image.load(folder .. "/strip.png", 3) -- a title, two rows of three
    assert.same({ 10 + 34 + 2 * (36 + 16 + 10), 10 + 3 * 90, 3 }, strip.shape)
    local whole = program.read(folder .. "/strip.png")
    local function watched(epoch, net)
      net.mean, net.std = { 0.5 }, { 0.25 }
      ea.vis.watch(net, "conv2:1", folder .. "/strip.png", { every = 2, images = 3, steps = 2,
        size = 12, channels = 1, seed = 1 }) { epoch = epoch } -- as after a resume
      return ea.io.load(folder .. "/strip.npz").epochs:tolist()
    end
    assert.same({ 2, 2, 2, 4, 4, 4, 6, 6, 6 }, watched(6, tiny.net()))
    local longer = ea.image.load(folder .. "/strip.png", 3)
    local same = longer:narrow(1, 1, strip:size(1)):to("f32") - strip:to("f32")
    assert.equal(0, same:abs():max():item())
    assert.equal(strip:size(1) + 62, longer:size(1))
    assert.same({ 2, 2, 2, 4, 4, 4 }, watched(4, tiny.net()))
    assert.not_equal(whole, program.read(folder .. "/strip.png"))
    assert.same({ 2, 2, 2 }, watched(2, tiny.net())) -- begun anew
    local net = tiny.net() -- a picture that no gradient reaches ends no training
    net.mean, net.std = { 0.5 }, { 0.25 }
    ea.vis.watch(net, function(T) return T:mean(T "conv2") * 0 end, folder .. "/dead.png",
      { steps = 1, size = 12, channels = 1 }) { epoch = 1 }
    assert.truthy(program.read(folder .. "/dead.png"))
    local ok, message = pcall(ea.vis.watch, tiny.net(), "conv2:1", "strip.jpg")
    assert.is_false(ok)
    assert.matches("expected the path of a PNG file", message)
  end)
end)
