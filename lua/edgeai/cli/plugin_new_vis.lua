-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.cli.plugin_new_vis - the files of new plugins for ea.vis, by kind, as plugin_new.lua has
-- them: { init =, spec =, example = a line of Lua for the README }. NAME becomes the plugin's name.

local kinds = {}

kinds.objective = { example = 'print(ea.vis.objectives.NAME("layer1", 3))', init = [[
-- NAME - an objective: change it into what you need.

local ea = require "edgeai"

return {
  about = "a channel against the mean of all",
  objectives = {
    NAME = { -- ea.vis.objectives.NAME("group3", 5, { weight = 0.5 })
      help = "Mean of a channel, less `weight` times the mean of all channels.",
      arguments = { "layer", "channel" }, -- options that may come first, without a name
      options = {
        layer = ea.vis.needed,
        channel = ea.vis.needed,
        weight = { 1, "of the others", least = 0 },
      },
      -- The options with which its gradient is checked when it is loaded; layers have 4 channels.
      check = { layer = "L", channel = 2 },
      -- T(layer) gives activations {n, h, w, c}; the result is one number for each image, {n}.
      compute = function(T, o)
        local A = T(o.layer)
        return T:mean(A:narrow(4, o.channel, 1)) - T:mean(A) * o.weight
      end,
    },
  },
}
]], spec = [[
-- `edgeai plugin test NAME` runs this; `ea` is there.

describe("NAME", function()
  local A = ea.tensor { { { { 1, 3 }, { 3, 5 } } } } -- one image, 1 x 2 pixels, 2 channels

  local function value(...)
    return ea.vis.objectives.NAME(...):value(ea.vis.context { L = A }):tolist()
  end

  it("is a channel's mean against that of all", function()
    assert.same({ 4 - 3 }, value("L", 2))
    assert.same({ 2 - 1.5 }, value("L", 1, { weight = 0.5 }))
  end)

  it("makes pictures", function()
    local net = ea.nn.resnet { depth = 8 }
    net.mean, net.std = { 0.5, 0.5, 0.5 }, { 0.25, 0.25, 0.25 }
    local r = ea.vis.render(net, ea.vis.objectives.NAME("layer1", 3), { steps = 2, quiet = true })
    assert.same({ 1, 32, 32, 3 }, r.images.shape)
  end)

  it("refuses a negative weight", function()
    assert.has_error(function() ea.vis.objectives.NAME("L", 2, { weight = -1 }) end)
  end)
end)
]] }

kinds.transform = { example = "print(ea.vis.transform.NAME(0.2).most)", init = [[
-- NAME - a transform of images on their way to the network: change it into what you need.

return {
  about = "takes colours away, by chance",
  transforms = {
    NAME = { -- transforms = { ea.vis.transform.NAME(0.5) }
      help = "Goes a random part of the way to grey, for each image its own.",
      arguments = { "most" }, -- options that may come first, without a name
      options = { most = { 1, "how far at most, 1: all the way", least = 0, most = 1 } },
      -- Images x {n, h, w, c} in [0, 1] -> images; rng draws for each image, anew in every step.
      -- When it is loaded its gradient is checked, and that no image depends on the others.
      apply = function(_, x, o, rng)
        local grey = x:mean { axes = { 4 }, keep = true }
        return x + (grey - x) * rng:uniform({ 1, 1, 1 }, 0, o.most)
      end,
    },
  },
}
]], spec = [[
-- `edgeai plugin test NAME` runs this; `ea` is there.

describe("NAME", function()
  local net = ea.nn.sequential { ea.nn.identity {} }
  net.mean, net.std = { 0, 0, 0 }, { 1, 1, 1 }

  --- The first step's value of an objective on images that go through it.
  local function first(objective, most)
    local start = ea.tensor { { { 0.2, 0.5, 0.8 } } }
    local r = ea.vis.render(net, objective, { steps = 1, size = 1, input = 1, quiet = true,
      param = ea.vis.param.pixel { image = start }, transforms = { ea.vis.transform.NAME(most) } })
    return r.values[1]
  end

  it("keeps the mean and brings the colours nearer to it", function()
    local function red(T) return T:mean(T "0":narrow(4, 1, 1)) end
    assert.near(0.2, first(red, 0), 1e-5)
    assert.is_true(first(red, 1) > 0.2 and first(red, 1) < 0.5)
    assert.near(0.5, first(function(T) return T:mean(T "0") end, 1), 1e-5)
  end)

  it("refuses more than all", function()
    assert.has_error(function() ea.vis.transform.NAME(2) end)
  end)
end)
]] }

kinds.parameterisation = { example = "print(ea.vis.param.NAME { across = 4 })", init = [[
-- NAME - a parameterisation, what is optimised and how it becomes images: change it into what you
-- need.

local ea = require "edgeai"

return {
  about = "pictures that repeat, like tiles",
  parameterisations = {
    NAME = { -- param = ea.vis.param.NAME { across = 2 }
      help = "One small picture, repeated down and across.",
      options = { across = { 2, "tiles in each direction", type = "integer", least = 1 } },
      -- o.size {h, w} and o.channels say what images are wanted; what raw gives becomes colours.
      -- When it is loaded its gradient is checked, and that no image depends on the others.
      make = function(o)
        local h, w = math.ceil(o.size[1] / o.across), math.ceil(o.size[2] / o.across)
        return {
          leaves = { ea.vis.param.normal("tile", { h, w, o.channels }, o.sd) },
          raw = function(values) -- values.tile {n, h, w, c} -> {n, size, c}
            local row, all = {}, {}
            for k = 1, o.across do row[k] = values.tile end
            for k = 1, o.across do all[k] = ea.concat(row, { axis = 3 }) end
            local x = ea.concat(all, { axis = 2 })
            return x:narrow(2, 1, o.size[1]):narrow(3, 1, o.size[2])
          end,
        }
      end,
    },
  },
}
]], spec = [[
-- `edgeai plugin test NAME` runs this; `ea` is there.

describe("NAME", function()
  local net = ea.nn.sequential { ea.nn.identity {} }
  net.mean, net.std = { 0, 0, 0 }, { 1, 1, 1 }

  it("repeats one tile", function()
    local function goal(T) return T:mean(T "input":narrow(3, 1, 1)) end
    local x = ea.vis.render(net, goal, { steps = 5, size = 6, quiet = true, transforms = {},
      param = ea.vis.param.NAME { across = 3 } }).images
    for k = 0, 4, 2 do
      assert.same(x[{ 1, { 1, 2 }, { 1, 2 } }]:tolist(),
        x[{ 1, { k + 1, k + 2 }, { k + 1, k + 2 } }]:tolist())
    end
    assert.is_true(x:get(1, 1, 1, 1) > x:get(1, 1, 2, 1)) -- the first column is to be bright
  end)

  it("refuses no tiles at all", function()
    assert.has_error(function() ea.vis.param.NAME { across = 0 } end)
  end)
end)
]] }

return kinds
