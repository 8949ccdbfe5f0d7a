-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nonn.partition - the teacher's filters dealt to n students (NoNN, arXiv 1907.11804):
-- communities of the filter activation network, merged into n parts of about one size.
--
-- Communities are taken in descending size; each goes to the part with the fewest filters so far.
-- Where there are fewer communities than students, and (with balance) where a community exceeds a
-- part's fair share by a quarter, the largest is split: by Louvain on its own subnetwork at growing
-- resolution, and where that finds nothing, in two halves of equal strength.
--
-- Filters in no community of two or more are isolated. `unused` says what becomes of them:
--   "drop"     nobody distils them
--   "share"    they are dealt out one by one, each to the smallest part
--   "largest"  as published: pooled, they are one more cluster; whichever cluster is the largest is
--              dropped (usually, but not always, this pool), the pool is otherwise dealt whole

local F = require "edgeai.ffi"
local community = require "edgeai.community"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"

local nonn = {}

local HIGHEST_SPLIT = 64 -- resolution at which splitting by Louvain is given up
local SLACK = 1.25       -- how far above the fair share a community may be before it is split

-- Larger first, then by smallest member: one order for all, so the result is the same every time.
local function by_size(a, b)
  if #a ~= #b then return #a > #b end
  return a[1] < b[1]
end

-- Members of each community of two or more, and the isolated filters.
local function groups_of(found)
  local groups, isolated = {}, {}
  for filter, c in ipairs(found.membership:tolist()) do
    if found.sizes[c] > 1 then
      groups[c] = groups[c] or {}
      table.insert(groups[c], filter)
    else
      isolated[#isolated + 1] = filter
    end
  end
  return groups, isolated -- numbered by descending size, so `groups` has no holes
end

local function subnetwork(w, members)
  local n, all = #members, w:size(1)
  local sub = tensor.empty({ n, n }, "f64")
  local from, to = F.data(w), F.data(sub)
  for i = 0, n - 1 do
    for j = 0, n - 1 do
      to[i * n + j] = from[(members[i + 1] - 1) * all + members[j + 1] - 1]
    end
  end
  return sub
end

-- Members in order of strength, dealt 1-2-2-1 to two halves.
local function halves(sub, members)
  local strength, order = {}, {}
  for i, row in ipairs(sub:tolist()) do
    strength[i], order[i] = 0, i
    for _, x in ipairs(row) do strength[i] = strength[i] + x end
  end
  table.sort(order, function(a, b)
    if strength[a] ~= strength[b] then return strength[a] > strength[b] end
    return a < b
  end)
  local pieces = { {}, {} }
  for place, i in ipairs(order) do
    local side = place % 4 <= 1 and 1 or 2
    table.insert(pieces[side], members[i])
  end
  return pieces
end

-- Two or more pieces of a community.
local function split(w, members, search)
  local sub = subnetwork(w, members)
  local resolution = 1
  while resolution <= HIGHEST_SPLIT do
    local found = community.louvain(sub, { resolution = resolution, seed = search.seed,
      tries = search.tries, deadline = search.deadline })
    if found.communities > #members / 2 then break end -- crumbs
    if found.communities > 1 then
      local pieces = {}
      for i, c in ipairs(found.membership:tolist()) do
        pieces[c] = pieces[c] or {}
        table.insert(pieces[c], members[i])
      end
      return pieces
    end
    resolution = resolution * 2
  end
  local pieces = halves(sub, members)
  for _, piece in ipairs(pieces) do table.sort(piece) end
  return pieces
end

-- Splits the largest group until there are enough of them and none is too large.
local function enough_groups(w, groups, o)
  local active = 0
  for _, members in ipairs(groups) do active = active + #members end
  local largest_allowed = o.balance and math.max(1, active / o.students * SLACK) or math.huge
  while #groups > 0 and #groups[1] > 1
    and (#groups < o.students or #groups[1] > largest_allowed) do
    local pieces = split(w, table.remove(groups, 1), o)
    for _, piece in ipairs(pieces) do groups[#groups + 1] = piece end
    table.sort(groups, by_size)
  end
  return groups
end

local function smallest(parts)
  local best = 1
  for p = 2, #parts do
    if #parts[p] < #parts[best] then best = p end
  end
  return parts[best]
end

local function give(part, members)
  for _, filter in ipairs(members) do part[#part + 1] = filter end
end

-- The published rule: isolated filters are one cluster, the largest cluster goes.
local function drop_largest(groups, isolated)
  local clusters = {}
  for _, members in ipairs(groups) do clusters[#clusters + 1] = members end
  if #isolated > 0 then clusters[#clusters + 1] = isolated end
  table.sort(clusters, by_size)
  return clusters, table.remove(clusters, 1) or {}
end

local function check(fan, options)
  local o = F.options(options, { students = 2, resolution = 1 / 0.7, seed = random.seed(),
    tries = 10, deadline = 10, unused = "drop", balance = true }, "partition")
  local w = fan
  if type(fan) == "table" then w = fan.network end
  F.need_tensor(w, "partition")
  if type(o.students) ~= "number" or o.students % 1 ~= 0 or o.students < 2 then
    F.raise("partition: students must be a whole number of at least 2, got %s",
      tostring(o.students))
  end
  if o.unused ~= "drop" and o.unused ~= "share" and o.unused ~= "largest" then
    F.raise("partition: unused must be \"drop\", \"share\" or \"largest\", got %s",
      tostring(o.unused))
  end
  return w, o
end

-- Sorted parts -> the result's fields.
local function finish(parts, filters)
  local membership, sizes, unused = tensor.zeros({ filters }, "i32"), {}, {}
  local part_of = F.data(membership)
  for p, members in ipairs(parts) do
    table.sort(members)
    sizes[p] = #members
    for _, filter in ipairs(members) do part_of[filter - 1] = p end
  end
  for filter = 1, filters do
    if part_of[filter - 1] == 0 then unused[#unused + 1] = filter end
  end
  return { parts = parts, membership = membership, sizes = sizes, unused = unused }
end

--- Deals the filters of `fan` (an activation network, or a weight matrix {f, f}) to students.
-- Options: students (2), resolution (1/0.7), seed, tries (10), deadline (10 s), unused ("drop"),
-- balance (true). Returns
--   parts        { { filters, from 1, ascending }, ... }, one list per student
--   membership   i32 {f}: the filter's part, 0 for nobody's
--   sizes        filters of each part;  unused  filters of nobody
--   communities  how many of two or more were found;  community_sizes  theirs
--   community    i32 {f}: Louvain's own membership;  isolated  filters without a community
--   modularity, agreement, seed    of Louvain's partition, as in ea.graph.louvain
function nonn.partition(fan, options)
  local w, o = check(fan, options)
  local found = community.louvain(w, { resolution = o.resolution, seed = o.seed, tries = o.tries,
    deadline = o.deadline })
  w = w:to("f64"):contiguous()
  local groups, isolated = groups_of(found)
  local community_sizes = {}
  for c, members in ipairs(groups) do community_sizes[c] = #members end

  local available = groups
  if o.unused == "largest" then available = drop_largest(groups, isolated) end
  local parts = {}
  for p = 1, o.students do parts[p] = {} end
  for _, members in ipairs(enough_groups(w, available, o)) do give(smallest(parts), members) end
  if o.unused == "share" then
    for _, filter in ipairs(isolated) do give(smallest(parts), { filter }) end
  end
  local result = finish(parts, w:size(1))
  for _, size in ipairs(result.sizes) do
    if size == 0 then
      F.raise("partition: %d filters are left for %d students; take fewer students, a lower "
        .. "percentile or unused = \"share\"", w:size(1) - #result.unused, o.students)
    end
  end
  result.communities, result.community_sizes = #community_sizes, community_sizes
  result.community, result.isolated = found.membership, isolated
  result.modularity, result.agreement, result.seed = found.modularity, found.agreement, found.seed
  return result
end

--- The control: parts of the same sizes as those of `partition`, filled at random. Options: seed,
-- pool ("all": from all filters; "used": from those that `partition` uses, so that only the
-- grouping differs).
function nonn.random_partition(partition, options)
  local o = F.options(options, { seed = random.seed(), pool = "all" }, "random_partition")
  if type(partition) ~= "table" or type(partition.parts) ~= "table" then
    F.raise("random_partition: expected what partition returned, got a %s", type(partition))
  end
  if o.pool ~= "all" and o.pool ~= "used" then
    F.raise("random_partition: pool must be \"all\" or \"used\", got %s", tostring(o.pool))
  end
  local filters, pool = partition.membership:numel(), {}
  for filter, part in ipairs(partition.membership:tolist()) do
    if o.pool == "all" or part > 0 then pool[#pool + 1] = filter end
  end
  local order = random.rng("random_partition", { seed = o.seed }):permutation(#pool):tolist()
  local parts, at = {}, 0
  for p, size in ipairs(partition.sizes) do
    parts[p] = {}
    for i = 1, size do parts[p][i] = pool[order[at + i]] end
    at = at + size
  end
  return finish(parts, filters)
end

return nonn
