-- SPDX-License-Identifier: GPL-3.0-or-later
-- param.lowres, param.laplacian: small pictures, enlarged by TensorFlow's old bilinear rule, as
-- Lucid's lowres_tensor and laplacian_pyramid_image: place i of n' reads place i n / n' of n,
-- between its neighbours, the last one repeated. `offset` (pixels; true: half of one of the small
-- ones) repeats that many of the first, mirrored, and drops them at the end.

local F = require "edgeai.ffi"
local ops = require "edgeai.ops"
local tensor = require "edgeai.tensor"

local functions = ops.functions
local lowres = {}

--- The matrix {n, out} of that rule along one axis.
function lowres.matrix(n, out, offset, dtype)
  local m = tensor.zeros({ n, out }, dtype)
  for i = 0, out - 1 do
    local j = i - offset
    if j < 0 then j = -j - 1 end -- mirrored at the edge, which is repeated
    local place = j * n / out
    local low = math.min(math.floor(place), n - 1)
    local high, part = math.min(low + 1, n - 1), place - math.floor(place)
    m:set(low + 1, i + 1, m:get(low + 1, i + 1) + 1 - part)
    m:set(high + 1, i + 1, m:get(high + 1, i + 1) + part)
  end
  return m
end

--- x {n, h, w, c} enlarged to {n, size[1], size[2], c}.
function lowres.enlarge(x, size, offset, dtype)
  local h, w, c = x:size(2), x:size(3), x:size(4)
  local down = lowres.matrix(h, size[1], offset, dtype)
  x = functions.matmul(x:reshape(-1, h, w * c), down, { ta = true }) -- {n, w c, h'}
  x = x:reshape(-1, w, c, size[1]):permute(1, 4, 3, 2):reshape(-1, size[1] * c, w)
  local across = lowres.matrix(w, size[2], offset, dtype)
  return functions.matmul(x, across):reshape(-1, size[1], c, size[2]):permute(1, 2, 4, 3)
end

local function small_size(o, factor)
  local function part(n) return math.max(1, math.floor(n / factor)) end
  return { part(o.size[1]), part(o.size[2]) }
end

--- The matrix {n, out} that makes of `out` pixels the n whose enlargement is nearest to them.
local function nearest(n, out, offset)
  local m = lowres.matrix(n, out, offset, "f64")
  local u, s, vt = require("edgeai").svd(m)
  return functions.matmul(u / s:clamp { low = 1e-9 }, vt)
end

local function make_lowres(o, param)
  local small = small_size(o, o.factor)
  local offset = o.offset == true and math.floor(o.factor / 2) or o.offset
  local images = o.images
  if images ~= nil and images ~= 1 and images ~= 2 then
    F.raise("param.lowres: images must be 1 or 2 (shared by all), got %s", tostring(images))
  end
  local leaf = param.normal("small", { small[1], small[2], o.channels }, o.sd)
  leaf.shared = images
  return { leaves = { leaf }, coupled = images ~= nil, raw = function(values, T)
    local x = values.small
    if images == 2 then -- image k lies between the two as Lucid enlarges the batch's axis
      local N = T.total
      local part = tensor.empty({ N, 1, 1, 1 }, T.dtype)
      for k = 0, N - 1 do part:set(k + 1, 1, 1, 1, math.min(1, k * 2 / N)) end
      local p = T:rows(part)
      x = x:narrow(1, 1, 1) * (p * -1 + 1) + x:narrow(1, 2, 1) * p
    elseif images == 1 then
      x = x:expand(T.n, small[1], small[2], o.channels)
    end
    return lowres.enlarge(x, o.size, offset, T.dtype)
  end, start = function(x) -- the nearest that so few pixels can be
    local down, across = nearest(small[1], o.size[1], offset), nearest(small[2], o.size[2], offset)
    local h, w, c = o.size[1], o.size[2], o.channels
    local rows = functions.matmul(down, x:reshape(h, w * c)):reshape(small[1], w, c)
    local columns = rows:permute(1, 3, 2):contiguous():reshape(small[1] * c, w)
    return { small = functions.matmul(columns, across, { tb = true })
      :reshape(small[1], c, small[2]):permute(1, 3, 2):contiguous() }
  end }
end

local function make_laplacian(o, param)
  local leaves = {}
  for k = 1, o.levels do
    local small = small_size(o, 2 ^ (k - 1))
    leaves[k] = param.normal("level" .. k, { small[1], small[2], o.channels }, o.sd)
  end
  return { leaves = leaves, raw = function(values, T)
    local total
    for k = 1, o.levels do
      local x = lowres.enlarge(values["level" .. k], o.size, 0, T.dtype)
      total = total and total + x or x
    end
    return total
  end, start = function(x) -- the largest has it all
    local values = { level1 = x }
    for k = 2, o.levels do values["level" .. k] = tensor.zeros(leaves[k].size, "f64") end
    return values
  end }
end

return setmetatable(lowres, { __call = function(_, param)
  param.register("lowres", { factor = 4, images = F.none, offset = 0 },
    function(o) return make_lowres(o, param) end, { help = "Small pictures, enlarged." })
  param.register("laplacian", { levels = 4 }, function(o) return make_laplacian(o, param) end,
    { help = "A sum of pictures of half the size, a quarter, and so on, enlarged." })
end })
