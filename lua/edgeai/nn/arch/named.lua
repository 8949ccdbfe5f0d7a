-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nn.arch.named - what the architectures share: a sequential network with a printed name, a
-- head, and the input size it is made for.

local ops = require "edgeai.ops"
local sequential = require "edgeai.nn.sequential"

--- A sequential network of `layers` that prints as NAME{words}; `head` is the child that
-- classifies. net:forward_features(x) is everything before the head: pooled activations. `aliases`:
-- further names for net:get and net:features. input_shape: one input, for summary and mflop without
-- arguments. with_head = false leaves out the head and the pooling before it: a trunk of feature
-- maps.
return function(name, words, layers, head, input_shape, aliases, with_head)
  if with_head == false then
    layers[#layers] = nil
    layers[#layers] = nil
    words = words .. ", head=false"
  end
  local net = sequential(layers)
  net.kind = name
  net.arguments = function() return words end
  net.head, net.input_shape, net.aliases = head, input_shape, aliases
  if with_head == false then net.head = nil else net:get(head).wide = true end
  net.forward_features = function(self, x)
    if not self.head then return ops.functions.global_avg_pool(self(x)) end
    return self:forward_until(self.head, self:enter(x))
  end
  return net
end
