-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.watch - pictures of a network while it is trained, as a film strip: a row each time.
--
--   ea.train.fit(net, d.train, { on_epoch = ea.vis.watch(net, "group3:5", "strip.png",
--     { every = 2, images = 4, steps = 64 }) })
--
-- Options: every (1): epochs from one row to the next; scale (3) of the PNG; all of ea.vis.render,
-- which draws. The strip is written anew after each row. What is trained is not changed by it.

local F = require "edgeai.ffi"
local image = require "edgeai.image"
local render = require "edgeai.vis.render"

--- See the top of this file.
return function(net, goal, path, given)
  local own, options = { every = 1, scale = 3 }, { quiet = true }
  for key, value in pairs(given or {}) do
    if own[key] ~= nil then own[key] = value else options[key] = value end
  end
  if type(path) ~= "string" or not path:find("%.png$") then
    F.raise("vis.watch: expected the path of a PNG file, got %s", tostring(path))
  end
  if type(own.every) ~= "number" or own.every < 1 or own.every % 1 ~= 0 then
    F.raise("vis.watch: every must be a whole number of epochs, got %s", tostring(own.every))
  end
  local pictures, columns = {}, nil
  return function(record)
    if record.epoch % own.every ~= 0 then return end
    local r = render(net, goal, options, true)
    if r.interrupted then return end
    columns = r.images:size(1)
    for k = 1, columns do pictures[#pictures + 1] = image.to_u8(r.images[k]) end
    image.save(path, image.grid(pictures, { columns = columns, scale = own.scale }))
  end
end
