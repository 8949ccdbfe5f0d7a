-- SPDX-License-Identifier: GPL-3.0-or-later
-- The losses of distillation and the report of a NoNN against slow formulas in plain Lua.

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

local student = { { 1, -2, 0.5 }, { 0.25, 3, -1 } }
local teacher = { { 2, 0, -1 }, { -0.5, 1.5, 1 } }

local function softmax(z, t)
  local p, total = {}, 0
  for i, v in ipairs(z) do
    p[i] = math.exp(v / t)
    total = total + p[i]
  end
  for i in ipairs(p) do p[i] = p[i] / total end
  return p
end

local function norm(v, first, last)
  local total = 0
  for i = first or 1, last or #v do total = total + v[i] * v[i] end
  return math.sqrt(total)
end

describe("ea.distill.kd", function()
  it("is T^2 times the divergence of softened classes", function()
    for _, t in ipairs { 1, 4, 2.5 } do
      local want = 0
      for n = 1, 2 do
        local p, q = softmax(teacher[n], t), softmax(student[n], t)
        for i = 1, 3 do want = want + t * t * p[i] * math.log(p[i] / q[i]) end
      end
      local s, target = ea.tensor(student, "f64"), ea.tensor(teacher, "f64")
      assert.near(want / 2, ea.distill.kd(s, target, { temperature = t }):item(), 1e-12)
      assert.near(want / 6, ea.distill.kd(s, target,
        { temperature = t, reduction = "mean" }):item(), 1e-12)
    end
    local same = ea.tensor(teacher)
    assert.near(0, ea.distill.kd(same, same):item(), 1e-6)
    fails(function() ea.distill.kd(same, same, { reduction = "sum" }) end,
      "kd: reduction must be \"batchmean\" or \"mean\", got sum")
  end)
end)

describe("ea.distill.attention", function()
  it("is the mean squared difference of normalised maps, summed over layers", function()
    local a = ea.rng("a", { seed = 1 }):normal({ 2, 2, 3, 4 }, 0, 1, "f32")
    local b = ea.rng("b", { seed = 1 }):normal({ 2, 2, 3, 5 }, 0, 1, "f32")
    local function map(x, n)
      local list = {}
      for i = 1, 2 do
        for j = 1, 3 do
          local total = 0
          for k = 1, x:size(4) do total = total + x:get(n, i, j, k) ^ 2 end
          list[#list + 1] = total / x:size(4)
        end
      end
      return list, norm(list)
    end
    local want = 0
    for n = 1, 2 do
      local p, length_p = map(a, n)
      local q, length_q = map(b, n)
      for i = 1, 6 do want = want + (p[i] / length_p - q[i] / length_q) ^ 2 / 12 end
    end
    assert.near(want, ea.distill.attention(a, b):item(), 1e-6)
    assert.near(2 * want, ea.distill.attention({ a, a }, { b, b }):item(), 1e-6)
    fails(function() ea.distill.attention({ a, a }, { b }) end,
      "attention: 2 layers of the student, 1 of the teacher")
    fails(function() ea.distill.attention(a:view(4, 12), b) end, "attention: expected activations")
  end)
end)

describe("ea.distill.activation_transfer", function()
  local s, t = { { 3, 4, 1, 2 }, { 1, 0, 0, 2 } }, { { 1, 1, 5, 12 }, { 2, 2, 1, 0 } }

  local function slow(parts)
    local total = 0
    for n = 1, 2 do
      local first = 1
      for _, size in ipairs(parts) do
        local last = first + size - 1
        local a, b = norm(s[n], first, last), norm(t[n], first, last)
        for i = first, last do total = total + (s[n][i] / a - t[n][i] / b) ^ 2 end
        first = last + 1
      end
    end
    return total / 2
  end

  it("compares each part by its direction", function()
    local x, y = ea.tensor(s), ea.tensor(t)
    assert.near(slow { 2, 2 },
      ea.distill.activation_transfer(x, y, { parts = { 2, 2 } }):item(), 1e-6)
    assert.near(slow { 1, 3 },
      ea.distill.activation_transfer(x, y, { parts = { 1, 3 } }):item(), 1e-6)
    local whole = slow { 4 }
    assert.near(whole, ea.distill.activation_transfer(x, y):item(), 1e-6)
    assert.near(whole, ea.distill.activation_transfer(x, y,
      { parts = { 2, 2 }, normalise = "whole" }):item(), 1e-6)
  end)

  it("refuses parts and filters that do not fit", function()
    local x, y = ea.tensor(s), ea.tensor(t)
    fails(function() ea.distill.activation_transfer(x, y, { parts = { 2, 1 } }) end,
      "activation_transfer: the parts hold 3 filters, the activations 4")
    fails(function() ea.distill.activation_transfer(x, y:narrow(2, 1, 3)) end,
      "activation_transfer: the student has 4 filters, the teacher's targets 3")
    fails(function()
      ea.distill.activation_transfer(x, y, { parts = { 2, 2 }, normalise = "both" })
    end, "activation_transfer: normalise must be \"part\" or \"whole\", got both")
  end)
end)

describe("ea.nonn.report", function()
  it("counts what each device holds, computes and sends", function()
    local widths = { 4, 4, 8, 16 }
    local net = ea.nn.wrn { depth = 10, widths = widths, classes = 4, channels = 1 }:train()
    local arch = { depth = 10, widths = { 4, 4, 4, 8 }, channels = 1 }
    local students = ea.nonn.students { parts = { 10, 6 }, arch = arch, classes = 4 }
    local r = ea.nonn.report(net, students, { 1, 8, 8, 1 })
    assert.is_true(net.training)
    assert.equal(net:parameter_count(), r.teacher.params)
    assert.equal(net:mflop { 1, 8, 8, 1 }, r.teacher.mflop)
    local trunk = ea.nn.wrn { depth = 10, widths = arch.widths, channels = 1, head = false }
    for i, size in ipairs { 10, 6 } do -- trunk, 1x1 convolution, batch norm
      assert.same({ trunk:parameter_count() + 8 * size + 2 * size, size, 4 * size },
        { r.students[i].params, r.students[i].part_size, r.students[i].sends_bytes })
    end
    assert.equal(16 * 4 + 4, r.fc.params)
    assert.near(2 * 16 * 4 / 1e6, r.fc.mflop, 1e-12)
    -- What the teacher's convolutions put out; half of it comes from the other device.
    local outputs = 64 * (4 + 4 + 4) + 16 * (8 + 8 + 8) + 4 * (16 + 16 + 16)
    assert.same({ bytes_per_inference = 64, syncs_per_inference = 1,
      split_bytes_per_inference = 4 * outputs / 2 }, r.comm)
    assert.near(r.teacher.params / r.students[1].params, r.gain.params, 1e-12)
    assert.near(2 * outputs / 64, r.gain.comm, 1e-12)
  end)
end)
