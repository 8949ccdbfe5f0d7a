-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.dream.frozen(net, run) - run() with the network in evaluation mode and its parameters
-- without gradients, whatever they are outside; gradients still go through it to its inputs.

return function(net, run)
  local was, thawed = {}, {}
  net:walk(function(_, m)
    was[m] = m.training
    m.training = false
  end)
  for _, p in ipairs(net:parameters()) do
    if p.tensor.requires_grad then thawed[#thawed + 1] = p.tensor:require_grad(false) end
  end
  local results = { pcall(run) }
  for m, training in pairs(was) do m.training = training end
  for _, t in ipairs(thawed) do t:require_grad() end
  if not results[1] then error(results[2], 0) end
  return unpack(results, 2)
end
