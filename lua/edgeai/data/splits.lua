-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.splits - holds some images of a training set back, equally from every class.

local F = require "edgeai.ffi"
local raw = require "edgeai.data.raw"
local C = F.C

local splits = {}

--- How many of `total` each class gives so that shares are proportional to counts: largest
-- remainders, ties to the lower class.
local function quotas(counts, total)
  local all, given, quota, rest = 0, 0, {}, {}
  for _, count in ipairs(counts) do all = all + count end
  for k, count in ipairs(counts) do
    local share = total * count / all
    quota[k] = math.floor(share)
    given = given + quota[k]
    rest[#rest + 1] = { k = k, part = share - quota[k] }
  end
  table.sort(rest, function(a, b)
    if a.part ~= b.part then return a.part > b.part end
    return a.k < b.k
  end)
  for i = 1, total - given do quota[rest[i].k] = quota[rest[i].k] + 1 end
  return quota
end

--- Positions (1-based, ascending) of a stratified split of labels (i32 {n}, 1..classes), or of
-- those at `index` (i32, 1-based). held: the fraction (below 1) or the number of images to hold
-- back. The choice depends on (seed, purpose, class) and on the order of the labels alone. Returns
-- two i32 tensors: the rest, the held.
function splits.stratified(labels, classes, held, seed, purpose, index)
  local n, label, at = raw.count(index or labels), F.data(labels), index and F.data(index)
  local total = type(held) == "number" and (held < 1 and math.floor(held * n + 0.5) or held) or 0
  if total % 1 ~= 0 or total < 1 or total >= n then
    F.raise("%s must be a fraction below 1 or a number of images, 1..%d, got %s", purpose, n - 1,
      tostring(held))
  end
  local members = {}
  for k = 1, classes do members[k] = {} end
  for i = 0, n - 1 do
    local position = at and at[i] or i + 1
    table.insert(members[label[position - 1]], position)
  end
  local counts, is_held = {}, {}
  for k = 1, classes do counts[k] = #members[k] end
  for k, quota in ipairs(quotas(counts, total)) do
    if quota > 0 then
      local order = raw.new("i32", { counts[k] })
      F.check(C.ea_random_permutation(order, seed, C.ea_stream_id(purpose), k, 1))
      local chosen = F.data(order)
      for i = 0, quota - 1 do is_held[members[k][chosen[i]]] = true end
      F.drop(order)
    end
  end
  local rest, back = {}, {}
  for i = 0, n - 1 do
    local position = at and at[i] or i + 1
    table.insert(is_held[position] and back or rest, position)
  end
  return raw.from_list(rest), raw.from_list(back)
end

return splits
