-- SPDX-License-Identifier: GPL-3.0-or-later
-- Shape ops, products and losses beyond single values: the same bytes with any number of threads,
-- captured graphs, empty tensors, and what they refuse.

local slice = require("edgeai.ops").functions.slice -- ea.slice counts from 1, as narrow does

local function normal(name, size, dtype)
  return ea.rng(name, { seed = 5 }):normal(size, 0, 1, dtype)
end

--- Hashes of f's result and of its gradients by the inputs.
local function hashes(f, inputs)
  local x = {}
  for i, input in ipairs(inputs) do
    x[i] = input:clone()
    if input.dtype ~= "i32" then x[i]:require_grad(true) end
  end
  local y = f(unpack(x))
  y:backward(normal("gradient", y.shape, y.dtype))
  local list = { y:hash() }
  for _, input in ipairs(x) do list[#list + 1] = input.grad and input.grad:hash() or "none" end
  return list
end

describe("the same bytes with 1, 2 and 4 threads:", function()
  after_each(function() ea.threads(1) end)
  local labels, far = {}, {}
  for i = 1, 300 do labels[i] = i * 7 % 10 + 1 end
  for i = 1, 2000 do far[i] = i * i % 301 + 1 end
  labels, far = ea.tensor(labels, "i32"), ea.tensor(far, "i32")
  for _, dtype in ipairs { "f32", "bf16" } do
    local logits = normal("logits", { 300, 10 }, dtype)
    local images = normal("images", { 8, 20, 20, 12 }, dtype)
    local jobs = {
      linear = { ea.linear, normal("x", { 300, 257 }, dtype), normal("w", { 130, 257 }, "f32"),
        normal("b", { 130 }, "f32") },
      matmul = { ea.matmul, normal("a", { 300, 200 }, dtype), normal("b", { 200, 150 }, dtype) },
      cross_entropy = { ea.cross_entropy, logits, labels },
      kl_div = { ea.kl_div, logits, normal("teacher", { 300, 10 }, dtype) },
      mse = { ea.mse, images, normal("other images", images.shape, dtype) },
      cosine = { function(a, b) return ea.cosine_similarity(a, b, { axis = 3 }) end, images,
        normal("other images", images.shape, dtype) },
      permute = { function(x) return ea.permute(x, { 1, 4, 2, 3 }) end, images },
      pad2d = { function(x) return ea.pad2d(x, { mode = 1, top = 4, left = 4 }) end, images },
      expand = { function(x) return ea.expand(x, { 70, 300, 10 }) end, logits },
      index_select = { ea.index_select, normal("rows", { 301, 33 }, dtype), far },
    }
    for name, job in pairs(jobs) do
      it(name .. " in " .. dtype, function()
        local one = hashes(job[1], { unpack(job, 2) })
        for _, threads in ipairs { 2, 4 } do
          ea.threads(threads)
          assert.same(one, hashes(job[1], { unpack(job, 2) }))
        end
      end)
    end
  end
end)

describe("a captured graph of them", function()
  it("gives eager's loss and gradients", function()
    local x, w, b = normal("x", { 6, 2, 4 }), normal("w", { 3, 8 }), normal("b", { 3 })
    local labels = ea.tensor({ 1, 2, 3, 3, 2, 1 }, "i32")
    w:require_grad(true)
    b:require_grad(true)
    local function model(input)
      local rows = ea.reshape(ea.permute(input, { 1, 3, 2 }), { 6, 8 })
      local z = ea.linear(rows, w, b)
      local joined = ea.concat({ z, ea.flip(z, { axis = 2 }) }, { axis = 2 })
      return ea.cross_entropy(joined, labels) + ea.kl_div(joined, joined:square())
    end
    local want = model(x)
    want:backward()
    local gw, gb = w.grad:tolist(), b.grad:tolist()
    w:zero_grad()
    b:zero_grad()
    local g = ea.capture(model, { x })
    g.inputs[1]:copy(x)
    local loss = g:forward()
    assert.equal(want:item(), (type(loss) == "table" and loss[1] or loss):item())
    g:backward()
    assert.same(gw, w.grad:tolist())
    assert.same(gb, b.grad:tolist())
  end)
end)

describe("empty tensors", function()
  it("pass through", function()
    local none = ea.zeros({ 0, 3 })
    assert.same({ 3, 0 }, ea.permute(none, { 2, 1 }).shape)
    assert.same({ 2, 3 }, ea.concat({ none, ea.ones({ 2, 3 }) }).shape)
    assert.same({ 0, 5 }, ea.linear(none, ea.ones({ 5, 3 })).shape)
    assert.same({ { 0, 0 } }, ea.matmul(ea.zeros({ 1, 0 }), ea.zeros({ 0, 2 })):tolist())
    assert.same({ 0, 3 }, ea.l2_normalize(none).shape)
    assert.same({ 4, 0, 3 }, ea.expand(none, { 4, 0, 3 }).shape)
    assert.same({ 0, 3 }, ea.index_select(ea.ones({ 2, 3 }), ea.zeros({ 0 }, "i32")).shape)
    assert.same({ 0, 3 }, ea.roll(none, { axis = 1, shift = 1 }).shape)
  end)
  it("give zero gradients", function()
    local w = ea.ones({ 5, 3 }):require_grad(true)
    local y = ea.linear(ea.zeros({ 0, 3 }), w)
    y:backward(ea.zeros({ 0, 5 }))
    assert.equal(0, w.grad:abs():sum():item())
  end)
end)

describe("refused with a sentence:", function()
  local x = ea.zeros({ 2, 3 })
  local image = ea.zeros({ 1, 3, 4, 2 })
  local cases = {
    { "has 6 elements, {4} has 4", ea.reshape, x, { size = { 4 } } },
    { "which 4 does not divide", ea.reshape, x, { size = { 4, -1 } } },
    { "each of the 2 dimensions exactly once", ea.permute, x, { dims = { 1, 1 } } },
    { "each of the 2 dimensions once, got 1", ea.permute, x, { dims = { 1 } } },
    { "3 elements from offset 1 (counted from 0)", slice, x,
      { axis = 2, start = 1, length = 3 } },
    { "step must be at least 1", slice, x, { axis = 2, length = 1, step = 0 } },
    { "there is no axis 3 in {2, 3} f32, which has axes 1 to 2", ea.flip, x, { axis = 3 } },
    { "{2, 3} f32 does not expand to {4, 3}", ea.expand, x, { size = { 4, 3 } } },
    { "input 2 is {3, 3} f32, which does not join {2, 3} f32", ea.concat,
      { x, ea.zeros({ 3, 3 }) }, { axis = 2 } },
    { "input 2 is {3, 3} f32, the first is {2, 3} f32", ea.stack, { x, ea.zeros({ 3, 3 }) } },
    { "of one type", ea.concat, { x, x:to("f64") } },
    { "a border of 3 needs images larger than that", ea.pad2d, image, { mode = 1, top = 3 } },
    { "mode must be 0", ea.pad2d, image, { mode = 3 } },
    { "index element 2 is 3, but the axis of {2, 3} f32 has only 1 to 2", ea.index_select, x,
      ea.tensor({ 1, 3 }, "i32") },
    { "index element 1 is 0, but", ea.gather, x, ea.tensor({ { 0, 1, 1 } }, "i32") },
    { "must have the dimensions of {2, 3} f32", ea.gather, x, ea.tensor({ 1 }, "i32") },
    { "must fit into src", ea.scatter_add, x, ea.tensor({ { 1, 1 } }, "i32"),
      ea.zeros({ 1, 1 }) },
    { "label 5 of element 2 is not one of the 4 classes (1 to 4)", ea.one_hot,
      ea.tensor({ 4, 5 }, "i32"), { classes = 4 } },
    { "the first's columns must be as many as the second's rows", ea.matmul, x, x },
    { "the batches differ", ea.matmul, ea.zeros({ 2, 3, 3 }), ea.zeros({ 1, 3, 3 }) },
    { "expected two matrices", ea.matmul, x, ea.zeros({ 3 }) },
    { "takes 4 features in x's last dimension, got {2, 3} f32", ea.linear, x, ea.zeros({ 5, 4 }) },
    { "the bias must be {5}", ea.linear, x, ea.zeros({ 5, 3 }), ea.zeros({ 3 }) },
    { "f32 x needs a f32 weight", ea.linear, x, ea.zeros({ 5, 3 }, "bf16") },
    { "must have one shape", ea.cosine_similarity, x, image },
    { "eps must not be negative", ea.l2_normalize, x, { eps = -1 } },
  }
  for _, case in ipairs(cases) do
    it(case[1], function()
      local ok, sentence = pcall(unpack(case, 2))
      assert.is_false(ok)
      assert.truthy(tostring(sentence):find(case[1], 1, true), tostring(sentence))
    end)
  end
end)
