-- SPDX-License-Identifier: GPL-3.0-or-later
-- Objectives on several images together, or against a given picture. A {n, h, w, c}, or {n, c}.
--
--   channel_interpolate(layer1, channel1, layer2, channel2)
--                 (1 - w) mean A1[.., channel1] + w mean A2[.., channel2], w from 0 for the first
--                 image to 1 for the last
--   alignment(layer, {decay_ratio=2})   -sum over d = 1..4 of mean (A_i - A_(i+d))^2 / decay^d: the
--                 images of a row alike; to be added
--   diversity(layer)   sum over the other images j of <G_i, G_j>, G = Gram matrix A'A over its
--                 length: how alike the textures are; take it with a minus. In O(n).
--   dot_compare(layer, to, {cossim_pow=0})   d max(0.1, s)^p with d = <A, B>, s = d / (1e-6 + |A|),
--                 B the activations of `to`: a picture, or the number of an image; caricatures
--   activation_difference(layers, to, {gram, loss="l1"})   sum over layers of the mean distance
--                 |A - B| ("l2": sqrt(mean (A - B)^2)), of Gram matrices over positions where gram;
--                 content and style of a picture: take it with a minus
--   bn_prior()    -sum over batch norms of |mean - running mean| + |var - running var| of the whole
--                 batch (DeepInversion, arXiv 1912.08795)
--
-- Sums over pairs and means over the batch are so scaled that their sum over the images is what
-- Lucid's value is times n, or Lucid's sum where Lucid sums.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local registry = require "edgeai.vis.registry"
local tensor = require "edgeai.tensor"
local units = require "edgeai.vis.objectives.units"

local functions = ops.functions
local register, maps, needed = units.register, units.maps, registry.needed

register("channel_interpolate", "From one channel in the first image to another in the last.",
  { "layer1", "channel1", "layer2", "channel2" },
  { layer1 = needed, channel1 = needed, layer2 = needed, channel2 = needed },
  function(T, o)
    local N = T.total or T.n
    local weight = tensor.empty({ N, 1 }, T.dtype)
    for k = 1, N do weight:set(k, 1, N > 1 and (k - 1) / (N - 1) or 0) end
    local w = N > 1 and T:rows(weight):reshape(-1) or weight:reshape(-1)
    local function mean(layer, channel)
      local A = maps(T, layer)
      if type(channel) ~= "number" or channel < 1 or channel > A:size(4) then
        F.raise("channel_interpolate: layer '%s' has channels 1 to %d, not %s", layer, A:size(4),
          tostring(channel))
      end
      return A:narrow(4, channel, 1):mean { 2, 3, 4 }
    end
    local v = mean(o.layer1, o.channel1) * (w * -1 + 1) + mean(o.layer2, o.channel2) * w
    return T.lucid and v:sum() or v
  end, { check = { layer1 = "L", channel1 = 1, layer2 = "M", channel2 = 3 } })

register("alignment", "Neighbouring images alike.", { "layer" },
  { layer = needed, decay_ratio = 2 },
  function(T, o)
    local A, n = maps(T, o.layer), T.n
    local total
    for d = 1, math.min(4, n - 1) do
      local apart = (A:narrow(1, 1, n - d) - A:narrow(1, d + 1, n - d)):square():mean { 2, 3, 4 }
      local term = functions.concat({ apart, tensor.zeros({ d }, T.dtype) }, { axis = 1 })
        * (-1 / o.decay_ratio ^ d)
      total = total and total + term or term
    end
    if not total then return 0 end
    return T.lucid and total:sum() or total
  end, { coupled = true, check = { layer = "L" } })

--- Gram matrices {n, c, c} of A.
local function gram(A)
  local c = A:size(4)
  local rows = A:reshape(-1, A:size(2) * A:size(3), c)
  return functions.matmul(rows, rows, { ta = true })
end

register("diversity", "How alike the images' textures are.", { "layer" }, { layer = needed },
  function(T, o)
    local G = gram(maps(T, o.layer))
    local flat = G:reshape(-1, G:size(2) * G:size(3))
    local length = flat:square():sum({ axes = { 2 }, keep = true }):clamp { low = 1e-10 }
    local unit = flat / length:sqrt()
    local all = unit:sum({ axes = { 1 }, keep = true })
    local v = (unit * (all - unit)):sum { 2 }
    return T.lucid and v:mean() or v
  end, { coupled = true, check = { layer = "L" } })

--- Activations {1 or n, ...} of `to`: a picture, or an image of the batch, by its number.
local function reference(T, to, layer, A, name)
  if type(to) == "number" then
    if to % 1 ~= 0 or to < 1 or to > T.n then
      F.raise("%s: `to` must be a picture, or the number of an image, 1 to %d, got %s", name, T.n,
        tostring(to))
    end
    return A:narrow(1, to, 1)
  end
  F.need_tensor(to, name .. ": `to`")
  if not T.of then F.raise("%s: a picture to compare with needs a network", name) end
  local B = T.of(to, layer)
  return B:size(1) == 1 and B or T:rows(B)
end

--- Against another image of the batch, not a picture?
local function is_coupled(o) return type(o.to) == "number" end

register("dot_compare", "Activations along those of a picture, as a whole.", { "layer", "to" },
  { layer = needed, to = needed, cossim_pow = 0 },
  function(T, o)
    local A = maps(T, o.layer)
    local B = reference(T, o.to, o.layer, A, "dot_compare")
    if B.ndim == 2 then B = B:reshape(-1, 1, 1, B:size(2)) end
    local d = (A * B):sum { 2, 3, 4 }
    if o.cossim_pow ~= 0 then
      local s = d / (functions.norm(A, { axes = { 2, 3, 4 } }) + 1e-6)
      d = d * s:clamp { low = 0.1 } ^ o.cossim_pow
    end
    return d
  end, { coupled = is_coupled, check = { layer = "L", to = 1, cossim_pow = 1 } })

register("activation_difference", "Distance of activations, or of their Gram matrices.",
  { "layers", "to" }, { layers = needed, to = needed, gram = false, loss = "l1" },
  function(T, o)
    if o.loss ~= "l1" and o.loss ~= "l2" then
      F.raise("activation_difference: loss must be \"l1\" or \"l2\", got %s", tostring(o.loss))
    end
    local total
    for _, layer in ipairs(type(o.layers) == "string" and { o.layers } or o.layers) do
      local A = maps(T, layer)
      local B = reference(T, o.to, layer, A, "activation_difference")
      if B.ndim == 2 then B = B:reshape(-1, 1, 1, B:size(2)) end
      if o.gram then
        A, B = gram(A) / (A:size(2) * A:size(3)), gram(B) / (B:size(2) * B:size(3))
      end
      local d = A - B
      local axes = {}
      for k = 2, d.ndim do axes[#axes + 1] = k end
      local count = d:numel() / T.n
      local v = o.loss == "l1" and d:abs():mean(axes)
        or functions.norm(d, { axes = axes }) / math.sqrt(count)
      total = total and total + v or v
    end
    return total
  end, { coupled = is_coupled, check = { layers = { "L", "M" }, to = 1, gram = true } })

register("bn_prior", "Statistics of activations as in training.", {}, {},
  function(T)
    if not T.net then F.raise("bn_prior: there is no network here") end
    local total
    for _, entry in ipairs(T.net:named_modules()) do
      if entry.module.kind == "batch_norm" then
        local m = entry.module
        local x = maps(T, entry.name .. "/in")
        local axes = { 1, 2, 3 }
        local v = functions.norm(x:mean(axes) - T:constant(m.running_mean))
          + functions.norm(functions.var(x, { axes = axes, correction = 0 })
            - T:constant(m.running_var))
        total = total and total + v or v
      end
    end
    if not total then F.raise("bn_prior: the network has no batch norms") end
    return -total
  end, { coupled = true, check = false })
