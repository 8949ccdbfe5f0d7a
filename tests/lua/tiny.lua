-- SPDX-License-Identifier: GPL-3.0-or-later
-- tiny.lua - for specs: generated pictures that a network of a few filters tells apart in seconds.

local new_split = require "edgeai.data.split"

local tiny = {}

-- Stripes across, stripes along, a chequered board, plain grey.
local textures = {
  function(i) return i % 4 < 2 and 160 or 96 end,
  function(_, j) return j % 4 < 2 and 160 or 96 end,
  function(i, j) return (i % 4 < 2) ~= (j % 4 < 2) and 160 or 96 end,
  function() return 128 end,
}

--- A split of `count` pictures {side, side, 1} in 4 classes, shifted and noisy; `seed` says which.
function tiny.split(count, seed, side)
  side = side or 12
  local random = ea.rng("tiny", { seed = seed })
  local noise = random:normal({ count, side, side }, 0, 30)
  local shift = random:uniform({ count, 2 }, 0, 4)
  local images, labels = ea.empty({ count, side, side, 1 }, "u8"), ea.empty({ count }, "i32")
  local F = require "edgeai.ffi"
  local to, from, label, offset = F.data(images), F.data(noise), F.data(labels), F.data(shift)
  for n = 0, count - 1 do
    label[n] = n % 4 + 1
    for i = 0, side - 1 do
      for j = 0, side - 1 do
        local at = (n * side + i) * side + j
        local v = textures[label[n]](math.floor(i + offset[2 * n]),
          math.floor(j + offset[2 * n + 1])) + from[at]
        to[at] = math.max(0, math.min(255, v))
      end
    end
  end
  return new_split({ name = "tiny", mean = { 0.5 }, std = { 0.25 }, classes = 4,
    names = { "across", "along", "chequered", "plain" } }, "train", images, labels)
end

local function idx(path, dims, bytes)
  local head = { string.char(0, 0, 8, #dims) }
  for _, n in ipairs(dims) do
    head[#head + 1] = string.char(0, 0, math.floor(n / 256), n % 256)
  end
  require("program").write(path, table.concat(head) .. bytes)
end

--- Files in the place of Fashion-MNIST, for EDGEAI_DATA=root: 300 + 60 pictures, class k is grey of
-- 20 k and noise.
function tiny.fashion_mnist(root)
  local F = require "edgeai.ffi"
  F.check(F.C.ea_make_folder(root .. "/fashion-mnist"))
  local stream = ea.rng("readme", { seed = 1 })
  for part, n in pairs { train = 300, t10k = 60 } do
    local grey, labels = {}, {}
    for i = 1, n do
      labels[i] = string.char(i % 10)
      grey[i] = 20 * (i % 10)
    end
    local noise = stream:uniform({ n, 28, 28 }, 0, 60)
    local images = (noise + ea.tensor(grey):reshape(n, 1, 1)):to("u8")
    local name = ("%s/fashion-mnist/%s-"):format(root, part)
    idx(name .. "images-idx3-ubyte.gz", { n, 28, 28 },
      require("ffi").string(F.data(images), n * 28 * 28))
    idx(name .. "labels-idx1-ubyte.gz", { n }, table.concat(labels))
  end
end

--- Words for a run of experiments/nonn2s.lua on it that takes a second or two.
tiny.nonn2s = "run experiments/nonn2s.lua --quiet --set teacher_net.widths=8,8,8,16 "
  .. "--set student_net.widths=4,4,4,8 --set train.epochs=1 --set distil.epochs=1 "
  .. "--set batch=64 --set precision=f32 "

--- conv, batch norm, ReLU, dropout, pool, linear: some 700 parameters.
function tiny.net(dropout)
  return ea.nn.sequential {
    { "conv1", ea.nn.conv2d { 1, 8 } }, { "bn1", ea.nn.batch_norm { 8 } }, ea.nn.relu {},
    { "drop", ea.nn.dropout { dropout or 0 } },
    { "conv2", ea.nn.conv2d { 8, 8 } }, { "bn2", ea.nn.batch_norm { 8 } }, ea.nn.relu {},
    { "pool", ea.nn.global_avg_pool {} }, { "fc", ea.nn.linear { 8, 4 } },
  }
end

--- A small real architecture for the same pictures.
function tiny.wrn(precision, dropout)
  return ea.nn.wrn { depth = 10, channels = 1, classes = 4, dropout = dropout or 0 }
    :set_precision(precision or "f32")
end

function tiny.sgd(net, lr) return ea.optim.sgd(net, { lr = lr or 0.1, momentum = 0.9 }) end

--- ea.train.fit with what most tests want; opts.split instead of the second argument.
function tiny.fit(net, opts)
  local o = { epochs = 2, batch = 16 }
  for key, value in pairs(opts or {}) do o[key] = value end
  local split = o.split or tiny.split(96, 1)
  o.split = nil
  return ea.train.fit(net, split, o)
end

--- One hash over all tensors of a list of { name =, tensor = }.
function tiny.hash(...)
  local parts = {}
  for _, list in ipairs { ... } do
    for _, item in ipairs(list) do
      parts[#parts + 1] = item.name .. "=" .. tostring(item.tensor:hash())
    end
  end
  return table.concat(parts, " ")
end

return tiny
