-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream.student(name, d, precision) - the network of a short name ("wrn16-1", see
-- ea.nn.by_name) for the images and classes of the data set d.

local nn = require "edgeai.nn"

return function(name, d, precision)
  return nn.by_name(name, { classes = d.classes, channels = d.shape[3] }):set_precision(precision)
end
