-- SPDX-License-Identifier: GPL-3.0-or-later
-- luals.lua - definitions for editors that use the Lua language server: every public function with
-- its comment, its parameters' names, and the types of what the usual ones return. Never run.

local luals = {}

local fields = [[
---@class edgeai.Tensor
---@field shape integer[] sizes
---@field dtype "f32"|"f64"|"bf16"|"i32"|"u8"|"i8"
---@field ndim integer
---@field requires_grad boolean
---@field grad edgeai.Tensor? the gradient, after backward
---@operator add(edgeai.Tensor|number): edgeai.Tensor
---@operator sub(edgeai.Tensor|number): edgeai.Tensor
---@operator mul(edgeai.Tensor|number): edgeai.Tensor
---@operator div(edgeai.Tensor|number): edgeai.Tensor
---@operator pow(edgeai.Tensor|number): edgeai.Tensor
---@operator unm: edgeai.Tensor
]]

-- Classes of objects by what public.lua calls them.
local classes = { t = "edgeai.Tensor", net = "edgeai.Module", graph = "edgeai.Graph",
  loader = "edgeai.Loader", split = "edgeai.Split", stream = "edgeai.Stream",
  opt = "edgeai.Optimizer", average = "edgeai.Average", run = "edgeai.Run", bar = "edgeai.Bar" }

local calls = { net = "---@overload fun(x: edgeai.Tensor): edgeai.Tensor\n" }

local returns = { ["ea.capture"] = classes.graph, ["ea.rng"] = classes.stream,
  ["ea.run.open"] = classes.run, ["ea.progress"] = classes.bar, ["ea.optim.sgd"] = classes.opt,
  ["ea.optim.adam"] = classes.opt, ["ea.optim.adamw"] = classes.opt,
  ["ea.optim.ema"] = classes.average, ["split:loader"] = classes.loader,
  ["ea.nonn.students"] = classes.net, ["ea.zoo.load"] = classes.net,
  ["net:train"] = classes.net, ["net:eval"] = classes.net, ["net:get"] = classes.net }

for _, name in ipairs { "empty", "full", "zeros", "ones", "eye", "arange", "tensor", "rand",
  "randn", "randperm", "slice" } do
  returns["ea." .. name] = classes.t
end
for _, name in ipairs { "clone", "to", "contiguous", "copy", "fill", "zero", "narrow", "select",
  "reshape", "view", "permute", "t", "expand", "require_grad", "detach", "zero_grad",
  "set_grad", "slice" } do
  returns["t:" .. name] = classes.t
end

local not_networks = { is_module = true, register = true, unregister = true, architectures = true }

local function result_of(f)
  if f.op then return classes.t end
  local short = f.name:match("^ea%.nn%.([%w_]+)$")
  if short and not not_networks[short] then return classes.net end
  return returns[f.name]
end

--- The names in "(x1, [x2], { axis = -1 })": optional ones in brackets; a table is `opts`.
local function parameters_of(f)
  local list = {}
  if f.parameters:sub(1, 1) == "{" then return { { name = "opts" } } end
  local text = f.parameters:sub(2, -2):gsub("%b{}", " [opts] ")
  for word in text:gmatch("[^,]+") do
    local name = word:match("([%a_][%w_]*)") or word:match("%.%.%.")
    if name then list[#list + 1] = { name = name, optional = word:find("[", 1, true) ~= nil } end
    if name == "..." then break end -- Lua has nothing behind it
  end
  return list
end

local function add_function(out, f, called)
  for line in ((f.text or "") .. "\n"):gmatch("([^\n]*)\n") do
    out[#out + 1] = "--- " .. line
  end
  local names, list = {}, parameters_of(f)
  for _, p in ipairs(list) do
    names[#names + 1] = p.name
    local kind = f.op and p.name:find("^x%d*$") and "edgeai.Tensor|number" or "any"
    out[#out + 1] = ("---@param %s%s %s"):format(p.name, p.optional and "?" or "", kind)
  end
  local result = result_of(f)
  if result then out[#out + 1] = "---@return " .. result end
  out[#out + 1] = ("function %s(%s) end\n"):format(called, table.concat(names, ", "))
end

--- The definition file; `public` is public.lua's table.
function luals.file(public, version)
  local out = { "---@meta edgeai", "-- edgeai " .. version .. ": made by `make docs`.", "" }
  for _, object in ipairs(public.methods()) do
    out[#out + 1] = (object.name == "t" and fields or "---@class " .. classes[object.name] .. "\n")
      .. (calls[object.name] or "") .. ("local %s = {}\n"):format(object.name)
    for _, f in ipairs(object.functions) do
      if f.name:find(":", 1, true) then add_function(out, f, f.name) end
    end
  end
  out[#out + 1] = "---@class edgeai\n---@field version string\nlocal ea = {}\n"
  for _, module in ipairs(public.modules()) do
    local itself = module.functions[1] and module.functions[1].name == module.name
    if module.name ~= "ea" and not itself then
      out[#out + 1] = ("---@class edgeai.%s\n%s = {}\n"):format(module.name:sub(4), module.name)
    end
    for _, f in ipairs(module.functions) do
      if f.name ~= module.name then
        if itself then out[#out + 1] = ("---@class edgeai.%s\n%s = {}\n"):format(
          module.name:sub(4), module.name) end
        itself = false
      end
    end
    for _, f in ipairs(module.functions) do
      if f.name ~= module.name or #module.functions == 1 then add_function(out, f, f.name) end
    end
  end
  out[#out + 1] = "return ea\n"
  return table.concat(out, "\n")
end

return luals
