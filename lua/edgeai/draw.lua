-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.draw - networks as pictures (PNG through gnuplot).
--
--   ea.draw.network(path, { weights = W, membership = m, title = "...",
--     names = { "student 1", ... } })
--
-- Nodes are coloured by part and as large as their strength, edges as wide as their weight and in
-- their part's colour inside it, grey between parts. Nodes without edges stand in a ring around.

local F = require "edgeai.ffi"
local G = require "edgeai.gnuplot"
local community = require "edgeai.community"
local tensor = require "edgeai.tensor"

local draw = {}

local WIDTHS = 6      -- classes of edge widths
local PULL = 2.5      -- in the layout, edges inside a part count so many times
local EVEN = 0.65     -- how evenly the nodes fill the disc, 0 to 1
local MOST_EDGES = 4000 -- the strongest are drawn; more would be a blot
local NOBODY = "A6A6A6"

-- Nodes with edges, their strengths, and the edges i < j, weakest first.
local function survey(w)
  local n, p = w:size(1), F.data(w)
  local net = { n = n, linked = {}, alone = {}, strength = {}, edges = {}, strongest = 0 }
  for i = 1, n do
    local sum = 0
    for j = 1, n do
      local x = p[(i - 1) * n + j - 1]
      if i ~= j and x > 0 then
        sum = sum + x
        if i < j then net.edges[#net.edges + 1] = { i, j, x } end
      end
    end
    net.strength[i] = sum
    net.strongest = math.max(net.strongest, sum)
    table.insert(sum > 0 and net.linked or net.alone, i)
  end
  table.sort(net.edges, function(a, b)
    if a[3] ~= b[3] then return a[3] < b[3] end
    if a[1] ~= b[1] then return a[1] < b[1] end
    return a[2] < b[2]
  end)
  return net
end

-- Centres places on 0 and fits them into the unit disc. Force layouts crowd the middle, so radii
-- are drawn towards those of an evenly filled disc, keeping their order.
local function spread(nodes, at)
  local k, cx, cy, reach = #nodes, 0, 0, 1e-9
  local radius, order, place = {}, {}, {}
  for _, xy in ipairs(at) do cx, cy = cx + xy[1] / k, cy + xy[2] / k end
  for a, xy in ipairs(at) do
    radius[a], order[a] = math.sqrt((xy[1] - cx) ^ 2 + (xy[2] - cy) ^ 2), a
    reach = math.max(reach, radius[a])
  end
  table.sort(order, function(a, b)
    if radius[a] ~= radius[b] then return radius[a] < radius[b] end
    return a < b
  end)
  for rank, a in ipairs(order) do
    local even = math.sqrt((rank - 0.5) / k)
    local factor = ((1 - EVEN) * radius[a] / reach + EVEN * even) / math.max(radius[a], 1e-9)
    place[nodes[a]] = { (at[a][1] - cx) * factor, (at[a][2] - cy) * factor }
  end
  return place
end

-- Places of the linked nodes in the unit disc.
local function place_linked(w, net, part, o)
  local k, n = #net.linked, net.n
  if k == 0 then return {} end
  local sub = tensor.empty({ k, k }, "f64")
  local from, to = F.data(w), F.data(sub)
  for a, i in ipairs(net.linked) do
    for b, j in ipairs(net.linked) do
      local together = part[i] == part[j] and part[i] > 0
      to[(a - 1) * k + b - 1] = from[(i - 1) * n + j - 1] * (together and PULL or 1)
    end
  end
  return spread(net.linked,
    community.layout(sub, { seed = o.seed, iterations = o.iterations }):tolist())
end

local function given_places(layout, n)
  local place = F.need_tensor(layout, "draw.network: layout"):tolist()
  if #place ~= n or type(place[1]) ~= "table" or #place[1] ~= 2 then
    F.raise("draw.network: expected a layout {%d, 2}, got %s", n, F.describe(layout))
  end
  return place
end

local function ring(net, place)
  local m = #net.alone
  for a, i in ipairs(net.alone) do
    local angle = math.pi / 2 - 2 * math.pi * (a - 1) / m
    place[i] = { 1.12 * math.cos(angle), 1.12 * math.sin(angle) }
  end
end

local function part_colour(part)
  return part > 0 and G.colour(part):sub(2) or NOBODY
end

-- Data blocks and plot elements of the edges: one class per width.
local function edge_layers(net, place, part, script, layers)
  local first = math.max(1, #net.edges - MOST_EDGES + 1)
  local least, most = 0, 1
  if #net.edges > 0 then least, most = net.edges[first][3], net.edges[#net.edges][3] end
  local crowd = math.min(1, 600 / math.max(1, #net.edges - first + 1)) -- many edges: thin and pale
  local classes = {}
  for e = first, #net.edges do
    local i, j, x = unpack(net.edges[e])
    local rank = 1 + math.floor((x - least) / math.max(most - least, 1e-12) * (WIDTHS - 0.01))
    local together = part[i] == part[j] and part[i] > 0
    local see_through = math.floor((together and 110 or 165) + 60 * (1 - crowd) - 6 * rank)
    classes[rank] = classes[rank] or {}
    table.insert(classes[rank], ("%.5f %.5f %.5f %.5f 0x%02X%s"):format(place[i][1], place[i][2],
      place[j][1] - place[i][1], place[j][2] - place[i][2], see_through,
      together and part_colour(part[i]) or "8C8C8C"))
  end
  for rank = 1, WIDTHS do
    if classes[rank] then
      script[#script + 1] = G.block("edges" .. rank, classes[rank])
      layers[#layers + 1] = ("$edges%d using 1:2:3:4:5 with vectors nohead lw %.2f "
        .. "lc rgb variable notitle"):format(rank, (0.5 + 0.4 * rank) * (0.5 + 0.5 * crowd))
    end
  end
end

local function node_layers(net, place, part, script, layers)
  local rows, size = {}, 1.4 + 1.6 * math.min(1, math.sqrt(60 / net.n))
  for i = 1, net.n do
    local alone = net.strength[i] == 0
    local share = net.strongest > 0 and math.sqrt(net.strength[i] / net.strongest) or 0
    rows[i] = ("%.5f %.5f %.3f 0x%s"):format(place[i][1], place[i][2],
      alone and 0.9 or size * (0.45 + 0.75 * share), part_colour(part[i]))
  end
  script[#script + 1] = G.block("nodes", rows)
  layers[#layers + 1] = "$nodes using 1:2:($3 + 0.35) with points pt 7 ps variable lc rgb 'white' "
    .. "notitle"
  layers[#layers + 1] = "$nodes using 1:2:3:4 with points pt 7 ps variable lc rgb variable notitle"
end

-- One line per part with its size, and one for what belongs to nobody.
local function legend(net, part, o, layers)
  local count, parts = {}, 0
  for i = 1, net.n do
    count[part[i]] = (count[part[i]] or 0) + 1
    parts = math.max(parts, part[i])
  end
  local function line(words, n, colour)
    layers[#layers + 1] = ("NaN with points pt 7 ps 1.8 lc rgb '#%s' title %s"):format(colour,
      G.quote(("%s: %d %s"):format(words, n, o.node .. (n == 1 and "" or "s"))))
  end
  for p = 1, parts do
    if count[p] then line(o.names[p] or ("part " .. p), count[p], part_colour(p)) end
  end
  if count[0] then line("unused", count[0], NOBODY) end
end

--- Draws a network. Options: weights (symmetric {n, n}) and membership (i32 {n}: part 1, 2, ... of
-- each node, 0 for none); layout (f64 {n, 2}; made here if left out), seed and iterations (of the
-- layout), title, names (of the parts), node ("filter": what a node is), width, height. Returns
-- true, or nil and a sentence if the picture could not be drawn.
function draw.network(path, options)
  local o = F.options(options, { weights = F.none, membership = F.none, layout = F.none, seed = 1,
    iterations = 600, title = F.none, names = {}, node = "filter", width = 1250, height = 1020 },
    "draw.network")
  local w = F.need_tensor(o.weights, "draw.network: weights")
  F.need_tensor(o.membership, "draw.network: membership")
  if w.ndim ~= 2 or w:size(1) ~= w:size(2) or o.membership.ndim ~= 1
    or o.membership:size(1) ~= w:size(1) then
    F.raise("draw.network: expected weights {n, n} and a membership {n}, got %s and %s",
      F.describe(w), F.describe(o.membership))
  end
  w = w:to("f64"):contiguous()
  local net, part = survey(w), o.membership:tolist()
  local place
  if o.layout then place = given_places(o.layout, net.n)
  else
    place = place_linked(w, net, part, o)
    ring(net, place)
  end
  local script, layers = {}, {}
  edge_layers(net, place, part, script, layers)
  node_layers(net, place, part, script, layers)
  legend(net, part, o, layers)
  script[#script + 1] = ("unset border\nunset tics\nset size ratio -1\nset lmargin at screen 0.01\n"
    .. "set rmargin at screen 0.77\nset tmargin at screen %g\nset bmargin at screen 0.01\n"
    .. "set offsets 0.07, 0.07, 0.07, 0.07\n"
    .. "set key at screen 0.79, screen 0.5 left center vertical reverse Left samplen 1 spacing 1.5 "
    .. "textcolor rgb %s\n"):format(o.title and 0.93 or 0.99, G.quote(G.ink))
  if o.title then
    script[#script + 1] = ("set label 1 %s at screen 0.03, screen 0.962 left font \"%s:Bold,17\" "
      .. "textcolor rgb %s\n"):format(G.quote(o.title), G.font, G.quote(G.ink))
  end
  script[#script + 1] = "plot " .. table.concat(layers, ", \\\n  ") .. "\n"
  return G.draw(path, o.width, o.height, table.concat(script))
end

return draw
