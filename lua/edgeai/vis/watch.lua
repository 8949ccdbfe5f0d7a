-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.watch - pictures of a network while it is trained, as a film strip: a row each time.
--
--   ea.train.fit(net, d.train, { run = run, on_epoch = ea.vis.watch(net, "group3:5",
--     run:path("strip.png"), { every = 2, images = 4, steps = 64 }) })
--
-- Options: every (1): epochs from one row to the next; scale (3) of the PNG; all of ea.vis.render,
-- which draws (dead: "keep", so that no training is lost to a picture). The strip is written anew
-- after each row, with the epoch below it (sheet.lua); the pictures are also in an .npz beside it
-- (images u8 {n, h, w, c}, epochs i32 {n}), from which a resumed training takes the rows before.
-- What is trained is not changed by it.

local F = require "edgeai.ffi"
local files = require "edgeai.io"
local image = require "edgeai.image"
local objective = require "edgeai.vis.objective"
local raw = require "edgeai.data.raw"
local render = require "edgeai.vis.render"
local sheet = require "edgeai.vis.sheet"

--- What the file has of epochs before that one: pictures and their epochs.
local function rows_before(path, epoch, like)
  local pictures, epochs = {}, {}
  if F.C.ea_file_exists(path) ~= 1 then return pictures, epochs end
  local found = files.load_named(path, "vis.watch")
  local x, numbers = found.images, found.epochs
  if not (x and numbers and x.dtype == "u8" and x.ndim == 4 and numbers.dtype == "i32"
    and numbers.ndim == 1 and numbers:size(1) == x:size(1) and x:size(1) % like:size(1) == 0) then
    return pictures, epochs
  end
  for d = 2, 4 do
    if x:size(d) ~= like:size(d) then return pictures, epochs end
  end
  for k = 1, x:size(1) do
    if numbers:get(k) < epoch then
      pictures[#pictures + 1], epochs[#epochs + 1] = x[k]:clone(), numbers:get(k)
    end
  end
  return pictures, epochs
end

--- See the top of this file.
return function(net, goal, path, given)
  local own, options = { every = 1, scale = 3 }, { quiet = true, dead = "keep" }
  for key, value in pairs(given or {}) do
    if own[key] ~= nil then own[key] = value else options[key] = value end
  end
  if type(path) ~= "string" or not path:find("%.png$") then
    F.raise("vis.watch: expected the path of a PNG file, got %s", tostring(path))
  end
  if type(own.every) ~= "number" or own.every < 1 or own.every % 1 ~= 0 then
    F.raise("vis.watch: every must be a whole number of epochs, got %s", tostring(own.every))
  end
  goal = objective.as(goal, "vis.watch")
  local kept, pictures, epochs = path:gsub("%.png$", ".npz"), nil, nil
  return function(record)
    if record.epoch % own.every ~= 0 then return end
    local r = render(net, goal, options, true)
    if r.interrupted then return end
    if not pictures then pictures, epochs = rows_before(kept, record.epoch, r.images) end
    local columns = r.images:size(1)
    for k = 1, columns do
      pictures[#pictures + 1], epochs[#epochs + 1] = image.to_u8(r.images[k]), record.epoch
    end
    local strip = { title = tostring(goal), scale = own.scale, columns = columns }
    local all = {}
    for k, picture in ipairs(pictures) do
      strip[k] = { picture, k % columns == 1 % columns and "epoch " .. epochs[k] or nil }
      all[k] = picture:reshape { 1, unpack(picture.shape) }
    end
    files.save(kept, { images = raw.concat(all), epochs = raw.from_list(epochs) })
    sheet(path, strip)
  end
end
