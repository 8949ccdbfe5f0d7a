-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.flat - many parameters in one buffer: their values, and their gradients. The optimisers,
-- the norm and the average then work on one long vector; the parameters stay tensors of their own
-- shape that view their part of it.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local tensor = require "edgeai.tensor"

local C = F.C
local flat = {}
flat.__index = flat

local function total_of(list)
  local total = 0
  for _, p in ipairs(list) do
    if p.tensor.dtype ~= "f32" then
      F.raise("flatten: '%s' is %s; only f32 parameters can be optimised (bf16 is for activations)",
        p.name, p.tensor.dtype)
    end
    if not p.tensor:is_contiguous() then
      F.raise("flatten: '%s' is a view that is not contiguous; clone it", p.name)
    end
    total = total + p.tensor:numel()
  end
  return total
end

local function gather(list)
  local total = total_of(list)
  local self = setmetatable({ params = tensor.empty({ total }), grads = tensor.zeros({ total }),
    list = {}, total = total }, flat)
  local at = 0
  for i, p in ipairs(list) do
    local n = p.tensor:numel()
    local old = p.tensor.grad
    local view = self.grads:narrow(1, at + 1, n):reshape(p.tensor.shape)
    if old then view:copy(old) end
    F.check(C.ea_tensor_rebase(p.tensor, self.params, at))
    p.tensor:set_grad(view)
    self.list[i] = { name = p.name, tensor = p.tensor, module = p.module, first = at + 1,
      count = n }
    at = at + n
  end
  return self
end

--- From a list of { name =, tensor = } (as net:parameters() gives), keeping values and gradients.
-- Fields: params, grads (f32, {n}), list (name, tensor, first, count), total.
function flat.of(list)
  local outer = F.set_scope(nil) -- the buffers outlive any ea.scope
  local ok, result = pcall(gather, list)
  F.set_scope(outer)
  if not ok then error(result, 0) end
  return result
end

--- Are exactly these tensors still views of this buffer?
function flat:holds(list)
  if #list ~= #self.list then return false end
  for i, p in ipairs(list) do
    local mine = self.list[i]
    local here = ffi.cast("char *", C.ea_tensor_data(self.params)) + 4 * (mine.first - 1)
    if mine.tensor.p ~= p.tensor.p or C.ea_tensor_data(p.tensor) ~= here then return false end
  end
  return true
end

--- Is a parameter exempt by one of the rules: "bias", "bn" (weights and biases of batch_norm and
-- layer_norm), a parameter's name, or the name of a layer above it?
local function exempted(p, rules)
  for _, rule in ipairs(rules) do
    local kind = p.module and p.module.kind
    if rule == "bias" and p.name:find("bias$") then return true end
    if rule == "bn" and (kind == "batch_norm" or kind == "layer_norm") then return true end
    if p.name == rule or p.name:sub(1, #rule + 1) == rule .. "." then return true end
  end
  return false
end

--- u8 mask over the buffer: 0 where no weight decay is to act. Every rule must fit something.
function flat:decay_mask(rules)
  local mask = tensor.ones({ self.total }, "u8")
  for _, rule in ipairs(rules) do
    local fits = rule == "bias" or rule == "bn"
    for _, p in ipairs(self.list) do
      if exempted(p, { rule }) then
        mask:narrow(1, p.first, p.count):fill(0)
        fits = true
      end
    end
    if not fits then
      F.raise("exempt: nothing is called '%s'; give \"bias\", \"bn\", or the name of a parameter "
        .. "or layer", tostring(rule))
    end
  end
  return mask
end

return flat
