-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.octaves - sizes of a picture for DeepDream.

local F = require "edgeai.ffi"

--- vis.octaves(224, 224, { count = 4, ratio = 1.4 }): list of { height, width }, the smallest first
-- and the given one last; each is the given one over ratio^k, rounded.
return function(height, width, options)
  local o = F.options(options, { count = 4, ratio = 1.4 }, "vis.octaves")
  for name, least in pairs { count = 1, ratio = 1 } do
    if type(o[name]) ~= "number" or not (o[name] >= least) then
      F.raise("vis.octaves: %s must be a number of at least %d, got %s", name, least,
        tostring(o[name]))
    end
  end
  local list = {}
  for k = o.count - 1, 0, -1 do
    local function part(n) return math.max(1, math.floor(n / o.ratio ^ k + 0.5)) end
    list[#list + 1] = { part(height), part(width) }
  end
  return list
end
