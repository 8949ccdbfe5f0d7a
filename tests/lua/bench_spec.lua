-- SPDX-License-Identifier: GPL-3.0-or-later
-- The benchmarks run and report what they say; no timing decides anything here.

local program = require "program"

describe("ea.bench", function()
  it("times training, inference and dreams of a network", function()
    for kind, unit in pairs { train = "images/s", infer = "images/s", dream = "image-steps/s" } do
      local r = ea.bench.run(kind .. ".wrn-10-1", { batch = 4, seconds = 0.01 })
      assert.equal(unit, r.unit)
      assert.equal(4, r.batch)
      assert.is_true(r.steps >= 3 and r.low <= r.value and r.value <= r.high)
      assert.is_true(r.gflops > 0 and r.bound_share > 0 and r.peak_bytes > 0)
    end
  end)

  it("counts the work of a step: 2 per multiply-add", function()
    local net = ea.nn.wrn { depth = 10 }
    local infer = ea.bench.run("infer.wrn-10-1", { batch = 2, seconds = 0, bound = false })
    local per_image = infer.gflops * 1e9 / infer.value
    assert.is_true(math.abs(per_image / (net:mflop { 1, 32, 32, 3 } * 1e6) - 1) < 0.01)
  end)

  it("gives the time of every op", function()
    local nodes, step = ea.bench.profile("train.wrn-10-1", { batch = 2, seconds = 0 })
    assert.is_true(step > 0 and #nodes > 20)
    local convolutions = 0
    for _, node in ipairs(nodes) do
      if node.op == "conv2d" then
        convolutions = convolutions + 1
        assert.is_true(node.forward > 0 and node.flops > 0)
      end
    end
    assert.equal(9, convolutions)
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
    for _, key in ipairs { "value", "unit", "batch", "threads", "precision", "steps" } do
      assert.is_not_nil(record[key], key)
    end
  end)
end)
