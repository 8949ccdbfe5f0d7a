-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.train.fit - the training loop.
--
--   local history = ea.train.fit(net, d.train, {
--     epochs = 20, batch = 128, validate = d.val, augment = { crop_pad = 4, flip = true },
--     optimizer = ea.optim.sgd(net, { momentum = 0.9, nesterov = true, weight_decay = 5e-4 }),
--     schedule = ea.schedule.one_cycle { peak = 0.1, epochs = 20 },
--     run = run, label = "teacher" })
--
-- One step: a batch from the background loader, the captured graph forward and backward, clipping,
-- the optimiser. After every epoch the network is evaluated on `validate`; the best one there (the
-- last one without `validate`) is what the network holds at the end.
--
-- RUN/LABEL.checkpoint.safetensors holds all that training needs to go on: the network, the
-- optimiser, the best network so far, where in which epoch. It is replaced once a minute and after
-- every epoch; a run that was stopped or killed goes on from there to the same bytes. Ctrl-C and
-- SIGTERM finish the step and save first. Without a run they end it at once; the network keeps what
-- it has learnt.

local F = require "edgeai.ffi"
local capture = require "edgeai.capture"
local checkpoint = require "edgeai.train.checkpoint"
local Module = require "edgeai.nn.module"
local evaluate = require "edgeai.train.evaluate"
local grad = require "edgeai.grad"
local nonfinite = require "edgeai.train.nonfinite"
local progress = require "edgeai.progress"
local random = require "edgeai.random"

local C = F.C

local defaults = {
  epochs = 1,
  batch = 128,
  optimizer = F.none, -- ea.optim.*; its state is saved too
  schedule = F.none,  -- function of the epochs done (a fraction) -> learning rate
  objective = F.none, -- function(x, y, id) -> loss, logits; default: cross-entropy of net(x); id:
                      -- the images' positions. objective:at(epochs), if any, before each step
  smoothing = 0,      -- label smoothing of the default objective
  validate = F.none,  -- a split
  augment = false,    -- see Split:loader
  clip = 0,           -- largest gradient norm; 0: none
  precision = "f32",  -- of the images: "bf16" makes activations bf16
  seed = 1,
  run = F.none,       -- ea.run.open(...): metrics and checkpoints go there
  label = "train",
  save_every = 60,    -- seconds between checkpoints within an epoch
  on_epoch = F.none,  -- function(record) after every epoch
}

local session = {} -- one fit in progress
session.__index = session

-- ---- what is trained ---------------------------------------------------------------------------

local function default_objective(net, smoothing)
  return function(x, y)
    local logits = net(x):to("f32")
    return logits:cross_entropy(y, { smoothing = smoothing }), logits
  end
end

local function make_graph(self)
  local o = self.opts
  local objective = o.objective or default_objective(self.net, o.smoothing)
  self.net:train()
  self.graph = capture(function(x, y, id)
    local loss, logits = objective(x, y, id)
    if not F.is_tensor(loss) or loss:numel() ~= 1 then
      F.raise("fit: the objective must return the loss, a single number, first; it returned a %s",
        F.is_tensor(loss) and ("tensor {%s}"):format(table.concat(loss.shape, ", ")) or type(loss))
    end
    if not loss.requires_grad then
      F.raise("fit: the objective's loss does not depend on any parameter that requires a gradient")
    end
    if not logits then return loss end
    return loss, grad.no_grad(function() return logits:argmax() end)
  end, { self.loader.x, self.loader.y, self.loader.id })
end

local function add(list, prefix, items)
  for _, item in ipairs(items) do
    list[#list + 1] = { name = prefix .. item.name, tensor = item.tensor }
  end
  return list
end

--- Everything a checkpoint holds, by name.
local function state_tensors(self)
  local list = add({}, "net.", self.net:state_dict())
  add(list, "optimizer.", self.opts.optimizer:state())
  return add(list, "best.", self.best or {})
end

-- ---- saving and going on -----------------------------------------------------------------------

local function checkpoint_path(self)
  return self.opts.run:path(self.opts.label .. ".checkpoint.safetensors")
end

--- Adds the time since the last call to the time of the training.
local function count_seconds(self)
  local now = C.ea_clock()
  self.state.seconds = self.state.seconds + now - self.counted_at
  self.counted_at = now
end

local function fail_nonfinite(self, format, ...)
  local saved = self.opts.run and C.ea_file_exists(checkpoint_path(self)) ~= 0
  F.raise("%s; a lower learning rate may help%s", format:format(...),
    saved and "; the last good checkpoint is " .. checkpoint_path(self) or "")
end

--- Stops if the last step broke the network: a good checkpoint is never replaced by a broken one.
local function check_state(self)
  local s = self.state
  local broken = nonfinite.in_state(self.net, self.opts.optimizer)
  if not broken then return end
  fail_nonfinite(self, "training of %s left NaN or infinity in %s at epoch %d, batch %d",
    self.opts.label, broken, s.epoch, s.batch)
end

local function save(self)
  local s = self.state
  if not self.opts.run then return end
  check_state(self)
  count_seconds(self)
  s.optimizer = self.opts.optimizer:counters()
  s.random = random.rng_state()
  self.opts.run:commit()
  checkpoint.save(checkpoint_path(self), state_tensors(self), s)
  self.saved_at = C.ea_clock()
end

local function is_count(x) return type(x) == "number" and x >= 0 and x <= 2 ^ 53 and x % 1 == 0 end
local function is_finite(x) return type(x) == "number" and math.abs(x) < math.huge end

local function are_finite(t)
  if type(t) ~= "table" then return false end
  for _, x in pairs(t) do
    if not is_finite(x) then return false end
  end
  return true
end

--- What is wrong with the numbers of a checkpoint, or nil: files come from anywhere.
local function trouble_in(s)
  for _, name in ipairs { "epoch", "batch", "step", "right", "batches", "seed" } do
    if not is_count(s[name]) then return ("`%s` is not a whole number"):format(name) end
  end
  for _, name in ipairs { "loss", "seconds", "lr", "best", "best_epoch" } do
    local needed = name == "loss" or name == "seconds"
    if not is_finite(s[name]) and (needed or s[name] ~= nil) then
      return ("`%s` is not a number"):format(name)
    end
  end
  for _, name in ipairs { "optimizer", "random" } do
    if not are_finite(s[name]) then return ("`%s` is no table of numbers"):format(name) end
  end
  if not (is_count(s.random.seed) and is_count(s.random.index)) then
    return "`random` is not what a stream needs"
  end
  if type(s.history) ~= "table" or #s.history ~= s.epoch - 1 or s.batch > s.batches
    or s.step ~= (s.epoch - 1) * s.batches + s.batch then
    return ("its place is impossible: epoch %.0f, batch %.0f, step %.0f, %d records"):format(
      s.epoch, s.batch, s.step, type(s.history) == "table" and #s.history or 0)
  end
  for _, record in ipairs(s.history) do
    if not are_finite(record) then return "`history` is no list of records" end
  end
end

local function restore(self)
  local run = self.opts.run
  if not run or not run.resumed then return end
  local state = checkpoint.load(checkpoint_path(self), state_tensors(self), trouble_in)
  if not state then return run:rewind(0, self.opts.label .. ".epoch") end
  if state.batches ~= self.state.batches or state.seed ~= self.state.seed then
    F.raise("the checkpoint %s is of a training with %d batches an epoch and seed %.0f, here there "
      .. "are %d and seed %.0f; go on with the same data, batch and seed", checkpoint_path(self),
      state.batches, state.seed, self.state.batches, self.state.seed)
  end
  run:rewind(state.epoch - 1, self.opts.label .. ".epoch")
  self.state = state
  self.opts.optimizer:set_counters(state.optimizer)
  random.set_rng_state(state.random)
end

--- Ends the fit early, after a signal. What was done is saved by now.
local function interrupt(self)
  local s, o = self.state, self.opts
  local run = o.run
  F.raise("interrupted in %s, epoch %d of %d after batch %d of %d%s", o.label, s.epoch, o.epochs,
    s.batch, s.batches, run and "; go on with --resume " .. run.dir or "")
end

-- ---- one step ----------------------------------------------------------------------------------

local function check_loss(self, loss, x)
  if loss == loss and math.abs(loss) < math.huge then return end
  fail_nonfinite(self, "the loss of %s became %s at epoch %d, batch %d (first in %s)",
    self.opts.label, loss ~= loss and "NaN" or "infinite", self.state.epoch, self.state.batch + 1,
    nonfinite.where(self.net, x))
end

local function count_right(self, y)
  if not self.graph.outputs[2] then return end
  local answer, label = F.data(self.graph.outputs[2]), F.data(y)
  local right = 0
  for i = 0, self.opts.batch - 1 do
    if answer[i] == label[i] then right = right + 1 end
  end
  self.state.right = self.state.right + right
end

local function train_step(self, x, y, id)
  local o, s = self.opts, self.state
  for i, input in ipairs { x, y, id } do self.graph.inputs[i]:copy(input) end
  if type(o.objective) == "table" and o.objective.at then o.objective:at(s.step / s.batches) end
  self.graph:forward(s.step)
  local loss = self.graph.outputs[1]:item()
  check_loss(self, loss, x)
  self.graph:backward()
  local scale = 1
  if o.clip > 0 then
    local norm = o.optimizer:gradient_norm()
    if norm > o.clip then scale = o.clip / norm end
  end
  local lr = o.schedule and o.schedule(s.step / s.batches) or nil
  o.optimizer:step { lr = lr, scale = scale }
  s.step = s.step + 1
  s.loss = s.loss + loss
  s.lr = lr or o.optimizer.opts.lr
  count_right(self, y)
end

-- ---- epochs ------------------------------------------------------------------------------------

local function running(self)
  local s = self.state
  local done = math.max(s.batch, 1)
  return { loss = s.loss / done,
    acc = self.graph.outputs[2] and 100 * s.right / (done * self.opts.batch) or nil }
end

local function train_epoch(self)
  local s, o = self.state, self.opts
  self.bar = progress { label = ("%s %d/%d"):format(o.label, s.epoch, o.epochs),
    total = s.batches, unit = "batch", start = s.batch }
  for x, y, _, id in self.loader:epoch(s.epoch, s.batch + 1) do
    train_step(self, x, y, id)
    s.batch = s.batch + 1
    if self.bar:due() then self.bar:update(s.batch, running(self)) end
    local interrupted = C.ea_interrupt_pending() ~= 0
    if interrupted or C.ea_clock() - self.saved_at > o.save_every then save(self) end
    if interrupted then interrupt(self) end
  end
end

local function accuracy_on(self, split)
  return evaluate.accuracy(self.net, split, { dtype = self.opts.precision,
    batch = math.max(self.opts.batch, 256) })
end

local function copy_all(to, from)
  for i, item in ipairs(to) do item.tensor:copy(from[i].tensor:detach()) end
end

local function validate(self, record)
  local s, o = self.state, self.opts
  record.val, record.val_loss = accuracy_on(self, o.validate)
  if not (math.abs(record.val_loss) < math.huge) then
    fail_nonfinite(self, "the validation loss of %s is not finite after epoch %d", o.label, s.epoch)
  end
  if s.best and record.val <= s.best then return end
  s.best, s.best_epoch = record.val, s.epoch
  copy_all(self.best, self.net:state_dict())
end

local function finish_epoch(self)
  local s, o = self.state, self.opts
  check_state(self)
  local record = running(self)
  record.epoch, record.lr = s.epoch, s.lr
  if o.validate then validate(self, record) end
  self.bar:done { loss = record.loss, acc = record.acc, val = record.val }
  count_seconds(self)
  record.seconds = s.seconds
  s.history[#s.history + 1] = record
  s.epoch, s.batch, s.loss, s.right = s.epoch + 1, 0, 0, 0
  if o.run then o.run:log { [o.label] = record } end
  if o.on_epoch then o.on_epoch(record) end
  save(self)
  if C.ea_interrupt_pending() ~= 0 then interrupt(self) end
end

local function train(self)
  restore(self)
  while self.state.epoch <= self.opts.epochs do
    train_epoch(self)
    finish_epoch(self)
  end
  if self.best and self.state.best then copy_all(self.net:state_dict(), self.best) end
  self.net:eval()
end

local function is_callable(x)
  return type(x) == "function" or type(x) == "table" and (getmetatable(x) or {}).__call ~= nil
end

local function check_options(net, split, o)
  local function need(fits, name, what)
    if fits then return end
    F.raise("fit: %s must be %s, got %s", name, what, tostring(o[name]))
  end
  local function is_number(name, least) return type(o[name]) == "number" and o[name] >= least end
  if not Module.is(net) then F.raise("fit: expected a network first, got a %s", type(net)) end
  for name, part in pairs { split = split, validate = o.validate } do
    if type(part) ~= "table" or not part.loader then
      F.raise("fit: expected a split of ea.data.load as %s, got a %s", name, type(part))
    end
  end
  need(is_number("epochs", 0) and o.epochs % 1 == 0, "epochs", "a whole number of at least 0")
  need(is_number("batch", 1) and o.batch % 1 == 0, "batch", "a whole number of at least 1")
  need(is_number("clip", 0), "clip", "a norm, 0 for none")
  need(is_number("smoothing", 0) and o.smoothing < 1, "smoothing", "in [0, 1)")
  need(is_number("save_every", 0), "save_every", "a number of seconds")
  for _, name in ipairs { "schedule", "objective", "on_epoch" } do
    need(o[name] == nil or is_callable(o[name]), name, "a function")
  end
  need(o.optimizer == nil or type(o.optimizer) == "table" and o.optimizer.counters, "optimizer",
    "one of ea.optim")
  if o.batch > split.count then
    F.raise("fit: a batch of %d does not fit into a split of %d images", o.batch, split.count)
  end
end

local function describe_failure(message)
  return type(message) == "string" and message or debug.traceback(tostring(message))
end

--- Trains `net` on `split`; see the top of this file. Returns { history = list of epoch records,
-- best = validation accuracy, best_epoch =, seconds =, steps =, peak = bytes planned }.
local function fit(net, split, opts)
  local o = F.options(opts, defaults, "fit")
  check_options(net, split, o)
  o.optimizer = o.optimizer or require("edgeai.optim").sgd(net, { lr = 0.1, momentum = 0.9 })
  local loader = split:loader { batch = o.batch, shuffle = true, drop_last = true, seed = o.seed,
    augment = o.augment, dtype = o.precision }
  local now = C.ea_clock()
  local self = setmetatable({ net = net, opts = o, loader = loader, saved_at = now,
    counted_at = now, best = o.validate and net:snapshot() }, session)
  self.state = { epoch = 1, batch = 0, step = 0, loss = 0, right = 0, seconds = 0, history = {},
    batches = loader.batches, seed = o.seed }
  C.ea_interrupt_defer(o.run and 1 or 0)
  local ok, message = xpcall(function()
    make_graph(self)
    if o.run then
      o.run:note(("%s: a step's memory will be %.1f MB"):format(o.label, self.graph.peak / 1e6))
    end
    train(self)
  end, describe_failure)
  C.ea_interrupt_defer(0)
  local peak = self.graph and self.graph.peak
  loader:close()
  if self.graph then self.graph:free() end
  for _, item in ipairs(self.best or {}) do item.tensor:drop() end
  if not ok then
    if self.bar then self.bar:stop() end
    net:eval()
    if not o.run and C.ea_interrupt_pending() ~= 0 then interrupt(self) end
    error(message, 0)
  end
  local s = self.state
  return { history = s.history, best = s.best, best_epoch = s.best_epoch, seconds = s.seconds,
    steps = s.step, peak = peak }
end

return fit
