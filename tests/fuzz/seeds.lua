-- SPDX-License-Identifier: GPL-3.0-or-later
-- Small valid files and the attacks, as seeds for the fuzz targets: one folder per target.
-- Returns a function of the folder to fill; `make fuzz` calls it.
local ea = require "edgeai"

return function(out)
  local function write(target, name, bytes)
    os.execute(("mkdir -p '%s/%s'"):format(out, target))
    local file = assert(io.open(("%s/%s/%s"):format(out, target, name), "wb"))
    file:write(bytes)
    file:close()
  end
  local function path(target, name)
    os.execute(("mkdir -p '%s/%s'"):format(out, target))
    return ("%s/%s/%s"):format(out, target, name)
  end

  local x = ea.arange(1, 6):reshape(2, 3)
  local small = { a = x, b = x:to("bf16"), c = x:to("u8"), d = ea.tensor(1, "f64"),
    e = ea.zeros { 0 } }
  ea.io.save(path("safetensors", "small.safetensors"), small, { key = "value" })
  ea.io.save(path("npz", "small.npz"), small)
  for name, t in pairs(small) do ea.io.save(path("npy", name .. ".npy"), t) end
  write("npy", "fortran.npy", "\147NUMPY\1\0\56\0{'descr': '>f2', 'fortran_order': True, 'shape': "
    .. "(2, 1), }12\0\0")
  for _, c in ipairs { 1, 3, 4 } do
    ea.io.save(path("png", c .. ".png"), ea.ones({ 5, 4, c }, "u8"))
  end
  local idx = "\0\0\8\2\0\0\0\2\0\0\0\3abcdef"
  write("idx", "plain", idx)
  write("idx", "packed", idx)
  os.execute(("gzip -nf '%s'"):format(path("idx", "packed")))
  write("cifar", "ten", "\0\3" .. ("x"):rep(3072))
  write("cifar", "hundred", "\1\3\5" .. ("x"):rep(3072))
  write("json", "all", '{"a": [1, -2.5e3, true, null, "\\u00e9\\n"], "b": {"c": []}}')
  for _, attack in ipairs(dofile("tests/attacks/files.lua")) do
    local kind = attack.name:match("%.(%w+)$"):gsub("^jpg$", "jpeg")
    if #attack.bytes < 10000 then write(kind, attack.name, attack.bytes) end
  end
end
