-- SPDX-License-Identifier: GPL-3.0-or-later
-- Every op with arguments that are legal, odd, or wrong: it runs or refuses in a sentence, and
-- nothing else. Sizes of 0 and 1, all types, views, NaN, numbers beyond every limit.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local ffi = require "ffi"

local TRIALS = 60

local stream -- of numbers in [0, 1)
local at = 0
local function random(n)
  stream = stream or ea.rng("ops"):uniform({ 200000 }):tolist()
  at = at % #stream + 1
  return math.floor(stream[at] * n) + 1
end
local function pick(list) return list[random(#list)] end

local WILD = { -2 ^ 53, -65537, -9, 9, 2 ^ 53, 1e300, 0.5, 0 / 0, 1 / 0, -1 / 0 }
local TAME = { -2, -1, 0, 1, 2, 3 }
local TYPES = { "f32", "f64", "bf16", "i32", "u8", "i8" }
local SIZES = { 0, 1, 1, 2, 3, 4, 5 }

local function values(size, dtype)
  if dtype == "i32" then
    return ea.full(size, pick { -1, 0, 0, 1, 1, 2, 2 ^ 31 - 1, -2 ^ 31 }, dtype)
  end
  local t = ea.rng("values", { index = random(1000) }):normal(size, 0, 1):to(dtype)
  if random(10) == 1 then t:fill(pick { 0, 0 / 0, 1 / 0, -1 / 0, 1e30 }) end
  return t
end

--- Tensors that have a chance of fitting together.
local function inputs_of(op)
  local list, dtype, size = {}, pick(TYPES), {}
  for d = 1, random(2) == 1 and 4 or random(5) - 1 do size[d] = pick(SIZES) end
  for i = 1, random(3) == 1 and op.most or op.least do
    if i > op.least + 2 then break end
    local own, kind = { unpack(size) }, dtype
    local luck = random(10)
    if luck == 1 then for d = 1, #own do own[d] = random(2) == 1 and 1 or own[d] end end
    if luck == 2 then own = { pick(SIZES), pick(SIZES) } end
    if (luck == 3 or i > 1 and luck < 7) and #own > 0 then own = { own[#own] } end
    if luck == 8 then kind = pick(TYPES) end
    if i > 1 and luck > 8 then kind = "i32" end
    local t = values(own, kind)
    if #own == 2 and random(3) == 1 then t = t:t() end
    list[i] = t
  end
  return list
end

local function try(op)
  local inputs, nattr = inputs_of(op), 0
  for _, t in ipairs(inputs) do
    local float = t.dtype == "f32" or t.dtype == "f64" or t.dtype == "bf16"
    if float and t:is_contiguous() and random(3) > 1 then t:require_grad() end
  end
  local wild = random(2) == 1
  local attrs, handles, out = ffi.new("double[32]"), ffi.new("ea_ref[16]"), F.out()
  for k, attr in ipairs(op.attrs) do
    local value = attr.default
    if value == nil or random(2) == 1 then
      value = wild and random(3) == 1 and pick(WILD) or pick(TAME)
    end
    attrs[k - 1], nattr = value, k
  end
  for _ = 1, op.list and random(6) - 1 or 0 do
    attrs[nattr] = wild and random(5) == 1 and pick(WILD) or pick(TAME)
    nattr = nattr + 1
  end
  if random(15) == 1 then nattr = random(24) end
  for i, t in ipairs(inputs) do handles[i - 1] = t end
  if F.C.ea_apply(op.number, #inputs, handles, nattr, attrs, out) < 0 then
    local sentence = ffi.string(F.C.ea_error())
    assert.is_true(#sentence > 10 and not sentence:find("out of memory", 1, true), sentence)
    return inputs -- alive until here
  end
  local made = {}
  for j = 1, op.outputs do made[j] = F.own(out[j - 1]) end
  for _, y in ipairs(made) do
    if y.requires_grad then
      y:backward(ea.ones(y.shape, y.dtype))
      break
    end
  end
  return inputs
end

describe("any arguments", function()
  for _, op in ipairs(ops.list) do
    it("are taken or refused by " .. op.name, function()
      for _ = 1, TRIALS do ea.scope(try, op) end
    end)
  end
end)
