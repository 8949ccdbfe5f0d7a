-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.dream.pixels - the slow engine of ea.dream.synthesise, the paper's: every image is
-- optimised by itself through ea.vis.render (Fourier parameters, Adam, small random shifts,
-- scalings, rotations and mirrorings), so that this becomes large:
--   - target |a - t|^2 / |t|^2 - tv * variation / (h w c) + ce * log p(label) - bn * statistics
-- a: the teacher's pooled activation, t: its target, |t|^2 the mean square of the metadata's
-- centroids; variation: the sum of the steps between neighbours; statistics: as in statistics.lua,
-- over the part. Without bn an image depends on the seed and its number alone, not on the size of
-- the parts nor on how many are made at a time.
-- The spectra are scaled by frequency^-1.5. Lucid's ^-1 makes, in the tens of steps that tens of
-- thousands of images leave time for, images of a third of a photograph's contrast, and rougher for
-- it: what a student learns from them is of little use on photographs.
-- An image that no gradient reaches, or that ends as one colour, is kept and named, so that a long
-- run is not lost to it; a part of nothing but such images stops it, with the reason.

local F = require "edgeai.ffi"
local grad = require "edgeai.grad"

local Pixels = {}
Pixels.__index = Pixels

--- The priors' names of the objectives.
local prior_of = { target = "target", total_variation = "tv", class_cross_entropy = "ce",
  bn_prior = "bn" }

local function goal_of(self, labels, targets)
  local o, objectives = self.opts, require("edgeai.vis").objectives
  local goal
  local function add(weight, make)
    if weight == 0 then return end
    local term = make() * weight
    goal = goal and goal + term or term
  end
  add(o.target / o.square, function() return objectives.target(o.layer, targets:tolist()) end)
  add(-o.tv / self.size, function() return objectives.total_variation() end)
  add(o.ce, function() return objectives.class_cross_entropy("output", labels:tolist()) end)
  add(o.bn, function() return objectives.bn_prior() end)
  return goal
end

--- Images of the part of number k: see Fast:batch_of. A third result: the numbers, in the part, of
-- those that are dead.
function Pixels:batch_of(k, labels, targets)
  local o, n, vis = self.opts, labels:size(1), require "edgeai.vis"
  local goal = goal_of(self, labels, targets)
  local result = vis.render(self.teacher, goal, { images = n, steps = o.steps,
    size = { o.shape[1], o.shape[2] }, channels = o.shape[3], mean = o.mean, std = o.std,
    seed = o.seed, first = (k - 1) * o.batch + 1, precision = o.precision, memory = o.memory,
    quiet = true, dead = "keep",
    optimizer = vis.optimizer.adam { lr = o.lr },
    param = vis.param.fourier { decay = 1.5 }, transforms = { vis.transform.jitter(o.shift),
      vis.transform.scale(0.95, 1.1), vis.transform.rotate(5), vis.transform.flip() } })
  if #result.dead == n then
    F.raise("dream: nothing improves any image of part %d: %s", k, result.reason)
  end
  if result.interrupted then
    F.raise("interrupted in part %d of the dreams; the same call goes on", k)
  end
  local terms, scale = { {}, {} }, { target = 1 / o.square, tv = -1 / self.size }
  for name, values in pairs(result.history) do
    local prior = prior_of[name:match("^[%w_]+")]
    if prior then
      for i, row in ipairs { 1, values:size(1) } do
        terms[i][prior] = values:select(1, row):mean():item() * -(scale[prior] or 1)
      end
    end
  end
  return grad.no_grad(function()
    return (result.images * 255 + 0.5):clamp(0, 255):to("u8")
  end), terms, result.dead
end

--- Nothing goes on from part to part.
function Pixels:state() return {}, {} end -- luacheck: no self
--- No counters are kept.
function Pixels:set_counters() end -- luacheck: no self
--- Nothing is held between parts.
function Pixels:free() end -- luacheck: no self

--- opts: as of fast.lua; of these shape, mean, std, batch, steps, lr, shift, layer, seed,
-- precision, target, square, tv, ce, bn; and memory (bytes, of as many images at a time;
-- ea.vis.render's).
return function(teacher, o)
  if o.bn == 0 and o.ce == 0 and o.target == 0 and o.tv == 0 then
    F.raise("dream: all priors are 0; give target, tv, ce or bn")
  end
  return setmetatable({ teacher = teacher, opts = o,
    size = o.shape[1] * o.shape[2] * o.shape[3] }, Pixels)
end
