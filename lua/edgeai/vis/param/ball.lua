-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.param.ball - differences d {n, h, w, c} kept small, each image's by itself:
--
--   ball { l2 = r } (d)     d / max(1, |d| / r): of length r at most
--   ball { linf = r } (d)   each number cut to -r .. r
--   ball { linf = r, sign = true } (d)   the same, and each step is the gradient's signs (Madry et
--                           al. 2017, arXiv 1706.06083): with optimizer.sgd all move equally far
--
-- Projected ascent: a step that would lead out of the ball loses its part that goes outwards, any
-- other goes as it would without the ball. (Lucid's unit balls have the values with r = 1; their
-- gradients stop the steps that lead back inside instead.)

local F = require "edgeai.ffi"
local grad = require "edgeai.grad"

local function row(x)
  local axes = {}
  for d = 2, x.ndim do axes[#axes + 1] = d end
  return { axes = axes, keep = true }
end

local kinds = {}

function kinds.l2(r)
  return { forward = function(ctx, d)
    ctx.d, ctx.length = d, d:square():sum(row(d)):sqrt()
    return d / (ctx.length / r):clamp { low = 1 }
  end, backward = function(ctx, g)
    local d = ctx.d
    local along = (d * g):sum(row(d)) -- g is minus the direction of ascent: below 0 is outwards
    local outwards = along:less(0):to(d.dtype) * (1 - ctx.length:less(r):to(d.dtype))
    return g - d * (along * outwards / ctx.length:square():clamp { low = 1e-30 })
  end }
end

function kinds.linf(r, sign)
  return { forward = function(ctx, d)
    ctx.d = d
    return d:clamp { low = -r, high = r }
  end, backward = function(ctx, g)
    local d = ctx.d
    local outwards = (d * g):less(0):to(d.dtype) * (1 - d:abs():less(r):to(d.dtype))
    g = g * (1 - outwards)
    return sign and g:greater(0):to(g.dtype) - g:less(0):to(g.dtype) or g
  end }
end

--- The function of d that keeps it in the ball { l2 = r } or { linf = r, sign = false }: see the
-- top of this file.
return function(within)
  local norm = within.l2 and "l2" or "linf"
  local radius, known = within[norm], { [norm] = true, sign = norm == "linf" }
  local right = type(radius) == "number" and radius > 0
    and (within.sign == nil or type(within.sign) == "boolean")
  for key in pairs(within) do right = right and known[key] end
  if not right then
    F.raise("param: within must be { l2 = radius } or { linf = radius }, a radius above 0; with "
      .. "linf also sign = true")
  end
  return grad.custom("ball_" .. norm, kinds[norm](radius, within.sign))
end
