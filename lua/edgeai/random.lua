-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.random - random tensors from a counter-based generator. A stream is named by its purpose
-- and keyed by (seed, name, index); its index grows by one with each draw and is all the state
-- there is: save `r.index` in a checkpoint and set it again.

local F = require "edgeai.ffi"
local tensor = require "edgeai.tensor"

local C = F.C
local random = { current_seed = 1 }

--- Sets (and returns) the seed of every stream made from now on, and starts the default one anew.
function random.seed(n)
  if n ~= nil then
    if type(n) ~= "number" or n % 1 ~= 0 or n < 0 or n > 2 ^ 53 then
      F.raise("seed: expected a whole number from 0 to 2^53, got %s", tostring(n))
    end
    random.current_seed = n
    random.default = nil
  end
  return random.current_seed
end

--- Sets (and returns) the step that eager dropout depends on: the number of the training step.
function random.step(n)
  if n ~= nil then
    if type(n) ~= "number" or n % 1 ~= 0 or n < 0 or n > 2 ^ 53 then
      F.raise("step: expected a whole number from 0 to 2^53, got %s", tostring(n))
    end
    C.ea_set_step(n)
  end
  return tonumber(C.ea_step())
end

local stream = {}
stream.__index = stream

--- A stream of random numbers named `name`; options: seed (the current one), index (0).
function random.rng(name, opts)
  if type(name) ~= "string" then F.raise("rng: expected a name, got a %s", type(name)) end
  opts = F.options(opts, { seed = random.current_seed, index = 0 }, "rng")
  return setmetatable({ name = name, seed = opts.seed, index = opts.index,
    id = C.ea_stream_id(name) }, stream)
end

local function draw(self, fn, t, ...)
  F.check(fn(t, self.seed, self.id, self.index, ...))
  self.index = self.index + 1
  return t
end

local function in_f32(self, fn, size, dtype, ...)
  local narrow = dtype == "bf16"
  local t = draw(self, fn, tensor.empty(size, narrow and "f32" or dtype), ...)
  return narrow and t:to("bf16") or t
end

--- Uniform in [low, high); rounded to bf16, high itself can come out.
function stream:uniform(size, low, high, dtype)
  return in_f32(self, C.ea_random_uniform, size, dtype, low or 0, high or 1)
end
--- Normal numbers; mean 0, std 1.
function stream:normal(size, mean, std, dtype)
  return in_f32(self, C.ea_random_normal, size, dtype, mean or 0, std or 1)
end
--- 1..n in random order, i32.
function stream:permutation(n)
  return draw(self, C.ea_random_permutation, tensor.empty({ n }, "i32"), 1)
end

local function default()
  random.default = random.default or random.rng("default")
  return random.default
end

--- What the default stream's next numbers depend on, as plain values for a checkpoint.
function random.rng_state() return { seed = random.current_seed, index = default().index } end
--- Sets what rng_state() gave.
function random.set_rng_state(state)
  random.seed(state.seed)
  default().index = state.index
end

local function need_sizes(size, where)
  if type(size) == "table" then return end
  F.raise("%s: expected a list of sizes, as in ea.%s{2, 3}, got a %s", where, where, type(size))
end

--- Uniform in [0, 1), from the default stream: ea.rand{2, 3} or ea.rand({2, 3}, dtype).
function random.rand(size, dtype)
  need_sizes(size, "rand")
  return default():uniform(size, 0, 1, dtype)
end
--- Normal with mean 0 and std 1, from the default stream: ea.randn{2, 3}.
function random.randn(size, dtype)
  need_sizes(size, "randn")
  return default():normal(size, 0, 1, dtype)
end
--- 1..n in random order, i32, from the default stream.
function random.randperm(n) return default():permutation(n) end

return random
