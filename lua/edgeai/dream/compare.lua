-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream.compare(run, teacher, d, opts) - students taught by a teacher's answers alone on several
-- sets of images, each over as many images and by the same recipe:
--   noise      normal noise, as many images as d has
--   dreams     those in the folder opts.dreams
--   alternate  the training images of opts.alternate, another data set (left out if there is none)
--   real       d's training images
--   real10pct  opts.few: the few real images behind the metadata; the control that must be beaten
-- opts: sets (names of these), students (names), build (function of a name -> network), dreams,
-- alternate, few, images (seen by each student in all), batch, lr (peak of one cycle), temperature,
-- attention (weight over group1..group3; 0), views (copies of each image that the teacher answers
-- once; 0: it runs each time), augment, weight_decay, precision, seed, warm (a network, as the one
-- that learned along with the dreams, from whose weights the first student starts there). Networks
-- are written to the run as STUDENT-SET.safetensors. Returns nets and seconds, each [student][set],
-- and the sets used.

local F = require "edgeai.ffi"
local distill = require "edgeai.distill"
local fit_of = require "edgeai.train.fit"
local optim = require "edgeai.optim"
local random = require "edgeai.random"
local schedule = require "edgeai.schedule"

local defaults = { sets = { "dreams" }, students = F.none, build = F.none, dreams = F.none,
  alternate = F.none, few = F.none, images = 150000, batch = 128, lr = 0.1, temperature = 4,
  attention = 0, warm = F.none, views = 2, augment = false, weight_decay = 5e-4,
  precision = "f32", seed = 1 }

local function split_of(set, d, o)
  if set == "real" then return d.train end
  if set == "real10pct" then return o.few end
  local from = { noise = "noise", dreams = o.dreams, alternate = o.alternate }
  return from[set] and distill.transfer(from[set], d, { seed = o.seed })
end

local function teach(run, net, teacher, d, split, label, recall, o)
  local losses = { kd = { temperature = o.temperature } }
  if o.attention > 0 then
    losses.attention = { weight = o.attention, layers = { "group1", "group2", "group3" } }
  end
  local epochs = math.max(1, math.floor(o.images / split.count + 0.5))
  local fit = fit_of(net, split, { run = run, label = label, epochs = epochs,
    batch = math.min(o.batch, split.count), precision = o.precision, seed = o.seed,
    augment = o.views == 0 and o.augment,
    objective = distill.objective(net, teacher, losses, { recall = recall }),
    schedule = schedule.one_cycle { peak = o.lr, epochs = epochs },
    optimizer = optim.sgd(net, { nesterov = true, weight_decay = o.weight_decay }) })
  net:save(run:path(label .. ".safetensors"), { data = d.name, names = d.names, mean = d.mean,
    std = d.std, seed = o.seed })
  return fit.seconds
end

return function(run, teacher, d, opts)
  local o = F.options(opts, defaults, "dream.compare")
  if o.attention > 0 and o.views > 0 then
    F.raise("dream.compare: attention needs the teacher's maps at every step; give views = 0")
  end
  local nets, seconds, used = {}, {}, {}
  for _, name in ipairs(o.students) do nets[name], seconds[name] = {}, {} end
  for _, set in ipairs(o.sets) do
    local split, recall = split_of(set, d, o), nil
    if split then
      used[#used + 1] = set
      if o.views > 0 then
        split = split:views { views = o.views, augment = o.augment, seed = o.seed }
        recall = distill.recall(teacher, split, { dtype = o.precision })
      end
      for i, name in ipairs(o.students) do
        random.seed(o.seed)
        local net = o.build(name)
        if o.warm and set == "dreams" and i == 1 then net:load_state_dict(o.warm:state_dict()) end
        nets[name][set] = net
        seconds[name][set] = teach(run, net, teacher, d, split, ("%s-%s"):format(name, set), recall,
          o)
      end
    end
  end
  return nets, seconds, used
end
