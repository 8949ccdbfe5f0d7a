-- SPDX-License-Identifier: GPL-3.0-or-later
-- What net:save writes runs without the network: ea_model over the file gives the same bytes.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local Module = require "edgeai.nn.module"
local program = require "program"
local C = F.C

local folder, path
setup(function()
  folder = program.folder()
  path = folder .. "/net.safetensors"
end)
teardown(function() program.remove(folder) end)

--- The output of the model in a file, as a C program gets it.
local function run_file(x)
  local file, model = ffi.new "ea_archive *[1]", ffi.new "ea_model *[1]"
  F.check(C.ea_safetensors_load(path, file))
  ffi.gc(file[0], C.ea_archive_free)
  F.check(C.ea_model_new(file[0], model))
  ffi.gc(model[0], C.ea_model_free)
  local input, out = ffi.new("ea_ref[1]", { x }), F.out()
  F.check(C.ea_model_apply(model[0], 1, input, out))
  return F.own(out[0])
end

local function same(net, x)
  net:eval()
  local want, got = ea.no_grad(function() return net(x) end), run_file(x)
  assert.equal(want.dtype, got.dtype)
  assert.equal(want:hash(), got:hash())
end

local sizes = { mlp = { 1, 784 }, lenet5 = { 1, 28, 28, 1 } }
local options = {
  wrn = { depth = 10, classes = 4 }, resnet = { depth = 14, widths = { 16, 20, 24 } },
  vgg = { depth = 11, classes = 3 }, mobilenet_v2 = {}, lenet5 = {}, mlp = { hidden = { 12 } },
  nonn = { parts = { 3, 5 }, arch = { depth = 10, widths = { 4, 4, 8 } } },
}

describe("a saved network", function()
  for _, name in ipairs(ea.nn.architectures()) do
    it("computes the same from its file, any batch: " .. name, function()
      local net = ea.nn.build(name, options[name])
      for _, b in ipairs(net:buffers()) do -- running statistics that are not just 0 and 1
        b.tensor:copy(ea.rng(b.name, { seed = 3 }):uniform(b.tensor.shape, 0.5, 1.5))
      end
      net:save(path)
      local size = sizes[name] or { 1, 32, 32, 3 }
      same(net, ea.randn(size))
      size[1] = 3
      same(net, ea.randn(size))
    end)
  end

  it("was in training, stays in training, and is described as it evaluates", function()
    local net = ea.nn.wrn { depth = 10, classes = 4, dropout = 0.5 }
    net:save(path)
    assert.is_true(net.training)
    assert.is_true(net:get("group1.0.bn1").training)
    same(net, ea.randn { 2, 32, 32, 3 })
  end)

  it("keeps its precision, and what it computes where weights are stored as bf16", function()
    local net = ea.nn.wrn { depth = 10, classes = 4 }:set_precision("bf16")
    net:save(path)
    same(net, ea.randn { 1, 32, 32, 3 })
    net:set_precision("f32"):save(path, nil, { dtype = "bf16" })
    same(ea.nn.load(path), ea.randn { 1, 32, 32, 3 })
  end)

  it("of free layers says its input", function()
    local net = ea.nn.sequential { ea.nn.conv2d { 1, 4 }, ea.nn.tanh {}, ea.nn.flatten {},
      ea.nn.linear { 4 * 36, 2 } }
    net:save(path)
    assert.error_matches(function() run_file(ea.randn { 1, 6, 6, 1 }) end,
      "no metadata `edgeai.graph`", 1, true)
    net:save(path, nil, { input = { 1, 6, 6, 1 } })
    same(net, ea.randn { 5, 6, 6, 1 })
    assert.error_matches(function() net:save(path, nil, { input = 6 }) end,
      "save: input must be the shape of one input, as {1, 28, 28, 1}", 1, true)
    assert.error_matches(function() net:save(path, nil, { input = { 1, 5, 5, 1 } }) end,
      "linear: ", 1, true)
  end)

  it("with constants in its forward takes them along", function()
    local Scaled = Module.class("scaled")
    local shift = ea.tensor { 0.25, -1, 1e-3 }
    function Scaled.forward(_, x) return ea.maximum(x * shift, 0.5):clamp { high = 2 } end
    local net = ea.nn.sequential { Scaled.new(), ea.nn.linear { 3, 2 } }
    net:save(path, nil, { input = { 1, 3 } })
    same(net, ea.randn { 4, 3 })
  end)

  it("with an op of Lua has no text, and says so where one was asked for", function()
    local Doubled = Module.class("doubled")
    local double = ea.custom("double", { forward = function(_, x) return x * 2 end,
      backward = function(_, g) return g * 2 end })
    function Doubled.forward(_, x) return double(x) end
    local net = ea.nn.sequential { Doubled.new(), ea.nn.linear { 3, 2 } }
    net.input_shape = { 1, 3 }
    net:save(path)
    local _, meta = ea.io.load(path)
    assert.is_nil(meta["edgeai.graph"])
    assert.error_matches(function() net:save(path, nil, { input = { 1, 3 } }) end,
      "(ea.custom) cannot be described in a file", 1, true)
  end)

  it("loads again without the text among its metadata", function()
    local net = ea.nn.lenet5 { classes = 3 }
    net:save(path, { mean = { 0.5 }, std = { 0.25 } })
    local _, meta = ea.io.load(path)
    local text = meta["edgeai.graph"]
    local back = ea.nn.load(path)
    assert.same({ mean = { 0.5 }, std = { 0.25 } }, back.meta)
    back:save(path)
    _, meta = ea.io.load(path)
    assert.equal(text, meta["edgeai.graph"])
    assert.equal("0.5", meta.mean)
  end)

  it("is shown by edgeai info with the number of its ops", function()
    ea.nn.lenet5 {}:save(path)
    local code, out = program.run(folder, "info net.safetensors")
    assert.equal(0, code)
    assert.truthy(out:find("edgeai.graph +13 ops on {1, 28, 28, 1} f32\n"), out)
  end)

  it("and a bare state dict is recognised by its names", function()
    local net = ea.nn.wrn { depth = 10, widen = 1, classes = 7 }
    ea.io.save(path, net:state_dict())
    local back = ea.nn.from_state(path)
    assert.equal(net:print(), back:print())
    assert.equal(net:get("fc").weight:hash(), back:get("fc").weight:hash())
    ea.io.save(path, { other = ea.ones { 2 } })
    assert.error_matches(function() ea.nn.from_state(path) end,
      "holds no `edgeai.arch` metadata and its names are neither a WRN's", 1, true)
  end)
end)
