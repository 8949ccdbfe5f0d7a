-- SPDX-License-Identifier: GPL-3.0-or-later
-- Corners of captured graphs and of the tape: aliases, leaves that move, runs that break off.

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

local function parameter(size, name)
  return ea.rng(name):normal(size, 0, 0.5):require_grad()
end

local function near(a, b, limit)
  if type(a) == "number" then
    assert.is_true(math.abs(a - b) <= (limit or 1e-6) * math.max(1, math.abs(b)),
      ("%.9g against %.9g"):format(a, b))
    return
  end
  assert.equal(#b, #a)
  for i = 1, #a do near(a[i], b[i], limit) end
end

--- Runs fn eagerly and captured on x; values of all results and gradients of `leaves` must agree.
local function agrees(fn, x, leaves)
  for _, p in ipairs(leaves) do p:zero_grad() end
  local eager = { fn(x) }
  eager[1]:backward()
  local gradients = {}
  for i, p in ipairs(leaves) do gradients[i] = p.grad and p.grad:tolist() end
  local g = ea.capture(fn, { x })
  g.inputs[1]:copy(x)
  for _, accumulate in ipairs { false, false, true } do
    local outs = { g:forward() }
    for i, y in ipairs(outs) do near(y:tolist(), eager[i]:tolist()) end
    g:backward { accumulate = accumulate }
    for i, p in ipairs(leaves) do
      near((p.grad * (accumulate and 0.5 or 1)):tolist(), gradients[i], 1e-5)
    end
    for i, y in ipairs(outs) do near(y:tolist(), eager[i]:tolist()) end -- outputs outlive backward
  end
  g:free()
end

describe("a captured graph agrees with eager where", function()
  local w, x

  before_each(function()
    w = parameter({ 4, 6 }, "w")
    x = ea.rng("x"):normal({ 3, 4 })
  end)

  it("a reshape is an output, but not on the way to the loss", function()
    agrees(function(a)
      local h = a:matmul(w):tanh()
      return h:square():sum(), h:reshape(2, 9), h:reshape(18):reshape(9, 2)
    end, x, { w })
  end)

  it("reshapes fork, chain and meet again", function()
    agrees(function(a)
      local h = a:matmul(w)
      local r = h:reshape(18):reshape(6, 3)
      return (r * h:reshape(6, 3):tanh()):sum() + r:reshape(18):square():mean(), r
    end, x, { w })
  end)

  it("the loss is a reshape, and is used further", function()
    agrees(function(a)
      local loss = a:matmul(w):square():sum(1):reshape(6):sum():reshape({})
      return loss, loss * 2, loss:reshape(1)
    end, x, { w })
  end)

  it("inputs and leaves are outputs, as they are and reshaped", function()
    agrees(function(a)
      return a:matmul(w):square():sum(), a, w, a:reshape(12), w:reshape(24)
    end, x, { w })
  end)

  it("a leaf is reshaped on the way to the loss", function()
    agrees(function(a)
      local flat = w:reshape(24)
      return a:matmul(flat:reshape(4, 6)):square():sum() + (flat * flat):sum() + w:sum(), flat
    end, x, { w })
  end)

  it("one tensor is several inputs of an op that adds and of ops that do not", function()
    local s = parameter({ 4, 4 }, "square")
    agrees(function(a)
      local h = a:matmul(s)
      local m = h:t():matmul(h)
      local p = ea.concat({ h, h, a, h }, 1)
      return m:matmul(m):mean() + (h * h):sum() + s:matmul(s):sum() + p:square():mean()
    end, x, { s })
  end)

  it("outputs of an op are used in part", function()
    agrees(function(a)
      local h = a:matmul(w)
      local values, indices = h:topk(2)
      local _, order = h:sort()
      return values:sum(), indices, order
    end, x, { w })
  end)

  it("only the indices of a selection are used", function()
    agrees(function(a)
      local h = a:matmul(w)
      local _, order = h:sort()
      return h:sum(), order:to("f32"):sum()
    end, x, { w })
  end)

  it("batch norm's value is used beside its ReLU", function()
    local weight, bias = parameter({ 6 }, "weight"), parameter({ 6 }, "bias")
    local function model(keep)
      return function(a)
        local y = a:matmul(w):batch_norm(weight, bias, ea.zeros { 6 }, ea.ones { 6 },
          { training = true })
        local r = y:relu()
        local z = r:reshape(18)
        return (z * z):sum() + z:tanh():sum(), z, keep and y or r
      end
    end
    agrees(model(true), x, { w, weight, bias })
    agrees(model(false), x, { w, weight, bias })
  end)

  it("a parameter is met without gradients first", function()
    agrees(function(a)
      local target = ea.no_grad(function() return a:matmul(w):tanh() end)
      return a:matmul(w):mse(target * 2), target
    end, x, { w })
  end)

  it("the loss is a parameter itself", function()
    local loss = ea.tensor(2):require_grad()
    agrees(function(a) return loss, a * 2 end, x, { loss })
  end)
end)

describe("a captured graph", function()
  local w, x

  before_each(function()
    w = parameter({ 4, 3 }, "w")
    x = ea.rng("x"):normal({ 5, 4 })
  end)

  local function model(a)
    return (a:matmul(w:reshape(12):reshape(4, 3)) + a:matmul(w)):square():sum()
  end

  local function eager_gradient()
    local copy = w.grad
    w:set_grad(nil)
    model(x):backward()
    local g = w.grad:tolist()
    w:set_grad(copy)
    return g
  end

  it("follows its parameters into a flat buffer", function()
    local g = ea.capture(model, { x })
    g.inputs[1]:copy(x)
    local flat = require("edgeai.flat").of { { name = "w", tensor = w } }
    for _ = 1, 2 do
      flat.params:copy(flat.params * 0.5)
      near(g:forward():item(), model(x):item())
      local want = eager_gradient()
      flat.grads:zero()
      g:backward()
      near(flat.grads:reshape(4, 3):tolist(), want)
      near(w.grad:tolist(), want)
    end
  end)

  it("writes the gradient that its leaf has now", function()
    local g = ea.capture(model, { x })
    g.inputs[1]:copy(x)
    local want = eager_gradient()
    local mine = ea.zeros { 4, 3 }
    w:set_grad(mine)
    g:forward(); g:backward()
    near(mine:tolist(), want)
    w:set_grad(nil)
    for _, accumulate in ipairs { true, false } do
      g:forward(); g:backward { accumulate = accumulate }
      near(w.grad:tolist(), want)
      w:set_grad(nil)
    end
  end)

  it("lives on in its tensors", function()
    local g = ea.capture(function(a) return model(a), a * 3 end, { x })
    g.inputs[1]:copy(x)
    local loss, y = g:forward()
    g:backward()
    local input = g.inputs[1]
    g:free()
    g = nil
    collectgarbage() collectgarbage()
    near(y:tolist(), (input * 3):tolist())
    near(loss:item(), model(x):item())
    assert.is_not_nil(g == nil and w.grad:tolist())
  end)

  it("refuses to run once it is freed", function()
    local g = ea.capture(model, { x })
    g:free()
    g:free()
    fails(function() g:forward() end, "freed")
    fails(function() g:backward() end, "freed")
    fails(function() return g.bytes end, "freed")
    fails(function() g:profile() end, "freed")
    fails(function() g:node_list() end, "freed")
  end)

  it("outlives the scope it was made in", function()
    local g
    ea.scope(function() g = ea.capture(model, { x }) end)
    g.inputs[1]:copy(x)
    near(g:forward():item(), model(x):item())
  end)

  it("starts anew after a custom op raised", function()
    local armed, ran = nil, 0
    local op = ea.custom("touchy", {
      forward = function(_, a)
        ran = ran + 1
        if armed == "forward" then error("not now") end
        return a * 2
      end,
      backward = function(_, g)
        if armed == "backward" then error("not now either") end
        return g * 2
      end,
    })
    local g = ea.capture(function(a) return op(a:matmul(w)):square():sum() end, { x })
    g.inputs[1]:copy(x)
    local want = g:forward():item()
    g:backward()
    local gradient = w.grad:tolist()
    armed = "forward"
    g.inputs[1]:copy(x * 3)
    fails(function() g:forward() end, "not now")
    fails(function() g:backward() end, "forward first")
    armed = nil
    g.inputs[1]:copy(x)
    ran = 0
    near(g:forward():item(), want)
    assert.equal(1, ran)
    armed = "backward"
    fails(function() g:backward() end, "not now either")
    armed = nil
    fails(function() g:backward() end, "forward first")
    g:forward()
    g:backward()
    near(w.grad:tolist(), gradient)
  end)

  it("records custom ops of parameters alone", function()
    local ran = 0
    local round = ea.custom("round", { -- reads values, which nothing has during the capture
      forward = function(_, a)
        ran = ran + 1
        local list = (a * 4):tolist()
        for i = 1, #list do for k = 1, #list[i] do
          list[i][k] = math.floor(list[i][k] + 0.5) / 4
        end end
        return ea.tensor(list)
      end,
      backward = function(_, g) return g end,
    })
    local function quantised(a) return a:matmul(round(w)):square():sum() end
    agrees(quantised, x, { w })
    assert.is_true(ran > 3)
  end)

  it("takes all sorts of custom ops", function()
    local half = ea.custom("half", {
      forward = function(ctx, a)
        ctx.a = a
        return a * 0.5, a:sum(), a:sign()
      end,
      shape = function(_, a) return { size = a.shape }, { size = {} }, { size = a.shape } end,
      backward = function(ctx, g1, g2)
        local g = g1 and g1 * 0.5 or ctx.a * 0
        return g2 and g + g2 or g
      end,
    })
    agrees(function(a)
      local h = a:matmul(w)
      local y, total = half(h:reshape(15))
      local z = half(y)
      return z:square():sum() + total * total, z, total, y:reshape(5, 3)
    end, x, { w })
  end)

  it("cannot be differentiated while it is captured", function()
    fails(function()
      ea.capture(function(a)
        local loss = a:matmul(w):sum()
        loss:backward()
        return loss
      end, { x })
    end, "captured")
  end)
end)

describe("the tape", function()
  it("skips custom ops that no gradient reached", function()
    local asked = 0
    local below = ea.custom("below", {
      forward = function(_, a) return a * 2 end,
      backward = function(_, g) asked = asked + 1; return g * 2 end,
    })
    local wall = ea.custom("wall", {
      forward = function(_, a) return a * 1 end,
      backward = function() return nil end,
    })
    local a = ea.ones({ 2 }):require_grad();
    (wall(below(a)):sum() + a:sum()):backward()
    assert.equal(0, asked)
    assert.same({ 1, 1 }, a.grad:tolist())
  end)

  it("refuses more tensors than a custom op can have", function()
    local many = {}
    for i = 1, 17 do many[i] = ea.ones { 1 } end
    local op = ea.custom("many", { forward = function(_, a) return a * 1 end,
      backward = function(_, g) return g end })
    fails(function() op(unpack(many)) end, "16")
    local outputs = ea.custom("outputs", {
      forward = function(_, a) return a * 1, a * 1, a * 1, a * 1, a * 1 end,
      backward = function(_, g) return g end })
    fails(function() outputs(many[1]) end, "4")
  end)

  it("adds to a gradient that views a flat buffer", function()
    local a, b = ea.ones({ 2 }):require_grad(), ea.ones({ 2, 1 }):require_grad()
    local flat = require("edgeai.flat").of { { name = "a", tensor = a },
      { name = "b", tensor = b } }
    for k = 1, 2 do
      (a:reshape(2, 1) * b + a:reshape(2, 1) + b:reshape(2):reshape(2, 1)):sum():backward()
      assert.same({ 2 * k, 2 * k, 2 * k, 2 * k }, flat.grads:tolist())
    end
  end)

  it("keeps gradients apart that share memory through reshapes", function()
    local a = ea.tensor({ 1, 2, 3, 4 }):require_grad()
    local m = (a * 1):reshape(2, 2)
    local y = m:reshape(4)
    local loss = (y * 2):sum() + m:square():sum() + y:reshape(4, 1):sum()
    loss:backward()
    assert.same({ 5, 7, 9, 11 }, a.grad:tolist())
  end)

  it("refuses gradients of what was changed in place", function()
    local function refused(change)
      local a, b = ea.tensor({ 3, 1, 2 }):require_grad(), ea.tensor { 1, 2, 3 }
      local y = change(a, b)
      fails(function() y:sum():backward() end, "in place")
    end
    refused(function(a)
      local y = a:exp()
      y:fill(0)
      return y
    end)
    refused(function(a, b)
      local y = a * b
      b[2] = 7
      return y
    end)
    refused(function(a, b)
      local y = a * b
      b:narrow(1, 1, 2):copy(ea.ones { 2 })
      return y
    end)
    refused(function(a)
      local optimizer = ea.optim.sgd({ a }, { lr = 1 })
      local y = a:square()
      optimizer:step()
      return y
    end)
    refused(function(a)
      local values, indices = a:sort()
      indices:fill(1000000)
      return values
    end)
    refused(function(a)
      local g = ea.capture(function(x) return x * 2 end, { a })
      local y = a * g:forward()
      g:forward()
      return y
    end)
  end)

  it("refuses running statistics that it could only update a copy of", function()
    local x, both = ea.rng("x"):normal({ 4, 2 }), ea.ones { 2, 2 }
    local function norm(options)
      return x:batch_norm(ea.ones { 2 }, ea.zeros { 2 }, both:select(2, 1), both:select(2, 2),
        options)
    end
    fails(function() norm { training = true } end, "contiguous")
    assert.same({ 4, 2 }, norm().shape)
  end)

  it("does not mind changes to what no gradient needs", function()
    local a, b = ea.tensor({ 3, 1, 2 }):require_grad(), ea.tensor { 1, 2, 3 }
    local y = (a + b) * 2
    b:fill(0)
    local z = a:sigmoid()
    local kept = z:tolist()
    ea.no_grad(function() a:fill(0) end) -- the sigmoid's gradient needs its result only
    y:fill(0);
    (y + z):sum():backward()
    for i = 1, 3 do near(a.grad[i], 2 + kept[i] * (1 - kept[i])) end
  end)

  it("keeps what a custom op kept, past an ea.scope", function()
    local op = ea.custom("keeper", {
      forward = function(ctx, a)
        ctx.a = a:clone()
        return a * a
      end,
      backward = function(ctx, g) return g * ctx.a * 2 end,
    })
    local a = ea.tensor({ 1, 2 }):require_grad()
    local y = ea.scope(function() return op(a):sum() end)
    y:backward()
    assert.same({ 2, 4 }, a.grad:tolist())
  end)
end)
