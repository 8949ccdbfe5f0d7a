-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.vis against numbers of Lucid: values and gradients of what both have, in f64 and f32.

local numbers = require "lucid_numbers"

describe("Lucid's numbers", function()
  local gold, fixtures, has_read_all = numbers.of "vis_lucid"
  if not gold then return pending(numbers.absent) end
  local obj = ea.vis.objectives

  --- {n, h, w, c} of a fixture, whose indices count from 0.
  local function fill(size, f, dtype)
    local t = ea.empty(size, dtype or "f64")
    for n = 1, size[1] do
      for y = 1, size[2] do
        for x = 1, size[3] do
          for c = 1, size[4] do t:set(n, y, x, c, f(n - 1, y - 1, x - 1, c - 1)) end
        end
      end
    end
    return t
  end

  local function close(got, want, limit, what)
    if type(want) == "table" then
      got = got:detach():to("f64"):reshape(-1)
      want = ea.tensor(want, "f64"):reshape(-1)
      assert.equal(want:numel(), got:numel(), what)
      local scale = math.max(want:abs():max():item(), 1e-3)
      local d = (got - want):abs():max():item() / scale
      assert.is_true(d <= limit, ("%s: off by %.3g"):format(what, d))
    else
      got = type(got) == "number" and got or got:item()
      assert.is_true(math.abs(got - want) <= limit * math.max(math.abs(want), 1e-3),
        ("%s: %.12g, not %.12g"):format(what, got, want))
    end
  end

  local A_big, A_small = { 2, 3, 4, 3 }, { 4, 2, 2, 3 }
  local v = { fixtures.V(0), fixtures.V(1), fixtures.V(2) }
  local vec = {}
  for a = 0, 1 do
    vec[a + 1] = {}
    for b = 0, 1 do
      vec[a + 1][b + 1] = {}
      for c = 0, 2 do vec[a + 1][b + 1][c + 1] = fixtures.V(6 * a + 3 * b + c) end
    end
  end
  local function ten(list)
    local times = {}
    for i, x in ipairs(list) do times[i] = 10 * x end
    return times
  end
  local logits = ea.tensor({ { fixtures.A(0, 0, 0, 0), fixtures.A(0, 0, 0, 1),
    fixtures.A(0, 0, 0, 2) }, { fixtures.A(1, 0, 0, 0), fixtures.A(1, 0, 0, 1),
    fixtures.A(1, 0, 0, 2) } }, "f64")

  -- name in the file -> objective, size of L (nil: A's), which input its gradient is of
  local cases = {
    ["neuron(L,1)"] = { obj.neuron("L", 2) },
    ["neuron(L,1,x=0,y=3)"] = { obj.neuron("L", 2, { y = 1, x = 4 }) },
    ["neuron(L,1,batch=1)"] = { obj.neuron("L", 2, { batch = 2 }) },
    ["channel(L,2)"] = { obj.channel("L", 3) },
    ["channel(L,2,batch=1)"] = { obj.channel("L", 3, { batch = 2 }) },
    ["direction(L,v,cossim_pow=0)"] = { obj.direction("L", v) },
    ["direction(L,v,cossim_pow=1)"] = { obj.direction("L", v, { cossim_pow = 1 }) },
    ["direction(L,v,cossim_pow=2)"] = { obj.direction("L", v, { cossim_pow = 2 }) },
    ["direction(L,v,cossim_pow=2,batch=1)"] =
      { obj.direction("L", v, { cossim_pow = 2, batch = 2 }) },
    ["direction_neuron(L,v)"] = { obj.direction_neuron("L", v) },
    ["direction_neuron(L,v,cossim_pow=1)"] = { obj.direction_neuron("L", v, { cossim_pow = 1 }) },
    ["tensor_direction(L,v[2,2,3])"] = { obj.tensor_direction("L", ea.tensor(vec, "f64")) },
    ["tensor_direction(L,v[2,2,3],cossim_pow=1)"] =
      { obj.tensor_direction("L", ea.tensor(vec, "f64"), { cossim_pow = 1 }) },
    ["deepdream(L)"] = { obj.deepdream("L") },
    ["total_variation(L)"] = { obj.total_variation("L") },
    ["total_variation(input)"] = { obj.total_variation(), of = "input" },
    ["L1(L,constant=.5)"] = { obj.L1("L", { constant = 0.5 }) },
    ["L1(input)"] = { obj.L1(), of = "input" },
    ["L2(L)"] = { obj.L2("L") },
    ["L2(L,constant=.5)"] = { obj.L2("L", { constant = 0.5 }) },
    ["blur_input_each_step"] = { obj.blur_input_each_step(), of = "input" },
    ["blur_alpha_each_step"] = { obj.blur_alpha_each_step(), of = "input", channels = 4 },
    ["channel_interpolate(L,0,L,1)"] = { obj.channel_interpolate("L", 1, "L", 2) },
    ["channel_interpolate(L[4,2,2,3])"] = { obj.channel_interpolate("L", 1, "L", 3),
      size = A_small },
    ["penalize_boundary_complexity(w=1)"] = { obj.penalize_boundary_complexity { w = 1 },
      of = "input" },
    ["alignment(L)"] = { obj.alignment("L") },
    ["alignment(L[4,2,2,3],decay_ratio=3)"] = { obj.alignment("L", { decay_ratio = 3 }),
      size = A_small },
    ["diversity(L)"] = { obj.diversity("L") },
    ["diversity(L[4,2,2,3])"] = { obj.diversity("L"), size = A_small },
    ["input_diff(0.25)"] = { obj.input_diff(0.25), of = "input" },
    ["class_logit(L[2,3],1)"] = { obj.class_logit("L", 2), logits = true },
    ["class_logit(L[2,3],'fish')"] = { obj.class_logit("L", "fish"), logits = true },
    ["0.2*channel(L,0)+3-neuron(L,1)*2"] =
      { 0.2 * obj.channel("L", 1) + 3 - obj.neuron("L", 2) * 2 },
    ["channel(L,0)*channel(L,1)"] = { obj.channel("L", 1) * obj.channel("L", 2) },
    ["Objective.sum"] = { ea.vis.sum { obj.channel("L", 1), obj.channel("L", 2),
      obj.channel("L", 3) } },
    ["as_objective('L:2')"] = { ea.vis.objective "L:3" },
    ["direction_neuron_S(L,v,batch=0)"] = { obj.direction_neuron("L", v, { batch = 1 }) / 3 },
  }
  local layer_free = { ["direction_neuron_cossim_S(L,v,batch=0)"] = v,
    ["direction_neuron_cossim_S(L,10v,batch=0)"] = ten(v) }

  local function gradient(case, dtype)
    local L = case.logits and logits:to(dtype):clone()
      or fill(case.size or A_big, fixtures.A, dtype)
    local input = fill({ 2, 6, 5, case.channels or 3 }, fixtures.I, dtype)
    local leaf = case.of == "input" and input or L
    leaf:require_grad()
    local T = ea.vis.context({ L = L, input = input },
      { lucid = true, n = L:size(1), labels = { "cat", "dog", "fish" } })
    local value = case[1]:value(T)
    value:sum():backward()
    return value, leaf.grad
  end

  for name, case in pairs(cases) do
    it("objective " .. name, function()
      local want = gold["obj." .. name]
      for dtype, limit in pairs { f64 = 1e-6, f32 = 2e-5 } do
        local value, grad = gradient(case, dtype)
        assert.equal(dtype, value.dtype)
        close(value, want.value, limit, "value in " .. dtype)
        close(grad:square():sum():sqrt(), want.grad_norm, limit, "norm of the gradient")
        close(grad:reshape(-1):narrow(1, 1, 6), want.grad_first6, 2 * limit, "gradient")
      end
    end)
  end

  it("objective sums to what Lucid gives: images apart, as one would have them", function()
    for name, sum in pairs { ["class_logit(L[2,3],1)"] = true, ["channel(L,2)"] = false,
      ["diversity(L[4,2,2,3])"] = false, ["alignment(L)"] = true } do
      local case = cases[name]
      local L = case.logits and logits or fill(case.size or A_big, fixtures.A)
      local value = case[1]:value(ea.vis.context { L = L })
      assert.same({ L:size(1) }, value.shape)
      close(sum and value:sum() or value:mean(), gold["obj." .. name].value, 1e-6, name)
    end
  end)

  it("dot_compare", function()
    for power, name in pairs { [0] = "dot_compare(L,batch=1)",
      [1] = "dot_compare(L,batch=1,cossim_pow=1)" } do
      local T = ea.vis.context { L = fill(A_big, fixtures.A) }
      local value = obj.dot_compare("L", 1, { cossim_pow = power }):value(T)
      close(value[2], gold["obj." .. name].value, 1e-6, name)
    end
  end)

  it("Gram matrices and their distances", function()
    local T = ea.vis.context { L = fill(A_big, fixtures.A) }
    for loss, name in pairs { l1 = "style.mean_l1", l2 = "style.mean_l2" } do
      local value = obj.activation_difference("L", 1, { gram = true, loss = loss }):value(T)
      close(value[2], gold[name].value, 1e-6, name)
      assert.equal(0, value[1])
    end
  end)

  it("the target of Dream Distillation", function()
    local want = gold.match_avgpool
    local L = fill(A_big, fixtures.A):require_grad()
    local value = obj.target("L", ea.tensor(want.target, "f64")):value(ea.vis.context { L = L })
    close(-value, want.per_image, 1e-6, "squared distances")
    value:sum():backward()
    close(value:sum(), want.objective, 1e-6, "objective")
    for n = 1, 2 do
      close(L.grad[{ n, 2, 3 }], want.grad_at_any_pixel[n], 1e-6, "gradient")
    end
  end)

  it("direction of one position over the mean channel, scaled by its length", function()
    for name, vector in pairs(layer_free) do -- a recipe of the atlas: mean of a v, / (1e-4 + |a|)
      local function S(T)
        local a = T "L":narrow(1, 1, 1):narrow(2, 2, 1):narrow(3, 3, 1):reshape(-1)
        local d = (a * T:constant(vector)):mean()
        local s = (d / (a:norm() + 1e-4)):clamp { low = 0.1 }
        return d * s:square()
      end
      local T = ea.vis.context({ L = fill(A_big, fixtures.A) }, { lucid = true })
      close(ea.vis.objective(S):value(T), gold["obj." .. name].value, 1e-6, name)
    end
  end)

  it("has read all of the numbers that are its own", has_read_all)
end)
