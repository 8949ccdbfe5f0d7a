-- SPDX-License-Identifier: GPL-3.0-or-later
-- The benchmarks run and report what they say; no timing decides anything here.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local program = require "program"

describe("ea.bench", function()
  it("times training, inference and dreams of a network", function()
    for kind, unit in pairs { train = "images/s", infer = "images/s", dream = "image-steps/s" } do
      local r = ea.bench.run(kind .. ".wrn-10-1", { batch = 4, seconds = 0.01 })
      assert.equal(unit, r.unit)
      assert.equal(4, r.batch)
      assert.is_true(r.steps >= 3 and r.low <= r.value and r.value <= r.high)
      assert.is_true(r.gflops > 0 and r.bound_share > 0 and r.peak_bytes > 0)
      local engine = ffi.string(F.C.ea_conv_engine())
      assert.equal(engine:find "^oneDNN" ~= nil, r.onednn_share ~= nil)
    end
    assert.is_nil(ea.bench.run("infer.wrn-10-1", { batch = 2, seconds = 0, bound = false })
      .bound_share)
  end)

  it("times renderings of the channels of a last group", function()
    for _, net in ipairs { "wrn-10-1", "resnet-8" } do
      local r = ea.bench.run("vis." .. net, { batch = 2, seconds = 0, precision = "bf16" })
      assert.same({ 2, "image-steps/s" }, { r.batch, r.unit })
      assert.is_true(r.value > 0 and r.gflops == nil and r.peak_bytes > 0)
    end
    local case = ea.bench.open("vis.wrn-16-1")
    assert.equal(1, case.images)
    local first, second = case.step():item(), case.step():item()
    assert.is_true(first == first and second ~= first)
    case.close()
  end)

  it("counts the work of a step: 2 per multiply-add, only of gradients that are wanted", function()
    local function mflop(name)
      local r = ea.bench.run(name, { batch = 2, seconds = 0, bound = false })
      return r.gflops * 1e3 / r.value
    end
    local first, head = 2e-6 * 32 * 32 * 3 * 9 * 16, 2e-6 * 64 * 10
    local forward = ea.nn.wrn({ depth = 10 }):mflop { 1, 32, 32, 3 }
    assert.near(forward, mflop "infer.wrn-10-1", 1e-3)
    assert.near(3 * forward - first, mflop "train.wrn-10-1", 1e-3)
    assert.near(2 * forward - head, mflop "dream.wrn-10-1", 2e-3)
  end)

  it("opens a benchmark whose steps give loss or answers", function()
    local case = ea.bench.open("train.wrn-10-1", { batch = 4 })
    local first, second = case.step():item(), case.step():item()
    assert.is_true(first > 0 and second ~= first)
    case.close()
    case = ea.bench.open("infer.wrn-10-1", { batch = 4 })
    assert.same({ 4, 10 }, case.step().shape)
    case.close()
  end)

  it("gives the time of every op", function()
    local nodes, step = ea.bench.profile("train.wrn-10-1", { batch = 2, seconds = 0 })
    assert.is_true(step > 0 and #nodes > 20)
    local convolutions, found = 0, {}
    for _, node in ipairs(nodes) do
      if node.op == "conv2d" then
        convolutions = convolutions + 1
        assert.is_true(node.forward > 0 and node.flops > 0)
      end
      assert.is_true(node.fused or node.bytes > 0)
      found[node.layer] = found[node.layer] or node.op
    end
    assert.equal(9, convolutions)
    local want = { conv0 = "conv2d", ["group1.0"] = "add", ["group1.0.bn1"] = "batch_norm",
      ["group2.0.shortcut"] = "conv2d", pool = "global_avg_pool", fc = "linear",
      [""] = "cross_entropy" }
    for layer, op in pairs(want) do assert.equal(op, found[layer], layer) end
  end)

  it("names the nearest benchmark", function()
    assert.error_matches(function() ea.bench.run("train.wrn16-1") end, "train.wrn-16-1", 1, true)
  end)
end)

describe("edgeai bench --json", function()
  it("prints one object a line with stable keys", function()
    local code, out = program.run(program.root, "bench louvain.256 --seconds 0 --json")
    assert.equal(0, code)
    local record = ea.json.decode(out)
    assert.equal("louvain.256", record.name)
    for _, key in ipairs { "value", "low", "high", "unit", "batch", "threads", "precision",
      "steps" } do
      assert.is_not_nil(record[key], key)
    end
    for _, key in ipairs { "gflops", "bound_share", "onednn_share", "peak_bytes" } do
      assert.equal(ea.json.null, record[key], key)
    end
  end)

  it("has work, bound and memory of a network, in each precision asked for", function()
    local code, out = program.run(program.root,
      "bench infer.wrn-10-1 louvain.256 --batch 2 --seconds 0 --precision f32,bf16 --json")
    assert.equal(0, code)
    local records = {}
    for line in out:gmatch("[^\n]+") do records[#records + 1] = ea.json.decode(line) end
    assert.equal(3, #records) -- louvain knows no precision
    assert.same({ "f32", "bf16" }, { records[1].precision, records[2].precision })
    for i = 1, 2 do
      for _, key in ipairs { "name", "value", "unit", "batch", "threads", "precision", "gflops",
        "bound_share", "peak_bytes" } do
        assert.is_not_nil(records[i][key], key)
      end
    end
  end)
end)

describe("edgeai bench --profile", function()
  it("prints layers and ops, the longest first", function()
    local code, out = program.run(program.root,
      "bench --profile infer.wrn-10-1 --batch 2 --seconds 0")
    assert.equal(0, code)
    for _, word in ipairs { "group3.0.conv2", "GFLOP/s", "GB/s", "the rest" } do
      assert.is_truthy(out:find(word, 1, true), word)
    end
  end)
end)
