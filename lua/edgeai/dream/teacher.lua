-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream.teacher(run, d, net, opts) - a teacher where none was given: a WRN of depth net.depth
-- and channels net.widths, trained on all of d's training images by SGD over one cycle, written to
-- the run as teacher.safetensors. opts: epochs (3), lr (0.2), batch (128), augment, precision,
-- seed.

local F = require "edgeai.ffi"
local fit = require "edgeai.train.fit"
local nn = require "edgeai.nn"
local optim = require "edgeai.optim"
local schedule = require "edgeai.schedule"

return function(run, d, net, opts)
  local o = F.options(opts, { epochs = 3, lr = 0.2, batch = 128, augment = false,
    precision = "f32", seed = 1 }, "dream.teacher")
  local teacher = nn.wrn { depth = net.depth, widths = net.widths, classes = d.classes,
    channels = d.shape[3] }:set_precision(o.precision)
  fit(teacher, d.train, { run = run, label = "teacher", epochs = o.epochs, batch = o.batch,
    precision = o.precision, seed = o.seed, augment = o.augment,
    schedule = schedule.one_cycle { peak = o.lr, epochs = o.epochs },
    optimizer = optim.sgd(teacher, { nesterov = true, weight_decay = 5e-4 }) })
  teacher.mean, teacher.std = d.mean, d.std
  teacher:save(run:path("teacher.safetensors"), { data = d.name, names = d.names, mean = d.mean,
    std = d.std, seed = o.seed })
  return teacher
end
