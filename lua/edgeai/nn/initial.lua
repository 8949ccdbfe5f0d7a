-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.nn.initial - first values of parameters: each returns a function (stream, size) -> tensor.

local tensor = require "edgeai.tensor"

local initial = {}

--- Normal with standard deviation sqrt(2 / fan_in) (He et al. 2015), as in szagoruyko's WRN code.
function initial.kaiming_normal(fan_in)
  return function(stream, size) return stream:normal(size, 0, math.sqrt(2 / fan_in)) end
end

--- Uniform in +-1/sqrt(fan_in): PyTorch's default for linear layers and all biases.
function initial.fan_uniform(fan_in)
  local bound = 1 / math.sqrt(fan_in)
  return function(stream, size) return stream:uniform(size, -bound, bound) end
end

--- All one value.
function initial.constant(value)
  return function(_, size) return tensor.full(size, value) end
end

return initial
