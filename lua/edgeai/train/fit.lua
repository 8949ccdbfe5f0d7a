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
-- last one without `validate`) is what the network holds at the end. Checkpoints go to
-- RUN/LABEL.checkpoint.safetensors once a minute and after every epoch; a run that was stopped or
-- killed goes on from there to the same bytes. Ctrl-C and SIGTERM finish the step and save first.

local F = require "edgeai.ffi"
local capture = require "edgeai.capture"
local checkpoint = require "edgeai.train.checkpoint"
local evaluate = require "edgeai.train.evaluate"
local grad = require "edgeai.grad"
local progress = require "edgeai.progress"

local C = F.C

local defaults = {
  epochs = 1,
  batch = 128,
  optimizer = F.none, -- ea.optim.*; its state is saved too
  schedule = F.none,  -- function of the epochs done (a fraction) -> learning rate
  objective = F.none, -- function(x, y) -> loss, logits; default: cross-entropy of net(x)
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
  self.graph = capture(function(x, y)
    local loss, logits = objective(x, y)
    if not loss.requires_grad then
      F.raise("fit: the objective's loss does not depend on any parameter that requires a gradient")
    end
    if not logits then return loss end
    return loss, grad.no_grad(function() return logits:argmax() end)
  end, { self.loader.x, self.loader.y })
end

--- Everything a checkpoint holds, by name.
local function state_tensors(self)
  local list = {}
  for _, item in ipairs(self.net:state_dict()) do
    list[#list + 1] = { name = "net." .. item.name, tensor = item.tensor }
  end
  for _, item in ipairs(self.opts.optimizer:state()) do
    list[#list + 1] = { name = "optimizer." .. item.name, tensor = item.tensor }
  end
  return list
end

local function best_tensors(self)
  local list = {}
  for _, item in ipairs(self.net:state_dict()) do
    list[#list + 1] = { name = item.name, tensor = item.tensor }
  end
  return list
end

-- ---- saving and going on -----------------------------------------------------------------------

local function path_of(self, what)
  return self.opts.run and self.opts.run:path(("%s.%s.safetensors"):format(self.opts.label, what))
end

local function save(self)
  if not self.opts.run then return end
  self.state.optimizer = self.opts.optimizer:counters()
  checkpoint.save(path_of(self, "checkpoint"), state_tensors(self), self.state)
  self.saved_at = C.ea_clock()
end

local function restore(self)
  local run = self.opts.run
  if not run then return end
  local state = run.resumed and checkpoint.load(path_of(self, "checkpoint"), state_tensors(self))
  if run.resumed then run:rewind(state and state.epoch - 1 or 0, self.opts.label .. ".epoch") end
  if not state then return end
  self.state = state
  self.opts.optimizer:set_counters(state.optimizer)
end

--- Ends the fit early after a signal: what was done is saved.
local function stop(self)
  save(self)
  local where = self.opts.run and ("; go on with --resume " .. self.opts.run.dir) or ""
  F.raise("interrupted in %s, epoch %d, batch %d%s", self.opts.label, self.state.epoch,
    self.state.batch, where)
end

-- ---- one step ----------------------------------------------------------------------------------

local function explain_nonfinite(self)
  for _, item in ipairs(self.net:parameters()) do
    if item.tensor:count_nonfinite() > 0 then return "the weights of " .. item.name end
    local g = item.tensor.grad
    if g and g:count_nonfinite() > 0 then return "the gradient of " .. item.name end
  end
  for _, item in ipairs(self.net:buffers()) do
    if item.tensor:count_nonfinite() > 0 then return item.name end
  end
  return "the loss itself"
end

local function check_loss(self, loss)
  if loss == loss and math.abs(loss) < math.huge then return end
  local kept = self.opts.run and C.ea_file_exists(path_of(self, "checkpoint")) ~= 0
    and ("; the last good checkpoint is " .. path_of(self, "checkpoint")) or ""
  F.raise("the loss of %s became %s at epoch %d, batch %d (first seen in %s); a lower learning "
    .. "rate may help%s", self.opts.label, tostring(loss), self.state.epoch, self.state.batch,
    explain_nonfinite(self), kept)
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

local function train_step(self, x, y)
  local o, s = self.opts, self.state
  local per_epoch = self.loader.batches
  self.graph.inputs[1]:copy(x)
  self.graph.inputs[2]:copy(y)
  self.graph:forward(s.step)
  local loss = self.graph.outputs[1]:item()
  check_loss(self, loss)
  self.graph:backward()
  local scale = 1
  if o.clip > 0 then
    local norm = o.optimizer:gradient_norm()
    if norm > o.clip then scale = o.clip / norm end
  end
  local lr = o.schedule and o.schedule(s.step / per_epoch) or nil
  o.optimizer:step { lr = lr, scale = scale }
  s.step = s.step + 1
  s.loss = s.loss + loss
  count_right(self, y)
  self.lr = lr
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
    total = self.loader.batches, unit = "batch", start = s.batch }
  for x, y in self.loader:epoch(s.epoch, s.batch + 1) do
    train_step(self, x, y)
    s.batch = s.batch + 1
    if self.bar:due() then self.bar:update(s.batch, running(self)) end
    if C.ea_interrupt_pending() ~= 0 then stop(self) end
    if C.ea_clock() - self.saved_at > o.save_every then save(self) end
  end
end

local function accuracy_on(self, split)
  return evaluate.accuracy(self.net, split, { dtype = self.opts.precision,
    batch = math.max(self.opts.batch, 256) })
end

local function finish_epoch(self)
  local s, o = self.state, self.opts
  local record = running(self)
  record.epoch, record.lr = s.epoch, self.lr
  if o.validate then
    record.val, record.val_loss = accuracy_on(self, o.validate)
    if not s.best or record.val > s.best then
      s.best, s.best_epoch = record.val, s.epoch
      if o.run then
        checkpoint.save(path_of(self, "best"), best_tensors(self), { epoch = s.epoch })
      else
        self.kept = {}
        for i, item in ipairs(best_tensors(self)) do self.kept[i] = item.tensor:clone() end
      end
    end
  end
  self.bar:done { loss = record.loss, acc = record.acc, val = record.val }
  s.seconds = s.seconds + C.ea_clock() - self.epoch_start
  record.seconds = s.seconds
  s.history[#s.history + 1] = record
  s.epoch, s.batch, s.loss, s.right = s.epoch + 1, 0, 0, 0
  if o.run then o.run:log { [o.label] = record } end
  save(self)
  if o.on_epoch then o.on_epoch(record) end
end

--- The weights of the best epoch back into the network.
local function take_best(self)
  if self.kept then
    for i, item in ipairs(best_tensors(self)) do item.tensor:copy(self.kept[i]) end
  elseif self.opts.run and self.opts.validate then
    checkpoint.load(path_of(self, "best"), best_tensors(self))
  end
  self.net:eval()
end

local function train(self)
  restore(self)
  while self.state.epoch <= self.opts.epochs do
    self.epoch_start = C.ea_clock()
    train_epoch(self)
    finish_epoch(self)
  end
  take_best(self)
end

--- Trains `net` on `split`; see the top of this file. Returns { history = list of epoch records,
-- best = validation accuracy, best_epoch =, seconds =, steps =, peak = bytes planned }.
local function fit(net, split, opts)
  local o = F.options(opts, defaults, "fit")
  o.optimizer = o.optimizer or require("edgeai.optim").sgd(net, { lr = 0.1, momentum = 0.9 })
  local self = setmetatable({ net = net, opts = o, saved_at = C.ea_clock() }, session)
  self.state = { epoch = 1, batch = 0, step = 0, loss = 0, right = 0, seconds = 0, history = {} }
  self.loader = split:loader { batch = o.batch, shuffle = true, drop_last = true, seed = o.seed,
    augment = o.augment, dtype = o.precision }
  if self.loader.batches == 0 then
    F.raise("fit: a batch of %d does not fit into a split of %d images", o.batch, split.count)
  end
  make_graph(self)
  if o.run then
    o.run:note(("%s: a step's memory will be %.1f MB"):format(o.label, self.graph.peak / 1e6))
  end
  C.ea_interrupt_defer(1)
  local ok, message = xpcall(train, function(m)
    return type(m) == "string" and m or debug.traceback(tostring(m))
  end, self)
  C.ea_interrupt_defer(0)
  local peak = self.graph.peak
  self.loader:close()
  self.graph:free()
  if not ok then error(message, 0) end
  local s = self.state
  return { history = s.history, best = s.best, best_epoch = s.best_epoch, seconds = s.seconds,
    steps = s.step, peak = peak }
end

return fit
