-- SPDX-License-Identifier: GPL-3.0-or-later
-- A network compressed without its data, in one command: what the teacher's owner gives away
-- (metadata), images dreamed to match, students that learn from them; the controls: noise, another
-- data set, real images, the few real ones behind the metadata. Presets quick, cifar10, paper:
-- Dream Distillation's method alone (Bhardwaj, Suda & Marculescu 2019, arXiv 1905.07072); beyond:
-- what came after it. A teacher is given by --set teacher=FILE.
local ea = require "edgeai"

local function cifar10(own) -- a preset with what those of CIFAR-10 share
  own.data, own.alternate, own.precision = "cifar10", "cifar100", "bf16"
  own.teacher_net = own.teacher_net or { depth = 16, widths = { 16, 64, 128, 256 } }
  own.train, own.augment = own.train or { epochs = 36 }, { crop_pad = 4 }
  own.learn = own.learn or { images = 1000000 }
  own.students = own.students or { "wrn16-1" }
  return own
end
local cfg = ea.config {
  preset = { default = "quick",
    quick = { precision = "auto", alternate = "cifar10" },
    cifar10 = cifar10 { dreams = { count = 25600, steps = 48 } },
    beyond = cifar10 { sets = { "dreams", "real10pct" },
      learn = { images = 1500000, views = 2e5, attention = 0 },
      priors = { target = 0, bn = 10, ce = 0.4, disagreement = 1.1 },
      dreams = { engine = "generator", count = 51200, steps = 10, lr = 2e-3 } },
    paper = cifar10 { teacher_net = { depth = 40, widths = { 16, 64, 128, 256 } },
      train = { epochs = 200 }, students = { "wrn16-1", "wrn40-2", "wrn40-4" },
      dreams = { count = 51200, steps = 512 }, learn = { images = 2500000 } } },
  data = { "fashion-mnist", "data set, or the path of a folder of images per class" },
  alternate = { type = "string", help = "another data set to learn from, without its labels" },
  teacher = { type = "string", help = "trained teacher: FILE.safetensors or zoo:NAME" },
  teacher_net = { depth = 10, widths = { { 16, 32, 64, 128 }, "channels of stem and groups" } },
  train = { epochs = { 3, type = "integer", least = 1 }, lr = { 0.2, above = 0 } },
  metadata = { share = { 0.1, "of the training images", above = 0, most = 0.99 },
    clusters = { 10, "of a class" }, components = { 10, "of a cluster" } },
  dreams = { count = { 5120, type = "integer", least = 1 }, batch = 256, lr = 0.05, steps = 64,
    engine = { "pixels", "how", choices = { "generator", "pixels" } }, scale = { 1, "of noise" } },
  priors = { target = { 1, "the paper's" }, tv = 0, bn = { 0, "beyond: batch norms" },
    ce = { 0, "beyond: class" }, disagreement = { 0, "beyond: what the student lacks" } },
  along = { steps = { 560, "of the first student after each part, where it is disagreed with" },
    batch = 128, reuse = { 4, "steps that share a teacher's answer" }, lr = 0.1,
    also = { type = "string", help = "folder of dreams made before, to learn from too" } },
  students = { { "wrn10-1" }, "networks to teach, as wrnDEPTH-WIDEN" },
  learn = { images = { 150000, "seen by each student in all" }, lr = { 0.1, above = 0 },
    views = { 0, "augmented copies in all, answered once; 0: the teacher always runs" },
    temperature = 4, attention = { 1000, "weight; needs views=0" }, weight_decay = 5e-4 },
  sets = { { "noise", "dreams", "alternate", "real", "real10pct" }, "what to learn from" },
  batch = { 128, "images in a step" }, augment = { crop_pad = 0, flip = "random" } }
local d = ea.data.load(cfg.data, { val = 0, seed = cfg.seed })
local teacher = cfg.teacher and ea.zoo.load(cfg.teacher):set_precision(cfg.precision)
if teacher then d:normalise_as(ea.dream.check(teacher, d, { attention = cfg.learn.attention })) end
local few = d.train:part(cfg.metadata.share, { seed = cfg.seed })
local first -- of the students; names that are none are refused at once
for i = #cfg.students, 1, -1 do first = ea.dream.student(cfg.students[i], d, cfg.precision) end
local run = ea.run.open("dream", cfg)
local function with(group, more) -- a group of options, and more of them
  for key, value in pairs(group) do more[key] = more[key] == nil and value or more[key] end
  return more
end
local all = { seed = cfg.seed, precision = cfg.precision }
-- 1. The teacher, and the metadata that leave its owner's house.
teacher = teacher or ea.dream.teacher(run, d, cfg.teacher_net, with(cfg.train, with(all, {
  batch = cfg.batch, augment = cfg.augment })))
teacher.input_shape = { 1, unpack(d.shape) }
local meta = cfg.priors.target ~= 0
  and ea.dream.metadata(teacher, few, with(cfg.metadata, with(all, { share = 1,
    path = run:path("metadata.npz") }))) or nil
if meta then print(meta:report()) end

-- 2. Dreams, without the data set. Where disagreement is asked for, the first student learns along.
local along = cfg.priors.disagreement ~= 0 and with(cfg.along, { net = first }) or nil
local report = ea.dream.synthesise(teacher, meta, with(cfg.dreams, with(all, {
  priors = cfg.priors, folder = run:path("dreams"), names = d.names, student = along })))

-- 3. Students, each from each set, over as many images, by the teacher's answers alone.
local taught = ea.dream.compare(run, teacher, d, with(cfg.learn, with(all, {
  sets = cfg.sets, few = few, students = cfg.students, dreams = report, batch = cfg.batch,
  alternate = cfg.alternate, augment = cfg.augment })))

-- 4. Once, at the end: the test set, the table, summary.json and the pictures.
ea.dream.conclude(run, with(all, { teacher = teacher, data = d, metadata = meta, split = few,
  report = report, taught = taught }))
