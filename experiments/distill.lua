-- SPDX-License-Identifier: GPL-3.0-or-later
-- A teacher and what students learn from it: any mix of losses, any images to learn from (real ones
-- or a share of them, another data set without its labels, noise, dreams), over several seeds.
--   edgeai run experiments/distill.lua --set methods=alone,kd,at --set runs=3
--   edgeai run experiments/distill.lua --set teacher=T.safetensors --set transfer=noise
local ea = require "edgeai"

local cfg = ea.config {
  preset = { default = "quick",
    quick = { precision = "auto" },
    cifar10 = { data = "cifar10", precision = "bf16", augment = { crop_pad = 4 },
      teacher_net = { depth = 16, widths = { 16, 64, 128, 256 } }, train = { epochs = 36 },
      student_net = { depth = 16, widths = { 16, 16, 32, 64 } }, distil = { epochs = 30 } } },
  data = { "fashion-mnist", "data set, or the path of a folder of images per class" },
  teacher = { type = "string", help = "trained teacher: FILE.safetensors or zoo:NAME" },
  teacher_net = { depth = 10, widths = { { 16, 32, 64, 128 }, "channels of stem and groups" } },
  train = { epochs = { 4, type = "integer", least = 1 }, lr = { 0.2, above = 0 } },
  student_net = { depth = 10, widths = { { 16, 8, 16, 32 }, "the same of a student" } },
  distil = { epochs = { 3, type = "integer", least = 1 }, lr = { 0.2, above = 0 },
    weight_decay = { 5e-4, least = 0 } },
  transfer = { "real", "images to learn from: real, noise, dreams (npz, folder) or a data set" },
  share = { 1, "share of them, of every class", above = 0, most = 1 },
  methods = { { "alone", "kd" }, "of: alone, kd, at, kd_at, hint, sp, rkd, pkt, pooled, mix" },
  mix = { ce = 0.1, kd = 0.9, attention = 0, hint = 0, similarity = 0, rkd = 0, pkt = 0,
    activation_transfer = 0 },
  temperature = { 4, "of kd", above = 0 }, hint_layer = "group2",
  runs = { 1, "seeds, from --seed on", type = "integer", least = 1 },
  views = { 0, "fixed augmented copies whose answers are kept; 0: the teacher runs each time",
    type = "integer", least = 0 },
  batch = { 128, "images in a step" }, augment = { crop_pad = 0, flip = "random" },
}
local d = ea.data.load(cfg.data, { val = 0, seed = cfg.seed })
local function network(o)
  return ea.nn.wrn { depth = o.depth, widths = o.widths, classes = d.classes,
    channels = d.shape[3] }:set_precision(cfg.precision)
end
local teacher = cfg.teacher and ea.zoo.load(cfg.teacher):set_precision(cfg.precision)
if teacher then d:normalise_as(teacher) end
local images, labelled = ea.distill.transfer(cfg.transfer, d, { share = cfg.share,
  seed = cfg.seed })
if cfg.views > 0 then images = images:views { views = cfg.views, augment = cfg.augment } end
local losses = {}
for _, method in ipairs(cfg.methods) do
  losses[method] = ea.distill.method(method, { labelled = labelled, temperature = cfg.temperature,
    hint = cfg.hint_layer, mix = cfg.mix })
end
local run = ea.run.open("distill", cfg)

local function train(net, label, split, o, seed, objective)
  local fit = ea.train.fit(objective and objective.net or net, split, { run = run, label = label,
    epochs = o.epochs, batch = cfg.batch, precision = cfg.precision, seed = seed,
    augment = (split ~= images or cfg.views == 0) and cfg.augment, objective = objective,
    schedule = ea.schedule.one_cycle { peak = o.lr, epochs = o.epochs },
    optimizer = ea.optim.sgd(objective and objective.net or net, { nesterov = true,
      weight_decay = o.weight_decay or 5e-4 }) })
  net:save(run:path(label .. ".safetensors"), { data = d.name, names = d.names, mean = d.mean,
    std = d.std, seed = seed })
  return fit
end
if not teacher then
  teacher = network(cfg.teacher_net)
  train(teacher, "teacher", d.train, cfg.train, cfg.seed)
end
local recall = cfg.views > 0 and ea.distill.recall(teacher, images, { dtype = cfg.precision,
  path = run:path("answers.safetensors"), layers = { "pool" } }) or nil
local results = { teacher = teacher, methods = cfg.methods, runs = {} }
for _, method in ipairs(cfg.methods) do
  results.runs[method] = {}
  for i = 1, cfg.runs do
    ea.seed(cfg.seed + i - 1)
    local student = network(cfg.student_net)
    local fit = train(student, ("%s-%d"):format(method, i), images, cfg.distil, ea.seed(),
      ea.distill.objective(student, teacher, losses[method], { recall = recall,
        input = { 1, unpack(d.shape) } }))
    results.runs[method][i] = { net = student, fit = fit }
  end
end
ea.distill.conclude(run, d, results, { transfer = cfg.transfer, images = images.count,
  precision = cfg.precision })
