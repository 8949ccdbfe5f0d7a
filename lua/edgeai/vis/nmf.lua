-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.nmf - non-negative matrix factorisation (Lee & Seung 2001): V {m, c} with no negative
-- numbers as W {m, k} H {k, c} with none either. For groups of neurons: V the activations behind a
-- ReLU at m places; row i of H is a direction of channels, column i of W says where it is.
--
--   W, H, errors = ea.vis.nmf(V, 6, { steps = 200, seed = 1 })
--   H <- H (W'V) / (W'W H),   W <- W (V H') / (W H H');   errors: |V - W H| after each step, which
--   never grows. Rows of H have length 1. In f64.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"

local matmul = ops.functions.matmul

local tiny = 1e-12

--- See the top of this file.
return function(V, k, options)
  local o = F.options(options, { steps = 200, seed = random.current_seed }, "nmf")
  F.need_tensor(V, "nmf")
  if V.ndim ~= 2 or V:numel() == 0 or V:to("f64"):min():item() < 0 then
    F.raise("nmf: expected a matrix of numbers from 0 on, got %s%s", F.describe(V),
      V.ndim == 2 and V:numel() > 0 and " with negative ones" or "")
  end
  if type(k) ~= "number" or k % 1 ~= 0 or k < 1 then
    F.raise("nmf: expected a number of groups of at least 1, got %s", tostring(k))
  end
  V = V:detach():to("f64"):contiguous()
  local scale = math.sqrt(math.max(V:mean():item(), tiny) / k)
  local stream = random.rng("vis/nmf", { seed = o.seed })
  local W = stream:uniform({ V:size(1), k }, 0.1 * scale, 2 * scale, "f64")
  local H = stream:uniform({ k, V:size(2) }, 0.1 * scale, 2 * scale, "f64")
  local errors = tensor.zeros({ o.steps }, "f64")
  for step = 1, o.steps do
    H = H * matmul(W, V, { ta = true }) / (matmul(matmul(W, W, { ta = true }), H) + tiny)
    W = W * matmul(V, H, { tb = true }) / (matmul(W, matmul(H, H, { tb = true })) + tiny)
    errors:set(step, (V - matmul(W, H)):square():sum():sqrt():item())
  end
  local length = H:square():sum({ axes = { 2 }, keep = true }):sqrt() + tiny
  return W * length:reshape(1, k), H / length, errors
end
