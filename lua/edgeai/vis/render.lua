-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.render - images that an objective is large for.
--
--   local r = ea.vis.render(net, obj.channel("group3", 12) - 1e-3 * obj.total_variation(), {
--     steps = 256, images = 4 })
--   ea.image.save("channel.png", ea.image.grid(r.images))
--
-- Options, with what they are if not given:
--   images        how many (what the objective is for, or 1)
--   steps         256; or thresholds {64, 256}: steps after which to keep the images
--   param         ea.vis.param.fourier{}: what is optimised, see param/init.lua
--   transforms    ea.vis.transform.standard(size); {} for none
--   optimizer     ea.vis.optimizer.adam{ lr = 0.05 }
--   size, channels   of the images: the network's
--   input         {h, w} that the network sees: its own, or the images' size
--   mean, std     of the network's input: those of the file it came from (net.mean, net.std)
--   precision     "f32" or "bf16" inside the network: what it is set to
--   seed          1; image k depends on (seed, first + k - 1) and its options alone
--   first         1: number of the first image, for its random numbers, of many made bit by bit
--   redirect      16: in so many steps ReLUs let gradients into dead units
--   smooth_pool   false; true or "l2": gradients of max pools are spread over their windows, evenly
--                 or more to what is large (overrides.lua)
--   memory        1e9 bytes for a batch; or batch = images at a time
--   quiet         false
--   out           a folder: every finished batch is written there, and an interrupted one; the same
--                 call again goes on (store.lua). keep = false: the result has no images then
--   lucid         false; true: as Lucid does it: objectives average over the batch, one draw of its
--                 transforms (ea.vis.lucid) for all images, sizes that change, one step more than
--                 steps and thresholds say, redirect for 17, its Adam
--   dead          "stop": an error, with the reason, if no gradient reaches an image or it ends as
--                 one colour (all its pixels within 1/512) though the objective looks at the
--                 network; "keep": it is named in the result's list `dead`
--   on_step       function(step, values {n}) for every step
--
-- Returns { images {n, h, w, c}, values {n} of the objective, history = { total {steps, n}, and
-- each term by its name }, thresholds = list of images, dead, reason (why the first image that was
-- found dead is), steps, seconds, peak, interrupted }. Ctrl-C ends it and keeps what is there.

local F = require "edgeai.ffi"
local progress = require "edgeai.progress"
local session = require "edgeai.vis.session"
local store = require "edgeai.vis.store"
local tensor = require "edgeai.tensor"
local text = require "edgeai.text"
local why = require "edgeai.vis.why"

local C = F.C

--- Images at a time: what fits into the memory asked for.
local function batch_size(self)
  local o = self.opts
  if o.coupled then return o.total end
  if o.batch or o.total == 1 then return math.min(o.batch or 1, o.total) end
  local one, two = self:new_engine(1), self:new_engine(2)
  local a, b = one:peak(), two:peak()
  one:free()
  two:free()
  local each = math.max(1, b - a)
  return math.max(1, math.min(o.total, math.floor((o.memory - (a - each)) / each)))
end

--- Steps until the batch is done or Ctrl-C was pressed.
local function run_batch(self, bar, done)
  local o = self.opts
  while self.engine.step_count < o.steps do
    if C.ea_interrupt_pending() ~= 0 then
      self.interrupted = true
      return
    end
    self:advance()
    if bar and bar:due() then
      bar:update(done * o.steps + self.engine.step_count * #self.ids,
        { value = self.engine.outputs[2]:mean():item() })
    end
  end
end

--- What a finished batch (or the one under way) gives, as a list of { name, tensor }.
local function tensors_of(self)
  local list = { { name = "images", tensor = self.engine:images() } }
  for label, t in pairs(self.history) do
    list[#list + 1] = { name = "history." .. label, tensor = t }
  end
  for k, t in ipairs(self.kept) do list[#list + 1] = { name = "threshold." .. k, tensor = t } end
  return list
end

--- Puts a batch's tensors, by name, into the result at image `first`.
local function put(result, by_name, first)
  local n = by_name.images:size(1)
  if result.images then result.images:narrow(1, first, n):copy(by_name.images) end
  for name, t in pairs(by_name) do
    local label, k = name:match("^history%.(.*)$"), name:match("^threshold%.(%d+)$")
    if label then
      local to = result.history[label] or tensor.zeros { result.steps, result.total }
      result.history[label] = to
      to:narrow(2, first, n):copy(t)
    elseif k and result.images then
      k = tonumber(k)
      result.thresholds[k] = result.thresholds[k] or tensor.zeros(result.images.shape)
      result.thresholds[k]:narrow(1, first, n):copy(t)
    end
  end
  result.done = first + n - 1
end

local function by_name(list)
  local map = {}
  for _, item in ipairs(list) do map[item.name] = item.tensor end
  return map
end

--- A text that tells this rendering from others: options, objective, network.
local function identity(self)
  local o = self.opts
  local parts = { tostring(self.objective), tostring(o.param) }
  self.objective:walk(function(term) parts[#parts + 1] = term.fingerprint end)
  for _, t in ipairs(o.transforms) do
    for _, key in ipairs(text.keys(t)) do parts[#parts + 1] = key .. "=" .. tostring(t[key]) end
  end
  for _, key in ipairs { "total", "steps", "seed", "first", "redirect", "smooth_pool",
    "precision" } do
    parts[#parts + 1] = key .. "=" .. tostring(o[key])
  end
  local weights = 0
  for i, p in ipairs(self.net:parameters()) do
    weights = (weights + i * tonumber(p.tensor:hash():sub(1, 8), 16)) % 2 ^ 32
  end
  parts[#parts + 1] = ("%s on %s %08x"):format(o.optimizer.kind, self.net.kind, weights)
  return table.concat(parts, "; ")
end

--- The batch of images first..last: from its file, or rendered.
local function one_batch(self, keep, result, first, last, bar)
  local known, dead
  if keep then known, dead = keep:batch(first, last) end
  if known then
    for _, id in ipairs(dead) do result.dead[#result.dead + 1] = id end
    return put(result, known, first)
  end
  local ids = {}
  for k = first, last do ids[#ids + 1] = k end
  self:start(ids)
  if keep then keep:resume(self) end
  run_batch(self, bar, first - 1)
  local list = tensors_of(self)
  if not self.interrupted and not self.opts.made.near then
    self:note_dead(why.one_colour(self.engine, list[1].tensor, self.history))
  end
  put(result, by_name(list), first)
  result.peak = math.max(result.peak or 0, self.engine:peak())
  for _, id in ipairs(self.dead) do result.dead[#result.dead + 1] = id end
  if keep and self.interrupted then keep:suspend(self) end
  if keep and not self.interrupted then keep:save(first, last, list, self.dead) end
end

local function all(self)
  local o, made = self.opts, self.opts.made
  local began = C.ea_clock()
  local result = { thresholds = {}, history = {}, dead = {}, steps = o.steps, total = o.total,
    done = 0,
    images = o.keep and tensor.zeros { o.total, made.size[1], made.size[2], made.channels } or nil }
  local keep = o.out and store.open(o.out, identity(self))
  local batch = batch_size(self)
  local bar = not o.quiet and progress { label = "render", total = o.total * o.steps,
    unit = "image-step" }
  for first = 1, o.total, batch do
    one_batch(self, keep, result, first, math.min(first + batch - 1, o.total), bar)
    if self.interrupted then break end
  end
  if bar then bar:done {} end
  if self.interrupted and result.images then
    result.images = result.images:narrow(1, 1, math.max(1, result.done))
  end
  result.values = result.history.total and result.history.total:select(1, o.steps):clone()
  result.seconds, result.interrupted = C.ea_clock() - began, self.interrupted or false
  result.reason = self.reason
  return result
end

--- Makes the images: see the top of this file. within: a loop that defers interrupts itself calls.
return function(net, goal, given, within)
  local self = session.new(net, goal, given)
  local result
  if not within then C.ea_interrupt_defer(1) end
  local ok, message = pcall(self.frozen, self, function() result = all(self) end)
  if not within then C.ea_interrupt_defer(0) end
  if self.engine then self.engine:free() end
  if not ok then error(message, 0) end
  return result
end
