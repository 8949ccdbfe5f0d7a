-- SPDX-License-Identifier: GPL-3.0-or-later
-- Cases of the losses. The references follow the formulas word by word, on nested tables.

local function log_softmax(row, temperature)
  local sum, out = 0, {}
  for j = 1, #row do sum = sum + math.exp(row[j] / temperature) end
  for j = 1, #row do out[j] = row[j] / temperature - math.log(sum) end
  return out
end

--- Mean over the rows of loss(i).
local function mean_rows(n, loss)
  local sum = 0
  for i = 1, n do sum = sum + loss(i) end
  return sum / n
end

local function flat(x) return x:reshape(x:numel()):tolist() end

return function(ea)
  local cases = {}
  local function add(case) cases[#cases + 1] = case end
  local function labels(n, classes)
    local list = {}
    for i = 1, n do list[i] = (i * i + 1) % classes + 1 end
    return ea.tensor(list, "i32")
  end

  for _, smoothing in ipairs { 0, 0.1, 1 } do
    for _, size in ipairs { { 1, 2 }, { 5, 4 }, { 40, 10 } } do
      local n, classes = size[1], size[2]
      add { op = "cross_entropy", name = ("%dx%d smoothing %g"):format(n, classes, smoothing),
        attrs = { smoothing = smoothing }, grad = { 1 },
        inputs = function(dtype, rand) return { rand(size, dtype), labels(n, classes) } end,
        reference = function(x)
          local z, label = x[1]:tolist(), x[2]:tolist()
          return mean_rows(n, function(i)
            local log_q, sum = log_softmax(z[i], 1), 0
            for j = 1, classes do
              local target = smoothing / classes + (j == label[i] and 1 - smoothing or 0)
              sum = sum - target * log_q[j]
            end
            return sum
          end)
        end }
    end
  end

  for _, size in ipairs { { 1, 3 }, { 6, 5 }, { 33, 4 } } do
    local name = table.concat(size, "x")
    add { op = "soft_cross_entropy", name = name,
      inputs = function(dtype, rand) return { rand(size, dtype), rand(size, dtype) } end,
      reference = function(x)
        local z, p = x[1]:tolist(), x[2]:tolist()
        return mean_rows(size[1], function(i)
          local log_q, sum = log_softmax(z[i], 1), 0
          for j = 1, size[2] do sum = sum - p[i][j] * log_q[j] end
          return sum
        end)
      end }
    for _, attrs in ipairs { {}, { temperature = 4 }, { temperature = 0.7, reduction = 1 } } do
      local temperature = attrs.temperature or 1
      add { op = "kl_div", attrs = attrs,
        name = ("%s T=%g reduction %d"):format(name, temperature, attrs.reduction or 0),
        inputs = function(dtype, rand) return { rand(size, dtype), rand(size, dtype) } end,
        reference = function(x)
          local s, t = x[1]:tolist(), x[2]:tolist()
          local mean = mean_rows(size[1], function(i)
            local log_q, log_p = log_softmax(s[i], temperature), log_softmax(t[i], temperature)
            local sum = 0
            for j = 1, size[2] do sum = sum + math.exp(log_p[j]) * (log_p[j] - log_q[j]) end
            return sum
          end)
          return attrs.reduction == 1 and mean / size[2] or mean
        end }
    end
  end

  for _, size in ipairs { { 1 }, { 3, 4 }, { 2, 3, 3, 2 }, { 5, 61, 57 } } do
    local small = #size ~= 3
    local function two(dtype, rand) return { rand(size, dtype), rand(size, dtype) } end
    local function mean_of(f)
      return function(x)
        local a, b = flat(x[1]), flat(x[2])
        return mean_rows(#a, function(i) return f(a[i] - b[i]) end)
      end
    end
    add { op = "mse", name = table.concat(size, "x"), inputs = two,
      grad = not small and {} or nil, reference = mean_of(function(d) return d * d end) }
    add { op = "l1_loss", name = table.concat(size, "x"), inputs = two,
      grad = not small and {} or nil, reference = mean_of(math.abs) }
  end

  -- ---- along an axis: every vector of the tensor seen as {outer, len, inner} ----

  local function vectors(shape, axis)
    local dim = axis > 0 and axis or #shape + 1 + axis
    local outer, inner = 1, 1
    for d, n in ipairs(shape) do
      if d < dim then outer = outer * n elseif d > dim then inner = inner * n end
    end
    local len, list = shape[dim], {}
    for o = 0, outer - 1 do
      for i = 1, inner do
        local places = {}
        for k = 0, len - 1 do places[k + 1] = (o * len + k) * inner + i end
        list[#list + 1] = places
      end
    end
    return list, dim
  end
  local function dot(a, b, places)
    local sum = 0
    for _, p in ipairs(places) do sum = sum + a[p] * b[p] end
    return sum
  end

  for _, case in ipairs { { { 4 }, 1 }, { { 3, 5 }, -1 }, { { 3, 5 }, 1 }, { { 2, 3, 4 }, 2 },
    { { 3, 150 }, 2 }, { { 2, 3, 70 }, 2 }, { { 2, 3 }, -1, 1.5 }, { { 2, 3, 2 }, 2, 100 } } do
    local shape, axis, eps = unpack(case)
    local name = ("%s axis %d%s"):format(table.concat(shape, "x"), axis,
      eps and " eps " .. eps or "")
    add { op = "l2_normalize", name = name, attrs = { axis = axis, eps = eps },
      inputs = function(dtype, rand) return { rand(shape, dtype) } end,
      reference = function(x)
        local a, y = flat(x[1]), {}
        for _, places in ipairs((vectors(shape, axis))) do
          local norm = math.max(math.sqrt(dot(a, a, places)), eps or 1e-12)
          for _, p in ipairs(places) do y[p] = a[p] / norm end
        end
        return ea.tensor(y, "f64"):reshape(shape)
      end }
    add { op = "cosine_similarity", name = name, attrs = { axis = axis, eps = eps },
      inputs = function(dtype, rand) return { rand(shape, dtype), rand(shape, dtype) } end,
      reference = function(x)
        local a, b, c = flat(x[1]), flat(x[2]), {}
        local list, dim = vectors(shape, axis)
        for k, places in ipairs(list) do
          c[k] = dot(a, b, places) / (math.max(math.sqrt(dot(a, a, places)), eps or 1e-8) *
            math.max(math.sqrt(dot(b, b, places)), eps or 1e-8))
        end
        local size = { unpack(shape) }
        table.remove(size, dim)
        if #size == 0 then return c[1] end
        return ea.tensor(c, "f64"):reshape(size)
      end }
  end
  return cases
end
