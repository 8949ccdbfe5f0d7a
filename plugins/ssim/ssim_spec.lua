-- SPDX-License-Identifier: GPL-3.0-or-later

teardown(function() ea.plugin.drop "ssim" end)

--- The formula for one channel, slowly.
local function slow(x, y, side)
  local h, w, sum, count = x:size(1), x:size(2), 0, 0
  for row = 1, h - side + 1 do
    for column = 1, w - side + 1 do
      local a = x:narrow(1, row, side):narrow(2, column, side):clone()
      local b = y:narrow(1, row, side):narrow(2, column, side):clone()
      local ma, mb = a:mean():item(), b:mean():item()
      local va, vb = (a - ma):square():mean():item(), (b - mb):square():mean():item()
      local s = ((a - ma) * (b - mb)):mean():item()
      sum = sum + (2 * ma * mb + 1e-4) * (2 * s + 9e-4)
        / ((ma ^ 2 + mb ^ 2 + 1e-4) * (va + vb + 9e-4))
      count = count + 1
    end
  end
  return sum / count
end

describe("ssim", function()
  local x = ea.rng("x"):uniform({ 2, 9, 11, 3 }, 0, 1, "f64")
  local y = (x + ea.rng("y"):normal({ 2, 9, 11, 3 }, 0, 0.2, "f64")):clamp { low = 0, high = 1 }

  it("is what the formula says, 1 for the same image", function()
    for _, side in ipairs { 2, 7, 9 } do
      local got = ea.ssim(x, y, { window = side })
      assert.same({ 2 }, got.shape)
      for k = 1, 2 do
        local want = 0
        for c = 1, 3 do
          want = want + slow(x[{ k, {}, {}, c }]:clone(), y[{ k, {}, {}, c }]:clone(), side) / 3
        end
        assert.near(want, got[k], 1e-12)
      end
    end
    assert.near(1, ea.ssim(x, x)[2], 1e-12)
    assert.near(ea.ssim(x, y)[1], ea.ssim(y, x)[1], 1e-12)
    local one = ea.ssim(x, y:narrow(1, 1, 1):clone())
    assert.near(ea.ssim(x, y)[1], one[1], 1e-12)
    assert.is_true(one[2] < 0.5)
  end)

  it("gives the same for any number of threads", function()
    local function run(threads)
      local before = ea.threads()
      ea.threads(threads)
      local a, b = x:clone():require_grad(), y:narrow(1, 1, 1):clone():require_grad()
      local v = ea.ssim(a, b)
      v:sum():backward()
      ea.threads(before)
      return v:detach():hash(), a.grad:hash(), b.grad:hash()
    end
    assert.same({ run(1) }, { run(3) })
  end)

  it("refuses what it cannot compare", function()
    for sentence, fn in pairs {
      ["must be of the first ones' size"] = function() ea.ssim(x, x:narrow(2, 1, 8):clone()) end,
      ["window must be from 2 to the images' size 9 x 11, got 10"] = function()
        ea.ssim(x, x, { window = 10 })
      end,
      ["range must be above 0"] = function() ea.ssim(x, x, { range = 0 }) end,
      ["expected a picture"] = function()
        ea.vis.objectives.ssim(ea.zeros { 3 }):value(ea.vis.context { input = x })
      end,
      ["'to' must be given"] = function() ea.vis.objectives.ssim() end,
    } do
      local ok, message = pcall(fn)
      assert.is_false(ok)
      assert.truthy(message:find(sentence, 1, true), message)
    end
  end)

  it("is an objective: images come back to a picture, alone as among others", function()
    local net = ea.nn.sequential { ea.nn.identity {} }
    net.mean, net.std = { 0, 0, 0 }, { 1, 1, 1 }
    local picture = x[1]:clone():to("f32")
    local o = { size = { 9, 11 }, images = 3, steps = 150, transforms = {}, quiet = true, seed = 2 }
    local goal = ea.vis.objectives.ssim(picture, { window = 5 })
    local all = ea.vis.render(net, goal, o)
    for k = 1, 3 do assert.is_true(all.values[k] > 0.8, tostring(all.values[k])) end
    o.batch = 1
    assert.equal(all.images:hash(), ea.vis.render(net, goal, o).images:hash())
  end)
end)
