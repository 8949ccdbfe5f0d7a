-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.bench.small - the benchmarks that are not of a network: data.augment (images through
-- crop, flip and normalisation, one thread), louvain.256 (one search on 256 nodes), startup (of
-- the program).

local F = require "edgeai.ffi"
local random = require "edgeai.random"
local tensor = require "edgeai.tensor"
local text = require "edgeai.text"

local small = {}

small["data.augment"] = function(o)
  local n, batch = 4096, o.batch or 128
  local images = (random.rng("bench"):uniform { n, 32, 32, 3 } * 255):to("u8")
  local split = require "edgeai.data.split"({ name = "random", mean = { 0.5, 0.5, 0.5 },
    std = { 0.25, 0.25, 0.25 }, classes = 1, names = { "any" } }, "train", images,
    tensor.full({ n }, 1, "i32"))
  local loader = split:loader { batch = batch, shuffle = true, drop_last = true,
    augment = { crop_pad = 4, flip = "random" }, dtype = o.precision }
  local epoch = 1
  return { unit = "images/s", images = n, batch = batch, close = function() loader:close() end,
    step = function()
      for _ in loader:epoch(epoch) do end -- luacheck: ignore
      epoch = epoch + 1
    end }
end

small["louvain.256"] = function()
  local community = require "edgeai.community"
  local w = random.rng("bench"):uniform({ 256, 256 }, 0, 1, "f64")
  local sparse = w:pow_scalar { exponent = 40 }
  sparse = sparse + sparse:permute(2, 1)
  local seed = 0
  return { unit = "searches/s", images = 1, batch = 1, step = function()
    seed = seed + 1
    community.louvain(sparse, { seed = seed, tries = 1 })
  end }
end

small["startup"] = function()
  local path = text.shell(require("edgeai.plugin.place").real("/proc/self/exe")
    or F.raise("startup: the system does not say which program this is"))
  return { unit = "starts/s", images = 1, batch = 1, step = function()
    os.execute(path .. " eval 1 >/dev/null")
  end }
end

return small
