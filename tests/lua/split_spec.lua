-- SPDX-License-Identifier: GPL-3.0-or-later
-- Splits made of other splits or of tensors.

local stats = require "edgeai.data.stats"
local tiny = require "tiny"

local function refused(pattern, fn)
  local ok, message = pcall(fn)
  assert.is_false(ok)
  assert.is_truthy(message:find(pattern, 1, true), message)
  assert.is_truthy(message:find("split_spec.lua:%d+: "), message)
end

describe("splits made of others", function()
  it("part takes a share of every class, the same for the same seed", function()
    local split = tiny.split(40, 1)
    local part = split:part(0.2, { seed = 2 })
    assert.same({ 2, 2, 2, 2 }, part:class_counts())
    assert.equal(part.index:hash(), split:part(8, { seed = 2 }).index:hash())
    assert.same({ 1, 1, 1, 1 }, part:part(0.5):class_counts())
    refused("part must be a fraction below 1", function() return split:part(40) end)
  end)

  it("views are the images themselves, then copies augmented as the loader does", function()
    local split = tiny.split(12, 1)
    local views = split:views { views = 2, augment = { flip = true, crop_pad = 2 }, seed = 4 }
    assert.equal(24, views.count)
    assert.equal(split.images:hash(), views.images:narrow(1, 1, 12):clone():hash())
    assert.are_not.equal(split.images:hash(), views.images:narrow(1, 13, 12):clone():hash())
    local loader = split:loader { batch = 12, seed = 4, augment = { flip = true, crop_pad = 2 } }
    local x, y = loader:seek(2):next()
    local plain = views:loader { batch = 12 }
    local shown, label = plain:seek(1, 2):next()
    assert.is_true((x - shown):abs():max():item() < 0.01) -- to half a grey level
    assert.same(y:tolist(), label:tolist())
    loader:close()
    plain:close()
    refused("views: views must be a whole number", function() return split:views { views = 0 } end)
  end)

  it("given makes one of tensors, noise one of nothing", function()
    local set = { mean = { 0.4, 0.5 }, std = { 0.1, 0.2 }, shape = { 8, 8, 2 }, classes = 3 }
    local noise = ea.data.noise(set, 200, 7)
    local mean, std = stats.of(noise.images)
    for c = 1, 2 do
      assert.near(set.mean[c], mean[c], 0.005)
      assert.near(set.std[c], std[c], 0.005)
    end
    assert.equal(noise.images:hash(), ea.data.noise(set, 200, 7).images:hash())
    assert.equal(200, noise:class_counts()[1])
    local images = ea.zeros({ 4, 8, 8, 2 }, "u8")
    local given = ea.data.given(set, images, ea.tensor({ 1, 2, 3, 3 }, "i32"), "mine")
    assert.same({ 1, 1, 2 }, given:class_counts())
    refused("expected images {n, h, w, 2} u8", function()
      return ea.data.given(set, ea.zeros({ 4, 8, 8, 3 }, "u8"))
    end)
    refused("expected labels {4} i32", function()
      return ea.data.given(set, images, ea.zeros { 4 })
    end)
  end)
end)
