-- SPDX-License-Identifier: GPL-3.0-or-later
-- Cases of the products. The references are three nested loops.

--- op(a) op(b) of nested tables.
local function multiply(a, b, ta, tb)
  local m, k = ta and #a[1] or #a, ta and #a or #a[1]
  local n = tb and #b or #b[1]
  local c = {}
  for i = 1, m do
    c[i] = {}
    for j = 1, n do
      local sum = 0
      for l = 1, k do
        sum = sum + (ta and a[l][i] or a[i][l]) * (tb and b[j][l] or b[l][j])
      end
      c[i][j] = sum
    end
  end
  return c
end

return function(ea) -- luacheck: no unused args
  local cases = {}

  local function matmul(name, batch, m, k, n, ta, tb, small, shared)
    local function shape(rows, columns, transposed, one)
      local size = transposed and { columns, rows } or { rows, columns }
      if batch and not one then table.insert(size, 1, batch) end
      return size
    end
    cases[#cases + 1] = { op = "matmul", name = name, attrs = { ta = ta, tb = tb },
      grad = small and { 1, 2 } or {},
      inputs = function(dtype, rand)
        return { rand(shape(m, k, ta), dtype), rand(shape(k, n, tb, shared), dtype) }
      end,
      reference = function(x)
        local a, b = x[1]:tolist(), x[2]:tolist()
        if not batch then return multiply(a, b, ta, tb) end
        local c = {}
        for i = 1, batch do c[i] = multiply(a[i], shared and b or b[i], ta, tb) end
        return c
      end }
  end
  for _, t in ipairs { { false, false }, { true, false }, { false, true }, { true, true } } do
    local how = (t[1] and "a'" or "a") .. " " .. (t[2] and "b'" or "b")
    matmul(how, nil, 3, 4, 2, t[1], t[2], true)
    matmul("batch " .. how, 3, 2, 3, 4, t[1], t[2], true)
    matmul("batch, one second matrix " .. how, 3, 2, 3, 4, t[1], t[2], true, true)
    matmul("in pieces " .. how, nil, 150, 128, 130, t[1], t[2])
    matmul("in pieces, wide " .. how, nil, 33, 256, 300, t[1], t[2])
  end
  matmul("one by one", nil, 1, 1, 1, false, false, true)
  matmul("vector", nil, 1, 5, 3, false, false, true)

  local function linear(name, lead, inp, out, bias, small)
    cases[#cases + 1] = { op = "linear", name = name, grad = not small and {} or nil,
      inputs = function(dtype, rand)
        local size = { unpack(lead) }
        size[#size + 1] = inp
        local x = { rand(size, dtype), rand({ out, inp }, dtype) }
        if bias then x[3] = rand({ out }, dtype) end
        return x
      end,
      reference = function(x)
        local rows = 1
        for _, n in ipairs(lead) do rows = rows * n end
        local y = multiply(x[1]:reshape(rows, inp):tolist(), x[2]:tolist(), false, true)
        for r = 1, rows do
          for j = 1, out do y[r][j] = y[r][j] + (bias and x[3]:get(j) or 0) end
        end
        local size = { unpack(lead) }
        size[#size + 1] = out
        return ea.tensor(y, "f64"):reshape(size)
      end }
  end
  linear("without bias", { 4 }, 3, 2, false, true)
  linear("with bias", { 4 }, 3, 5, true, true)
  linear("one vector", {}, 3, 2, true, true)
  linear("images", { 2, 3, 2 }, 4, 3, true, true)
  linear("many outputs", { 2 }, 3, 70, true, true)
  linear("in pieces", { 300 }, 128, 40, true)
  return cases
end
