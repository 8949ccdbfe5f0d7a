-- SPDX-License-Identifier: GPL-3.0-or-later
-- Every hostile file of tests/attacks is refused with a sentence, in little memory.
local ea = require "edgeai"
local F = require "edgeai.ffi"
local program = require "program"

describe("attacks", function()
  local here = debug.getinfo(1, "S").source:match("^@(.*)tests/lua/[^/]*$") or ""
  local attacks = assert(loadfile(here .. "tests/attacks/files.lua"))()
  local folder
  setup(function() folder = program.folder() end)
  teardown(function() program.remove(folder) end)

  it("are at least 40", function() assert.is_true(#attacks >= 40) end)

  for _, attack in ipairs(attacks) do
    it("refuses " .. attack.name, function()
      local path = folder .. "/" .. attack.name
      program.write(path, attack.bytes)
      collectgarbage()
      local live = ea.memory().live
      F.C.ea_memory_reset_peak()
      local ok, message = pcall(ea.io.load, path)
      assert.is_false(ok)
      assert.is_truthy(message:find(attack.says, 1, true), message)
      assert.is_truthy(message:find(path, 1, true), message)
      assert.is_nil(message:find("[%z\1-\9\11-\31\127]"))
      assert.are.equal(live, ea.memory().live)
      assert.is_true(ea.memory().peak - live < 300 * 2 ^ 20)
    end)
  end

  it("refuses devices and folders in place of files", function()
    for _, case in ipairs { { "zero.npy", "ln -s /dev/zero", "device" },
      { "d.png", "mkdir", "folder" } } do
      local path = folder .. "/" .. case[1]
      assert.are.equal(0, os.execute(("%s '%s'"):format(case[2], path)))
      local ok, message = pcall(ea.io.load, path)
      assert.is_false(ok)
      assert.is_truthy(message:find(case[3], 1, true), message)
    end
  end)
end)
