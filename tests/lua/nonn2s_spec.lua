-- SPDX-License-Identifier: GPL-3.0-or-later
-- experiments/nonn2s.lua: what its later steps could not do is refused before its first.

local F = require "edgeai.ffi"
local program = require "program"
local tiny = require "tiny"

describe("experiments/nonn2s.lua", function()
  local folder

  setup(function()
    folder = program.folder()
    os.execute(("ln -s '%s/experiments' '%s/experiments'"):format(program.root, folder))
    tiny.fashion_mnist(folder .. "/data")
  end)
  teardown(function() program.remove(folder) end)

  local function run(arguments)
    return program.run(folder, tiny.nonn2s .. arguments, "EDGEAI_DATA=data")
  end

  it("refuses at once what only its later steps need, and leaves no folder", function()
    program.write(folder .. "/broken.png", "\137PNG\r\n\26\n, and then it broke off")
    for setting, sentence in pairs {
      ["students=1"] = "`students` must be a whole number of at least 2, not 1",
      ["students=17"] = "17 students cannot share the teacher's 16 filters",
      ["fan.percentile=200"] = "`fan.percentile` must be a number from 0 to 100, not 200",
      ["fan.top_k=1.5"] = "`fan.top_k` must be a whole number of at least 2",
      ["partition.tries=0"] = "`partition.tries` must be a whole number of at least 1",
      ["partition.resolution=0"] = "`partition.resolution` must be a number above 0",
      ["student_net.depth=12"] = "a student cannot be built: wrn: depth must be 6n+4",
      ["student_net.widths=4,4"] = "a student cannot be built: wrn: widths must be",
      ["distil.epochs=0"] = "`distil.epochs` must be a whole number of at least 1",
      ["distil.lr=0"] = "`distil.lr` must be a number above 0",
      ["distil.alpha=2"] = "`distil.alpha` must be a number from 0 to 1",
      ["distil.temperature=0"] = "`distil.temperature` must be a number above 0",
      ["distil.weight_decay=-1"] = "`distil.weight_decay` must be a number of at least 0",
      ["teacher=nowhere.safetensors"] = "cannot read nowhere.safetensors",
      ["teacher=broken.png"] = "broken.png holds no tensors by name",
    } do
      local code, out, err = run("--out refused --set " .. setting)
      assert.is_true(code == 1 or code == 2, setting)
      assert.equal("", out)
      assert.truthy(err:find(sentence, 1, true), setting .. ": " .. err)
      assert.equal(0, F.C.ea_file_exists(folder .. "/refused"), setting)
    end
  end)

  it("says how many of one there are", function()
    local code, out, err = run("--out one")
    assert.equal(0, code, err)
    local number, noun = out:match("(%d+) (communit%l+) of filters")
    assert.equal(number == "1" and "community" or "communities", noun)
  end)
end)
