-- SPDX-License-Identifier: GPL-3.0-or-later
-- nn.identity{}: returns its input; a name to tap, or the place of a layer that was taken out.

local Module = require "edgeai.nn.module"

local Identity = Module.class("identity")

function Identity.forward(_, x) return x end
function Identity.arguments() return "" end

return function(given)
  Module.options("identity", given, {}, {})
  return Identity.new()
end
