-- SPDX-License-Identifier: GPL-3.0-or-later
-- Layers and networks: counts, names, printing, features, state dicts, files, precision.

local program = require "program"

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

local function small() return ea.nn.wrn { depth = 10, classes = 4 } end

local function names_of(list)
  local names = {}
  for i, entry in ipairs(list) do names[i] = entry.name end
  return names
end

local function hashes(net)
  local list = {}
  for i, entry in ipairs(net:state_dict()) do list[i] = entry.name .. " " .. entry.tensor:hash() end
  return list
end

local function off(a, b)
  local d = (a:detach():to("f32") - b:detach():to("f32")):abs():max():item()
  return d / math.max(b:detach():to("f32"):abs():max():item(), 1e-6)
end

local function temporary(fn)
  local path = os.tmpname() .. ".safetensors"
  local ok, message = pcall(fn, path)
  os.remove(path)
  os.remove((path:gsub("%.safetensors$", "")))
  if not ok then error(message, 0) end
end

describe("architectures", function()
  it("have the published parameter counts", function()
    for _, c in ipairs { { 10, 1, 77850 }, { 16, 1, 175066 }, { 22, 1, 272282 }, { 28, 1, 369498 },
      { 40, 1, 563930 }, { 16, 2, 691674 }, { 40, 2, 2243546 }, { 16, 4, 2748890 },
      { 40, 4, 8949210 }, { 28, 10, 36479194 } } do
      assert.equal(c[3], ea.nn.wrn { depth = c[1], widen = c[2] }:parameter_count())
    end
    assert.equal(11007540, ea.nn.wrn { depth = 16, widen = 8, classes = 100 }:parameter_count())
    assert.equal(269722, ea.nn.resnet {}:parameter_count())
    assert.equal(853018, ea.nn.resnet { depth = 56 }:parameter_count())
    assert.equal(1727962, ea.nn.resnet { depth = 110 }:parameter_count())
    assert.equal(9231114 - 2752, ea.nn.vgg {}:parameter_count()) -- 2752: biases PyTorch code has
    assert.equal(9231114, ea.nn.vgg { bias = true }:parameter_count())
    assert.equal(14728266, ea.nn.vgg { depth = 16, bias = true }:parameter_count())
    assert.equal(2296922, ea.nn.mobilenet_v2 {}:parameter_count())
    assert.equal(61706, ea.nn.lenet5 {}:parameter_count())
    assert.equal(784 * 256 + 256 + 256 * 128 + 128 + 128 * 10 + 10, ea.nn.mlp {}:parameter_count())
  end)

  it("have the published FLOPs", function()
    for _, c in ipairs { { 10, 1, 25.0 }, { 16, 1, 53.3 }, { 40, 1, 166.6 }, { 16, 4, 785.2 } } do
      assert.near(c[3], ea.nn.wrn { depth = c[1], widen = c[2] }:mflop(), 0.051)
    end
  end)

  it("count FLOPs as a captured graph does", function()
    local net = ea.nn.wrn { depth = 10, widths = { 8, 12, 20 } }:eval()
    local g = ea.capture(function(x) return net(x) end, { { size = { 2, 32, 32, 3 } } })
    assert.near(net:mflop { 2, 32, 32, 3 }, g.flops / 1e6, 1e-9)
  end)

  it("run on their usual input", function()
    for _, name in ipairs { "wrn", "resnet", "vgg", "mobilenet_v2", "lenet5", "mlp" } do
      local net = ea.nn[name] {}
      local size = { unpack(net.input_shape) }
      size[1] = 2
      local y = net(ea.rng("x"):normal(size))
      assert.same({ 2, 10 }, y.shape, name)
      assert.equal(0, y:count_nonfinite(), name)
      assert.equal(2, net:forward_features(ea.zeros(size)):size(1), name)
      assert.is_table(net:summary())
    end
  end)

  it("take free widths, and leave out their heads", function()
    local net = ea.nn.wrn { depth = 16, widths = { 36, 48, 96 } }
    assert.near(418e3, net:parameter_count(), 1e3)
    assert.equal(net:parameter_count(), ea.nn.wrn { depth = 16, widths = { 16, 36, 48, 96 } }
      :parameter_count())
    local trunk = ea.nn.wrn { depth = 10, widths = { 8, 8, 8, 24 }, head = false }
    assert.equal(24, trunk.out_channels)
    local x = ea.zeros { 1, 32, 32, 3 }
    assert.same({ 1, 8, 8, 24 }, trunk(x).shape)
    assert.same({ 1, 24 }, trunk:forward_features(x).shape)
  end)

  it("refuse wrong options", function()
    fails(function() ea.nn.wrn { depth = 15 } end, "wrn: depth must be 6n+4")
    fails(function() ea.nn.wrn { width = 2 } end,
      "there is no option 'width'; did you mean `widths`?")
    fails(function() ea.nn.wrn { widths = { 1, 2 } } end, "widths must be {w1, w2, w3}")
    fails(function() ea.nn.wrn { widen = 1.5 } end, "'widen' must be a whole number of at least 1")
    fails(function() ea.nn.resnet { depth = 18 } end, "resnet: depth must be 6n+2")
    fails(function() ea.nn.vgg { depth = 12 } end, "vgg: depth must be 11, 13, 16 or 19")
    fails(function() ea.nn.mlp { activation = "rely" } end,
      "there is no activation 'rely'; did you mean")
    fails(function() ea.nn.build("wnr", {}) end,
      "there is no architecture 'wnr'; did you mean `wrn`?")
  end)

  it("have short names", function()
    for name, like in pairs { ["wrn16-2"] = ea.nn.wrn { depth = 16, widen = 2 },
      resnet20 = ea.nn.resnet { depth = 20 }, lenet5 = ea.nn.lenet5 {} } do
      assert.equal(like:parameter_count(), ea.nn.by_name(name):parameter_count())
    end
    assert.same({ 2, 7 }, ea.nn.by_name("wrn10-1", { classes = 7 })(ea.randn { 2, 8, 8, 3 }).shape)
    for _, name in ipairs { "wrn10", "wnr10-1", "resnets", "", "10-1" } do
      fails(function() ea.nn.by_name(name) end, "nn.by_name: '" .. name .. "' names no network")
    end
  end)
end)

describe("layers", function()
  it("print as their constructors", function()
    assert.equal("conv2d{16, 32, kernel=3, stride=2}",
      tostring(ea.nn.conv2d { 16, 32, stride = 2 }))
    assert.equal("conv2d{8, 8, kernel=5, pad=0, groups=8, bias=true}", tostring(ea.nn.conv2d { 8, 8,
      kernel = 5, pad = 0, groups = 8, bias = true }))
    assert.equal("linear{4, 2, bias=false}",
      tostring(ea.nn.linear { inp = 4, out = 2, bias = false }))
    assert.equal("batch_norm{16}", tostring(ea.nn.batch_norm { 16 }))
    assert.equal("max_pool{2}", tostring(ea.nn.max_pool {}))
    assert.equal("leaky_relu{slope=0.2}", tostring(ea.nn.leaky_relu { 0.2 }))
    local text = tostring(ea.nn.sequential { { "c", ea.nn.conv2d { 1, 2 } }, ea.nn.relu {} })
    assert.equal("sequential: 18 parameters\n  c: conv2d{1, 2, kernel=3}\n  1: relu{}", text)
  end)

  it("compute what their ops do", function()
    local nn, x = ea.nn, ea.rng("x"):normal { 2, 4, 4, 3 }
    assert.equal(0, off(nn.relu {}(x), x:relu()))
    assert.equal(0, off(nn.relu6 {}(x * 10), (x * 10):clamp { low = 0, high = 6 }))
    assert.equal(0, off(nn.avg_pool { 2 }(x), x:avg_pool2d { size = 2 }))
    assert.equal(0, off(nn.global_max_pool {}(x), x:global_max_pool()))
    assert.equal(0, off(nn.identity {}(x), x))
    local t = nn.conv_transpose2d { 3, 5, bias = true }
    assert.equal("conv_transpose2d{3, 5, kernel=4, bias=true}", tostring(t))
    assert.equal(0, off(t(x), x:conv_transpose2d(t.weight, t.bias, { stride = 2, pad = 1 })))
    assert.equal(4 * 4 * 3 * 5 * 16, t:macs { 1, 4, 4, 3 })
    local c = nn.conv2d { 3, 5, stride = 2, bias = true }
    assert.equal(0, off(c(x), x:conv2d(c.weight, c.bias, { stride = 2, pad = 1 })))
    local flat = nn.flatten {}(x) -- channel, row, column, as PyTorch
    assert.same({ 2, 48 }, flat.shape)
    assert.equal(x:get(2, 3, 4, 2), flat:get(2, 16 + 2 * 4 + 4))
  end)

  it("combine", function()
    local nn, x = ea.nn, ea.rng("x"):normal { 2, 3 }
    local a, b = nn.linear { 3, 3 }, nn.linear { 3, 2 }
    assert.equal(0, off(nn.residual { main = a }(x), a(x) + x))
    assert.equal(0, off(nn.residual { a, nn.relu {} }(x), a(x) + x:relu()))
    assert.equal(0, off(nn.parallel { a, b }(x), ea.concat({ a(x), b(x) }, { axis = 2 })))
    assert.equal(0, off(nn.parallel { a, nn.identity {}, merge = "sum" }(x), a(x) + x))
    assert.equal(2, #nn.parallel { a, b, merge = "list" }(x))
    fails(function() nn.parallel { a, merge = "mean" } end, "merge must be")
    fails(function() nn.sequential { a, 3 } end, "sequential: item 2 must be a layer")
    fails(function() nn.sequential { { "x", a }, { "x", b } } end, "there are two children 'x'")
  end)

  it("refuse wrong options", function()
    fails(function() ea.nn.conv_transpose2d { 3, 4, groups = 2 } end,
      "conv_transpose2d: 2 groups must divide 3 input and 4 output channels")
    fails(function() ea.nn.conv2d { 3 } end, "conv2d: the option 'out' must be given")
    fails(function() ea.nn.conv2d { 3, 4, kernel = 2 } end, "needs an odd kernel")
    fails(function() ea.nn.conv2d { 3, 4, 5 } end, "expected at most 2 options without a name")
    fails(function() ea.nn.conv2d { 3, 4, groups = 2 } end, "2 groups must divide 3 input")
    fails(function() ea.nn.linear { 3, -1 } end, "linear: 'out' must be a whole number")
    fails(function() ea.nn.dropout { 1 } end, "dropout: p must be in [0, 1)")
    fails(function() ea.nn.relu { 3 } end, "relu: expected at most 0 options")
    fails(function() ea.nn.batch_norm(16) end, "batch_norm: expected a table of options")
  end)

  it("start with random numbers that depend on seed and name alone", function()
    ea.seed(11)
    local a, b = small(), ea.nn.wrn { depth = 16, classes = 4 }
    local weight = a:get("group2.0.conv1").weight
    assert.equal(weight:hash(), b:get("group2.0.conv1").weight:hash())
    assert.is_true(weight:hash() ~= a:get("group2.0.conv2").weight:hash())
    local std = b:get("group3.1.conv2").weight:detach():square():mean():item() ^ 0.5
    assert.near(math.sqrt(2 / (64 * 9)), std, 0.02 * std)
    local two = ea.nn.parallel { ea.nn.linear { 3, 3 }, ea.nn.linear { 3, 3 } }
    assert.is_true(two:get("0").weight:hash() ~= two:get("1").weight:hash())
    ea.seed(12)
    assert.is_true(weight:hash() ~= small():get("group2.0.conv1").weight:hash())
    local before = weight:hash()
    ea.seed(11)
    weight:detach():fill(0)
    a:initialise()
    assert.equal(before, weight:hash())
    ea.seed(1)
  end)

  it("outlive the scope they first ran in", function()
    local net = small()
    local x = ea.zeros { 1, 32, 32, 3 }
    ea.scope(function() net(x) end)
    assert.same({ 1, 4 }, net(x).shape)
  end)

  it("drop out in training only, by step in a graph", function()
    local d, x = ea.nn.dropout { 0.5 }, ea.ones { 100 }
    local y = d(x)
    local kept = y:greater(ea.zeros { 100 }):to("f32"):sum():item()
    assert.is_true(kept > 20 and kept < 80)
    assert.equal(2 * kept, y:sum():item())
    assert.is_true(y:hash() ~= d(x):hash())
    local g = ea.capture(function(input) return d(input) end, { x })
    g.inputs[1]:copy(x)
    local first, second = g:forward(1):hash(), g:forward(2):hash()
    assert.is_true(first ~= second)
    assert.equal(first, g:forward(1):hash())
    assert.equal(0, off(d:eval()(x), x))
  end)
end)

describe("networks", function()
  it("name their tensors as PyTorch code does", function()
    local names = names_of(small():state_dict())
    assert.equal("conv0.weight", names[1])
    assert.same({ "group1.0.bn1.weight", "group1.0.bn1.bias", "group1.0.bn1.running_mean",
      "group1.0.bn1.running_var", "group1.0.conv1.weight" }, { unpack(names, 2, 6) })
    assert.equal("fc.bias", names[#names])
    names = table.concat(names_of(ea.nn.resnet {}:state_dict()), " ")
    for _, name in ipairs { "conv1.weight", "bn1.running_var", "layer2.0.conv1.weight",
      "layer3.2.bn2.bias", "linear.weight" } do
      assert.truthy(names:find(name, 1, true), name)
    end
    assert.equal(25, #small():parameters())
    assert.equal(14, #small():buffers())
  end)

  it("give layers by name, and their outputs", function()
    local net = small()
    local conv = net:get("group2.0.conv1")
    assert.equal("conv2d", conv.kind)
    assert.equal("group2.0.conv1", conv:path())
    assert.equal(net:get("fc"), net.fc)
    fails(function() net:get("group2.0.cnov1") end, "did you mean `group2.0.conv1`?")
    local x = ea.rng("x"):normal { 2, 32, 32, 3 }
    local found, y = net:features(x, { "group1", "group3", "features", "pool" })
    assert.same({ 2, 32, 32, 16 }, found.group1.shape)
    assert.same({ 2, 8, 8, 64 }, found.group3.shape)
    assert.equal(0, off(found.features:global_avg_pool(), found.pool))
    assert.equal(0, off(net:get("fc")(found.pool), y))
    local resnet = ea.nn.resnet { depth = 8 }
    assert.same({ 2, 16, 16, 32 }, resnet:features(x, "group2").group2.shape)
    fails(function() net:features(x, { "grup1" }) end, "did you mean `group1`?")
  end)

  it("summarise themselves", function()
    local net = ea.nn.wrn { depth = 10 }
    local s = net:summary { 1, 32, 32, 3 }
    assert.equal(77850, s.params)
    assert.equal("conv0", s[1].name)
    assert.same({ 1, 32, 32, 16 }, s[1].shape)
    assert.equal(432 * 1024, s[1].macs)
    assert.equal(4 * 16 * 1024, s[1].bytes)
    local text = tostring(s)
    assert.truthy(text:find("wrn{depth=10, widen=1, classes=10} on {1, 32, 32, 3}", 1, true))
    assert.truthy(text:find("total%s+77,850%s+12%.502"))
    assert.is_true(net.training, "a summary leaves the mode alone")
    fails(function() ea.nn.linear { 2, 2 }:summary() end, "summary: expected the input's shape")
    fails(function() net:summary { 1, 32, 32, 4 } end, "conv0: conv2d:")
    assert.equal(77850, net:summary().params, "and a failed one frees its capture")
  end)

  it("say which layer failed, at the caller's line", function()
    local net = small()
    net:get("group2.0.conv1").weight:copy(net:get("group2.0.conv1").weight:detach()) -- made
    rawset(net:get("group2.0.conv1"), "weight", ea.zeros { 32, 7, 3, 3 })
    local ok, message = pcall(function() net(ea.zeros { 1, 32, 32, 3 }) end)
    assert.is_false(ok)
    assert.matches("nn_spec%.lua:%d+: group2%.0%.conv1: conv2d: ", message)
  end)

  it("switch modes and freeze", function()
    local net = small():eval()
    assert.is_false(net:get("group1.0.bn1").training)
    local before = hashes(net)
    net(ea.rng("x"):normal { 2, 32, 32, 3 })
    assert.same(before, hashes(net))
    net:train()(ea.rng("x"):normal { 2, 32, 32, 3 })
    assert.is_true(net:get("bn").running_mean:abs():max():item() > 0)
    net:requires_grad(false)
    assert.is_false(net(ea.zeros { 1, 32, 32, 3 }).requires_grad)
  end)

  it("compute in bf16 with an f32 head", function()
    local net, x = small():eval(), ea.rng("x"):normal { 4, 32, 32, 3 }
    local exact = net(x)
    net:set_precision("bf16")
    local found, y = net:features(x, { "group1", "features" })
    assert.equal("bf16", found.group1.dtype)
    assert.equal("bf16", found.features.dtype)
    assert.equal("f32", y.dtype)
    assert.is_true(off(y, exact) < 0.05)
    assert.equal("bf16", net:forward_features(x).dtype)
    y:sum():backward()
    assert.equal("f32", net:get("conv0").weight.grad.dtype)
    net:set_precision("f32")
    assert.equal(0, off(net(x), exact))
    assert.equal("f32", net(x:to("bf16")).dtype)
    fails(function() net:set_precision("f16") end, "expected \"bf16\" or \"f32\", got f16")
  end)
end)

describe("state dicts and files", function()
  it("go round as lists, tables and files", function()
    local a = small()
    a(ea.rng("x"):normal { 2, 32, 32, 3 }) -- statistics that are not the first ones
    ea.seed(2)
    local b, c = small(), small()
    ea.seed(1)
    assert.is_true(hashes(a)[1] ~= hashes(b)[1])
    b:load_state_dict(a:state_dict())
    assert.same(hashes(a), hashes(b))
    local map = {}
    for _, entry in ipairs(a:snapshot()) do
      map["module." .. entry.name] = entry.tensor
      map["module.bn.num_batches_tracked"] = ea.tensor({ 3 }, "i32")
    end
    c:load_state_dict(map)
    assert.same(hashes(a), hashes(c))
    temporary(function(path)
      a:save(path, { mean = { 0.25, 0.5, 0.75 }, std = { 1, 2, 3 }, classes = { "cat", "dog" },
        data = "none", accuracy = 91.5 })
      local d = ea.nn.load(path)
      assert.same(hashes(a), hashes(d))
      assert.equal("wrn", d.kind)
      assert.is_false(d.training)
      assert.same({ 0.25, 0.5, 0.75 }, d.mean)
      assert.same({ 1, 2, 3 }, d.std)
      assert.same({ "cat", "dog" }, d.meta.classes)
      assert.equal("91.5", d.meta.accuracy)
      b:initialise("other"):load_state_dict(path)
      assert.same(hashes(a), hashes(b))
    end)
  end)

  it("keep every architecture's options", function()
    local cases = { { "wrn", { depth = 10, widths = { 4, 6, 8 }, classes = 3, dropout = 0.25 } },
      { "resnet", { depth = 8, channels = 1 } }, { "vgg", { widen = 0.0625 } },
      { "mobilenet_v2", { widen = 0.25 } },
      { "lenet5", { widen = 0.5, size = 32, activation = "tanh" } },
      { "mlp", { inp = 5, hidden = {}, classes = 2 } } }
    for _, case in ipairs(cases) do
      temporary(function(path)
        local a = ea.nn[case[1]](case[2])
        a:save(path)
        local b = ea.nn.load(path)
        assert.equal(tostring(a), tostring(b))
        assert.same(hashes(a), hashes(b))
      end)
    end
  end)

  it("store bf16 weights and read them into f32", function()
    temporary(function(path)
      local a = small()
      a:save(path, {}, { dtype = "bf16" })
      local stored = ea.io.load(path)
      assert.equal("bf16", stored["conv0.weight"].dtype)
      assert.equal("f32", stored["bn.running_var"].dtype)
      local b = ea.nn.load(path)
      assert.equal("f32", b:get("conv0").weight.dtype)
      assert.is_true(off(b:get("fc").weight, a:get("fc").weight) < 2 ^ -8)
      local once = hashes(b)
      b:save(path, {}, { dtype = "bf16" })
      assert.same(once, hashes(ea.nn.load(path)))
    end)
  end)

  it("recognise bare PyTorch dicts", function()
    local nets = { ea.nn.wrn { depth = 10, widen = 2, classes = 7 }, ea.nn.resnet { depth = 14 },
      ea.nn.wrn { depth = 16, widths = { 8, 12, 20 }, channels = 1 } }
    for _, a in ipairs(nets) do
      temporary(function(path)
        ea.io.save(path, a:state_dict(), { mean = "0.5", std = "0.25" })
        local b = ea.nn.load(path)
        assert.equal(tostring(a), tostring(b))
        assert.same(hashes(a), hashes(b))
        assert.same({ 0.5 }, b.mean)
      end)
    end
    temporary(function(path)
      ea.io.save(path, { x = ea.zeros { 2 } })
      fails(function() ea.nn.load(path) end, "build the network and call net:load_state_dict(path)")
    end)
  end)

  it("list what does not fit, and load nothing then", function()
    local a, b = ea.nn.wrn { depth = 16, classes = 7 }, small()
    local before = hashes(b)
    local ok, message = pcall(b.load_state_dict, b, a:state_dict())
    assert.is_false(ok)
    assert.matches("unexpected: group1%.1%.bn1%.bias, .* and %d+ more", message)
    assert.matches("mismatched: fc%.weight is {7, 64} but must be {4, 64}, fc%.bias is {7}",
      message)
    assert.matches("Nothing was loaded", message)
    ok, message = pcall(a.load_state_dict, a, b:state_dict())
    assert.is_false(ok)
    assert.matches("missing: group1%.1%.bn1%.weight", message)
    assert.same(before, hashes(b))
    local _, report = b:load_state_dict(a:state_dict(), { strict = false })
    assert.equal(2, #report.mismatched)
    assert.equal(a:get("conv0").weight:hash(), b:get("conv0").weight:hash())
    fails(function() b:load_state_dict(3) end, "expected a table of tensors by name")
    fails(function() b:load_state_dict(a) end, "got a network; give its state_dict()")
    fails(function() b:load_state_dict("/nowhere/x.safetensors") end, "/nowhere/x.safetensors")
    fails(function() b:load_state_dict({}, { strikt = true }) end, "no option 'strikt'")
  end)

  it("refuse files whose description does not fit", function()
    for arch, sentence in pairs {
      ["{"] = "edgeai.arch",
      ["[1]"] = "edgeai.arch",
      ['{"name": "wnr"}'] = "did you mean `wrn`?",
      ['{"name": "wrn", "options": {"depth": 6000000004}}'] = "wrn: depth must be 6n+4",
      ['{"name": "wrn", "options": {"widths": [900000, 900000, 900000]}}'] = "Nothing was loaded",
      ['{"name": "mlp", "options": {"hiden": []}}'] = "did you mean `hidden`?",
    } do
      temporary(function(path)
        ea.io.save(path, { ["fc1.weight"] = ea.zeros { 2, 2 } }, { ["edgeai.arch"] = arch })
        fails(function() ea.nn.load(path) end, sentence)
      end)
    end
  end)

  it("refuse what is no model", function()
    temporary(function(path)
      local picture = path .. ".png"
      program.write(picture, "\137PNG\r\n\26\n, and then it broke off")
      fails(function() ea.nn.load(picture) end,
        "nn.load: " .. picture .. " holds no tensors by name; expected a .safetensors or .npz file")
      fails(function() small():load_state_dict(picture) end, "load_state_dict: " .. picture)
      os.rename(picture, path)
      fails(function() ea.nn.load(path) end, path .. " is not a safetensors file")
    end)
    fails(function() ea.nn.load("nofile") end, "cannot read nofile: No such file or directory")
    fails(function() ea.nn.load("nofile.png") end, "cannot read nofile.png: No such file")
    fails(function() ea.nn.load(3) end, "nn.load: expected a path, got a number")
  end)

  it("can hold networks that others register", function()
    ea.nn.register("tiny_test_net", function(o)
      return ea.nn.sequential { ea.nn.linear { o.inp or 2, 3 }, ea.nn.tanh {} }
    end)
    temporary(function(path)
      local a = ea.nn.tiny_test_net { inp = 5 }
      a:save(path)
      assert.same(hashes(a), hashes(ea.nn.load(path)))
    end)
    ea.nn.unregister("tiny_test_net")
    assert.is_nil(ea.nn.tiny_test_net)
    fails(function() ea.nn.register("conv2d", function() end) end, "'conv2d' is taken")
  end)
end)
