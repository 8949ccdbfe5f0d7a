-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream.compare(run, teacher, d, opts) - students taught by a teacher's answers alone on several
-- sets of images, each over as many images and by the same recipe:
--   noise      normal noise, as many images as d has
--   dreams     those in the folder opts.dreams
--   alternate  the training images of opts.alternate, another data set; left out where it is not
--              given or not on this machine
--   real       d's training images
--   real10pct  opts.few: the few real images behind the metadata; the control that must be beaten
-- opts: sets (names of these), students (names for ea.dream.student), dreams (the report of
-- ea.dream.synthesise, or a folder), alternate, few, images (seen by each student in all), views
-- (how many augmented copies, of a set of any size, the teacher answers in all, once; 0: it runs on
-- every image that a student sees), batch, lr (peak of one cycle), temperature, attention (weight
-- over group1..group3; 0), augment, weight_decay, precision, seed. A student that learned along
-- with the dreams is the first one of them, and is not taught again. Networks are written to the
-- run as STUDENT-SET.safetensors. Returns { students, sets (those used), nets, seconds
-- ([student][set]) }.

local F = require "edgeai.ffi"
local data = require "edgeai.data"
local distill = require "edgeai.distill"
local fit_of = require "edgeai.train.fit"
local optim = require "edgeai.optim"
local random = require "edgeai.random"
local schedule = require "edgeai.schedule"
local student_of = require "edgeai.dream.student"

local defaults = { sets = { "dreams" }, students = F.none, dreams = F.none, alternate = F.none,
  few = F.none, images = 150000, views = 200000, batch = 128, lr = 0.1, temperature = 4,
  attention = 0, augment = false, weight_decay = 5e-4, precision = "f32",
  seed = 1 }

--- Why a data set by that name cannot be read here, or nil.
local function missing(name)
  for _, known in ipairs(data.list()) do
    if known.name == name and known.state ~= "ready" then
      return known.problem or name .. " is not here"
    end
  end
end

local function split_of(run, set, d, o)
  if set == "real" then return d.train end
  if set == "real10pct" then return o.few end
  if set == "alternate" then
    local why = not o.alternate and "none was given" or missing(o.alternate)
    if why then return run:note("no alternate data: %s", why) end
  end
  local from = { noise = "noise", dreams = o.dreams.folder, alternate = o.alternate }
  return distill.transfer(from[set], d, { seed = o.seed })
end

local function save(run, net, d, label, o)
  net:save(run:path(label .. ".safetensors"), { data = d.name, names = d.names, mean = d.mean,
    std = d.std, seed = o.seed })
end

local function teach(run, net, teacher, split, label, recall, o)
  local losses = { kd = { temperature = o.temperature } }
  if o.attention > 0 then
    losses.attention = { weight = o.attention, layers = { "group1", "group2", "group3" } }
  end
  local epochs = math.max(1, math.floor(o.images / split.count + 0.5))
  return fit_of(net, split, { run = run, label = label, epochs = epochs,
    batch = math.min(o.batch, split.count), precision = o.precision, seed = o.seed,
    augment = o.views == 0 and o.augment,
    objective = distill.objective(net, teacher, losses, { recall = recall }),
    schedule = schedule.one_cycle { peak = o.lr, epochs = epochs },
    optimizer = optim.sgd(net, { nesterov = true, weight_decay = o.weight_decay }) }).seconds
end

local sets = { noise = true, dreams = true, alternate = true, real = true, real10pct = true }

local function check(o)
  if o.attention > 0 and o.views > 0 then
    F.raise("dream.compare: attention needs the teacher's maps at every step; give views = 0")
  end
  for _, set in ipairs(o.sets) do
    if not sets[set] then
      F.raise("dream.compare: there is no set '%s'; there are noise, dreams, alternate, real and "
        .. "real10pct", tostring(set))
    end
  end
end

return function(run, teacher, d, opts)
  local o = F.options(opts, defaults, "dream.compare")
  check(o)
  if type(o.dreams) ~= "table" then o.dreams = { folder = o.dreams } end
  local nets, seconds, used = {}, {}, {}
  for _, name in ipairs(o.students) do nets[name], seconds[name] = {}, {} end
  for _, set in ipairs(o.sets) do
    local split, recall = split_of(run, set, d, o), nil
    if split then
      used[#used + 1] = set
      for i, name in ipairs(o.students) do
        local label = ("%s-%s"):format(name, set)
        if set == "dreams" and i == 1 and o.dreams.student then
          nets[name][set], seconds[name][set] = o.dreams.student, o.dreams.learning_seconds
        else
          if o.views > 0 and not recall then
            split = split:views { views = math.ceil(o.views / split.count), augment = o.augment,
              seed = o.seed }
            recall = distill.recall(teacher, split, { dtype = o.precision })
          end
          random.seed(o.seed)
          nets[name][set] = student_of(name, d, o.precision)
          seconds[name][set] = teach(run, nets[name][set], teacher, split, label, recall, o)
        end
        save(run, nets[name][set], d, label, o)
      end
    end
  end
  return { students = o.students, sets = used, nets = nets, seconds = seconds }
end
