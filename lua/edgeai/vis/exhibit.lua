-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.exhibit - how experiments end: ea.vis.exhibit(run, "channels", page) writes page, a
-- table as ea.vis.gallery and ea.vis.sheet take it, as channels.png and channels.html into the
-- run's folder. Returns the path of the PNG.

local gallery = require "edgeai.vis.gallery"
local sheet = require "edgeai.vis.sheet"

return function(run, name, page)
  local path = run:path(name .. ".png")
  local _, why = sheet(path, page)
  if why then run:note("%s", why) end
  gallery(run:path(name .. ".html"), page)
  return path
end
