-- SPDX-License-Identifier: GPL-3.0-or-later
-- experiments/zoo: each network loads by its name, is small, says how to treat images, and has a
-- card that tells the truth.

local F = require "edgeai.ffi"
local program = require "program"

local MOST_BYTES = 8e6
local IMAGES = 2000   -- of the test set; their accuracy is within
local POINTS = 3      -- of the whole set's: more than four standard deviations

local names = {}
local pipe = io.popen("ls experiments/zoo/*.safetensors")
for path in pipe:lines() do names[#names + 1] = path:match("([^/]+)%.safetensors$") end
pipe:close()

--- The card's row "| KEY | value |".
local function row(card, key)
  return card:match("\n| " .. key .. " | ([^\n]-) |\n")
end

describe("the zoo", function()
  it("has networks", function() assert.is_true(#names >= 2) end)

  it("names what it has not, and where it looked", function()
    local ok, message = pcall(ea.zoo.load, "zoo:nobody")
    assert.is_false(ok)
    assert.truthy(message:find("there is no network 'nobody' in ", 1, true), message)
    ok, message = pcall(ea.zoo.load, "zoo:../secret")
    assert.is_false(ok)
    assert.truthy(message:find("'../secret' is not a network's name", 1, true), message)
  end)

  for _, name in ipairs(names) do
    it("has " .. name .. ", with its card", function()
      local path = ea.zoo.path("zoo:" .. name)
      assert.is_true(#program.read(path) < MOST_BYTES)
      local card = assert(program.read("experiments/zoo/" .. name .. ".md"), "no card")
      local net = ea.zoo.load("zoo:" .. name)
      local meta = net.meta
      for _, key in ipairs { "data", "recipe", "seed", "command", "parameters", "accuracy" } do
        assert.truthy(row(card, key), "the card says no " .. key)
      end
      assert.equal(tonumber((row(card, "parameters"):gsub(",", ""))), net:parameter_count())
      assert.equal(meta.seed, row(card, "seed"))
      assert.equal(meta.data, row(card, "data"):match("^[^:]+"))
      assert.equal(3, #net.mean)
      assert.equal(3, #net.std)
    end)

    it("has " .. name .. " as accurate as its card says", function()
      local net = ea.zoo.load("zoo:" .. name)
      local ok, d = pcall(ea.data.load, net.meta.data)
      if not ok then
        pending(net.meta.data .. " is not here")
        return
      end
      d:normalise_as(net)
      local split = setmetatable({ index = ea.arange(1, IMAGES):to("i32"), count = IMAGES },
        { __index = d.test })
      local card = program.read("experiments/zoo/" .. name .. ".md")
      local said = tonumber(row(card, "accuracy"):match("^([%d%.]+) %%"))
      local found = ea.train.accuracy(net, split, { batch = 200, dtype = "f32" })
      assert.is_true(math.abs(found - said) < POINTS, ("%.2f, not %.2f"):format(found, said))
    end)
  end

  it("is found beside the script, by $EDGEAI_ZOO, and nowhere else by accident", function()
    local folder = program.folder()
    os.execute(("mkdir '%s/here' '%s/here/zoo'"):format(folder, folder))
    ea.nn.mlp { inp = 4, hidden = { 2 }, classes = 2 }:save(folder .. "/here/zoo/two.safetensors")
    program.write(folder .. "/here/s.lua",
      'local ea = require "edgeai" print(ea.zoo.load("zoo:two"):parameter_count())')
    local code, out, err = program.run(folder, "run here/s.lua")
    assert.equal(0, code, err)
    assert.equal("16\n", out)
    code, out = program.run(folder, "eval 'ea.zoo.load(\"zoo:two\"):parameter_count()'",
      "EDGEAI_ZOO=here/zoo")
    assert.equal(0, code)
    assert.equal("16\n", out)
    code, out, err = program.run(folder, "eval 'ea.zoo.load(\"zoo:two\")'", "HOME=/nowhere")
    assert.equal("", out)
    assert.equal(1, code)
    assert.truthy(err:find("there is no network 'two'", 1, true), err)
    program.remove(folder)
    assert.equal(0, F.C.ea_file_exists(folder))
  end)
end)
