-- SPDX-License-Identifier: GPL-3.0-or-later
-- Small valid files and the attacks, as seeds for the fuzz targets: one folder per target.
-- Returns a function of the folder to fill; `make fuzz` calls it.
local ea = require "edgeai"
local ops = require "edgeai.ops"

--- A case of edgeai.doctor.cases as the text of a model of one op, as files have it: from 0.
local function model_of(case)
  local inputs, names, attrs = {}, {}, {}
  for i, spec in ipairs(case.inputs) do
    local dtype = type(spec[2]) == "number" and "i32" or spec[2] == "b" and "u8" or "f32"
    inputs[i], names[i] = { dtype = dtype, size = spec[1] }, i - 1
  end
  local function from_zero(kind, value)
    if type(value) == "boolean" then return value and 1 or 0 end
    if kind ~= "x" and kind ~= "X" then return value end
    return value > 0 and value - 1 or value
  end
  local op = ops.by_name[case.op]
  for _, attr in ipairs { op.list, unpack(op.attrs) } do
    local value = case.attrs[attr.name]
    if type(value) == "table" then
      attrs[attr.name] = {}
      for i, item in ipairs(value) do attrs[attr.name][i] = from_zero(attr.kind, item) end
    elseif value ~= nil then
      attrs[attr.name] = from_zero(attr.kind, value)
    end
  end
  return ea.json.encode({ version = 1, inputs = inputs, tensors = {}, outputs = { #names },
    nodes = { { op = case.op, ["in"] = names, attrs = attrs } } }, { sort = true })
end

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
  for i, case in ipairs(require "edgeai.doctor.cases") do
    write("model", ("%s-%d"):format(case.op, i), model_of(case))
  end
  write("model", "weights", '{"version":1,"inputs":[{"dtype":"f32","size":[1,6,6,4]}],"tensors":'
    .. '{"conv":"f32","vector":"f32","matrix":"bf16"},"nodes":[{"op":"conv2d","in":[0,"conv"],'
    .. '"attrs":{"pad":1}},{"op":"mul","in":[1,{"dtype":"f32","size":[],"values":["inf"]}],'
    .. '"attrs":{}},{"op":"slice","in":[2],"attrs":{"axis":0,"length":1}}],"outputs":[2,3]}')
  ea.nn.mlp({ inp = 4, hidden = { 3 }, classes = 2 }):save(path("model", "mlp.safetensors"),
    { input = { 1, 4 } })
  local words = {
    run = "run s.lua --set train.lr=0.5 --set widths=1,2 --seed 7 --threads=2 --precision auto "
      .. "--quiet --out x",
    resume = "run s.lua --resume", help = "run s.lua --help", version = "--version",
    preset = "run s.lua --set=preset=long --set flag=yes --set rule=random",
    bench = "bench --batch 4 --seconds 1e-3 --profile x", wrong = "rnu -x", dashes = "run -- -s",
    data = "data fetch cifar10 --url file:///x",
  }
  for name, line in pairs(words) do
    write("options", name, (line:gsub(" ", "\n")))
  end
  for _, attack in ipairs(dofile("tests/attacks/files.lua")) do
    local kind = attack.name:match("%.(%w+)$"):gsub("^jpg$", "jpeg")
    if #attack.bytes < 10000 then write(kind, attack.name, attack.bytes) end
  end
end
