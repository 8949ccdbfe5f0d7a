-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.param.fourier - images as spectra, exactly as Lucid's fft_image.
--
-- Of an image h x w, with W = w for even, w + 1 for odd w, m = W/2 + 1, the spectrum's part
-- (ky, kx), ky = 0..h-1, kx = 0..m-1, is scale(ky, kx) (re + i im) with
--   scale = sqrt(w h) / max(f, 1 / max(w, h))^decay,   f = sqrt(fx^2 + fy^2),
-- fx, fy its frequencies in cycles per pixel (fx of odd w: those of the DFT of length w, its last
-- one again). The image is its inverse real DFT of width W over 4, the first w columns:
--   z(y, kx) = 1/h sum_ky S(ky, kx) e^(2 pi i ky y / h)
--   x(y, x)  = 1/W sum_kx c(kx) Re(z(y, kx) e^(2 pi i kx x / W)) / 4,  c = 1, 2, ..., 2, 1
-- Both sums are products with a small matrix.

local ops = require "edgeai.ops"
local tensor = require "edgeai.tensor"

local functions = ops.functions
local pi, cos, sin = math.pi, math.cos, math.sin

local fourier = {}

--- W and m of a width.
local function widths(w)
  local W = w % 2 == 0 and w or w + 1
  return W, W / 2 + 1
end
fourier.columns = function(w) return select(2, widths(w)) end

--- Frequencies of the parts of a DFT of length n, in cycles per sample.
local function fftfreq(n)
  local list = {}
  local positive = math.floor((n - 1) / 2)
  for k = 0, n - 1 do list[k + 1] = (k <= positive and k or k - n) / n end
  return list
end

--- scale(ky, kx): list of rows.
function fourier.scale(h, w, decay)
  local fy, fx = fftfreq(h), fftfreq(w)
  local _, m = widths(w)
  if w % 2 == 1 then fx[m] = fx[m] or fx[m - 1] end
  local least, rows = 1 / math.max(w, h), {}
  for i = 1, h do
    rows[i] = {}
    for k = 1, m do
      local f = math.sqrt(fy[i] ^ 2 + fx[k] ^ 2)
      rows[i][k] = math.sqrt(w * h) / math.max(f, least) ^ decay
    end
  end
  return rows
end

--- The matrices of the two sums, for spectra {..., m, 2 h} (real parts, then imaginary ones) and
-- {..., h, 2 m}: down {2h, 2h}, across {2m, w}; gain multiplies the image.
function fourier.basis(h, w, gain, dtype)
  local W, m = widths(w)
  local down, across = tensor.empty({ 2 * h, 2 * h }, "f64"), tensor.empty({ 2 * m, w }, "f64")
  for k = 0, h - 1 do
    for y = 0, h - 1 do
      local angle = 2 * pi * ((k * y) % h) / h
      local c, s = cos(angle) / h, sin(angle) / h
      down:set(k + 1, y + 1, c)
      down:set(k + 1, h + y + 1, s)
      down:set(h + k + 1, y + 1, -s)
      down:set(h + k + 1, h + y + 1, c)
    end
  end
  for k = 0, m - 1 do
    local weight = (k == 0 or k == m - 1) and gain / W or 2 * gain / W
    for x = 0, w - 1 do
      local angle = 2 * pi * ((k * x) % W) / W
      across:set(k + 1, x + 1, weight * cos(angle))
      across:set(m + k + 1, x + 1, -weight * sin(angle))
    end
  end
  return { down = down:to(dtype), across = across:to(dtype), h = h, w = w, m = m }
end

--- Images {n, h, w, c} of spectra {n, c, m, 2, h}.
function fourier.inverse(spectrum, basis)
  local c, h, w, m = spectrum:size(2), basis.h, basis.w, basis.m
  local z = functions.matmul(spectrum:reshape(-1, c * m, 2 * h), basis.down)
  z = z:reshape(-1, c, m, 2, h):permute(1, 2, 5, 4, 3):reshape(-1, c * h, 2 * m)
  local x = functions.matmul(z, basis.across)
  return x:reshape(-1, c, h, w):permute(1, 3, 4, 2)
end

--- The spectrum {c, m, 2, h} (f64) whose inverse with gain 1 is the image x {h, w, c}; odd widths
-- are filled up with the mean of the outer columns.
function fourier.forward(x)
  local h, w, c = x:size(1), x:size(2), x:size(3)
  local W, m = widths(w)
  x = x:to("f64")
  if W > w then
    local edge = (x:narrow(2, 1, 1) + x:narrow(2, w, 1)) * 0.5
    x = functions.concat({ x, edge }, { axis = 2 })
  end
  local right = tensor.empty({ W, 2 * m }, "f64") -- along x: sum x e^(-2 pi i kx x / W)
  for k = 0, m - 1 do
    for i = 0, W - 1 do
      local angle = 2 * pi * ((k * i) % W) / W
      right:set(i + 1, k + 1, cos(angle))
      right:set(i + 1, m + k + 1, -sin(angle))
    end
  end
  local left = tensor.empty({ 2 * h, 2 * h }, "f64")
  for k = 0, h - 1 do
    for y = 0, h - 1 do
      local angle = 2 * pi * ((k * y) % h) / h
      left:set(y + 1, k + 1, cos(angle))
      left:set(y + 1, h + k + 1, -sin(angle))
      left:set(h + y + 1, k + 1, sin(angle))
      left:set(h + y + 1, h + k + 1, cos(angle))
    end
  end
  local rows = x:permute(3, 1, 2):contiguous():reshape(c * h, W)
  local z = functions.matmul(rows, right):reshape(c, h, 2, m):permute(1, 4, 3, 2):contiguous()
  return functions.matmul(z:reshape(c * m, 2 * h), left):reshape(c, m, 2, h)
end

return fourier
