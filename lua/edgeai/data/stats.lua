-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.stats - mean and standard deviation of images, in units of [0,1].

local raw = require "edgeai.data.raw"

local stats = {}

--- Two lists, one number for each channel, over all pixels of images u8 {n,h,w,c} (of those at
-- `index`, if given). A channel that never changes gets the deviation 1, so that it becomes 0.
function stats.of(images, index)
  local sums, squares, n = raw.channel_sums(images, index)
  local mean, std = {}, {}
  for k = 1, #sums do
    local average = sums[k] / n
    local variance = squares[k] / n - average * average
    mean[k] = average / 255
    std[k] = variance > 1e-9 and math.sqrt(variance) / 255 or 1
  end
  return mean, std
end

return stats
