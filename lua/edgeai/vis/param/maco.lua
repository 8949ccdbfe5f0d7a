-- SPDX-License-Identifier: GPL-3.0-or-later
-- param.maco (Fel et al. 2023, arXiv 2306.06805): only phases p are optimised, magnitudes a are
-- those of natural images:
--   image = sigmoid(M s(irfft2(a e^(i s(p)))))
-- with s(v) = (v - mean) / (deviation + 1e-5) over all numbers of one image, M the colours'. From a
-- starting image: its phases, those of sigmoid^-1 of it, but for the magnitudes and s; p keeps
-- their mean and deviation instead of 0 and 1.
--
--   magnitude  {c, h, m} (m = w/2 + 1 rounded down), as ea.vis.magnitude(split) gives

local F = require "edgeai.ffi"
local fourier = require "edgeai.vis.param.fourier"
local ops = require "edgeai.ops"
local tensor = require "edgeai.tensor"

local functions = ops.functions
local maco = {}

--- Mean absolute value of the spectra of a data set's images (u8 counts as [0, 1]): {c, h, m}.
-- At most `count` (2000) of them are looked at.
function maco.magnitude(data, count)
  local images = F.is_tensor(data) and data or type(data) == "table" and data.images
  if not F.is_tensor(images) or images.ndim ~= 4 then
    F.raise("vis.magnitude: expected a split of a data set or images {n, h, w, c}")
  end
  local total
  local n = math.min(images:size(1), count or 2000)
  for k = 1, n do
    local x = images:select(1, k)
    x = x.dtype == "u8" and x:to("f64") / 255 or x:to("f64")
    local s = fourier.forward(x) -- {c, m, 2, h}
    local size = (s:narrow(3, 1, 1):square() + s:narrow(3, 2, 1):square()):sqrt()
    total = total and total + size or size
  end
  return (total / n):reshape(images:size(4), -1, images:size(2)):permute(1, 3, 2):contiguous()
    :to("f32")
end

--- Mean and deviation of each image's numbers {n, ...}, as {n, 1, ...}.
local function moments(x)
  local axes = {}
  for d = 2, x.ndim do axes[#axes + 1] = d end
  return x:mean { axes = axes, keep = true },
    functions.var(x, { axes = axes, correction = 0, keep = true }):sqrt()
end

--- (x - mean) / (deviation + 1e-5), image by image.
local function standardised(x)
  local mean, deviation = moments(x)
  return (x - mean) / (deviation + 1e-5)
end

--- Phases {c, m, 1, h} of the spectrum of x {h, w, c}.
local function phases(x)
  local s = fourier.forward(x) -- {c, m, 2, h}
  local list, re, im = {}, s:narrow(3, 1, 1):contiguous(), s:narrow(3, 2, 1):contiguous()
  local a, b = re:reshape(-1):tolist(), im:reshape(-1):tolist()
  for i = 1, #a do list[i] = math.atan2(b[i], a[i]) end
  return tensor.tensor(list, "f64"):reshape(re.shape)
end

local function register(param)
  param.register("maco", { magnitude = F.none }, function(o)
    local h, w, c = o.size[1], o.size[2], o.channels
    local m = fourier.columns(w)
    if not o.magnitude then
      F.raise("param.maco: magnitude must be given, as ea.vis.magnitude(split) makes it")
    end
    local a = F.need_tensor(o.magnitude, "param.maco: magnitude"):to("f64")
    if a.ndim ~= 3 or a:size(1) ~= c or a:size(2) ~= h or a:size(3) ~= m or w % 2 == 1 then
      F.raise("param.maco: for images of %d x %d x %d (of even width) the magnitude must be {%d, "
        .. "%d, %d}, got %s", h, w, c, c, h, m, F.describe(o.magnitude))
    end
    a = a:permute(1, 3, 2):contiguous():reshape(1, c, m, 1, h)
    local mean, deviation -- of the starting images' phases
    if o.start then
      local all = {}
      for k = 1, o.start:size(1) do
        all[k] = phases(o.start:select(1, k)):reshape { 1, c, m, 1, h }
      end
      mean, deviation = moments(functions.concat(all, { axis = 1 }))
    end
    return { leaves = { { name = "phase", size = { c, m, 1, h }, init = function(stream, _, dtype)
      return stream:uniform({ c, m, 1, h }, -math.pi, math.pi, dtype)
    end } }, raw = function(values, T)
      local p = standardised(values.phase)
      if mean then p = p * T:rows(deviation + 1e-5) + T:rows(mean) end
      local size = T:constant(a)
      local spectrum = functions.concat({ size * p:cos(), size * p:sin() }, { axis = 4 })
      return standardised(fourier.inverse(spectrum, fourier.basis(h, w, 1, T.dtype)))
    end, start = function(x) return { phase = phases(x) } end }
  end, { help = "Phases alone; magnitudes from a data set (ea.vis.magnitude)." })
end

return setmetatable(maco, { __call = function(_, param) register(param) end })
