-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.doctor.plain - convolution, product, batch norm and one_hot as their formulas read: loops
-- over f64 numbers that share nothing with the kernels. Each function takes f64 inputs, attributes
-- and the output's gradient g, and returns tensors by name, as edgeai.doctor.selftest names them.

local F = require "edgeai.ffi"
local tensor = require "edgeai.tensor"

local plain = {}

local function data_of(t) return F.data(t), t.shape end

local function zeros_like(t) return tensor.zeros(t.shape, "f64") end

--- y[n,i,j,o] = b[o] + sum over a, b, c of x[n, i s - p + a d, j s - p + b d, c] w[o,c,a,b]
function plain.conv2d(inputs, attrs, g)
  local x, xs = data_of(inputs[1])
  local w, ws = data_of(inputs[2])
  local stride, pad = attrs.stride or 1, attrs.pad or 0
  local groups, dilation = attrs.groups or 1, attrs.dilation or 1
  local h, wide, channels = xs[2], xs[3], xs[4]
  local out, cg, kh, kw = ws[1], ws[2], ws[3], ws[4]
  local y = tensor.zeros(g.shape, "f64")
  local dx, dw = zeros_like(inputs[1]), zeros_like(inputs[2])
  local yd, gd, dxd, dwd = F.data(y), F.data(g), F.data(dx), F.data(dw)
  local oh, ow = y.shape[2], y.shape[3]
  local function element(n, i, j, o)
    local at, sum = ((n * oh + i) * ow + j) * out + o, 0
    local first = math.floor(o / (out / groups)) * cg
    for a = 0, kh - 1 do
      for b = 0, kw - 1 do
        local row, column = i * stride - pad + a * dilation, j * stride - pad + b * dilation
        if row >= 0 and row < h and column >= 0 and column < wide then
          for c = 0, cg - 1 do
            local xi = ((n * h + row) * wide + column) * channels + first + c
            local wi = ((o * cg + c) * kh + a) * kw + b
            sum = sum + x[xi] * w[wi]
            dxd[xi] = dxd[xi] + gd[at] * w[wi]
            dwd[wi] = dwd[wi] + gd[at] * x[xi]
          end
        end
      end
    end
    yd[at] = sum
  end
  for n = 0, xs[1] - 1 do
    for i = 0, oh - 1 do
      for j = 0, ow - 1 do
        for o = 0, out - 1 do element(n, i, j, o) end
      end
    end
  end
  local made = { output = y, ["gradient of input 1"] = dx, ["gradient of input 2"] = dw }
  if inputs[3] then
    local b, db = F.data(inputs[3]), zeros_like(inputs[3])
    local dbd = F.data(db)
    for k = 0, y:numel() - 1 do
      yd[k] = yd[k] + b[k % out]
      dbd[k % out] = dbd[k % out] + gd[k]
    end
    made["gradient of input 3"] = db
  end
  return made
end

--- c = a b with da = g b', db = a' g
function plain.matmul(inputs, _, g)
  local a, as = data_of(inputs[1])
  local b, bs = data_of(inputs[2])
  local y, da, db = zeros_like(g), zeros_like(inputs[1]), zeros_like(inputs[2])
  local yd, gd, dad, dbd = F.data(y), F.data(g), F.data(da), F.data(db)
  local inner, columns = as[2], bs[2]
  for i = 0, as[1] - 1 do
    for k = 0, inner - 1 do
      for j = 0, columns - 1 do
        local ai, bi, yi = i * inner + k, k * columns + j, i * columns + j
        yd[yi] = yd[yi] + a[ai] * b[bi]
        dad[ai] = dad[ai] + gd[yi] * b[bi]
        dbd[bi] = dbd[bi] + gd[yi] * a[ai]
      end
    end
  end
  return { output = y, ["gradient of input 1"] = da, ["gradient of input 2"] = db }
end

--- y = (x - mean) / sqrt(var + eps) weight + bias, through a ReLU if asked for; in training mean
-- and var are the batch's, and the gradient goes through them (Ioffe & Szegedy 2015, section 3).
function plain.batch_norm(inputs, attrs, g)
  local x, weight, bias = F.data(inputs[1]), F.data(inputs[2]), F.data(inputs[3])
  local running_mean, running_var = F.data(inputs[4]), F.data(inputs[5])
  local channels, count = inputs[2]:numel(), inputs[1]:numel()
  local rows, eps, momentum = count / channels, attrs.eps or 1e-5, attrs.momentum or 0.1
  local y, dx = zeros_like(inputs[1]), zeros_like(inputs[1])
  local dw, db = zeros_like(inputs[2]), zeros_like(inputs[2])
  local yd, gd, dxd, dwd, dbd = F.data(y), F.data(g), F.data(dx), F.data(dw), F.data(db)
  for c = 0, channels - 1 do
    local mean, var = running_mean[c], running_var[c]
    if attrs.training then
      mean, var = 0, 0
      for k = c, count - 1, channels do mean = mean + x[k] / rows end
      for k = c, count - 1, channels do var = var + (x[k] - mean) ^ 2 / rows end
      running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean
      running_var[c] = (1 - momentum) * running_var[c] + momentum * var * rows / (rows - 1)
    end
    local scale = 1 / math.sqrt(var + eps)
    for k = c, count - 1, channels do
      yd[k] = (x[k] - mean) * scale * weight[c] + bias[c]
      if attrs.relu and yd[k] <= 0 then
        yd[k] = 0
      else
        dxd[k] = gd[k] -- for now what passes the ReLU
        dbd[c] = dbd[c] + gd[k]
        dwd[c] = dwd[c] + gd[k] * (x[k] - mean) * scale
      end
    end
    for k = c, count - 1, channels do
      local through = attrs.training
        and dbd[c] / rows + (x[k] - mean) * scale * dwd[c] / rows or 0
      dxd[k] = weight[c] * scale * (dxd[k] - through)
    end
  end
  return { output = y, ["gradient of input 1"] = dx, ["gradient of input 2"] = dw,
    ["gradient of input 3"] = db, ["input 4 afterwards"] = inputs[4],
    ["input 5 afterwards"] = inputs[5] }
end

--- y[i, k] = 1 where k = x[i], else 0
function plain.one_hot(inputs, attrs)
  local x, y = inputs[1], tensor.zeros({ inputs[1]:numel(), attrs.classes }, "f64")
  for i = 1, x:numel() do y:set(i, x:get(i), 1) end
  return { output = y }
end

return plain
