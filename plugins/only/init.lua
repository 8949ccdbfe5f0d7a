-- SPDX-License-Identifier: GPL-3.0-or-later
-- only - an objective for one channel and not the others. What a channel is largest for is often
-- large for a dozen others, too (fur, for cats and dogs); this asks for what sets it apart.

local ea = require "edgeai"

--- Means {n, c} over the positions of activations {n, h, w, c} or {n, c}.
local function means(A)
  return A.ndim == 4 and A:mean { 2, 3 } or A
end

local function only(T, o)
  local m = means(T(o.layer))
  local c = m:size(2)
  if c < 2 then error(("only: layer '%s' has one channel, and no others"):format(o.layer), 0) end
  local one = T:one_hot(o.channel, c, "only")
  local others = (m * (1 - one)):square():sum { axes = { 2 } } / (c - 1)
  return (m * one):sum { axes = { 2 } } - (others + 1e-12):sqrt() * o.weight
end

return {
  about = "an objective for one channel and not the others",
  objectives = {
    only = { -- ea.vis.objectives.only("layer3/pre", 5, { weight = 2 })
      help = "Mean of a channel, less `weight` times the root mean square of the others' means.",
      arguments = { "layer", "channel" },
      options = {
        layer = ea.vis.needed,
        channel = ea.vis.needed, -- or a list, one for each image
        weight = { 1, "of the others", least = 0 },
      },
      check = { layer = "L", channel = { 2, 4, 1 } },
      images = function(o)
        return type(o.channel) == "table" and #o.channel > 1 and #o.channel or nil
      end,
      compute = only,
    },
  },
}
