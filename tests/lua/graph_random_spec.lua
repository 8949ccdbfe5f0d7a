-- SPDX-License-Identifier: GPL-3.0-or-later
-- Random programs, run eagerly and captured: the memory plan must not show in any number.

local PROGRAMS, STEPS = 150, 24

--- A stream of whole numbers in 1..n, the same for the same seed.
local function dice(seed)
  local values = ea.rng("dice", { seed = seed }):uniform({ 2000 }, 0, 1, "f64"):tolist()
  local at = 0
  return function(n)
    at = at + 1
    return math.floor(values[at] * n) + 1
  end
end

local scale = ea.custom("scale", {
  forward = function(ctx, a, b)
    ctx.a = a
    return a * 0.5 + b, (a * b):tanh()
  end,
  backward = function(ctx, g1, g2)
    local g = g1 or g2 * 0
    return g * 0.5, g2 and g + g2 * ctx.a:tanh() or g -- any linear map will do
  end,
  shape = function(_, a) return { size = a.shape }, { size = a.shape } end,
})

--- Ops on two matrices {4, 4}; the pool of values grows by what they return.
local makers = {
  function(a) return a:tanh() end,
  function(a) return a:relu() end,
  function(a, b) return a + b end,
  function(a, b) return a * b end,
  function(a, b) return a:maximum(b) end,
  function(a, b) return a:matmul(b) * 0.5 end,
  function(a) return a:matmul(a):softmax() end,
  function(a) return a * a + a end,
  function(a) return a:reshape(16):reshape(2, 8):reshape(4, 4) end,
  function(a) return a:reshape(2, 8):tanh():reshape(4, 4) end,
  function(a) return a:t() end,
  function(a, b) return ea.concat({ a, b, a }, 1):narrow(1, 3, 4) end,
  function(a) return (a:sort(2)) end,
  function(a)
    local values, indices = a:topk(2)
    return ea.concat({ values, values }, 2) + indices:to("f32"):sum()
  end,
  function(a, b) return ea.where(a:greater(0), a, b) end,
  function(a, b) return scale(a, b) end,
  function(a) return scale(a, a) end,
  function(a) return ea.no_grad(function() return a:sigmoid() end) end,
  function(a) return a:sum(1):expand(4, 4) * 0.25 end,
  function(a, _, state)
    local y = a:batch_norm(state.weight, state.bias, state.mean, state.var, { training = true })
    return y:relu()
  end,
  function(a, _, state)
    local y = a:batch_norm(state.weight, state.bias, state.mean, state.var)
    return y:relu():reshape(16):reshape(4, 4), y
  end,
  function(a) return a:layer_norm(ea.ones { 4 }, ea.zeros { 4 }) end,
}

local function program(seed, leaves, state)
  return function(x)
    local draw = dice(seed)
    local pool = { x, leaves[1], leaves[2], x:matmul(leaves[1]) }
    for _ = 1, STEPS do
      local a, b = pool[draw(#pool)], pool[draw(#pool)]
      for _, y in ipairs { makers[draw(#makers)](a, b, state) } do pool[#pool + 1] = y end
    end
    local loss = leaves[1]:square():mean()
    for _ = 1, 3 do loss = loss + pool[draw(#pool)]:tanh():mean() end
    local outputs = { loss:reshape(1):reshape({}) }
    for _ = 1, 3 do outputs[#outputs + 1] = pool[draw(#pool)]:reshape(2, 8) end
    return unpack(outputs)
  end
end

local function snapshot(outputs, leaves)
  local list = {}
  for _, y in ipairs(outputs) do list[#list + 1] = y:tolist() end
  for _, p in ipairs(leaves) do list[#list + 1] = p.grad and p.grad:tolist() or false end
  return list
end

local function compare(a, b, where)
  if type(a) == "number" then
    if not (math.abs(a - b) <= 2e-4 * math.max(1, math.abs(a)) or a ~= a and b ~= b) then
      error(("%s: %.9g against %.9g"):format(where, a, b))
    end
  elseif a then
    for i = 1, #a do compare(a[i], b[i], where) end
  end
end

describe("random programs", function()
  it("give captured what they give eagerly", function()
    local before = ea.threads()
    for seed = 1, PROGRAMS do
      local r = ea.rng("program", { seed = seed })
      local x = r:normal({ 4, 4 })
      local leaves = { r:normal({ 4, 4 }):require_grad(), r:normal({ 4, 4 }):require_grad(),
        r:uniform({ 4 }, 0.5, 1):require_grad(), r:normal({ 4 }):require_grad() }
      local state = { weight = leaves[3], bias = leaves[4], mean = ea.zeros { 4 },
        var = ea.ones { 4 } }
      local fn = program(seed, leaves, state)
      local function reset()
        state.mean:fill(0)
        state.var:fill(1)
      end
      local eager = { fn(x) }
      eager[1]:backward()
      local want = snapshot(eager, leaves)
      for _, p in ipairs(leaves) do p:set_grad(nil) end
      local g = ea.capture(fn, { x })
      g.inputs[1]:copy(x)
      for run = 1, 3 do
        ea.threads(run)
        reset()
        local outputs = { g:forward() }
        g:backward()
        compare(want, snapshot(outputs, leaves), ("program %d, run %d"):format(seed, run))
      end
      g:free()
      ea.threads(before)
    end
  end)
end)
