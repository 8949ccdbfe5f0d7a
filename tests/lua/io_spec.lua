-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.io: round trips, order, metadata, mistakes; NumPy as an independent reader and writer.
local ea = require "edgeai"
local program = require "program"

local shared = os.getenv("EDGEAI_SHARED") or "../shared"

local function readable(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

local function refused(says, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_truthy(message:find(says, 1, true), message)
  assert.is_truthy(message:find("io_spec.lua:%d+:"), message) -- the user's line
end

local function same(a, b)
  assert.are.equal(a.dtype, b.dtype)
  assert.are.same(a.shape, b.shape)
  assert.are.equal(a:hash(), b:hash())
end

describe("ea.io", function()
  local folder
  setup(function() folder = program.folder() end)
  teardown(function() program.remove(folder) end)
  local function path(name) return folder .. "/" .. name end

  local function samples()
    return {
      f32 = ea.randn { 2, 3 }, f64 = ea.randn({ 4 }, "f64"), bf16 = ea.randn({ 3 }, "bf16"),
      i32 = ea.tensor({ { -1, 2147483647 } }, "i32"), u8 = ea.tensor({ 0, 255 }, "u8"),
      i8 = ea.tensor({ -128, 127 }, "i8"), scalar = ea.tensor(2.5), empty = ea.zeros { 0, 3 },
    }
  end

  it("brings every type back from safetensors, with metadata", function()
    local given = samples()
    ea.io.save(path "a.safetensors", given, { note = "zwölf\n\"ja\"" })
    local got, meta, names = ea.io.load(path "a.safetensors")
    for name, t in pairs(given) do same(t, got[name]) end
    assert.are.same({ note = "zwölf\n\"ja\"" }, meta)
    assert.are.same({ "bf16", "empty", "f32", "f64", "i32", "i8", "scalar", "u8" }, names)
  end)

  it("keeps the order of a list", function()
    ea.io.save(path "l.safetensors", { { name = "z", tensor = ea.ones { 1 } },
      { name = "a", tensor = ea.ones({ 1 }, "f64") } })
    assert.are.same({ "z", "a" }, select(3, ea.io.load(path "l.safetensors")))
  end)

  it("brings every type back from npy and npz, bf16 as f32", function()
    local given = samples()
    ea.io.save(path "a.npz", given)
    local got = ea.io.load(path "a.npz")
    for name, t in pairs(given) do
      same(name == "bf16" and t:to("f32") or t, got[name])
      ea.io.save(path "a.npy", t)
      same(name == "bf16" and t:to("f32") or t, ea.io.load(path "a.npy"))
    end
  end)

  it("saves views as what they show", function()
    local x = ea.arange(1, 12):reshape(3, 4)
    ea.io.save(path "v.npy", x:t())
    assert.are.same(x:t():tolist(), ea.io.load(path "v.npy"):tolist())
    ea.io.save(path "v.safetensors", { v = x:narrow(2, 2, 2) })
    assert.are.same(x:narrow(2, 2, 2):tolist(), ea.io.load(path "v.safetensors").v:tolist())
  end)

  it("brings pictures back from PNG", function()
    local x = ea.tensor({ { { 1, 2, 3 }, { 4, 5, 6 } } }, "u8")
    ea.io.save(path "a.png", x)
    same(x, ea.io.load(path "a.png"))
  end)

  it("says what is wrong, at the user's line", function()
    local x = ea.ones { 2 }
    program.write(path "a.xyz", "?")
    refused("io.load: /tmp", ea.io.load, path "a.xyz")
    refused("is of no known kind", ea.io.load, path "a.xyz")
    refused("cannot read", ea.io.load, path "missing")
    refused("no known kind", ea.io.save, path "noextension", x)
    refused("No such file", ea.io.load, path "missing.npy")
    refused("expected a path, got a number", ea.io.load, 3)
    refused("holds one tensor, got a table", ea.io.save, path "x.npy", { a = x })
    refused("holds tensors by name", ea.io.save, path "x.npz", x)
    refused("got a nil", ea.io.save, path "x.npz", nil)
    refused("got a string at a", ea.io.save, path "x.npz", { a = "text" })
    refused("item 1", ea.io.save, path "x.npz", { x })
    refused("cannot hold metadata", ea.io.save, path "x.npy", x, { a = "b" })
    refused("metadata must be strings", ea.io.save, path "x.safetensors", { a = x }, { a = 1 })
    refused("JPEG is only read", ea.io.save, path "x.jpg", x)
    refused("u8 tensor {height, width, 1, 3 or 4}", ea.io.save, path "x.png", x)
    refused("No such file", ea.io.save, path "no/such/folder.npy", x)
    ea.io.save(path "x.npy", x)
    os.rename(path "x.npy", path "wrong.safetensors")
    refused("not a safetensors file", ea.io.load, path "wrong.safetensors")
  end)

  it("leaves the old file when the disk is full", function()
    ea.io.save(path "full.npy", ea.ones { 3 })
    -- A file of at most 8 blocks of 512 bytes is what this shell's children may write.
    local code = ("ea.io.save('%s', ea.ones{100000})"):format(path "full.npy")
    local status = os.execute(("(trap '' XFSZ; ulimit -f 8; '%s' eval \"%s\") 2>'%s'"):format(
      program.path, code, path "message"))
    assert.is_true(status ~= 0)
    local message = assert(io.open(path "message")):read("*a")
    assert.is_truthy(message:find("File too large", 1, true), message)
    assert.are.same({ 1, 1, 1 }, ea.io.load(path "full.npy"):tolist())
    local files = io.popen(("ls -A '%s' | grep -c tmp"):format(folder)):read("*l")
    assert.are.equal("0", files)
  end)

  it("agrees with NumPy both ways", function()
    local python = "/usr/bin/python3"
    if os.execute(python .. " -c 'import numpy' 2>/dev/null") ~= 0 then
      pending("python3 with numpy is not here")
      return
    end
    program.write(path "make.py", [[
import numpy as np, sys
d = sys.argv[1] + "/"
x = np.arange(24).reshape(2, 3, 4)
np.save(d + "c.npy", x.astype("<f4")); np.save(d + "f.npy", np.asfortranarray(x.astype("<f8")))
np.save(d + "big.npy", x.astype(">f4")); np.save(d + "half.npy", x.astype("<f2"))
np.save(d + "long.npy", x.astype(">i8")); np.save(d + "bool.npy", x % 2 == 0)
np.save(d + "zero.npy", np.float32(3.5)); np.save(d + "short.npy", -x.astype("<i2"))
np.save(d + "obj.npy", np.array([{}], dtype=object)); np.save(d + "wide.npy", x + 2**40)
np.savez(d + "s.npz", a=x.astype("f4"), b=x.astype("u1").T)
np.savez_compressed(d + "z.npz", a=x.astype("f4"), zeros=np.zeros((1000, 100), "f4"))
]])
    assert.are.equal(0, os.execute(("%s '%s' '%s'"):format(python, path "make.py", folder)))
    local x = ea.arange(0, 23):reshape(2, 3, 4)
    local expected = { c = "f32", f = "f64", big = "f32", half = "f32", long = "i32" }
    for name, dtype in pairs(expected) do same(x:to(dtype), ea.io.load(path(name .. ".npy"))) end
    assert.are.same({ -20, -21, -22, -23 }, ea.io.load(path "short.npy"):tolist()[2][3])
    assert.are.same({ 1, 0, 1, 0 }, ea.io.load(path "bool.npy"):tolist()[1][1])
    assert.are.equal(3.5, ea.io.load(path "zero.npy"):item())
    refused("pickled", ea.io.load, path "obj.npy")
    refused("does not fit", ea.io.load, path "wide.npy")
    local s, z = ea.io.load(path "s.npz"), ea.io.load(path "z.npz")
    same(x, s.a)
    same(x:to("u8"):permute(3, 2, 1):clone(), s.b)
    same(x, z.a)
    same(ea.zeros { 1000, 100 }, z.zeros)

    ea.io.save(path "ours.npy", x)
    ea.io.save(path "ours.npz",
      { x = x, i = x:to("i32"), s = ea.tensor(1.5), e = ea.zeros { 0, 2 } })
    program.write(path "check.py", [[
import numpy as np, sys
d = sys.argv[1] + "/"
x = np.arange(24, dtype="f4").reshape(2, 3, 4)
a = np.load(d + "ours.npy"); assert a.dtype == np.float32 and (a == x).all()
z = np.load(d + "ours.npz"); assert sorted(z.files) == ["e", "i", "s", "x"]
assert (z["x"] == x).all() and z["i"].dtype == np.int32 and (z["i"] == x).all()
assert z["s"].shape == () and z["s"] == 1.5 and z["e"].shape == (0, 2)
]])
    assert.are.equal(0, os.execute(("%s '%s' '%s'"):format(python, path "check.py", folder)))
  end)

  it("reads the models PyTorch users saved", function()
    local file = shared .. "/models/resnet20-cifar10.safetensors"
    if not readable(file) then
      pending(file .. " is not here")
      return
    end
    local tensors, _, names = ea.io.load(file)
    assert.is_true(#names > 60)
    assert.are.same({ 16, 3, 3, 3 }, tensors["conv1.weight"].shape)
    assert.are.equal(0, tensors["conv1.weight"]:count_nonfinite())
  end)

  it("load_named wants tensors by name, and says who wants them", function()
    local stem = os.tmpname()
    finally(function()
      os.remove(stem)
      os.remove(stem .. ".npz")
      os.remove(stem .. ".npy")
    end)
    ea.io.save(stem .. ".npz", { a = ea.ones { 2 } })
    ea.io.save(stem .. ".npy", ea.ones { 2 })
    local tensors, meta, names = ea.io.load_named(stem .. ".npz", "mine")
    assert.same({ 1, 1 }, tensors.a:tolist())
    assert.same({ {}, { "a" } }, { meta, names })
    assert.error_matches(function() ea.io.load_named(stem .. ".npy", "mine") end,
      "mine: " .. stem .. ".npy holds no tensors by name", 1, true)
  end)
end)
