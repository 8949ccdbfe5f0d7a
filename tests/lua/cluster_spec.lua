-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.kmeans, ea.pca and ea.tsne against slow formulas and made data.

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

--- `groups` clouds of `count` points {d} each, far apart.
local function clouds(groups, count, d)
  local stream = ea.rng("clouds", { seed = 4 })
  local x = stream:normal({ groups * count, d }, 0, 0.2)
  for g = 1, groups do
    local own = x:narrow(1, (g - 1) * count + 1, count):select(2, (g - 1) % d + 1)
    own:copy(own + 5)
  end
  return x
end

describe("ea.kmeans", function()
  it("finds clouds that are far apart, whatever their order", function()
    local found = ea.kmeans(clouds(4, 25, 6), 4, { seed = 3 })
    assert.same({ 25, 25, 25, 25 }, found.counts:tolist())
    for g = 0, 3 do
      for i = 2, 25 do
        assert.equal(found.assignment:get(g * 25 + 1), found.assignment:get(g * 25 + i))
      end
    end
  end)

  it("gives means of its members, nearest to them, and the sum of squared distances", function()
    local x = ea.rng("x", { seed = 1 }):normal({ 60, 3 }, 0, 1)
    local found = ea.kmeans(x, 7, { seed = 2, starts = 3 })
    local rows, centroids, inertia = x:to("f64"):tolist(), found.centroids:tolist(), 0
    local sums, counts = {}, {}
    for m = 1, 7 do sums[m], counts[m] = { 0, 0, 0 }, 0 end
    for i, row in ipairs(rows) do
      local best, which = math.huge, nil
      for m, c in ipairs(centroids) do
        local far = (row[1] - c[1]) ^ 2 + (row[2] - c[2]) ^ 2 + (row[3] - c[3]) ^ 2
        if far < best then best, which = far, m end
      end
      assert.equal(which, found.assignment:get(i))
      inertia, counts[which] = inertia + best, counts[which] + 1
      for j = 1, 3 do sums[which][j] = sums[which][j] + row[j] end
    end
    assert.near(inertia, found.inertia, 1e-9)
    assert.same(counts, found.counts:tolist())
    for m = 1, 7 do
      for j = 1, 3 do assert.near(sums[m][j] / counts[m], centroids[m][j], 1e-12) end
      assert.is_true(m == 1 or counts[m] <= counts[m - 1])
    end
    local more = ea.kmeans(x, 7, { seed = 2, starts = 12 })
    assert.is_true(more.inertia <= found.inertia) -- the same starts, and others
    assert.equal(found.centroids:hash(),
      ea.kmeans(x, 7, { seed = 2, starts = 3 }).centroids:hash())
  end)

  it("leaves no cluster empty while rows differ, and survives equal ones", function()
    local x = ea.zeros { 12, 2 }
    for i = 1, 4 do x:set(i, 1, 10 * i) end
    local found = ea.kmeans(x, 5, { seed = 1, starts = 1 })
    assert.same({ 8, 1, 1, 1, 1 }, found.counts:tolist())
    assert.near(0, found.inertia, 1e-20)
    assert.same({ 12, 0, 0 }, ea.kmeans(ea.ones { 12, 2 }, 3).counts:tolist())
    assert.same({ 1, 1, 1 }, ea.kmeans(clouds(3, 1, 3), 3).counts:tolist())
  end)

  it("refuses what has no clusters", function()
    local x = ea.zeros { 3, 2 }
    fails(function() ea.kmeans(x, 4) end, "a whole number from 1 to the 3 rows, got 4")
    fails(function() ea.kmeans(ea.zeros { 3 }, 1) end, "kmeans: expected rows {n, d}")
    fails(function() ea.kmeans(x, 1, { starts = 0 }) end, "kmeans: starts must be")
    x:set(1, 1, 0 / 0)
    fails(function() ea.kmeans(x, 1) end, "kmeans: 1 of the values are NaN or infinite")
  end)
end)

describe("ea.pca", function()
  it("has orthogonal directions that carry the variance, by either way", function()
    for _, n in ipairs { 40, 4 } do -- more and fewer rows than columns
      local x = ea.rng("pca", { seed = 1 }):normal({ n, 6 }, 0, 1, "f64")
        * ea.tensor({ 3, 1, 1, 0.5, 2, 0.1 }, "f64") + 1
      local k = math.min(n - 1, 6)
      local found = ea.pca(x, { components = 6 })
      assert.same({ k, 6 }, found.components.shape)
      local eye = found.components:matmul(found.components, { tb = true })
      assert.near(0, (eye - ea.eye(k, "f64")):abs():max():item(), 1e-9)
      local along, total = found:project(x), 0
      for j = 1, k do
        local v = along:select(2, j):var():item()
        assert.near(found.variances:get(j), v, 1e-9)
        assert.is_true(j == 1 or v <= found.variances:get(j - 1) + 1e-12)
        total = total + v
      end
      assert.near(found.total, total, 1e-9) -- all directions that vary
      local back = along:matmul(found.components) + found.mean
      assert.near(0, (back - x):abs():max():item(), 1e-9)
    end
  end)

  it("leaves out directions without variance", function()
    local line = ea.tensor { { 1, 2 }, { 2, 4 }, { 3, 6 } }
    local found = ea.pca(line)
    assert.same({ 1, 2 }, found.components.shape)
    assert.near(2 / math.sqrt(5), found.components:get(1, 2), 1e-12)
    assert.same({ 0, 3 }, ea.pca(ea.ones { 1, 3 }).components.shape)
    fails(function() ea.pca(ea.ones { 3 }) end, "pca: expected rows {n, d}")
    fails(function() found:project(ea.ones { 2, 3 }) end, "project: expected rows {n, 2}")
  end)
end)

describe("ea.tsne", function()
  it("keeps clouds together and apart, the same each time", function()
    local x = clouds(3, 20, 5)
    local options = { perplexity = 8, iterations = 300 }
    local points, divergence = ea.tsne(x, options)
    assert.same({ 60, 2 }, points.shape)
    assert.is_true(divergence > 0 and divergence < 1)
    for i = 1, 60 do -- the nearest point is of the same cloud
      local best, which = math.huge, nil
      for j = 1, 60 do
        local far = (points:get(i, 1) - points:get(j, 1)) ^ 2
          + (points:get(i, 2) - points:get(j, 2)) ^ 2
        if j ~= i and far < best then best, which = far, j end
      end
      assert.equal(math.floor((i - 1) / 20), math.floor((which - 1) / 20))
    end
    assert.equal(points:hash(), (ea.tsne(x, options)):hash())
  end)

  it("refuses a perplexity that the points cannot have", function()
    fails(function() ea.tsne(ea.randn { 30, 4 }, { perplexity = 10 }) end,
      "tsne: perplexity must be at least 1 and below a third of the 30 points, got 10")
    fails(function() ea.tsne(ea.ones { 9, 2 }, { perplexity = 2 }) end, "all 9 rows are equal")
  end)
end)
