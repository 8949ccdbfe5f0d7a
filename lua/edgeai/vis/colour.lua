-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.colour - from the numbers that are optimised to colours in [0, 1].
--
-- Natural images' colours go together; optimised numbers had better not. A matrix M joins them:
-- rgb = sigmoid(M t) at every pixel. Lucid's M, measured on ImageNet, is
-- [[.26 .09 .02] [.27 0 -.05] [.27 -.09 .03]] over its largest column norm.
--
--   colour.lucid, colour.of(split or images {n,h,w,c})   such matrices, as lists of rows

local F = require "edgeai.ffi"
local grad = require "edgeai.grad"
local ops = require "edgeai.ops"
local tensor = require "edgeai.tensor"

local functions = ops.functions
local colour = {}

--- M over the largest Euclidean norm of its columns.
local function normalised(M)
  local most = 0
  for j = 1, #M do
    local sum = 0
    for i = 1, #M do sum = sum + M[i][j] ^ 2 end
    most = math.max(most, math.sqrt(sum))
  end
  local out = {}
  for i = 1, #M do
    out[i] = {}
    for j = 1, #M do out[i][j] = M[i][j] / most end
  end
  return out
end

colour.lucid = normalised { { 0.26, 0.09, 0.02 }, { 0.27, 0, -0.05 }, { 0.27, -0.09, 0.03 } }

--- The matrix of a data set (its u8 images, or floats in [0, 1]): with the covariance of its pixels
-- C = U L U', M = U sqrt(L) over its largest column norm. The largest 10,000 images are enough.
function colour.of(data)
  local images = F.is_tensor(data) and data or type(data) == "table" and data.images
  if not F.is_tensor(images) or images.ndim ~= 4 then
    F.raise("colour.of: expected a split of a data set or images {n, h, w, c}, got %s",
      F.is_tensor(images) and F.describe(images) or "a " .. type(data))
  end
  local n, c = math.min(images:size(1), 10000), images:size(4)
  local x = images:narrow(1, 1, n):to("f64"):reshape(-1, c)
  x = x - x:mean({ axes = { 1 }, keep = true })
  local values, vectors = require("edgeai").eigh(functions.matmul(x, x, { ta = true }) / x:size(1))
  local M = {}
  for i = 1, c do
    M[i] = {}
    for j = 1, c do -- the strongest direction first
      local k = c + 1 - j
      M[i][j] = vectors:get(i, k) * math.sqrt(math.max(values[k], 1e-12))
    end
  end
  return normalised(M)
end

--- The matrix that an option `colour` means for c channels of colour; nil for none.
function colour.matrix(option, c)
  if option == false or option == "none" then return nil end
  if option == "lucid" then return c == 3 and colour.lucid or nil end
  if type(option) == "table" and #option == c and #(option[1]) == c then return option end
  F.raise("colour must be \"lucid\", false, or a matrix of %d x %d, as ea.vis.colour(split) gives, "
    .. "got %s", c, c, type(option) == "table" and "another table" or tostring(option))
end

--- M with a one behind its diagonal for alpha, transposed, as a tensor.
local function transposed(M, c, dtype)
  local t = tensor.eye(c, dtype)
  for i = 1, #M do
    for j = 1, #M do t:set(j, i, M[i][j]) end
  end
  return t
end

--- t {n, h, w, c} as colours. options: matrix (or nil) for the first #matrix channels, squash:
-- "sigmoid", or "clip": t, with Lucid's mean colour added where there is a matrix, clipped to
-- [0, 1]; its gradient passes everywhere, so that what was cut off can come back.
function colour.decode(t, matrix, squash)
  local n, h, w, c = -1, t:size(2), t:size(3), t:size(4)
  if matrix then
    local pixels = t:reshape(n, h * w, c)
    t = functions.matmul(pixels, transposed(matrix, c, t.dtype)):reshape(n, h, w, c)
  end
  if squash == "sigmoid" then return t:sigmoid() end
  if matrix and c == 3 then t = t + tensor.tensor({ 0.48, 0.46, 0.41 }, t.dtype) end
  return t + grad.no_grad(function() return t:clamp { low = 0, high = 1 } - t end)
end

--- What decodes to the colours x {..., c}; 0 and 1 count as 1e-3 and 1 - 1e-3.
function colour.encode(x, matrix, squash)
  local size = x.shape
  local c = size[#size]
  local t = x:to("f64"):reshape(-1, c)
  if squash == "sigmoid" then
    t = t:clamp { low = 1e-3, high = 1 - 1e-3 }
    t = t:log() - (1 - t):log()
  elseif matrix and c == 3 then
    t = t - tensor.tensor({ 0.48, 0.46, 0.41 }, "f64")
  end
  if matrix then
    local u, s, vt = require("edgeai").svd(transposed(matrix, c, "f64")) -- t M' = x: x V S^-1 U'
    t = functions.matmul(t, vt, { tb = true }) / s
    t = functions.matmul(t, u, { tb = true })
  end
  return t:reshape(size)
end

return colour
