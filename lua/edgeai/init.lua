-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai - tensors, gradients and networks for edge deep learning. `local ea = require "edgeai"`.
-- Modules are loaded when first used: ea.nn, ea.data, ea.train, ea.nonn, ...

local ffi = require "ffi"
local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local tensor = require "edgeai.tensor"
local random = require "edgeai.random"
local grad = require "edgeai.grad"

local ea = { version = ffi.string(F.C.ea_version()) }

for name, fn in pairs(ops.functions) do ea[name] = fn end
for _, name in ipairs { "tensor", "empty", "zeros", "ones", "full", "eye", "arange" } do
  ea[name] = tensor[name]
end
for _, name in ipairs { "seed", "step", "rng", "rand", "randn", "randperm" } do
  ea[name] = random[name]
end
ea.no_grad, ea.scope, ea.custom, ea.gradcheck = grad.no_grad, grad.scope, grad.custom, grad.check

local slice_options = { axis = F.none, start = 1, length = F.none, step = 1 }

--- Elements start, start+step, ... of an axis, `length` of them, all from 1 as everything in Lua:
-- ea.slice(t, axis, start, length [, step]) or ea.slice(t, { axis =, start =, ... }); also t:slice.
function ea.slice(t, axis, start, length, step)
  if type(axis) == "table" then
    local o = F.options(axis, slice_options, "slice")
    axis, start, length, step = o.axis, o.start, o.length, o.step
  end
  return F.need_tensor(t, "slice"):narrow(axis, start, length, step)
end
tensor.methods.slice = ea.slice

--- Is x a tensor?
ea.is_tensor = F.is_tensor

--- Sets how many threads the core uses (1 at the start); returns the number.
function ea.threads(n)
  if n ~= nil and (type(n) ~= "number" or n % 1 ~= 0) then
    F.raise("threads: expected a whole number, got %s", tostring(n))
  end
  if n then F.check(F.C.ea_set_threads(n)) end
  return F.C.ea_threads()
end

--- Bytes of native memory: live, peak, and the number of allocations so far.
function ea.memory()
  return { live = tonumber(F.C.ea_memory_live()), peak = tonumber(F.C.ea_memory_peak()),
    count = tonumber(F.C.ea_memory_count()) }
end

--- Singular values: a {m, n} -> u {m, k}, s {k}, vt {k, n}.
function ea.svd(a)
  local out = F.out()
  F.check(F.C.ea_svd(F.need_tensor(a, "svd"):contiguous(), out, out + 1, out + 2))
  return F.own(out[0]), F.own(out[1]), F.own(out[2])
end

--- Symmetric eigenproblem: a {n, n} -> values {n} ascending, vectors {n, n} in columns.
function ea.eigh(a)
  local out = F.out()
  F.check(F.C.ea_eigh(F.need_tensor(a, "eigh"):contiguous(), out, out + 1))
  return F.own(out[0]), F.own(out[1])
end

-- Modules by name; those whose file is named otherwise are listed.
local files = { graph = "community" }
local modules = { "nn", "vis", "data", "train", "nonn", "distill", "optim", "schedule", "io",
  "image", "json", "graph", "capture", "config", "run", "plot", "draw", "progress", "table", "zoo",
  "bench", "doctor", "kmeans", "pca", "tsne", "dream", "dfkd", "plugin", "show" }
local is_module = {}
for _, name in ipairs(modules) do is_module[name] = true end

require "edgeai.plugin.miss"(ea, function(name)
  if not is_module[name] then return nil end
  local module = require("edgeai." .. (files[name] or name))
  rawset(ea, name, module)
  return module
end)
getmetatable(ea).modules = is_module
return ea
