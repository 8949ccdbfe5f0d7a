-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.schedule - learning rates over time. A schedule s is called with the time t >= 0 done so far,
-- a fraction of epochs as ea.train.fit counts (or steps: any one unit throughout), and returns the
-- rate; tostring(s) says what it is. After its end it keeps its last value.

local F = require "edgeai.ffi"

local schedule = {}

local meta = {
  __call = function(self, t)
    if type(t) ~= "number" or t ~= t then
      F.raise("schedule: expected the time as a number, got %s", tostring(t))
    end
    return self.rate(math.max(t, 0))
  end,
  __tostring = function(self) return self.words end,
}

local function make(words, rate) return setmetatable({ words = words, rate = rate }, meta) end

--- Is x a schedule (or any function of time)?
local function is_schedule(x) return type(x) == "function" or getmetatable(x) == meta end

--- Raises unless o[name] is a finite number >= 0, or > 0 where `positive`.
local function need(o, name, where, positive)
  local v = o[name]
  if type(v) ~= "number" or not (v >= 0 and v < math.huge) or positive and v == 0 then
    F.raise("%s: '%s' must be a %s number, got %s", where, name,
      positive and "positive" or "non-negative", tostring(v))
  end
  return v
end

--- Always the same rate: schedule.constant{ lr }.
function schedule.constant(given)
  local o = F.options({ lr = given and (given.lr or given[1]) }, { lr = F.none },
    "schedule.constant")
  local lr = need(o, "lr", "schedule.constant")
  return make(("constant %g"):format(lr), function() return lr end)
end

--- lr * gamma^floor(t / every). Options: lr, every, gamma (0.1). PyTorch's StepLR.
function schedule.step(given)
  local o = F.options(given, { lr = F.none, every = F.none, gamma = 0.1 }, "schedule.step")
  local lr = need(o, "lr", "schedule.step")
  local every, gamma = need(o, "every", "schedule.step", true), need(o, "gamma", "schedule.step")
  return make(("step %g, x%g every %g"):format(lr, gamma, every),
    function(t) return lr * gamma ^ math.floor(t / every) end)
end

--- lr * gamma^(number of `at` reached). Options: lr, at = {60, 120, 160}, gamma (0.1). MultiStepLR.
function schedule.multistep(given)
  local o = F.options(given, { lr = F.none, at = F.none, gamma = 0.1 }, "schedule.multistep")
  local lr, gamma = need(o, "lr", "schedule.multistep"), need(o, "gamma", "schedule.multistep")
  if type(o.at) ~= "table" then
    F.raise("schedule.multistep: 'at' must be a list of times, got a %s", type(o.at))
  end
  for i = 1, #o.at do need(o.at, i, "schedule.multistep") end
  return make(("multistep %g, x%g at {%s}"):format(lr, gamma, table.concat(o.at, ", ")), function(t)
    local reached = 0
    for _, at in ipairs(o.at) do if t >= at then reached = reached + 1 end end
    return lr * gamma ^ reached
  end)
end

local function half_cosine(from, to, x)
  return to + (from - to) * (1 + math.cos(math.pi * x)) / 2
end

--- From lr to `final` (0) along half a cosine over `epochs` (Loshchilov & Hutter 2017, no
-- restarts).
function schedule.cosine(given)
  local o = F.options(given, { lr = F.none, epochs = F.none, final = 0 }, "schedule.cosine")
  local lr, final = need(o, "lr", "schedule.cosine"), need(o, "final", "schedule.cosine")
  local epochs = need(o, "epochs", "schedule.cosine", true)
  return make(("cosine %g to %g over %g"):format(lr, final, epochs),
    function(t) return half_cosine(lr, final, math.min(t / epochs, 1)) end)
end

--- Up from peak/start_div (25) to `peak` over the first `warm` (0.3) of `epochs`, then down to
-- peak/start_div/final_div (1e4) at the end (Smith & Topin 2018; defaults of PyTorch's OneCycleLR).
-- shape: "cosine" or "linear".
function schedule.one_cycle(given)
  local where = "schedule.one_cycle"
  local o = F.options(given, { peak = F.none, epochs = F.none, warm = 0.3, start_div = 25,
    final_div = 1e4, shape = "cosine" }, where)
  local peak, epochs = need(o, "peak", where), need(o, "epochs", where, true)
  local start = peak / need(o, "start_div", where, true)
  local final = start / need(o, "final_div", where, true)
  if need(o, "warm", where) > 1 then F.raise("%s: 'warm' is a fraction, got %g", where, o.warm) end
  if o.shape ~= "cosine" and o.shape ~= "linear" then
    F.raise("%s: 'shape' must be \"cosine\" or \"linear\", got %s", where, tostring(o.shape))
  end
  local top = o.warm * epochs
  local function between(from, to, x)
    if o.shape == "cosine" then return half_cosine(from, to, x) end
    return from + (to - from) * x
  end
  return make(("one cycle %g to %g at %g to %g at %g, %s"):format(start, peak, top, final, epochs,
    o.shape), function(t)
    if t < top then return between(start, peak, t / top) end
    if t >= epochs then return final end
    return between(peak, final, (t - top) / (epochs - top))
  end)
end

--- Straight lines between points: schedule.piecewise{ {0, 0.01}, {5, 0.1}, {30, 0} }.
function schedule.piecewise(points)
  local where, words = "schedule.piecewise", {}
  if type(points) ~= "table" or #points == 0 then
    F.raise("%s: expected a list of points {time, rate}", where)
  end
  for i, p in ipairs(points) do
    if type(p) ~= "table" or #p ~= 2 then F.raise("%s: point %d must be {time, rate}", where, i) end
    need(p, 1, where)
    need(p, 2, where)
    if i > 1 and p[1] < points[i - 1][1] then
      F.raise("%s: the points' times must not go back, but %g follows %g", where, p[1],
        points[i - 1][1])
    end
    words[i] = ("%g at %g"):format(p[2], p[1])
  end
  return make("piecewise " .. table.concat(words, ", "), function(t)
    if t <= points[1][1] then return points[1][2] end
    for i = 2, #points do
      local a, b = points[i - 1], points[i]
      if t < b[1] then return a[2] + (b[2] - a[2]) * (t - a[1]) / (b[1] - a[1]) end
    end
    return points[#points][2]
  end)
end

--- Rises linearly from `start` (0) times the first rate of `schedule` to that rate over `epochs`,
-- then runs `schedule` from its beginning.
function schedule.warmup(given)
  local where = "schedule.warmup"
  local o = F.options(given, { epochs = F.none, schedule = F.none, start = 0 }, where)
  local epochs, start = need(o, "epochs", where, true), need(o, "start", where)
  if not is_schedule(o.schedule) then
    F.raise("%s: 'schedule' must be a schedule, got a %s", where, type(o.schedule))
  end
  local first = o.schedule(0)
  return make(("warm-up over %g, then %s"):format(epochs, tostring(o.schedule)), function(t)
    if t < epochs then return first * (start + (1 - start) * t / epochs) end
    return o.schedule(t - epochs)
  end)
end

return schedule
