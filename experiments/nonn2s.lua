-- SPDX-License-Identifier: GPL-3.0-or-later
-- A Network of Neural Networks from one command: a teacher's last filters fall into communities,
-- each is distilled into a small student of its own, and the students meet only in one last layer.
-- (Bhardwaj, Lin, Sartor, Marculescu 2019; Table I of EdgeAI, arXiv 1910.10356.)
local ea = require "edgeai"
local cfg = ea.config {
  preset = { default = "quick",
    quick = { precision = "auto" },
    cifar10 = { data = "cifar10", val = 0.05, precision = "bf16",
      augment = { crop_pad = 4, cutout = 8 },
      teacher_net = { depth = 16, widths = { 16, 64, 128, 256 } }, train = { epochs = 50 },
      student_net = { depth = 16, widths = { 16, 32, 64, 80 } }, distil = { epochs = 30 } },
    paper = { data = "cifar10", precision = "bf16", augment = { crop_pad = 4 },
      train = { epochs = 200, lr = 0.1 }, distil = { epochs = 200, lr = 0.1 },
      teacher_net = { depth = 40, widths = { 16, 64, 128, 256 } },
      student_net = { depth = 34, widths = { 16, 20, 36, 56 } } } },
  data = { "fashion-mnist", "data set, or the path of a folder of images per class" },
  students = { 2, "how many students (devices)", type = "integer", least = 2 },
  batch = { 128, "images in a step" }, val = { 0.1, "share of images held out to choose by" },
  augment = { crop_pad = { 0, "crops behind so much padding" }, cutout = { 0, "square of zeros" },
    flip = { default = "alternating", choices = { "alternating", "random", "none" } } },
  teacher = { type = "string", help = "trained teacher: FILE.safetensors or zoo:NAME" },
  teacher_net = { depth = 10, widths = { { 16, 32, 64, 128 }, "channels of stem and groups" } },
  train = { epochs = { 6, type = "integer", least = 1 }, weight_decay = { 5e-4, least = 0 },
    lr = { 0.2, "largest learning rate of the cycle", above = 0 } },
  student_net = { depth = 10, widths = { { 16, 16, 32, 64 }, "the same of a student" } },
  distil = { epochs = { 3, type = "integer", least = 1 }, weight_decay = { 5e-4, least = 0 },
    lr = { 0.2, above = 0 }, temperature = { 4, above = 0 },
    alpha = { 0.9, "weight of the teacher's answers against the labels", least = 0, most = 1 },
    beta = { 100, "weight of the activation transfer", least = 0 },
    normalise = { "part", "norms over", choices = { "part", "whole" } } },
  fan = { top_k = { 50, "filters of an image", type = "integer", least = 2 },
    percentile = { 99, "weaker edges are dropped", least = 0, most = 100 },
    rule = { default = "hub", choices = { "hub", "coactivation", "similarity" } } },
  partition = { resolution = { 1 / 0.7, "of Louvain", above = 0 },
    tries = { 10, "seeds of Louvain", type = "integer", least = 1 },
    unused = { "share", "filters in no community", choices = { "drop", "share", "largest" } } },
}
local d = ea.data.load(cfg.data, { val = cfg.val, seed = cfg.seed })
local function arch(net)
  return { depth = net.depth, widths = net.widths, classes = d.classes, channels = d.shape[3] }
end
local teacher = cfg.teacher and ea.zoo.load(cfg.teacher) or ea.nn.wrn(arch(cfg.teacher_net))
if cfg.teacher then d:normalise_as(teacher:set_precision(cfg.precision)) end
ea.nonn.check(teacher, d, { students = cfg.students, arch = arch(cfg.student_net) })
local run = ea.run.open("nonn2s", cfg) -- only now: what is refused at once leaves no folder

local function train(net, label, o, objective)
  net:set_precision(cfg.precision)
  local fit = ea.train.fit(net, d.train, { run = run, label = label, validate = d.val,
    epochs = o.epochs, batch = cfg.batch, augment = cfg.augment, precision = cfg.precision,
    seed = cfg.seed, objective = objective,
    schedule = ea.schedule.one_cycle { peak = o.lr, epochs = o.epochs },
    optimizer = ea.optim.sgd(net, { nesterov = true, weight_decay = o.weight_decay }) })
  net:save(run:path(label .. ".safetensors"), { data = d.name, names = d.names, mean = d.mean,
    std = d.std, seed = cfg.seed })
  return fit
end

-- 1. The teacher: given, or trained here.
local teacher_fit = not cfg.teacher and train(teacher, "teacher", cfg.train) or nil

-- 2. Which filters fire together on validation images, and which student gets which.
local fan = ea.nonn.activation_network(teacher, d.val or d.train, { top_k = cfg.fan.top_k,
  rule = cfg.fan.rule, percentile = cfg.fan.percentile, dtype = cfg.precision })
local parts = ea.nonn.partition(fan, { students = cfg.students, seed = cfg.seed,
  resolution = cfg.partition.resolution, tries = cfg.partition.tries,
  unused = cfg.partition.unused })

-- 3. The students, distilled together: CE + KD + activation transfer.
local nonn = ea.nonn.students { parts = parts.parts, classes = d.classes,
  arch = arch(cfg.student_net) }
local nonn_fit = train(nonn, "nonn", cfg.distil, ea.nonn.objective(nonn, teacher, parts.parts, {
  alpha = cfg.distil.alpha, temperature = cfg.distil.temperature, beta = cfg.distil.beta,
  normalise = cfg.distil.normalise }))

-- 4. Once, at the end: the test set, the table and the pictures.
ea.nonn.conclude(run, { data = d, fan = fan, parts = parts, precision = cfg.precision,
  teacher = { net = teacher, fit = teacher_fit }, nonn = { net = nonn, fit = nonn_fit } })
