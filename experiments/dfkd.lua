-- SPDX-License-Identifier: GPL-3.0-or-later
-- Data-free knowledge distillation (Lopes, Fenu & Starner 2017, arXiv 1710.07535): statistics of a
-- teacher's activations, class by class, leave its owner's house; images are made that bring such
-- activations about; a student learns the teacher's answers to them. Which statistics: `variants`.
-- Controls: noise, and the real images.
local ea = require "edgeai"

local cfg = ea.config {
  preset = { default = "quick", quick = {},
    paper = { teacher_net = { hidden = { 1200, 1200 } }, student_net = { hidden = { 800, 800 } },
      images = { count = 64000, steps = 1000 }, train = { epochs = 20 },
      learn = { images = 1920000 } } },
  data = { "fashion-mnist", "data set of grey images, or a folder of images per class" },
  teacher_net = { hidden = { { 400, 400 }, "widths of the hidden layers" } },
  student_net = { hidden = { { 200, 200 }, "the same of the student" } },
  train = { epochs = { 3, type = "integer", least = 1 }, lr = { 1e-3, above = 0 } },
  variants = { { "top", "all", "spectral", "pairs" }, "of the metadata" },
  metadata = { share = { 0.1, "of the training images", above = 0, most = 0.99 },
    basis = { 0.1, "harmonics kept, of as many as there are units", above = 0, most = 1 } },
  images = { count = { 1920, type = "integer", least = 1 }, batch = 64, lr = 0.07,
    steps = { 150, "of Adam for each batch", type = "integer", least = 1 } },
  learn = { images = { 100000, "seen by each student" }, lr = { 1e-3, above = 0 },
    temperature = { 8, above = 0 } },
  batch = { 128, "images in a step" },
}
local d = ea.data.load(cfg.data, { val = 0, seed = cfg.seed })
local run = ea.run.open("dfkd", cfg)

local function mlp(o)
  ea.seed(cfg.seed)
  return ea.nn.mlp { inp = d.shape[1] * d.shape[2] * d.shape[3], hidden = o.hidden,
    classes = d.classes }
end
local function train(net, label, split, o, objective)
  ea.train.fit(net, split, { run = run, label = label, epochs = o.epochs, batch = cfg.batch,
    seed = cfg.seed, objective = objective, optimizer = ea.optim.adam(net),
    schedule = ea.schedule.cosine { lr = o.lr, epochs = o.epochs } })
  net:save(run:path(label .. ".safetensors"), { data = d.name, names = d.names, mean = d.mean,
    std = d.std, seed = cfg.seed })
  return net
end

local teacher = train(mlp(cfg.teacher_net), "teacher", d.train, cfg.train)
local sets, splits, bytes, loss = { "noise" }, {}, {}, {}
splits.noise = ea.data.noise(d, cfg.images.count, cfg.seed)
for _, variant in ipairs(cfg.variants) do
  local meta = ea.dfkd.metadata(teacher, d.train:part(cfg.metadata.share, { seed = cfg.seed }),
    { variant = variant, share = cfg.metadata.basis }):save(run:path(variant .. ".npz"))
  splits[variant], loss[variant] = ea.dfkd.reconstruct(teacher, meta, d, { label = variant,
    count = cfg.images.count, batch = cfg.images.batch, steps = cfg.images.steps,
    lr = cfg.images.lr, seed = cfg.seed })
  sets[#sets + 1], bytes[variant] = variant, meta:bytes()
end
sets[#sets + 1], splits.real = "real", d.train

local found, rows = {}, {}
for i, set in ipairs(sets) do
  local epochs = math.max(1, math.floor(cfg.learn.images / splits[set].count + 0.5))
  local student = mlp(cfg.student_net)
  train(student, "student-" .. set, splits[set], { epochs = epochs, lr = cfg.learn.lr },
    ea.distill.objective(student, teacher, { kd = { temperature = cfg.learn.temperature } }))
  found[set] = ea.train.accuracy(student, d.test)
  rows[i] = { set, ("%.2f"):format(found[set]), bytes[set] and ("%.1f"):format(bytes[set] / 1000)
    or "" }
end

-- The test images were read once, above; the teacher's accuracy stands beside its students'.
local of_teacher = ea.train.accuracy(teacher, d.test)
print(ea.table({ "learned from", "test accuracy [%]", "metadata [kB]" }, rows,
  { title = ("The teacher has %.2f %%"):format(of_teacher), align = { "left", "right", "right" } }))
ea.dfkd.pictures(run, { sets = sets, splits = splits, accuracy = found, variants = cfg.variants })
run:summary { teacher = { accuracy = of_teacher, params = teacher:parameter_count() },
  student = { accuracy = found }, metadata = { bytes = bytes }, reconstruction = loss }
