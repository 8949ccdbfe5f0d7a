-- SPDX-License-Identifier: GPL-3.0-or-later
-- entries.lua - who is compared, at what, in which modes. Returns a function of the options of
-- run.lua: the list of groups for compare.lua, in the order in which they run.

local ea = require "edgeai"
local process = require "process"

local EAGER = { "eager nchw", "eager nhwc" }
local COMPILED = { "compile nhwc" } -- channels-last is its faster layout, and each takes minutes

local function with(modes, word)
  local list = {}
  for i, mode in ipairs(modes) do list[i] = mode .. " " .. word end
  return list
end

local function both(a, b)
  local list = { unpack(a) }
  for _, x in ipairs(b) do list[#list + 1] = x end
  return list
end

local function this_program()
  local pipe = io.popen("readlink /proc/$PPID/exe")
  local path = pipe:read("*l")
  pipe:close()
  return path
end

return function(o)
  local program, started = this_program(), 0

  --- A function that starts `words` with the spec as the last one.
  local function starter(words, more)
    return function(spec, mode)
      spec.mode, started = mode, started + 1
      local n = tostring(spec.threads)
      local environment = { OPENBLAS_CORETYPE = false, OPENBLAS_L2_SIZE = false,
        EDGEAI_CONV = false, OMP_NUM_THREADS = n, OPENBLAS_NUM_THREADS = n, MKL_NUM_THREADS = n,
        PYTHONDONTWRITEBYTECODE = "1", TORCHINDUCTOR_CACHE_DIR = o.folder .. "/inductor" }
      for name, value in pairs(more or {}) do environment[name] = value end
      return process.start(both(words, { ea.json.encode(spec) }), environment,
        ("%s/%03d.log"):format(o.folder, started))
    end
  end
  local function python(path, file) return starter { path, "tests/peers/" .. file } end
  local edgeai = { program, "run", "tests/peers/ours.lua", "--quiet", "--" }
  local ours = starter(edgeai)
  local old, new = python(o.debian_python, "torch_peer.py"), python(o.python, "torch_peer.py")

  local function entry(who, precision, modes, start, threads)
    return { who = who, precision = precision, modes = modes, start = start,
      threads = threads or 1 }
  end

  --- One thread: edgeai, both PyTorches, for inference also what only infers.
  local function one_thread(task)
    local modes = o.compile and both(EAGER, COMPILED) or EAGER
    local half = with(modes, "autocast")
    if task ~= "train" then half = both(half, with(modes, "cast")) end
    local list = { entry("edgeai", "f32", { "" }, ours), entry("edgeai", "bf16", { "" }, ours),
      entry("old PyTorch", "f32", EAGER, old), entry("new PyTorch", "f32", modes, new),
      entry("new PyTorch", "bf16", half, new) }
    if task == "infer" then
      for _, e in ipairs {
        entry("ONNX Runtime", "f32", { "" }, python(o.python, "onnxruntime_peer.py")),
        entry("OpenVINO", "f32", { "" }, python(o.python, "openvino_peer.py")),
        entry("OpenVINO", "bf16", { "" }, python(o.python, "openvino_peer.py")),
        entry("ncnn", "f32", { "" }, python(o.python, "ncnn_peer.py")),
        entry("ncnn", "bf16", { "" }, python(o.python, "ncnn_peer.py")),
        entry("darknet", "f32", { "" }, python(o.debian_python, "darknet_peer.py")),
      } do list[#list + 1] = e end
    end
    return list
  end

  --- OpenBLAS against what PyTorch has besides oneDNN.
  local function portable()
    return { entry("edgeai", "f32", { "" }, starter(edgeai, { EDGEAI_CONV = "portable" })),
      entry("old PyTorch", "f32", with(EAGER, "plain"), old),
      entry("new PyTorch", "f32", with(EAGER, "plain"), new) }
  end

  --- One and two threads, by turns.
  local function threads()
    local list = {}
    for _, n in ipairs { 1, 2 } do
      for _, e in ipairs { entry("edgeai", "f32", { "" }, ours, n),
        entry("edgeai", "bf16", { "" }, ours, n), entry("old PyTorch", "f32", EAGER, old, n),
        entry("new PyTorch", "f32", EAGER, new, n),
        entry("new PyTorch", "bf16", with(EAGER, "autocast"), new, n) } do
        list[#list + 1] = e
      end
    end
    return list
  end

  local makers = { ["one thread"] = one_thread, portable = portable, threads = threads }
  local groups = {}
  for _, name in ipairs(o.groups) do
    local make = makers[name] or error("there is no group " .. name, 0)
    for _, task in ipairs(o.tasks) do
      for _, net in ipairs(o.nets) do
        if name == "one thread" or task ~= "dream" then
          groups[#groups + 1] = { name = name, task = task, net = net, entries = make(task) }
        end
      end
    end
  end
  return groups
end
