-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.progress - how far a loop is.
--
--   local bar = ea.progress { label = "epoch 3/20", total = 391, unit = "batch" }
--   bar:update(k, { loss = 1.23, acc = 71.4 })    -- in the loop; costs next to nothing
--   bar:done { loss = 0.98, acc = 80.1, val = 79.5 }
--
-- On a terminal (stderr): one line drawn anew at most ten times a second, with rate, time left and
-- the values given. Elsewhere: a plain line of the same once a minute, and at `done`. With --quiet:
-- nothing.

local F = require "edgeai.ffi"
local session = require "edgeai.session"

local progress = { plain_seconds = 60 } -- between the lines of a loop that no terminal shows
local bar = {}
bar.__index = bar

local function is_terminal()
  return F.C.ea_isatty(2) ~= 0 and os.getenv("TERM") ~= "dumb"
end

--- 75 -> "1:15", 3700 -> "1:01:40".
function progress.duration(seconds)
  if seconds ~= seconds or seconds == math.huge then return "?" end
  seconds = math.floor(seconds + 0.5)
  local h, m, s = math.floor(seconds / 3600), math.floor(seconds / 60) % 60, seconds % 60
  if h > 0 then return ("%d:%02d:%02d"):format(h, m, s) end
  return ("%d:%02d"):format(m, s)
end

local function rate_text(rate, unit)
  if rate >= 1 or rate == 0 then return ("%.3g %s/s"):format(rate, unit) end
  return ("%.3g s/%s"):format(1 / rate, unit)
end

-- Well-known values first, then the rest by name.
local first = { "loss", "acc" }
local function values_text(values)
  local words, seen = {}, {}
  local function add(name)
    local value = values[name]
    if value == nil or seen[name] then return end
    seen[name] = true
    if type(value) == "number" then value = ("%.4g"):format(value) end
    words[#words + 1] = name .. " " .. tostring(value)
  end
  for _, name in ipairs(first) do add(name) end
  local rest = {}
  for name in pairs(values) do rest[#rest + 1] = name end
  table.sort(rest)
  for _, name in ipairs(rest) do add(name) end
  return table.concat(words, "  ")
end

--- Makes a progress line. Options: label, total (steps), unit ("step"), start (steps done before).
function progress.new(options)
  options = F.options(options, { label = "", total = 0, unit = "step", start = 0 }, "ea.progress")
  local now, terminal = F.C.ea_clock(), is_terminal()
  return setmetatable({ label = options.label, total = options.total, unit = options.unit,
    start = options.start, position = options.start, began = now,
    drawn = terminal and -math.huge or now, every = terminal and 0.1 or progress.plain_seconds,
    quiet = session.quiet, terminal = terminal }, bar)
end

--- Draws the line now.
function bar:draw(values)
  local elapsed = F.C.ea_clock() - self.began
  local moved = self.position - self.start
  local rate = elapsed > 0 and moved / elapsed or 0
  local part = self.total > 0 and math.min(1, self.position / self.total) or 0
  local left = rate > 0 and (self.total - self.position) / rate or math.huge
  local tail = ("%d/%d  %s  %s left"):format(self.position, self.total, rate_text(rate, self.unit),
    progress.duration(left))
  if values then tail = tail .. "  " .. values_text(values) end
  if not self.terminal then
    io.stderr:write(self.label, "  ", tail, "\n")
    return
  end
  local columns = F.C.ea_terminal_width()
  local room = math.min(16, columns - #self.label - #tail - 6)
  local line
  if room >= 5 then
    local full = math.floor(part * room)
    line = ("%s [%s%s] %s"):format(self.label, ("#"):rep(full), ("."):rep(room - full), tail)
  else
    line = (self.label .. " " .. tail):sub(1, columns - 1)
  end
  io.stderr:write("\r", line, "\27[K")
  io.stderr:flush()
end

--- Step `position` of the total is done; values: { loss =, acc =, ... } or nil.
function bar:update(position, values)
  self.position = position
  if self.quiet then return end
  local now = F.C.ea_clock()
  if now - self.drawn < self.every then return end
  self.drawn = now
  self:draw(values)
end

--- Is it time to compute values for `update`? Reading a loss costs more than drawing it.
function bar:due()
  return not self.quiet and F.C.ea_clock() - self.drawn >= self.every
end

--- Leaves the line as it is: what is written next begins a new one.
function bar:stop()
  if not self.quiet and self.terminal and self.drawn > -math.huge then io.stderr:write("\n") end
end

--- Ends the line with final values and the time it took.
function bar:done(values)
  if self.quiet then return end
  local elapsed = F.C.ea_clock() - self.began
  if self.terminal then io.stderr:write("\r\27[K") end
  local line = self.label .. (values and next(values) and "  " .. values_text(values) or "")
  io.stderr:write(("%s  (%s)\n"):format(line, progress.duration(elapsed)))
  io.stderr:flush()
end

return setmetatable(progress, { __call = function(_, options) return progress.new(options) end })
