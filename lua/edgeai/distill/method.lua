-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.method(name, { labelled = true, temperature = 4, hint = "group2", mix = {} }) - losses
-- for ea.distill.objective by a method's name, with weights as published or usual for a WRN:
--   alone   cross-entropy with the labels, no teacher
--   kd      0.1 ce + 0.9 kd (Hinton 2015; alpha = 0.9, T = 4 as in attention transfer's runs)
--   at      ce + 1000 attention over group1..group3 (Zagoruyko & Komodakis 2017)
--   kd_at   both: ATKD
--   hint    ce + hint at layer `hint`          sp    ce + 3000 similarity of the pooled features
--   rkd     ce + rkd (25, 50)                  pkt   ce + 30000 pkt
--   pooled  0.1 ce + 0.9 kd + 100 activation_transfer (equal numbers of filters)
--   mix     your own weights by loss: mix = { ce =, kd =, attention =, ... }
-- Images without labels (labelled = false) have no cross-entropy: the term is left out, and kd
-- stands in for it with weight 1 where the method has none.

local F = require "edgeai.ffi"
local text = require "edgeai.text"

local weights = {
  alone = { ce = 1 }, kd = { ce = 0.1, kd = 0.9 }, at = { ce = 1, attention = 1000 },
  kd_at = { ce = 0.1, kd = 0.9, attention = 1000 }, hint = { ce = 1, hint = 1 },
  sp = { ce = 1, similarity = 3000 }, rkd = { ce = 1, rkd = 1 }, pkt = { ce = 1, pkt = 3e4 },
  pooled = { ce = 0.1, kd = 0.9, activation_transfer = 100 },
}

return function(name, opts)
  local o = F.options(opts, { labelled = true, temperature = 4, hint = "group2", mix = {} },
    "distill.method")
  local chosen = name == "mix" and o.mix or weights[name]
  if not chosen then
    F.raise("distill.method: there is no method '%s'%s; there are %s", tostring(name),
      text.suggest(tostring(name), weights), text.list(text.keys(weights), "and"))
  end
  if not o.labelled and name == "alone" then
    F.raise("distill.method: alone learns from labels, and these images have none")
  end
  local layers = { attention = { "group1", "group2", "group3" }, hint = { o.hint } }
  local list = {}
  for loss, weight in pairs(chosen) do
    if weight ~= 0 and (loss ~= "ce" or o.labelled) then
      list[loss] = { weight = weight, layers = layers[loss] }
    end
  end
  if not o.labelled and not list.kd then list.kd = { weight = 1 } end
  if list.kd then list.kd.temperature = o.temperature end
  if not next(list) then F.raise("distill.method: all weights of the mix are 0") end
  return list
end
