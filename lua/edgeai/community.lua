-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.graph - communities of weighted networks. A network is a symmetric {n, n} tensor of weights
-- (f32 or f64, not negative; the diagonal is ignored).
--
--   local found = ea.graph.louvain(W, { resolution = 1, tries = 10, seed = 1 })
--   found.membership   i32 {n}: community 1, 2, ... of every node, the largest community first
--   found.sizes        nodes of each community;  found.communities  their number
--   found.modularity   at the resolution asked for
--   found.seed         the seed that won;  found.agreement  mean adjusted Rand index of the other
--                      tries with it: near 1 the communities are a fact of W, not of the seed
--
-- Resolution stands before the null model:
--   Q = sum (w_ij - resolution k_i k_j / 2m) [c_i = c_j] / 2m
-- Larger means more, smaller communities. python-louvain before 0.16 used 1/resolution, so the 0.7
-- of the NoNN paper is 1/0.7 here. The seed is that of ea.seed unless given.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local random = require "edgeai.random"

local C = F.C
local graph = {}

local partition_type = ffi.typeof("ea_partition")
local number_type = ffi.typeof("double[1]")

local function need_number(options, name, where)
  local value = options[name]
  if type(value) ~= "number" then
    F.raise("%s: %s must be a number, got a %s", where, name, type(value))
  end
  return value
end

local function need_whole(options, name, where, least)
  local value = need_number(options, name, where)
  if value % 1 ~= 0 or value < least or value > 2 ^ 53 then
    F.raise("%s: %s must be a whole number of at least %d, got %s", where, name, least,
      tostring(value))
  end
  return value
end

--- Takes an ea_partition over: labels from 1, sizes counted.
local function result(found)
  local membership = F.own(found.membership)
  local labels, sizes = F.data(membership), {}
  for c = 1, found.communities do sizes[c] = 0 end
  for i = 0, membership:numel() - 1 do
    labels[i] = labels[i] + 1
    sizes[labels[i]] = sizes[labels[i]] + 1
  end
  return { membership = membership, modularity = found.modularity, sizes = sizes,
    communities = found.communities, seed = tonumber(found.seed), agreement = found.agreement }
end

local function common(w, options, defaults, where)
  F.need_tensor(w, where)
  local o = F.options(options, defaults, where)
  return o, need_number(o, "resolution", where), need_whole(o, "seed", where, 0),
    math.min(need_whole(o, "tries", where, 1), 2 ^ 31 - 1), need_number(o, "deadline", where)
end

--- Louvain's communities (Blondel et al. 2008): the best of `tries` seeds. A seed that takes longer
-- than `deadline` seconds, or goes round in circles, is replaced by the next.
function graph.louvain(w, options)
  local _, resolution, seed, tries, deadline = common(w, options,
    { resolution = 1, seed = random.seed(), tries = 10, deadline = 10 }, "louvain")
  local found = partition_type()
  F.check(C.ea_louvain(w, resolution, seed, tries, deadline, found))
  return result(found)
end

--- Leiden's communities (Traag et al. 2019): as louvain, but every community is connected.
-- `iterations`: at most so many rounds, fewer once nothing improves.
function graph.leiden(w, options)
  local o, resolution, seed, tries, deadline = common(w, options,
    { resolution = 1, seed = random.seed(), tries = 10, deadline = 10, iterations = 50 }, "leiden")
  local iterations = math.min(need_whole(o, "iterations", "leiden", 1), 2 ^ 31 - 1)
  local found = partition_type()
  F.check(C.ea_leiden(w, resolution, seed, tries, iterations, deadline, found))
  return result(found)
end

--- Modularity of a membership (i32 {n}, any labels) at a resolution (1).
function graph.modularity(w, membership, options)
  local o = F.options(options, { resolution = 1 }, "modularity")
  local out = number_type()
  F.check(C.ea_modularity(F.need_tensor(w, "modularity"), F.need_tensor(membership, "modularity"),
    need_number(o, "resolution", "modularity"), out))
  return out[0]
end

--- Normalised mutual information of two memberships (Danon et al. 2005): 0 unrelated, 1 the same.
function graph.nmi(a, b)
  local out = number_type()
  F.check(C.ea_nmi(F.need_tensor(a, "nmi"), F.need_tensor(b, "nmi"), out))
  return out[0]
end

--- Adjusted Rand index of two memberships (Hubert & Arabie 1985): 0 by chance, 1 the same.
function graph.adjusted_rand(a, b)
  local out = number_type()
  F.check(C.ea_adjusted_rand(F.need_tensor(a, "adjusted_rand"), F.need_tensor(b, "adjusted_rand"),
    out))
  return out[0]
end

--- Places for drawing, f64 {n, 2} within [-1, 1] (Fruchterman & Reingold 1991).
function graph.layout(w, options)
  local o = F.options(options, { seed = random.seed(), iterations = 500 }, "layout")
  local out = F.out()
  F.check(C.ea_graph_layout(F.need_tensor(w, "layout"), need_whole(o, "seed", "layout", 0),
    math.min(need_whole(o, "iterations", "layout", 1), 1e6), out))
  return F.own(out[0])
end

return graph
