-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream.synthesise(teacher, metadata, opts) - images that take the place of the data set.
--
--   local report = ea.dream.synthesise(teacher, meta, { count = 10000, folder = "dreams",
--     priors = { target = 1, bn = 10, ce = 0.4, disagreement = 1.1 },
--     student = { net = student, steps = 50 } })
--   local split = ea.dream.load("dreams", d)
--
-- What is asked of the images, each prior by its weight, 0 for none:
--   target        activations at the metadata's layer as the targets drawn from them (the paper's)
--   tv            little variation between neighbours
--   bn            the batch norms' statistics (statistics.lua), part of the network's file
--   ce            the teacher names the class that the image is to be of
--   disagreement  the student has not learned it yet
-- metadata may be nil where target is 0: then nothing but the network was used.
--
-- opts:
--   count, folder   how many images, in parts of `batch` (256): folder/dreams-00001.npz, ... (see
--                   files.lua) and pictures of the first few, sheet-00001.png
--   engine          "generator" (fast.lua): a few steps of a network that makes a batch; "pixels"
--                   (pixels.lua): the paper's way, many steps for each image by itself
--   priors          see above: { target = 1 }
--   steps (5; 128), lr (3e-3; 0.05), shift (4 pixels; 2) of the engine "generator"; "pixels"
--   lr_z (0.01), momentum (0.9, of bn), z (256), width (64), reset (0.64, of the parts: then the
--                   generator's first layer starts anew; 1: never): "generator" alone
--   scale           of the targets' noise (1)
--   student         { net, steps = 400 after each part, batch = 256, reuse = 4, lr = 0.2 falling as
--                   a cosine, temperature = 20, weight_decay = 1e-4, augment = { crop_pad = 4,
--                   flip = true }, warmup = 0.1 (of the count, before it learns and is asked),
--                   also (a folder of dreams made before, such as the other engine's, or an npz of
--                   images: it learns from those too, from the start) }: learns along
--                   (learner.lua); at the end it is a student of the dreams
--   names, seed (1), precision ("f32"), on_part (function of the part's number and record)
--
-- A call with the same options goes on where another was stopped, to the same bytes: at most one
-- part is lost. Of the engine "pixels" (without bn) an image is the same in parts of any size; of
-- the engine "generator", parts depend on each other (the generator learns, the student too), so
-- the size of the batch is part of the method.
--
-- Returns { count, parts, engine, priors, folder, seconds (of making them), student and
-- learning_seconds (the network that learned along, and its time; nil without one), also, scale,
-- target_error (before: of the first step,
-- after: sqrt of |a - t|^2 / |t|^2 over all images as written), confidence (mean largest
-- probability), agreement (share of images that the teacher takes for what they were to be),
-- diversity (mean distance of an image's activation from its class's mean, to that of the targets;
-- 0: all alike), dead (numbers of images, from 1, that the engine "pixels" could not improve or
-- that ended as one colour: kept, and of no use), losses }.

local F = require "edgeai.ffi"
local checkpoint = require "edgeai.train.checkpoint"
local data = require "edgeai.data"
local evaluate = require "edgeai.train.evaluate"
local files = require "edgeai.dream.files"
local image = require "edgeai.image"
local json = require "edgeai.json"
local metadata_of = require "edgeai.dream.metadata"
local new_learner = require "edgeai.dream.learner"
local progress = require "edgeai.progress"
local quality = require "edgeai.dream.quality"
local symbolic = require "edgeai.nn.symbolic"
local targets_of = require "edgeai.dream.targets"
local tensor = require "edgeai.tensor"

local C = F.C

local engines = {
  generator = { new = require "edgeai.dream.fast", defaults = { steps = 5, lr = 3e-3, shift = 4 } },
  pixels = { new = require "edgeai.dream.pixels",
    defaults = { steps = 128, lr = 0.05, shift = 2 } },
}
local defaults = { count = 1024, folder = F.none, batch = 256, engine = "generator",
  priors = { target = 1 }, steps = F.none, lr = F.none, lr_z = 0.01, momentum = 0.9,
  shift = F.none, z = 256, width = 64, reset = 0.64, scale = 1, student = F.none,
  names = F.none, seed = 1, precision = "f32", on_part = F.none }
local prior_names = { target = 0, tv = 0, bn = 0, ce = 0, disagreement = 0 }
local student_defaults = { net = F.none, steps = 400, batch = 256, reuse = 4, lr = 0.2,
  temperature = 20, weight_decay = 1e-4, augment = { crop_pad = 4, flip = true }, warmup = 0.1,
  also = F.none }

-- ---- options -----------------------------------------------------------------------------------

local function check_options(teacher, meta, o)
  if not o.folder then F.raise("dream.synthesise: folder must be given") end
  local engine = engines[o.engine]
  if not engine then
    F.raise("dream.synthesise: engine must be \"generator\" or \"pixels\", got %s",
      tostring(o.engine))
  end
  for name, value in pairs(engine.defaults) do if o[name] == nil then o[name] = value end end
  for _, name in ipairs { "count", "batch", "steps" } do
    if type(o[name]) ~= "number" or o[name] % 1 ~= 0 or o[name] < 1 then
      F.raise("dream.synthesise: %s must be a whole number of at least 1, got %s", name,
        tostring(o[name]))
    end
  end
  o.priors = F.options(o.priors, prior_names, "dream.synthesise: priors")
  if o.engine == "pixels" and o.priors.disagreement ~= 0 then
    F.raise("dream.synthesise: disagreement is for the engine \"generator\"")
  end
  if o.student then o.student = F.options(o.student, student_defaults, "student") end
  metadata_of.need_teacher(teacher, "dream.synthesise")
  if not teacher.input_shape then
    F.raise("dream.synthesise: the network does not say how large its images are; set "
      .. "net.input_shape = { 1, h, w, c }")
  end
  if o.priors.target ~= 0 and not meta then
    F.raise("dream.synthesise: the prior target needs metadata; give them, or priors = "
      .. "{ target = 0, ... }")
  end
  if o.priors.disagreement ~= 0 and not o.student then
    F.raise("dream.synthesise: disagreement needs a student, to disagree with")
  end
  if meta then meta:check(teacher) end
end

--- A hash of all that the images depend on.
local function key_of(teacher, meta, also, o)
  local list = { teacher:hash(), meta and meta.centroids:hash() or "none",
    meta and meta.components:hash() or "none" }
  for _, name in ipairs { "count", "batch", "engine", "steps", "lr", "lr_z", "momentum", "shift",
    "z", "width", "reset", "scale", "seed", "precision" } do
    list[#list + 1] = name .. "=" .. tostring(o[name])
  end
  list[#list + 1] = json.encode(o.priors, { sort = true })
  if o.student then
    local s = {}
    for name, value in pairs(o.student) do
      if name ~= "net" and name ~= "also" then s[name] = value end
    end
    list[#list + 1] = json.encode(s, { sort = true }) .. (also and also:hash() or "")
  end
  return metadata_of.ascii(table.concat(list, "\n")):hash()
end

-- ---- one part ----------------------------------------------------------------------------------

local function wanted(self, k)
  local o = self.opts
  if self.meta then
    return targets_of(self.meta, o.batch, { seed = o.seed, scale = o.scale,
      first = (k - 1) * o.batch + 1 })
  end
  local labels = tensor.empty({ o.batch }, "i32")
  for i = 0, o.batch - 1 do
    F.data(labels)[i] = ((k - 1) * o.batch + i) % self.classes + 1
  end
  return nil, labels
end

--- The images as written, seen by the teacher: adds reached and logits.
local function answer(self, part)
  local split = data.given(self.like, part.images, part.labels)
  local layer = self.meta and self.meta.layer
  evaluate.batches(self.teacher, split, { dtype = self.opts.precision, fn = function(x)
    local found, logits = self.teacher:features(x, layer and { layer } or {})
    return logits:to("f32"), layer and found[layer]:to("f32") or nil
  end }, function(outputs, _, valid, first)
    for i, name in ipairs { "logits", "reached" } do
      local out = outputs[i]
      if out then
        part[name] = part[name] or tensor.empty { split.count, out:size(2) }
        part[name]:narrow(1, first, valid):copy(out:narrow(1, 1, valid))
      end
    end
  end)
end

local function sheet(self, k, part)
  local n = math.min(part.images:size(1), 10 * math.min(self.classes, 10))
  image.save(("%s/sheet-%05d.png"):format(self.opts.folder, k),
    image.grid(part.images:narrow(1, 1, n), { columns = math.min(self.classes, 10), scale = 2 }))
end

local function all_state(self)
  local list, counters = self.maker:state()
  local state = { maker = counters, key = self.key, done = self.done, seconds = self.seconds,
    learning = self.learning, losses = self.losses }
  if self.learner then
    local more
    more, state.learner = self.learner:state()
    for _, item in ipairs(more) do list[#list + 1] = item end
  end
  return list, state
end

local function learn(self, k, images)
  if not self.learner then return nil end
  local since = C.ea_clock()
  self.learner:add(images)
  local loss = (k > self.warmup or self.also) and self.learner:learn(k) or nil
  self.learning = self.learning + C.ea_clock() - since
  return loss
end

local function make_part(self, k)
  local o = self.opts
  local targets, labels = wanted(self, k)
  local images, terms, dead = self.maker:batch_of(k, labels,
    o.priors.target ~= 0 and targets or nil)
  local part = { images = images, labels = labels, targets = targets }
  answer(self, part)
  files.save(o.folder, k, part, self.key)
  if k <= 4 then sheet(self, k, part) end
  local record = { first = terms[1], last = terms[2], student = learn(self, k, images),
    dead = dead and #dead > 0 and dead or nil }
  self.losses[k], self.done = record, k
  self.quality:add(part)
  return record
end

local function restore(self)
  local list = all_state(self)
  local state = checkpoint.load(self.state_path, list)
  if not state then return end
  if state.key ~= self.key then
    F.raise("%s holds dreams of other options, metadata or weights; take another folder",
      self.opts.folder)
  end
  self.done, self.losses = state.done, state.losses
  self.seconds, self.learning = state.seconds, state.learning
  self.maker:set_counters(state.maker)
  if self.learner then self.learner:set_counters(state.learner) end
  for k = 1, self.done do
    local part = files.load(self.opts.folder, k, self.key)
      or F.raise("%s is missing", files.part(self.opts.folder, k))
    self.quality:add(part)
    if self.learner then self.learner:add(part.images) end
  end
end

local function run(self)
  local o = self.opts
  restore(self)
  local bar = progress { label = "dreams", total = self.parts, unit = "part", start = self.done }
  local since = C.ea_clock()
  for k = self.done + 1, self.parts do
    local record = make_part(self, k)
    local now = C.ea_clock()
    self.seconds, since = self.seconds + now - since, now
    checkpoint.save(self.state_path, all_state(self))
    bar:update(k, record.last)
    if o.on_part then o.on_part(k, record) end
    if C.ea_interrupt_pending() ~= 0 then
      F.raise("interrupted after part %d of %d of the dreams in %s; the same call goes on", k,
        self.parts, o.folder)
    end
  end
  bar:done(self.losses[self.parts].last)
end

local function also_images(path, like, shape)
  local images = files.load_all(path, like).images
  for d = 1, 3 do
    if images:size(d + 1) ~= shape[d] then
      F.raise("dream.synthesise: the images in %s are %s, the network's {%s}", path,
        F.describe(images), table.concat(shape, ", "))
    end
  end
  return images
end

local function new_session(teacher, meta, o)
  local shape = { unpack(teacher.input_shape, 2) }
  local self = { teacher = teacher:eval(), meta = meta, opts = o, done = 0, seconds = 0,
    learning = 0, losses = {}, parts = math.ceil(o.count / o.batch),
    state_path = o.folder .. "/state.safetensors" }
  self.classes = symbolic(teacher, { 1, unpack(shape) }, function(apply)
    return apply().shape[2]
  end)
  self.like = { mean = teacher.mean, std = teacher.std, classes = self.classes, names = o.names }
  self.also = o.student and o.student.also and also_images(o.student.also, self.like, shape)
  self.key, self.quality = key_of(teacher, meta, self.also, o), quality()
  F.check(C.ea_make_folder(o.folder))
  local p, s = o.priors, o.student
  self.warmup = s and math.ceil(s.warmup * self.parts) or 0
  self.maker = engines[o.engine].new(teacher, { shape = shape, mean = teacher.mean,
    std = teacher.std, batch = o.batch, steps = o.steps, lr = o.lr, lr_z = o.lr_z, bn = p.bn,
    ce = p.ce, target = p.target, tv = p.tv, disagreement = p.disagreement, warmup = self.warmup,
    reset = math.floor(o.reset * self.parts), momentum = o.momentum, shift = o.shift,
    layer = meta and meta.layer, features = meta and meta.centroids:size(2),
    square = meta and meta.centroids:square():sum():item() / meta.centroids:size(1) or 1,
    student = s and p.disagreement ~= 0 and s.net or nil, z = o.z, width = o.width,
    seed = o.seed, precision = o.precision })
  if s then
    local peak = s.lr
    self.learner = new_learner(teacher, self.like, { net = s.net, steps = s.steps,
      batch = math.min(s.batch, o.batch), reuse = s.reuse,
      lr = function(share) return peak * 0.5 * (1 + math.cos(math.pi * share)) end,
      temperature = s.temperature, weight_decay = s.weight_decay, augment = s.augment,
      count = self.parts * o.batch, also = self.also, shape = shape, seed = o.seed,
      precision = o.precision })
  end
  return self
end

--- See the top of this file.
return function(teacher, meta, opts)
  local o = F.options(opts, defaults, "dream.synthesise")
  check_options(teacher, meta, o)
  local self = new_session(teacher, meta, o)
  C.ea_interrupt_defer(1)
  local ok, message = xpcall(run, function(m)
    return type(m) == "string" and m or debug.traceback(tostring(m))
  end, self)
  C.ea_interrupt_defer(0)
  self.maker:free()
  if self.learner then self.learner:free() end
  if not ok then error(message, 0) end
  local report = self.quality:report()
  report.count, report.parts, report.engine = self.parts * o.batch, self.parts, o.engine
  report.priors, report.folder, report.losses = o.priors, o.folder, self.losses
  report.seconds = self.seconds - self.learning
  report.scale, report.dead = o.scale, {}
  for k, record in ipairs(self.losses) do
    for _, i in ipairs(record.dead or {}) do
      report.dead[#report.dead + 1] = (k - 1) * o.batch + i
    end
  end
  if self.learner then
    report.also = o.student.also
    report.student, report.learning_seconds = o.student.net:eval(), self.learning
  end
  if report.target_error then
    report.target_error.before = math.sqrt(self.losses[1].first.target or 0 / 0)
  end
  return report
end
