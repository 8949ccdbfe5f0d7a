-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.dream.quality - what a teacher makes of dreams, added up part by part:
--   target_error.after   sqrt(sum |a - t|^2 / sum |t|^2), a: activations reached, t: targets
--   confidence           mean of the largest probability
--   agreement            share of images that the teacher takes for the class they were to be of
--   diversity            mean over images of the squared distance of their activations from their
--                        class's mean, divided by the same of the targets: 1 is as varied as those

local F = require "edgeai.ffi"
local tensor = require "edgeai.tensor"

local Quality = {}
Quality.__index = Quality

--- Sums and sums of squares of the rows of each class.
local function add_spread(spread, rows, labels)
  local n, f = rows:size(1), rows:size(2)
  local p, label = F.data(rows), F.data(labels)
  for i = 0, n - 1 do
    local s = spread[label[i]] or { n = 0, square = 0, sum = tensor.zeros({ f }, "f64") }
    spread[label[i]] = s
    local sum = F.data(s.sum)
    s.n = s.n + 1
    for c = 0, f - 1 do
      local v = p[i * f + c]
      sum[c], s.square = sum[c] + v, s.square + v * v
    end
  end
end

--- Sum over all rows of the squared distance from their class's mean.
local function scatter(spread)
  local total = 0
  for _, s in pairs(spread) do
    total = total + s.square
    for c = 0, s.sum:size(1) - 1 do total = total - F.data(s.sum)[c] ^ 2 / s.n end
  end
  return total
end

--- Takes in { labels, logits, reached, targets }; the last two may be missing.
function Quality:add(part)
  local logits, label = part.logits:softmax(), F.data(part.labels)
  local p, k = F.data(logits), logits:size(2)
  for i = 0, logits:size(1) - 1 do
    local best, which = -1, 0
    for c = 0, k - 1 do
      if p[i * k + c] > best then best, which = p[i * k + c], c + 1 end
    end
    self.n, self.confidence = self.n + 1, self.confidence + best
    if which == label[i] then self.right = self.right + 1 end
  end
  if not part.targets then return end
  local a, t = F.data(part.reached), F.data(part.targets)
  for i = 0, part.targets:numel() - 1 do
    self.off, self.size = self.off + (a[i] - t[i]) ^ 2, self.size + t[i] ^ 2
  end
  add_spread(self.reached, part.reached, part.labels)
  add_spread(self.targets, part.targets, part.labels)
end

--- The numbers described at the top.
function Quality:report()
  local r = { confidence = self.confidence / self.n, agreement = self.right / self.n }
  if self.size > 0 then
    r.target_error = { after = math.sqrt(self.off / self.size) }
    r.diversity = scatter(self.reached) / scatter(self.targets)
  end
  return r
end

return function()
  return setmetatable({ n = 0, confidence = 0, right = 0, off = 0, size = 0, reached = {},
    targets = {} }, Quality)
end
