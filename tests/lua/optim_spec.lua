-- SPDX-License-Identifier: GPL-3.0-or-later
-- Optimisers against PyTorch 1.13 (numbers of torch.optim on the same gradients), their state,
-- masks, clipping and averages.

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

--- Two parameters and the gradients of step k.
local function parameters()
  return ea.tensor({ 1, -2, 0.5, 3 }):require_grad(), ea.tensor({ 0.25, -0.75 }):require_grad()
end

local function set_gradients(p, q, k)
  p.grad:copy(ea.tensor({ 0.5, -0.25, 1, -2 }) * k)
  q.grad:copy(ea.tensor({ 0.1, -0.3 }) * (1 / k))
end

local function near(want, ...)
  local got = {}
  for _, t in ipairs { ... } do
    for _, v in ipairs(t:tolist()) do got[#got + 1] = v end
  end
  assert.equal(#want, #got)
  for i = 1, #want do assert.near(want[i], got[i], 2e-6, "element " .. i) end
end

local function run(make, want)
  local p, q = parameters()
  local opt = make { p, q }
  for k = 1, 4 do
    set_gradients(p, q, k)
    opt:step()
  end
  near(want, p, q)
  return opt
end

describe("ea.optim", function()
  it("sgd is torch.optim.SGD", function()
    run(function(list)
      return ea.optim.sgd(list, { lr = 0.1, nesterov = true, weight_decay = 0.01 })
    end, { -0.344675, -1.3094976, -2.1711855, 8.293931, 0.1753105, -0.5259316 })
    run(function(list) return ea.optim.sgd(list, { lr = 0.1, weight_decay = 0.01 }) end,
      { 0.063996, -1.5184454, -1.3584553, 6.6807699, 0.1910805, -0.5732414 })
    run(function(list) return ea.optim.sgd(list, { lr = 0.1, momentum = 0 }) end,
      { 0.5, -1.75, -0.5, 5.0000005, 0.2291667, -0.6875 })
  end)

  it("exempts parameters from weight decay", function()
    local opt = run(function(list)
      return ea.optim.sgd(list, { lr = 0.1, nesterov = true, weight_decay = 0.01, exempt = "2" })
    end, { -0.344675, -1.3094976, -2.1711855, 8.293931, 0.1780707, -0.534212 })
    assert.equal("sgd{exempt={2}, lr=0.1, momentum=0.9, nesterov=true, weight_decay=0.01}: "
      .. "6 parameters", tostring(opt))
  end)

  it("adam and adamw are torch.optim's", function()
    run(function(list) return ea.optim.adam(list, { lr = 0.1, weight_decay = 0.01 }) end,
      { 0.6113147, -1.6104482, 0.1115509, 3.3881383, -0.112331, -0.3859597 })
    run(function(list) return ea.optim.adamw(list, { lr = 0.1, weight_decay = 0.1 }) end,
      { 0.5780855, -1.5386815, 0.0977875, 3.2642984, -0.1168104, -0.3634876 })
  end)

  it("a step's lr and scale are for that step", function()
    local p = ea.tensor({ 1, 2 }):require_grad()
    local opt = ea.optim.sgd(p, { momentum = 0 })
    p.grad:fill(1)
    opt:step { lr = 0.5, scale = 0.5 }
    near({ 0.75, 1.75 }, p)
    fails(function() opt:step() end, "sgd: step needs a learning rate")
    fails(function() opt:step { rate = 1 } end, "step takes lr and scale, not 'rate'")
  end)

  it("goes on to the same bytes from its state", function()
    for _, kind in ipairs { "sgd", "adam", "adamw" } do
      local p, q = parameters()
      local a = ea.optim[kind]({ p, q }, { lr = 0.1 })
      local function step(opt, x, y, k)
        set_gradients(x, y, k)
        opt:step()
      end
      step(a, p, q, 1)
      step(a, p, q, 2)
      local r, s = p:detach():clone():require_grad(), q:detach():clone():require_grad()
      local b = ea.optim[kind]({ r, s }, { lr = 0.1 })
      for i, item in ipairs(a:state()) do
        assert.equal(item.name, b:state()[i].name)
        b:state()[i].tensor:copy(item.tensor)
      end
      b:set_counters(a:counters())
      step(a, p, q, 3)
      step(b, r, s, 3)
      assert.equal(p:hash(), r:hash(), kind)
      assert.equal(q:hash(), s:hash(), kind)
    end
  end)

  it("gathers a network's parameters: values, gradients and names stay", function()
    local net = ea.nn.sequential { ea.nn.conv2d { 2, 3, bias = true }, ea.nn.batch_norm { 3 } }
    local x = ea.rng("x"):normal { 2, 4, 4, 2 }
    net(x):square():sum():backward()
    local before = {}
    for i, p in ipairs(net:parameters()) do
      before[i] = { p.tensor:hash(), p.tensor.grad:hash() }
    end
    local flat = net:flatten { exempt = { "bias", "bn" } }
    assert.equal(net:parameter_count(), flat.params:numel())
    for i, p in ipairs(net:parameters()) do
      assert.same(before[i], { p.tensor:hash(), p.tensor.grad:hash() }, p.name)
    end
    -- conv weight 54 decays; conv bias, batch-norm weight and bias (3 each) do not
    assert.equal(54, flat.decay_mask:to("f32"):sum():item())
    assert.is_true(flat.params.p == net:flatten().params.p, "flattened once")
    flat.params:fill(0.5)
    assert.equal(0.5, net:get("0").weight:get(1, 1, 1, 1))
    net:get("0"):requires_grad(false)
    assert.equal(6, net:flatten().params:numel())
  end)

  it("trains a network, eager and captured alike", function()
    local function losses(captured)
      ea.seed(5)
      local net = ea.nn.mlp { inp = 6, hidden = { 8 }, classes = 3 }
      local x = ea.rng("x"):normal { 12, 6 }
      local y = ea.tensor({ 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3 }, "i32")
      local opt = ea.optim.sgd(net, { lr = 0.1, nesterov = true })
      local function loss_of(a, b) return net(a):cross_entropy(b) end
      local g = captured and ea.capture(loss_of, { x, y })
      local list = {}
      for i = 1, 5 do
        if g then
          g.inputs[1]:copy(x)
          g.inputs[2]:copy(y)
          list[i] = g:forward():item()
          g:backward()
        else
          opt:zero_grad()
          local loss = loss_of(x, y)
          loss:backward()
          list[i] = loss:item()
        end
        opt:step()
      end
      return list
    end
    local a, b = losses(false), losses(true)
    assert.same(a, b)
    assert.is_true(a[5] < a[1])
  end)

  it("clips by the norm of all gradients", function()
    local p = ea.zeros({ 2, 3 }):require_grad()
    local opt = ea.optim.sgd(p, { lr = 1, momentum = 0 })
    p.grad:copy(ea.tensor { { 0, 1, 2 }, { 3, 4, 5 } })
    assert.near(math.sqrt(55), opt:gradient_norm(), 1e-9)
    local scale, norm = ea.optim.clip(opt, 2)
    assert.near(math.sqrt(55), norm, 1e-9)
    opt:step { scale = scale }
    assert.near(2, p:detach():square():sum():item() ^ 0.5, 1e-5)
    assert.equal(1, (ea.optim.clip(opt, 100)))
    fails(function() ea.optim.clip(opt, 0) end, "clip: the largest norm must be a positive number")
  end)

  it("averages parameters and statistics", function()
    local net = ea.nn.sequential { ea.nn.batch_norm { 2 } }
    local opt = ea.optim.sgd(net, { lr = 0.1 })
    local ema = ea.optim.ema(opt, { decay = 0.75, warm = false })
    net:get("0").weight:copy(ea.tensor { 3, 5 })
    net:get("0").running_mean:copy(ea.tensor { 4, 8 })
    ema:update()
    ema:swap()
    near({ 1.5, 2 }, net:get("0").weight:detach())
    near({ 1, 2 }, net:get("0").running_mean)
    fails(function() ema:update() end, "swap back first")
    ema:swap()
    near({ 3, 5 }, net:get("0").weight:detach())
    -- warm: the first update's decay is at most 1/10
    local warm = ea.optim.ema(net, { decay = 0.999 })
    net:get("0").weight:copy(ea.tensor { 13, 5 })
    warm:update()
    warm:swap()
    near({ 12, 5 }, net:get("0").weight:detach())
    fails(function() ea.optim.ema(net, { decay = 2 }) end, "ema: decay must be in [0, 1]")
  end)

  it("outlives the scope it was made in", function()
    local p = ea.tensor({ 1, 2 }):require_grad()
    local opt
    ea.scope(function() opt = ea.optim.adam(p, { lr = 0.1 }) end)
    p.grad:fill(1)
    opt:step()
    near({ 0.9, 1.9 }, p)
  end)

  it("refuses what it cannot optimise", function()
    fails(function() ea.optim.sgd(3, {}) end, "sgd: expected a network, net:flatten(), or tensors")
    fails(function() ea.optim.sgd({ ea.zeros { 2 } }, {}) end, "tensor 1 requires no gradient")
    fails(function() ea.optim.sgd(ea.zeros({ 2 }, "f64"):require_grad(), {}) end, "'1' is f64")
    fails(function() ea.optim.sgd(ea.zeros({ 2 }):require_grad(), { momentun = 1 }) end,
      "there is no option 'momentun'; did you mean `momentum`?")
    fails(function() ea.optim.sgd(ea.nn.linear { 2, 2 }, { exempt = { "bais" } }) end,
      "exempt: nothing is called 'bais'")
    fails(function() ea.optim.adam(ea.nn.linear { 2, 2 }:requires_grad(false), {}) end,
      "no parameter of this linear requires a gradient")
    local p = ea.zeros({ 2 }):require_grad()
    for _, case in ipairs { { "sgd", { lr = -1 }, "lr must be in [0, inf), but is -1" },
      { "sgd", { weight_decay = -5e-4 }, "weight_decay must be in [0, inf), but is -0.0005" },
      { "sgd", { momentum = 1 }, "momentum must be in [0, 1), but is 1" },
      { "adam", { beta1 = 0 / 0 }, "beta1 must be in [0, 1), but is " },
      { "adamw", { eps = "small" }, "eps must be in [0, inf), but is small" } } do
      fails(function() ea.optim[case[1]](p, case[2]) end, case[1] .. ": " .. case[3])
    end
    fails(function() ea.optim.sgd(p, {}):step { lr = -1 } end, "sgd: lr must be in [0, inf)")
  end)

  it("describe says what it is and of how much", function()
    local opt = ea.optim.adam(ea.nn.linear { 3, 2 }, { lr = 0.5, exempt = { "bias" } })
    assert.equal("adam{beta1=0.9, beta2=0.999, eps=1e-08, exempt={bias}, lr=0.5, weight_decay=0}: "
      .. "8 parameters", opt:describe())
    assert.equal(opt:describe(), tostring(opt))
  end)
end)
