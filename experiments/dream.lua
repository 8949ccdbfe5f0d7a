-- SPDX-License-Identifier: GPL-3.0-or-later
-- A network compressed without its data: from a teacher to students in one command. What the
-- teacher's owner gives away (metadata), images dreamed to match, students that learn from them;
-- and the controls: noise, another data set, real images, the few real images behind the metadata.
-- (Dream Distillation: Bhardwaj, Suda & Marculescu 2019, arXiv 1905.07072, and what came after.)
--   edgeai run experiments/dream.lua --set preset=cifar10 --set teacher=T.safetensors
local ea = require "edgeai"

local cfg = ea.config {
  preset = { default = "quick",
    quick = { precision = "auto" },
    cifar10 = { data = "cifar10", precision = "bf16", alternate = "cifar100",
      teacher_net = { depth = 16, widths = { 16, 64, 128, 256 } }, train = { epochs = 36 },
      students = { "wrn16-1", "wrn16-2" }, augment = { crop_pad = 4 },
      dreams = { width = 64, count = 51200 }, priors = { target = 0, bn = 10, ce = 0.4,
        disagreement = 1.1 }, adversary = { steps = 60 },
      learn = { images = 1500000, temperature = 20, views = 4, weight_decay = 1e-4, warm = true } },
    paper = { data = "cifar10", precision = "bf16", alternate = "cifar100",
      teacher_net = { depth = 40, widths = { 16, 64, 128, 256 } }, train = { epochs = 200 },
      students = { "wrn16-1", "wrn40-2", "wrn40-4" }, augment = { crop_pad = 4 },
      dreams = { count = 51200, engine = "pixels", steps = 512, lr = 0.05 },
      priors = { bn = 0, ce = 0, disagreement = 0 },
      learn = { images = 2500000, attention = 1000, views = 0 } } },
  data = { "fashion-mnist", "data set, or the path of a folder of images per class" },
  alternate = { type = "string", help = "another data set to learn from, without labels" },
  teacher = { type = "string", help = "trained teacher: FILE.safetensors or zoo:NAME" },
  teacher_net = { depth = 10, widths = { { 16, 32, 64, 128 }, "channels of stem and groups" } },
  train = { epochs = { 3, type = "integer", least = 1 }, lr = { 0.2, above = 0 } },
  metadata = { share = { 0.1, "of the training images", above = 0, most = 1 },
    clusters = { 10, "of a class", type = "integer", least = 1 },
    components = { 10, "of a cluster", type = "integer", least = 1 } },
  dreams = { count = { 10240, type = "integer", least = 1 }, batch = 256,
    engine = { "generator", "how", choices = { "generator", "pixels" } }, steps = 5, lr = 5e-3,
    lr_z = 0.015, scale = { 1, "of the targets' noise", least = 0 }, width = 32 },
  priors = { target = { 1, "the paper's" }, tv = 0, bn = { 1, "beyond: batch norms" },
    ce = { 0.4, "beyond: class" }, disagreement = { 1.1, "beyond: what the student lacks" } },
  adversary = { steps = { 20, "the student's, after each part" }, lr = 0.2, views = 2 },
  students = { { "wrn10-1" }, "WRNs to teach, depth-widen; the first one is the adversary" },
  learn = { images = { 150000, "seen by each student in all" }, lr = { 0.1, above = 0 },
    temperature = { 4, above = 0 }, attention = { 0, "weight; needs views=0" },
    views = { 2, "fixed copies of each image, answered for once; 0: the teacher always runs" },
    weight_decay = 5e-4, warm = { false, "on dreams, the first student starts as the adversary" } },
  sets = { { "noise", "dreams", "alternate", "real", "real10pct" }, "what to learn from" },
  batch = { 128, "images in a step" }, augment = { crop_pad = 0, flip = "random" },
}
local d = ea.data.load(cfg.data, { val = 0, seed = cfg.seed })
local function network(o)
  return ea.nn.wrn { depth = o.depth, widen = o.widen, widths = o.widths, classes = d.classes,
    channels = d.shape[3] }:set_precision(cfg.precision)
end
local function student(name)
  local depth, widen = name:match("^wrn(%d+)%-(%d+)$")
  return network { depth = tonumber(depth) or error(name .. " is no wrnDEPTH-WIDEN", 0),
    widen = tonumber(widen) }
end
for _, name in ipairs(cfg.students) do student(name) end -- refused at once
local teacher = cfg.teacher and ea.zoo.load(cfg.teacher):set_precision(cfg.precision)
if teacher then d:normalise_as(teacher) end
local run = ea.run.open("dream", cfg)

-- 1. The teacher, and the metadata that leave its owner's house.
if not teacher then
  teacher = network(cfg.teacher_net)
  ea.train.fit(teacher, d.train, { run = run, label = "teacher", epochs = cfg.train.epochs,
    batch = cfg.batch, precision = cfg.precision, seed = cfg.seed, augment = cfg.augment,
    schedule = ea.schedule.one_cycle { peak = cfg.train.lr, epochs = cfg.train.epochs },
    optimizer = ea.optim.sgd(teacher, { nesterov = true, weight_decay = 5e-4 }) })
  teacher.mean, teacher.std = d.mean, d.std
  teacher:save(run:path("teacher.safetensors"), { data = d.name, names = d.names, mean = d.mean,
    std = d.std, seed = cfg.seed })
end
teacher.input_shape = { 1, unpack(d.shape) }
local few = cfg.metadata.share == 1 and d.train
  or d.train:part(cfg.metadata.share, { seed = cfg.seed })
local meta = cfg.priors.target ~= 0 and ea.dream.metadata(teacher, d.train, {
  share = cfg.metadata.share, clusters = cfg.metadata.clusters, seed = cfg.seed,
  components = cfg.metadata.components, dtype = cfg.precision }):save(run:path("metadata.npz"))
if meta then print(meta:report()) end

-- 2. Dreams: nothing of the data set is used here.
local o, adversary = cfg.dreams, cfg.priors.disagreement ~= 0 and student(cfg.students[1])
local report = ea.dream.synthesise(teacher, meta or nil, { folder = run:path("dreams"),
  count = o.count, batch = o.batch, engine = o.engine, steps = o.steps, lr = o.lr, lr_z = o.lr_z,
  scale = o.scale, width = o.width, priors = cfg.priors, names = d.names, seed = cfg.seed,
  precision = cfg.precision, student = adversary and { net = adversary,
    steps = cfg.adversary.steps, lr = cfg.adversary.lr,
    temperature = cfg.learn.temperature, views = cfg.adversary.views, augment = cfg.augment } })

-- 3. Students, each from each set, over as many images, by the teacher's answers alone.
local l = cfg.learn
local nets, seconds, sets = ea.dream.compare(run, teacher, d, { sets = cfg.sets, build = student,
  students = cfg.students, dreams = run:path("dreams"), alternate = cfg.alternate, few = few,
  images = l.images, batch = cfg.batch, lr = l.lr, temperature = l.temperature, views = l.views,
  warm = l.warm and adversary or nil, attention = l.attention, weight_decay = l.weight_decay,
  augment = cfg.augment, seed = cfg.seed, precision = cfg.precision })

-- 4. Once, at the end: the test set, the table, summary.json and the pictures.
ea.dream.conclude(run, { teacher = teacher, data = d, metadata = meta or nil, split = few,
  report = report, sets = sets, students = cfg.students, nets = nets, seconds = seconds,
  adversary = adversary or nil, precision = cfg.precision, seed = cfg.seed, scale = o.scale })
