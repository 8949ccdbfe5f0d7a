-- SPDX-License-Identifier: GPL-3.0-or-later
-- Schedules against the rates of PyTorch 1.13's schedulers, and their limits and refusals.

local S = ea.schedule

local function follows(s, want)
  for i, rate in ipairs(want) do
    assert.near(rate, s(i - 1), 1e-8, ("%s at %d"):format(tostring(s), i - 1))
  end
end

local function fails(fn, sentence) assert.error_matches(fn, sentence, 1, true) end

describe("ea.schedule", function()
  it("step is StepLR", function()
    follows(S.step { lr = 0.4, every = 3, gamma = 0.5 }, { 0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1, 0.1 })
  end)

  it("multistep is MultiStepLR", function()
    follows(S.multistep { lr = 0.4, at = { 2, 5 }, gamma = 0.2 },
      { 0.4, 0.4, 0.08, 0.08, 0.08, 0.016, 0.016, 0.016 })
  end)

  it("cosine is CosineAnnealingLR and stays at its end", function()
    local s = S.cosine { lr = 0.4, epochs = 6, final = 0.01 }
    follows(s, { 0.4, 0.373874954, 0.3025, 0.205, 0.1075, 0.036125046, 0.01 })
    assert.near(0.01, s(100), 1e-12)
  end)

  -- OneCycleLR(total_steps=11, pct_start=0.4): its peak is at step 0.4*11 - 1, its end at step 10.
  it("one_cycle is OneCycleLR", function()
    local o = { peak = 0.4, epochs = 10, warm = 0.34, start_div = 10, final_div = 100 }
    local s = S.one_cycle(o)
    follows(s, { 0.04, 0.111525765, 0.269259338, 0.387845001, 0.391906696, 0.344802061, 0.265548179,
      0.171765495, 0.084304629, 0.022610677, 0.0004 })
    assert.near(0.4, s(3.4), 1e-12)
    assert.near(0.0004, s(11), 1e-12)
    o.shape = "linear"
    follows(S.one_cycle(o), { 0.04, 0.145882353, 0.251764706, 0.357647059, 0.363672727, 0.303127273,
      0.242581818, 0.182036364, 0.121490909, 0.060945455, 0.0004 })
  end)

  it("one_cycle may start at its peak or end there", function()
    assert.near(0.4, S.one_cycle { peak = 0.4, epochs = 10, warm = 0 }(0), 1e-12)
    assert.near(0.4, S.one_cycle { peak = 0.4, epochs = 10, warm = 1 }(9.999999), 1e-6)
  end)

  it("piecewise joins points by lines; equal times are a jump", function()
    local s = S.piecewise { { 1, 0.1 }, { 3, 0.5 }, { 3, 0.2 }, { 5, 0 } }
    follows(s, { 0.1, 0.1, 0.3, 0.2, 0.1, 0, 0 })
    assert.near(0.4, s(2.5), 1e-12)
  end)

  it("warmup rises to another schedule's start, then follows it", function()
    local s = S.warmup { epochs = 2, schedule = S.step { lr = 0.4, every = 1, gamma = 0.5 } }
    follows(s, { 0, 0.2, 0.4, 0.2, 0.1 })
    follows(S.warmup { epochs = 2, start = 0.5, schedule = function() return 1 end },
      { 0.5, 0.75, 1, 1 })
  end)

  it("constant, and times before 0", function()
    follows(S.constant { 0.3 }, { 0.3, 0.3 })
    follows(S.constant { lr = 0.3 }, { 0.3 })
    assert.equal(0.4, S.step { lr = 0.4, every = 3 }(-1))
  end)

  it("says what it is", function()
    assert.equal("step 0.1, x0.2 every 30", tostring(S.step { lr = 0.1, every = 30, gamma = 0.2 }))
    assert.equal("cosine 0.1 to 0 over 20", tostring(S.cosine { lr = 0.1, epochs = 20 }))
    assert.equal("warm-up over 5, then constant 0.1",
      tostring(S.warmup { epochs = 5, schedule = S.constant { 0.1 } }))
  end)

  it("refuses what makes no sense", function()
    fails(function() S.step { lr = 0.1 } end, "schedule.step: 'every' must be a positive number")
    fails(function() S.step { lr = 0.1, evry = 1 } end,
      "there is no option 'evry'; did you mean `every`?")
    fails(function() S.cosine { lr = -1, epochs = 3 } end,
      "'lr' must be a non-negative number, got -1")
    fails(function() S.multistep { lr = 1, at = 3 } end, "'at' must be a list of times")
    fails(function() S.one_cycle { peak = 1, epochs = 3, warm = 2 } end, "'warm' is a fraction")
    fails(function() S.one_cycle { peak = 1, epochs = 3, shape = "round" } end, "'shape' must be")
    fails(function() S.piecewise { { 2, 1 }, { 1, 2 } } end, "must not go back")
    fails(function() S.piecewise { 0, 1 } end, "point 1 must be {time, rate}")
    fails(function() S.warmup { epochs = 1, schedule = 0.1 } end, "'schedule' must be a schedule")
    fails(function() S.constant { 1 }("soon") end, "expected the time as a number")
  end)
end)
