-- SPDX-License-Identifier: GPL-3.0-or-later
-- A Network of Neural Networks from one command: a teacher's last filters fall into communities,
-- each is distilled into a small student of its own, and the students meet only in one last layer.
-- (Bhardwaj, Lin, Sartor, Marculescu 2019; Table I of EdgeAI, arXiv 1910.10356.)
local ea = require "edgeai"

local cfg = ea.config {
  preset = { default = "quick",
    quick = { precision = "auto" },
    cifar10 = { data = "cifar10", precision = "bf16", augment = { crop_pad = 4 },
      teacher_net = { depth = 16, widths = { 16, 64, 128, 256 } }, train = { epochs = 16 },
      student_net = { depth = 16, widths = { 16, 32, 64, 80 } }, distil = { epochs = 12 } },
    paper = { data = "cifar10", precision = "bf16", augment = { crop_pad = 4 },
      train = { epochs = 200, lr = 0.1 }, distil = { epochs = 200, lr = 0.1 },
      teacher_net = { depth = 40, widths = { 16, 64, 128, 256 } },
      student_net = { depth = 34, widths = { 16, 20, 36, 56 } } } },
  data = { "fashion-mnist", "data set, or the path of a folder of images per class" },
  students = { 2, "how many students (devices)" },
  batch = { 128, "images in a step" }, val = { 0.1, "share of images held out to choose by" },
  augment = { crop_pad = { 0, "random crops behind so many pixels of padding" },
    flip = { default = "alternating", choices = { "alternating", "random", "none" } } },
  teacher = { type = "string", help = "trained teacher: FILE.safetensors or zoo:NAME" },
  teacher_net = { depth = 10, widths = { { 16, 32, 64, 128 }, "channels of stem and groups" } },
  train = { epochs = 6, lr = { 0.2, "largest learning rate of the cycle" }, weight_decay = 5e-4 },
  student_net = { depth = 10, widths = { { 16, 16, 32, 64 }, "the same of a student" } },
  distil = { epochs = 3, lr = 0.2, weight_decay = 5e-4, temperature = 4,
    alpha = { 0.9, "weight of the teacher's answers; 1 - alpha: of the labels" },
    beta = { 100, "weight of the activation transfer" },
    normalise = { default = "part", choices = { "part", "whole" }, help = "norms over" } },
  fan = { top_k = { 50, "filters of an image" }, percentile = { 99, "weaker edges are dropped" },
    rule = { default = "hub", choices = { "hub", "coactivation", "similarity" } } },
  partition = { resolution = { 1 / 0.7, "of Louvain" }, tries = { 10, "seeds of Louvain" },
    unused = { default = "share", choices = { "drop", "share", "largest" },
      help = "filters in no community" } },
}
local d = ea.data.load(cfg.data, { val = cfg.val, seed = cfg.seed })
local run = ea.run.open("nonn2s", cfg) -- only now: a mistyped data set leaves no folder

local function train(net, label, o, objective)
  net:set_precision(cfg.precision)
  local fit = ea.train.fit(net, d.train, { run = run, label = label, validate = d.val,
    epochs = o.epochs, batch = cfg.batch, augment = cfg.augment, precision = cfg.precision,
    seed = cfg.seed, objective = objective,
    schedule = ea.schedule.one_cycle { peak = o.lr, epochs = o.epochs },
    optimizer = ea.optim.sgd(net,
      { momentum = 0.9, nesterov = true, weight_decay = o.weight_decay }) })
  net:save(run:path(label .. ".safetensors"), { data = d.name, names = d.names, mean = d.mean,
    std = d.std, seed = cfg.seed })
  return fit
end

-- 1. The teacher: given, or trained here.
local teacher, teacher_fit
if cfg.teacher then
  teacher = ea.zoo.load(cfg.teacher):set_precision(cfg.precision)
  d:normalise_as(teacher)
else
  teacher = ea.nn.wrn { depth = cfg.teacher_net.depth, widths = cfg.teacher_net.widths,
    classes = d.classes, channels = d.shape[3] }
  teacher_fit = train(teacher, "teacher", cfg.train)
end

-- 2. Which filters fire together on validation images, and which student gets which.
local fan = ea.nonn.activation_network(teacher, d.val or d.train, { top_k = cfg.fan.top_k,
  rule = cfg.fan.rule, percentile = cfg.fan.percentile, dtype = cfg.precision })
local parts = ea.nonn.partition(fan, { students = cfg.students, seed = cfg.seed,
  resolution = cfg.partition.resolution, tries = cfg.partition.tries,
  unused = cfg.partition.unused })

-- 3. The students, distilled together: CE + KD + activation transfer.
local nonn = ea.nonn.students { parts = parts.parts, classes = d.classes, arch = {
  depth = cfg.student_net.depth, widths = cfg.student_net.widths, channels = d.shape[3] } }
local nonn_fit = train(nonn, "nonn", cfg.distil, ea.nonn.objective(nonn, teacher, parts.parts, {
  alpha = cfg.distil.alpha, temperature = cfg.distil.temperature, beta = cfg.distil.beta,
  normalise = cfg.distil.normalise }))

-- 4. Once, at the end: the test set, the table and the pictures.
ea.nonn.conclude(run, { data = d, fan = fan, parts = parts, precision = cfg.precision,
  teacher = { net = teacher, fit = teacher_fit }, nonn = { net = nonn, fit = nonn_fit } })
