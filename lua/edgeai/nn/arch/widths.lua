-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nn.arch.widths - the option `widths` of the three-group networks.

local F = require "edgeai.ffi"

--- {w0, w1, w2, w3} from { w0, w1, w2, w3 } or { w1, w2, w3 } (w0 is 16 then); `usual` if nil.
return function(kind, given, usual)
  if given == nil then return usual end
  if type(given) ~= "table" or #given ~= 3 and #given ~= 4 then
    F.raise("%s: widths must be {w1, w2, w3} or {w0, w1, w2, w3}", kind)
  end
  for _, w in ipairs(given) do
    if type(w) ~= "number" or w % 1 ~= 0 or w < 1 then
      F.raise("%s: every width must be a whole number of at least 1, got %s", kind, tostring(w))
    end
  end
  if #given == 4 then return { unpack(given) } end
  return { 16, given[1], given[2], given[3] }
end
