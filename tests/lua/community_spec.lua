-- SPDX-License-Identifier: GPL-3.0-or-later
local ea = require "edgeai"

-- Zachary 1977: friendships i < j of the karate club.
local karate = {
  { 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 18, 20, 22, 32 }, { 3, 4, 8, 14, 18, 20, 22, 31 },
  { 4, 8, 9, 10, 14, 28, 29, 33 }, { 8, 13, 14 }, { 7, 11 }, { 7, 11, 17 }, { 17 }, {},
  { 31, 33, 34 }, { 34 }, {}, {}, {}, { 34 }, { 33, 34 }, { 33, 34 }, {}, {}, { 33, 34 }, { 34 },
  { 33, 34 }, {}, { 33, 34 }, { 26, 28, 30, 33, 34 }, { 26, 28, 32 }, { 32 }, { 30, 34 }, { 34 },
  { 32, 34 }, { 33, 34 }, { 33, 34 }, { 33, 34 }, { 34 },
}

local function link(w, i, j, weight)
  w:set(i, j, weight or 1)
  w:set(j, i, weight or 1)
end

local function club(dtype)
  local w = ea.zeros({ 34, 34 }, dtype)
  for i, friends in ipairs(karate) do
    for _, j in ipairs(friends) do link(w, i, j) end
  end
  return w
end

-- `groups` groups of `size` nodes; pairs are linked with a high chance inside, a low one between.
local function planted(groups, size, inside, between)
  local n = groups * size
  local chance, w = ea.rng("planted"):uniform({ n, n }, 0, 1), ea.zeros { n, n }
  local truth = ea.zeros({ n }, "i32")
  for i = 1, n do
    truth:set(i, math.ceil(i / size))
    for j = i + 1, n do
      local p = math.ceil(i / size) == math.ceil(j / size) and inside or between
      if chance:get(i, j) < p then link(w, i, j) end
    end
  end
  return w, truth
end

local function refused(pattern, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_truthy(message:find(pattern), message)
  assert.is_nil(message:find("\n"), message)
end

describe("ea.graph", function()
  local graph = ea.graph

  it("finds the best known partition of the karate club", function()
    for _, dtype in ipairs { "f32", "f64" } do
      local found = graph.louvain(club(dtype), { tries = 20 })
      assert.near(0.4198, found.modularity, 1e-4)
      assert.equal(4, found.communities)
      assert.same({ 12, 11, 6, 5 }, found.sizes)
      assert.equal("i32", found.membership.dtype)
      assert.near(found.modularity, graph.modularity(club(dtype), found.membership), 1e-12)
      local leiden = graph.leiden(club(dtype), { tries = 20 })
      assert.near(1, graph.adjusted_rand(found.membership, leiden.membership), 1e-12)
    end
  end)

  it("numbers communities from 1, the largest first", function()
    local w = ea.zeros { 7, 7 }
    link(w, 1, 2)
    link(w, 3, 4); link(w, 4, 5); link(w, 3, 5)
    local found = graph.louvain(w)
    assert.same({ 2, 2, 1, 1, 1, 3, 4 }, found.membership:tolist())
    assert.same({ 3, 2, 1, 1 }, found.sizes)
  end)

  it("recovers a planted partition, whatever the seed and the thread count", function()
    local w, truth = planted(4, 16, 0.6, 0.03)
    local first = graph.louvain(w, { seed = 5 })
    assert.near(1, graph.nmi(first.membership, truth), 1e-12)
    assert.near(1, graph.nmi(graph.leiden(w, { seed = 9 }).membership, truth), 1e-12)
    assert.is_true(first.agreement > 0.9)
    local before = ea.threads()
    for threads = 1, 4, 3 do
      ea.threads(threads)
      local again = graph.louvain(w, { seed = 5 })
      assert.equal(first.membership:hash(), again.membership:hash())
      assert.equal(first.modularity, again.modularity)
      assert.equal(first.seed, again.seed)
    end
    ea.threads(before)
  end)

  it("gives more communities at a higher resolution", function()
    local last = 0
    for _, resolution in ipairs { 0, 0.5, 1, 1 / 0.7, 4 } do
      local found = graph.louvain(club(), { resolution = resolution })
      assert.is_true(found.communities >= last)
      assert.near(found.modularity,
        graph.modularity(club(), found.membership, { resolution = resolution }), 1e-12)
      last = found.communities
    end
  end)

  it("leaves isolated nodes alone and takes a single node", function()
    local found = graph.louvain(ea.zeros { 3, 3 })
    assert.same({ 1, 2, 3 }, found.membership:tolist())
    assert.equal(0, found.modularity)
    assert.same({ 1 }, graph.leiden(ea.zeros { 1, 1 }).sizes)
    assert.same({ 1, 2 }, graph.layout(ea.zeros { 1, 1 }).shape)
  end)

  it("stops at the deadline with a sentence, and works again afterwards", function()
    local w = planted(4, 16, 0.6, 0.03)
    refused("deadline", graph.louvain, w, { deadline = 1e-12 })
    refused("deadline", graph.leiden, w, { deadline = 1e-12 })
    assert.equal(4, graph.louvain(w).communities)
  end)

  it("refuses wrong input in one sentence", function()
    local w = club()
    refused("expected a tensor, got a table", graph.louvain, { { 0 } })
    refused("no option 'resolutoin'.*resolution", graph.louvain, w, { resolutoin = 2 })
    refused("resolution must be a number", graph.louvain, w, { resolution = "high" })
    refused("resolution of 0 or more", graph.louvain, w, { resolution = -1 })
    refused("tries must be a whole number", graph.louvain, w, { tries = 0 })
    refused("seed must be a whole number", graph.leiden, w, { seed = 1.5 })
    refused("square weight matrix", graph.louvain, ea.zeros { 3, 4 })
    refused("f32 or f64", graph.louvain, ea.zeros({ 3, 3 }, "u8"))
    refused("one number per node", graph.modularity, w, ea.zeros({ 3 }, "i32"))
    refused("one length", graph.nmi, ea.zeros({ 3 }, "i32"), ea.zeros({ 4 }, "i32"))
    w:set(3, 9, 0.25)
    refused("symmetric, but entry %(3, 9%)", graph.louvain, w)
    w:set(2, 2, 0 / 0)
    refused("row 2, column 2", graph.louvain, w)
    w:set(2, 2, -1)
    refused("not negative", graph.louvain, w)
  end)

  it("compares partitions by what they group, not by their names", function()
    local a = ea.tensor({ 1, 1, 2, 2 }, "i32")
    assert.near(1, graph.nmi(a, ea.tensor({ 9, 9, 4, 4 }, "i32")), 1e-12)
    assert.near(-0.5, graph.adjusted_rand(a, ea.tensor({ 1, 2, 1, 2 }, "i32")), 1e-12)
    assert.near(0.8, graph.nmi(a, ea.tensor({ 1, 2, 3, 3 }, "i32")), 1e-12)
  end)

  it("lays a network out, the same way each time", function()
    local w = club()
    local place = graph.layout(w, { seed = 3 })
    assert.same({ 34, 2 }, place.shape)
    assert.equal(place:hash(), graph.layout(w, { seed = 3 }):hash())
    assert.equal(0, place:count_nonfinite())
  end)
end)
