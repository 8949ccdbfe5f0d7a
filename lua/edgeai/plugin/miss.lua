-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.plugin.miss - lets plugins answer for names that a table of edgeai does not have:
--   return require "edgeai.plugin.miss"(distill)
-- Nothing of the plugins is loaded before a name is missed. `known(name)` (optional) answers first.

return function(t, known)
  return setmetatable(t, { __index = function(_, name)
    local value = known and known(name)
    if value ~= nil or type(name) ~= "string" then return value end
    require("edgeai.plugin").offer(name)
    return rawget(t, name)
  end })
end
