-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.handle - a rendering in one's hands, for the REPL.
--
--   h = ea.vis.start(net, "group3:12", { images = 4 })   -- options as ea.vis.render's
--   h:step(50)                    -- 50 steps; returns the values {n} before the last one
--   ea.image.save("now.png", ea.image.grid(h:peek()))
--   h:tweak { lr = 0.02, objective = "group3:12@4,4", transforms = {} }
--   r = h:stop()                  -- what render would have returned so far
--
-- Ctrl-C stops h:step between two steps; nothing is lost.

local F = require "edgeai.ffi"
local objective = require "edgeai.vis.objective"
local session = require "edgeai.vis.session"
local transform = require "edgeai.vis.transform"

local C = F.C
local handle = {}
handle.__index = handle

local function alive(self)
  if not self.session then F.raise("this rendering was stopped") end
  return self.session
end

--- Does n (1) steps. Returns the values {n} before the last one.
function handle:step(n)
  local s = alive(self)
  if n ~= nil and (type(n) ~= "number" or n % 1 ~= 0 or n < 1) then
    F.raise("step: expected a number of steps of at least 1, got %s", tostring(n))
  end
  C.ea_interrupt_defer(1)
  local ok, message = pcall(s.frozen, s, function()
    for _ = 1, n or 1 do
      if C.ea_interrupt_pending() ~= 0 then break end
      s:advance()
    end
  end)
  C.ea_interrupt_defer(0)
  if not ok then error(message, 0) end
  return s.engine.outputs and s.engine.outputs[2]:clone()
end

--- The images {n, h, w, c} as they are.
function handle:peek() return alive(self).engine:images() end

--- Changes what is to come: { lr, objective, transforms }, any of them. What cannot be made changes
-- nothing.
function handle:tweak(given)
  local s = alive(self)
  local o = F.options(given, { lr = F.none, objective = F.none, transforms = F.none }, "tweak")
  if o.lr ~= nil then
    if type(o.lr) ~= "number" or not (o.lr >= 0) then
      F.raise("tweak: lr must be a number of at least 0, got %s", tostring(o.lr))
    end
  end
  local goal = o.objective and objective.as(o.objective, "tweak")
  local images = goal and goal:needs()
  if images and images ~= s.engine.n then
    F.raise("tweak: the objective is for %d images, this rendering has %d", images, s.engine.n)
  end
  if o.transforms ~= nil then transform.need_list(o.transforms, "tweak") end
  if goal or o.transforms then
    s:frozen(function() s.engine:change(goal, o.transforms) end)
  end
  if o.lr ~= nil then s.engine.optimizer.lr = o.lr end
  return self
end

--- Ends it; returns { images, values, history, steps } as they are.
function handle:stop()
  local s = alive(self)
  local done = s.engine.step_count
  local result = { images = s.engine:images(), history = {}, steps = done,
    values = s.engine.outputs and s.engine.outputs[2]:clone() }
  for label, t in pairs(s.history) do
    result.history[label] = t:narrow(1, 1, math.min(done, t:size(1))):clone()
  end
  s.engine:free()
  self.session = nil
  return result
end

handle.__tostring = function(self)
  local s = self.session
  return s and ("rendering of %s: %d of %d steps"):format(tostring(s.engine.objective),
    s.engine.step_count, s.opts.steps) or "rendering, stopped"
end

--- Begins a rendering of all its images in one batch: see the top of this file.
return function(net, goal, given)
  local s = session.new(net, goal, given)
  local ids = {}
  for k = 1, s.opts.total do ids[k] = k end
  s:start(ids)
  return setmetatable({ session = s }, handle)
end
