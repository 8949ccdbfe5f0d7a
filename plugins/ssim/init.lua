-- SPDX-License-Identifier: GPL-3.0-or-later
-- ssim - structural similarity (Wang et al. 2004), as an op (ssim.c) and as an objective: images
-- that keep the look of a given picture while they answer to a network.

local ea = require "edgeai"

local function check(images)
  return function(random)
    return { random { 3, 9, 8, 2 }, random { images, 9, 8, 2 } }, { range = 4 }
  end
end

local function pictures(x) -- {h, w, c} or {n, h, w, c}, u8 or floats in [0, 1]
  if not ea.is_tensor(x) or x.ndim ~= 3 and x.ndim ~= 4 then
    error("ssim: expected a picture {h, w, c} or one for each image {n, h, w, c}", 0)
  end
  if x.dtype == "u8" then x = x:to("f32") / 255 end
  return x.ndim == 3 and x:reshape { 1, unpack(x.shape) } or x
end

return {
  about = "structural similarity of images, as a measure and as an objective",
  ops = {
    ssim = {
      help = "ssim(x, y, { window = 7, range = 1 }): how alike images {n, h, w, c} are, {n}, at\n"
        .. "most 1; y may be one for all. range: how far their values go.",
      check = { check(3), check(1) },
    },
  },
  objectives = {
    ssim = { -- ea.vis.objectives.ssim(picture)
      help = "How alike an image and a picture are in structure: 1 where they are the same.",
      arguments = { "to" },
      options = {
        to = ea.vis.needed,
        window = { 7, "side of the squares that are compared", type = "integer", least = 2 },
      },
      check = { to = ea.rng("ssim"):uniform({ 8, 8, 3 }, 0, 1, "f64") },
      images = function(o)
        return o.to.ndim == 4 and o.to:size(1) > 1 and o.to:size(1) or nil
      end,
      compute = function(T, o)
        return ea.ssim(T "input", T:rows(pictures(o.to)), { window = o.window })
      end,
    },
  },
}
