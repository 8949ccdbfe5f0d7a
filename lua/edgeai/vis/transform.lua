-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.transform - random changes of the images on their way to the network, so that what is
-- found does not hang on single pixels. Each image has its own, drawn for (seed, image, step).
--
--   jitter(d)             moved by up to d pixels both ways; whole ones, or { whole = false }
--   roll(d)               the same, what leaves at one side coming in at the other
--   scale(low, high)      enlarged by a factor between these
--   rotate(degrees)       turned by up to so many degrees
--   flip()                mirrored left to right, every second time
--   edge(mode)            what lies outside for those beside it: "reflect" (the mirror image, also
--                         without this), "border" (its pixels repeated), or a number: that grey
--   pad(w, mode)          w pixels more on every side, mode as for edge (a grey, 0.5)
--   crop_or_pad(h, w)     the middle h x w, with grey around it where that is larger; pad and this
--                         change the size; what follows brings the whole to the network's
--   noise(sd)             normal noise on every pixel
--   blur(most)            a 3 x 3 binomial blur, as a share drawn from 0 to most
--   colour(brightness, contrast)   x <- (x - 1/2) (1 + contrast u) + 1/2 + brightness v with u, v
--                         in [-1, 1]
--   background(sd)        {r, g, b, alpha} over a random picture, Fourier noise of deviation sd;
--                         the first one for images with alpha, where it is not in the list
--
-- A transform is { name, ... }; a list of them goes from left to right. Neighbours that move pixels
-- are joined to one resampling (bilinear; its adjoint is exact), and the last of them makes the
-- network's size. standard(size) are sets for small and for large networks. Transforms of the
-- user's own: extend.lua.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"
local text = require "edgeai.text"

local functions = ops.functions
local transform = {}
local geometry, others = {}, {}

-- ---- geometry ----------------------------------------------------------------------------------
-- Each is { numbers = how many uniform ones it draws, reach = by how many pixels it can look out of
-- a picture of that size, place(self, u, m): turns m, which maps places of its output to places of
-- the first input (from the middle: x' = a x + b y + c, y' = d x + e y + f), into the map of one
-- transform more }.

geometry.jitter = { numbers = 2, reach = function(t) return t.d end,
  place = function(t, u, m)
    local x, y = (2 * u[0] - 1) * t.d, (2 * u[1] - 1) * t.d
    if t.whole then
      x, y = math.floor(u[0] * (2 * t.d + 1)) - t.d, math.floor(u[1] * (2 * t.d + 1)) - t.d
    end
    m.c, m.f = m.c + m.a * x + m.b * y, m.f + m.d * x + m.e * y
  end }
geometry.roll = geometry.jitter

local function linear(m, p, q, r, s) -- m after (x, y) -> (p x + q y, r x + s y)
  m.a, m.b, m.d, m.e = m.a * p + m.b * r, m.a * q + m.b * s, m.d * p + m.e * r, m.d * q + m.e * s
end

geometry.scale = { numbers = 1,
  reach = function(t, size) return math.max(0, 1 / t.low - 1) * size / 2 end,
  place = function(t, u, m)
    local f = 1 / (t.low + (t.high - t.low) * u[0])
    linear(m, f, 0, 0, f)
  end }

geometry.rotate = { numbers = 1,
  reach = function(t, size) return math.sin(math.rad(math.min(t.degrees, 45))) * size / 2 end,
  place = function(t, u, m)
    local angle = math.rad((2 * u[0] - 1) * t.degrees)
    local c, s = math.cos(angle), math.sin(angle)
    linear(m, c, s, -s, c)
  end }

geometry.flip = { numbers = 1, reach = function() return 0 end,
  place = function(_, u, m) if u[0] < 0.5 then linear(m, -1, 0, 0, 1) end end }

geometry.edge = { numbers = 0, reach = function() return 0 end, place = function() end }

--- How a run of neighbours treats what lies outside: "wrap", "reflect", "border" or a number.
local function edge_of(t)
  if t.name == "roll" then return "wrap" end
  if t.name == "edge" then return t.mode end
end

--- x with p more pixels on each side.
local function padded(x, p, edge)
  if p == 0 or edge == "border" then return x end
  local h, w = x:size(2), x:size(3)
  if edge == "wrap" then
    p = math.min(p, h, w)
    x = functions.concat({ x:narrow(2, h - p + 1, p), x, x:narrow(2, 1, p) }, { axis = 2 })
    return functions.concat({ x:narrow(3, w - p + 1, p), x, x:narrow(3, 1, p) }, { axis = 3 })
  end
  local all = { top = p, bottom = p, left = p, right = p }
  if edge == "reflect" then
    p = math.min(p, h - 1, w - 1)
    all = { top = p, bottom = p, left = p, right = p, mode = 1 }
  else
    all.value = edge
  end
  return functions.pad2d(x, all)
end

--- Fills image k's part of a grid (ea.warp) for the map m of places.
local function fill_grid(p, k, h, w, m, size)
  local at = k * h * w * 2
  local fx, fy = 2 / size.w, 2 / size.h
  for i = 0, h - 1 do
    local y = i - (h - 1) / 2
    for j = 0, w - 1 do
      local x = j - (w - 1) / 2
      p[at] = (m.a * x + m.b * y + m.c) * fx
      p[at + 1] = (m.d * x + m.e * y + m.f) * fy
      at = at + 2
    end
  end
end

--- Resamples x through a run of transforms to h x w.
local function resample(T, x, run, edge, h, w, name)
  local from_h, from_w = x:size(2), x:size(3)
  local reach, numbers = 0, 0
  for _, t in ipairs(run) do
    local g = geometry[t.name]
    reach = reach + g.reach(t, math.max(from_h, from_w))
    numbers = numbers + g.numbers
  end
  x = padded(x, math.ceil(reach) + 1, edge)
  local size = { h = x:size(2), w = x:size(3) }
  local zoom_y, zoom_x = from_h / h, from_w / w
  local grid = T:slot({ T.n, h, w, 2 }, function(t, _, step)
    local p = F.data(t)
    for k = 1, T.n do
      local m = { a = 1, b = 0, c = 0, d = 0, e = 1, f = 0 }
      if numbers > 0 then
        local stream = random.rng(name,
          { seed = T.seed, index = T.index(T.ids[k] + T.first - 1, step) })
        local drawn = stream:uniform({ numbers }, 0, 1, "f64")
        local u = F.data(drawn)
        for _, one in ipairs(run) do
          local g = geometry[one.name]
          g.place(one, u, m)
          u = u + g.numbers
        end
        drawn:drop()
      end
      linear(m, zoom_x, 0, 0, zoom_y)
      fill_grid(p, k - 1, h, w, m, size)
    end
  end, numbers > 0)
  return functions.warp(x, grid, { padding = 1 })
end

-- ---- what does not move pixels -----------------------------------------------------------------

others.pad = function(_, t, x)
  if t.mode ~= "border" then return padded(x, t.w, t.mode) end
  local all = { top = t.w, bottom = t.w, left = t.w, right = t.w, mode = 2 }
  return functions.pad2d(x, all)
end

others.crop_or_pad = function(_, t, x)
  for axis = 2, 3 do
    local n, to = x:size(axis), axis == 2 and t.h or t.w
    local before = math.floor(math.abs(to - n) / 2)
    if n > to then
      x = x:narrow(axis, before + 1, to)
    elseif n < to then
      local sides = axis == 2 and { top = before, bottom = to - n - before }
        or { left = before, right = to - n - before }
      sides.value = 0.5
      x = functions.pad2d(x, sides)
    end
  end
  return x
end

others.noise = function(T, t, x, name)
  return x + T:draws(name, "normal", { x:size(2), x:size(3), x:size(4) }, 0, t.sd)
end

others.blur = function(T, t, x, name)
  local c = x:size(4)
  local kernel = tensor.empty({ c, 1, 3, 3 }, T.dtype)
  for i = 1, 3 do
    for j = 1, 3 do kernel:narrow(3, i, 1):narrow(4, j, 1):fill(2 ^ (4 - i % 2 - j % 2) / 16) end
  end
  local soft = functions.conv2d(functions.pad2d(x, { top = 1, bottom = 1, left = 1, right = 1,
    mode = 2 }), kernel, { groups = c })
  return x + (soft - x) * T:draws(name, "uniform", { 1, 1, 1 }, 0, t.most)
end

others.colour = function(T, t, x, name)
  local u = T:draws(name .. "/contrast", "uniform", { 1, 1, 1 }, 1 - t.contrast, 1 + t.contrast)
  local v = T:draws(name .. "/brightness", "uniform", { 1, 1, 1 }, -t.brightness, t.brightness)
  return (x - 0.5) * u + 0.5 + v
end

others.background = function(T, t, x, name)
  local c = x:size(4)
  if c < 2 then F.raise("transform.background: the images have no alpha; use alpha = true") end
  local fourier = require "edgeai.vis.param.fourier"
  local colour = require "edgeai.vis.colour"
  local h, w, m = x:size(2), x:size(3), fourier.columns(x:size(3))
  local rows, scale = fourier.scale(h, w, t.decay), tensor.empty({ m, 2, h }, T.dtype)
  for k = 1, m do
    for i = 1, h do scale:narrow(1, k, 1):narrow(3, i, 1):fill(rows[i][k]) end
  end
  local spectrum = T:draws(name, "normal", { c - 1, m, 2, h }, 0, t.sd)
  local behind = fourier.inverse(spectrum * scale, fourier.basis(h, w, 0.25, T.dtype))
  behind = colour.decode(behind, c == 4 and colour.lucid or nil, "sigmoid")
  local rgb, alpha = x:narrow(4, 1, c - 1), x:narrow(4, c, 1)
  return behind + (rgb - behind) * alpha
end

-- ---- constructors ------------------------------------------------------------------------------

local function number(name, value, what, least)
  if type(value) ~= "number" or not (value >= least) then
    F.raise("transform.%s: expected %s of at least %g, got %s", name, what, least, tostring(value))
  end
  return value
end

--- See the top of this file.
function transform.jitter(d, options)
  local o = F.options(options, { whole = true }, "transform.jitter")
  return { name = "jitter", d = number("jitter", d, "pixels", 0), whole = o.whole }
end
--- See the top of this file.
function transform.roll(d)
  return { name = "roll", d = number("roll", d, "pixels", 0), whole = true }
end
--- See the top of this file.
function transform.scale(low, high)
  number("scale", low, "a factor", 1e-3)
  return { name = "scale", low = low, high = number("scale", high or low, "a larger factor", low) }
end
--- See the top of this file.
function transform.rotate(degrees)
  return { name = "rotate", degrees = number("rotate", degrees, "degrees", 0) }
end
--- See the top of this file.
function transform.flip() return { name = "flip" } end
--- See the top of this file.
function transform.edge(mode)
  if mode ~= "reflect" and mode ~= "border" and type(mode) ~= "number" then
    F.raise("transform.edge: expected \"reflect\", \"border\" or a grey, got %s", tostring(mode))
  end
  return { name = "edge", mode = mode }
end
--- See the top of this file.
function transform.noise(sd)
  return { name = "noise", sd = number("noise", sd, "a deviation", 0) }
end
--- See the top of this file.
function transform.pad(w, mode)
  mode = transform.edge(mode or 0.5).mode
  return { name = "pad", w = number("pad", w, "pixels", 0), mode = mode }
end
--- See the top of this file.
function transform.crop_or_pad(h, w)
  return { name = "crop_or_pad", h = number("crop_or_pad", h, "a height", 1),
    w = number("crop_or_pad", w or h, "a width", 1) }
end
--- See the top of this file.
function transform.blur(most)
  return { name = "blur", most = number("blur", most or 1, "a share", 0) }
end
--- See the top of this file.
function transform.colour(brightness, contrast)
  return { name = "colour", brightness = number("colour", brightness, "brightness", 0),
    contrast = number("colour", contrast or 0, "contrast", 0) }
end
--- See the top of this file.
function transform.background(sd, decay)
  return { name = "background", sd = number("background", sd or 0.5, "a deviation", 0),
    decay = decay or 1 }
end

--- A set for networks of that input size (height, in pixels).
function transform.standard(size)
  if size <= 64 then
    return { transform.jitter(2), transform.scale(0.95, 1.1), transform.rotate(5) }
  end
  return { transform.jitter(8), transform.scale(0.9, 1.1), transform.rotate(10),
    transform.jitter(4) }
end

-- ---- the whole way -----------------------------------------------------------------------------

--- Is there a transform of that name?
function transform.known(name) return geometry[name] ~= nil or others[name] ~= nil end

--- Adds one: its constructor and apply(T, t, x, stream), where t is what the constructor gave.
function transform.add(name, make, apply) transform[name], others[name] = make, apply end

--- Takes one that was added away again.
function transform.remove(name) transform[name], others[name] = nil, nil end

local function names()
  local list = {}
  for _, t in ipairs { geometry, others } do
    for name in pairs(t) do list[name] = true end
  end
  return text.keys(list)
end

--- Raises unless `list` is one: a single transform would be taken for an empty list.
function transform.need_list(list, where)
  local is_list = type(list) == "table"
  for key in pairs(is_list and list or {}) do is_list = is_list and type(key) == "number" end
  if not is_list then
    F.raise("%s: transforms must be a list, as in { ea.vis.transform.jitter(2) }, {} for none; got "
      .. "%s", where, type(list) == "table" and "one transform" or "a " .. type(list))
  end
end

local function check(list)
  for i, t in ipairs(list) do
    local name = type(t) == "table" and t.name
    if not name or not transform.known(name) then
      F.raise("transforms: item %d must be one of ea.vis.transform.%s, got %s", i,
        text.list(names(), "or"), type(t) ~= "table" and "a " .. type(t)
        or t.lucid and "one of ea.vis.lucid, which go with lucid = true" or tostring(name))
    end
  end
end

--- x {n, h, w, c} through a list of transforms to {n, size[1], size[2], c}.
function transform.apply(T, x, list, size)
  check(list)
  local i, count = 1, 0
  while i <= #list do
    local t = list[i]
    count = count + 1
    local name = ("vis/transform/%d"):format(count)
    if others[t.name] then
      x = others[t.name](T, t, x, name)
      i = i + 1
    else
      local run, edge = {}, nil
      while list[i] and geometry[list[i].name] do
        local own = edge_of(list[i])
        if own and edge and own ~= edge then break end
        edge = edge or own
        run[#run + 1] = list[i]
        i = i + 1
      end
      x = resample(T, x, run, edge or "reflect", size[1], size[2], name)
    end
  end
  if x:size(2) ~= size[1] or x:size(3) ~= size[2] then
    x = functions.resize(x, { height = size[1], width = size[2] })
  end
  return x
end

--- A wrong name suggests the nearest; plugins are asked first.
return setmetatable(transform, { __index = function(_, name)
  if type(name) ~= "string" then return nil end
  require("edgeai.plugin").offer(name)
  if rawget(transform, name) then return rawget(transform, name) end
  F.raise("there is no transform '%s'%s", name, text.suggest(name, names()))
end })
