-- SPDX-License-Identifier: GPL-3.0-or-later
-- Every case of every op, forward and backward, with each of its allocations refused in turn: it
-- says so, gives back what it took, and works again when there is memory.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local folder = debug.getinfo(1, "S").source:match("^@(.*)/lua/[^/]*$")

--- The inputs of a case, those leaves whose gradients it checks.
local function leaves(case)
  local stream = ea.rng("memory " .. case.op .. case.name, { seed = 3 })
  local inputs = case.inputs(case.dtypes and case.dtypes[1] or "f32", function(shape, dtype)
    return stream:normal(shape, 0, 1, dtype)
  end)
  local checked = {}
  for i in ipairs(inputs) do checked[i] = case.grad == nil end
  for _, i in ipairs(case.grad or {}) do checked[i] = true end
  local any = false
  for i, x in ipairs(inputs) do
    if checked[i] and (x.dtype == "f32" or x.dtype == "f64" or x.dtype == "bf16") then
      x:require_grad()
      any = true
    end
  end
  return inputs, any
end

local function run(case, inputs, differentiate)
  local y = ops.apply(case.op, inputs, case.attrs)
  if differentiate then y:sum():backward() end
  for _, x in ipairs(inputs) do x:set_grad(nil) end
end

local function live()
  collectgarbage()
  collectgarbage()
  return tonumber(F.C.ea_memory_live())
end

for _, group in ipairs { "elementwise", "reductions", "shape", "products", "layers", "losses" } do
  describe(group .. " without memory", function()
    after_each(function() F.C.ea_memory_fail_at(0) end)
    for _, case in ipairs(dofile(("%s/ops/%s.lua"):format(folder, group))(ea)) do
      it(("%s: %s"):format(case.op, case.name), function()
        local inputs, differentiate = leaves(case)
        run(case, inputs, differentiate) -- what is kept for ever is there now
        local before, n = live(), 0
        repeat
          n = n + 1
          F.C.ea_memory_fail_at(n)
          local ok, why = pcall(run, case, inputs, differentiate)
          F.C.ea_memory_fail_at(0)
          if not ok then
            assert.matches("out of memory", tostring(why), 1, true)
            for _, x in ipairs(inputs) do x:set_grad(nil) end
          end
        until ok
        assert.is_true(n > 1, "no allocation was refused")
        assert.equal(before, live())
      end)
    end
  end)
end
