-- SPDX-License-Identifier: GPL-3.0-or-later
local ea = require "edgeai"
local network = require "edgeai.nonn.activation_network"
local nonn = require "edgeai.nonn.partition"

local function refused(pattern, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_truthy(message:find(pattern), message)
end

-- Cliques of the given sizes and `alone` isolated filters behind them.
local function cliques(sizes, alone)
  local n = alone or 0
  for _, size in ipairs(sizes) do n = n + size end
  local w, first = ea.zeros({ n, n }, "f64"), 0
  for _, size in ipairs(sizes) do
    for i = 1, size do
      for j = 1, size do
        if i ~= j then w:set(first + i, first + j, 1) end
      end
    end
    first = first + size
  end
  return w
end

-- Every filter in at most one part, the rest in `unused`.
local function check_cover(p, filters)
  local seen = {}
  for _, list in ipairs { p.unused, unpack(p.parts) } do
    for _, filter in ipairs(list) do
      assert.is_nil(seen[filter])
      seen[filter] = true
    end
  end
  assert.equal(filters, #seen)
  for part, members in ipairs(p.parts) do
    assert.equal(p.sizes[part], #members)
    for _, filter in ipairs(members) do assert.equal(part, p.membership:get(filter)) end
  end
end

describe("filter activation network", function()
  it("adds the rule's value for every pair of the strongest filters", function()
    -- Normalised: (1, 0.5, 0.25, 0) and (0, 0, 1, 0.5); the third image is dark.
    local a = ea.tensor { { 4, 2, 1, -3 }, { 0, 0, 8, 4 }, { -1, 0, 0, -2 } }
    assert.same({ { 0, 0.25, 0.1875, 0 }, { 0.25, 0, 0.03125, 0 },
      { 0.1875, 0.03125, 0, 0.25 }, { 0, 0, 0.25, 0 } }, network.accumulate(a):tolist())
    assert.same({ { 0, 0.5, 0, 0 }, { 0.5, 0, 0, 0 }, { 0, 0, 0, 0.5 }, { 0, 0, 0.5, 0 } },
      network.accumulate(a, { rule = "coactivation", top_k = 2 }):tolist())
    local similar = network.accumulate(a, { rule = "similarity" })
    assert.near(0.5 / 1.5, similar:get(1, 2), 1e-15)
    assert.near(0.25 / 1.75, similar:get(3, 1), 1e-15)
    assert.equal("f64", similar.dtype)
  end)

  it("takes equal activities in the order of the filters", function()
    local w = network.accumulate(ea.tensor { { 1, 1, 1, 1 } }, { top_k = 2, rule = "coactivation" })
    assert.same({ { 0, 1, 0, 0 }, { 1, 0, 0, 0 }, { 0, 0, 0, 0 }, { 0, 0, 0, 0 } }, w:tolist())
  end)

  it("agrees with a slow reference on random activations", function()
    local images, filters, k = 40, 30, 7
    local a = ea.rng("fan"):normal { images, filters }
    local expected = {}
    for i = 1, filters do
      expected[i] = {}
      for j = 1, filters do expected[i][j] = 0 end
    end
    for _, row in ipairs(a:tolist()) do
      local order = {}
      for i = 1, filters do order[i] = i end
      table.sort(order, function(x, y) return row[x] > row[y] end)
      for x = 1, k do
        for y = 1, k do
          local i, j = order[x], order[y]
          local p, q = math.max(row[i], 0) / row[order[1]], math.max(row[j], 0) / row[order[1]]
          expected[i][j] = expected[i][j] + p * q * math.abs(p - q)
        end
      end
    end
    local w = network.accumulate(a, { top_k = k }):tolist()
    for i = 1, filters do
      for j = 1, filters do assert.near(expected[i][j], w[i][j], 1e-12) end
    end
  end)

  it("keeps the edges from NumPy's linear percentile of the non-zero entries on", function()
    local w = ea.zeros({ 5, 5 }, "f64")
    for _, e in ipairs { { 1, 2, 8 }, { 1, 3, 4 }, { 2, 3, 2 }, { 4, 5, 1 } } do
      w:set(e[1], e[2], e[3])
      w:set(e[2], e[1], e[3])
    end
    -- numpy.percentile([1,1,2,2,4,4,8,8], (50, 60, 90)) is 3, 4, 8.
    local kept, facts = network.threshold(w, { percentile = 50 })
    assert.equal(0.375, facts.threshold)
    assert.equal(2, facts.edges)
    assert.equal(2, facts.isolated)
    assert.equal(1, kept:get(2, 1))
    assert.equal(0.5, kept:get(1, 3))
    assert.equal(0, kept:get(2, 3))
    local _, sixty = network.threshold(w, { percentile = 60 })
    assert.near(0.5, sixty.threshold, 1e-12)
    local _, ninety = network.threshold(w, { percentile = 90 })
    assert.equal(1, ninety.threshold)
    assert.equal(1, ninety.edges)
    local _, all = network.threshold(w, { percentile = 0 })
    assert.equal(4, all.edges)
  end)

  it("refuses what it cannot use", function()
    refused("expected a tensor", network.accumulate, { { 1, 2 } })
    refused("images, filters", network.accumulate, ea.ones { 4 })
    refused("f32, f64 or bf16", network.accumulate, ea.ones({ 4, 4 }, "u8"))
    refused("NaN", network.accumulate, ea.tensor { { 0 / 0, 1 } })
    refused("top_k", network.accumulate, ea.ones { 4, 4 }, { top_k = 1 })
    refused("no rule 'hubs'.*hub", network.accumulate, ea.ones { 4, 4 }, { rule = "hubs" })
    refused("fire together", network.build, ea.zeros { 4, 4 })
    refused("percentile", network.threshold, ea.ones { 4, 4 }, { percentile = 101 })
  end)
end)

describe("partition of the filters", function()
  it("gives each community to the smallest part", function()
    local w = cliques({ 9, 7, 6, 5, 3 }, 4)
    local p = nonn.partition(w, { students = 2, resolution = 1 })
    check_cover(p, 34)
    -- 9 | 7, then 6 to the 7, 5 to the 9, 3 to the 13.
    assert.same({ 9 + 5, 7 + 6 + 3 }, p.sizes)
    for filter, part in pairs { [1] = 1, [10] = 2, [17] = 2, [23] = 1, [28] = 2, [31] = 0 } do
      assert.equal(part, p.membership:get(filter))
    end
    assert.equal(5, p.communities)
    assert.same({ 9, 7, 6, 5, 3 }, p.community_sizes)
    assert.same({ 31, 32, 33, 34 }, p.unused)
    assert.same(p.unused, p.isolated)
    assert.equal(1, p.agreement)
    assert.is_true(p.modularity > 0.6)
  end)

  it("does with unused filters as told", function()
    local w = cliques({ 6, 4 }, 5)
    assert.equal(5, #nonn.partition(w, { unused = "drop" }).unused)
    local shared = nonn.partition(w, { unused = "share" })
    check_cover(shared, 15)
    assert.same({}, shared.unused)
    assert.same({ 8, 7 }, shared.sizes)
    -- As published, the largest cluster goes: here the clique of 6, not the pool of 5.
    local published = nonn.partition(w, { unused = "largest" })
    check_cover(published, 15)
    assert.same({ 1, 2, 3, 4, 5, 6 }, published.unused)
    assert.same({ { 11, 12, 13, 14, 15 }, { 7, 8, 9, 10 } }, published.parts)
  end)

  it("makes any number of parts, splitting communities where there are too few", function()
    local w = cliques({ 12, 8 }, 1)
    for students = 2, 20 do
      local p = nonn.partition(w, { students = students })
      check_cover(p, 21)
      assert.equal(students, #p.parts)
      local least, most = math.huge, 0
      for _, size in ipairs(p.sizes) do
        least, most = math.min(least, size), math.max(most, size)
      end
      assert.is_true(least >= 1 and most <= math.max(2, 40 / students), table.concat(p.sizes, " "))
      assert.same(p.parts, nonn.partition(w, { students = students }).parts)
    end
    refused("20 filters are left for 21 students", nonn.partition, w, { students = 21 })
    assert.equal(21, #nonn.partition(w, { students = 21, unused = "share" }).parts)
  end)

  it("splits a large community along its own structure", function()
    -- Two triangles joined by strong edges look like one community at a low resolution.
    local w = cliques { 3, 3 }
    w:set(3, 4, 1)
    w:set(4, 3, 1)
    local p = nonn.partition(w, { resolution = 0.1 })
    assert.equal(1, p.communities)
    assert.same({ { 1, 2, 3 }, { 4, 5, 6 } }, p.parts)
  end)

  it("leaves communities whole without balance", function()
    local w = cliques { 12, 3, 3 }
    assert.same({ 12, 6 }, nonn.partition(w, { balance = false, resolution = 1 }).sizes)
    local even = nonn.partition(w, { resolution = 1 })
    assert.same({ 9, 9 }, even.sizes)
  end)

  it("takes an activation network and refuses wrong options", function()
    local fan = network.build(ea.rng("pooled"):uniform { 50, 24 }, { top_k = 8, percentile = 60 })
    local p = nonn.partition(fan, { students = 3 })
    check_cover(p, 24)
    assert.equal(fan.isolated, #p.isolated)
    refused("students", nonn.partition, fan, { students = 1 })
    refused("unused must be", nonn.partition, fan, { unused = "burn" })
    refused("no option 'student'.*students", nonn.partition, fan, { student = 2 })
    refused("expected a tensor", nonn.partition, { parts = {} })
  end)

  it("makes random parts of the same sizes for control", function()
    local p = nonn.partition(cliques({ 6, 4 }, 5))
    local control = nonn.random_partition(p, { seed = 7 })
    check_cover(control, 15)
    assert.same(p.sizes, control.sizes)
    assert.same(control.parts, nonn.random_partition(p, { seed = 7 }).parts)
    local used = nonn.random_partition(p, { seed = 7, pool = "used" })
    assert.same(p.unused, used.unused)
    refused("pool must be", nonn.random_partition, p, { pool = "some" })
    refused("what partition returned", nonn.random_partition, 3)
  end)
end)

describe("nonn.objective", function()
  it("refuses a weight of the teacher outside 0 to 1", function()
    local net = ea.nn.wrn { depth = 10 }
    assert.error_matches(function() ea.nonn.objective(net, net, { { 1 } }, { alpha = 2 }) end,
      "alpha must be a number from 0 to 1, got 2", 1, true)
  end)
end)

describe("nonn.check", function()
  local d = { name = "some", classes = 4, shape = { 12, 12, 1 } }
  local function net(o) return ea.nn.wrn { depth = 10, classes = o.classes or 4,
    channels = o.channels or 1, widths = { 2, 2, 2, 6 } } end
  local function check(o)
    return ea.nonn.check(net(o), d, { students = o.students or 2,
      arch = o.arch or { depth = 10, channels = 1 } })
  end

  it("finds nothing where all fits, and leaves the teacher as it was", function()
    local teacher = net {}
    ea.nonn.check(teacher, d, { students = 6, arch = { depth = 10, channels = 1 } })
    assert.is_true(teacher.training)
    assert.is_false(teacher:eval().training)
    ea.nonn.check(teacher, d, {})
    assert.is_false(teacher.training)
  end)

  it("refuses before the training what could not be done after it", function()
    refused("the teacher knows 7 classes, some has 4", check, { classes = 7 })
    refused("conv0: conv2d: .*3", check, { channels = 3 })
    refused("7 students cannot share the teacher's 6 filters", check, { students = 7 })
    refused("a student cannot be built: wrn: depth must be 6n%+4", check, { arch = { depth = 11 } })
    refused("there is no option 'width'; did you mean `widths`", check, { arch = { width = 1 } })
  end)
end)

describe("nonn.activation_network", function()
  it("says when there is no split", function()
    assert.error_matches(function() ea.nonn.activation_network(ea.nn.wrn { depth = 10 }, nil) end,
      "expected a split of images", 1, true)
  end)
end)
