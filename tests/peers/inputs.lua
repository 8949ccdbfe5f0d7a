-- SPDX-License-Identifier: GPL-3.0-or-later
-- inputs.lua - what every program of a comparison starts from, in one safetensors file: the
-- network's weights under PyTorch's names; bench.x {n, 32, 32, 3}, the images; bench.y {n} i32, the
-- labels, from 0; bench.target {n, c}, what a dream's pooled features are drawn to. They are the
-- ones that `edgeai bench` uses.
--
-- Returns a function of the network's name ("wrn-16-1"), the batch and the path; it gives the
-- number of the network's parameters.

local ea = require "edgeai"

return function(net, batch, path)
  local case = ea.bench.open("infer." .. net, { batch = batch })
  local tensors, x, list = {}, case.graph.inputs[1], {}
  for _, item in ipairs(case.net:state_dict()) do tensors[item.name] = item.tensor end
  for i = 1, batch do list[i] = (i - 1) % 10 end
  tensors["bench.x"], tensors["bench.y"] = x, ea.tensor(list, "i32")
  tensors["bench.target"] = ea.no_grad(function()
    return case.net:features(x, { "pool" }).pool * 1.5
  end)
  ea.io.save(path, tensors)
  case.close()
  return case.net:parameter_count()
end
