-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.nonn.report(teacher, students, shape) - what each device holds, computes and sends, against
-- the teacher on one device. shape = {1, h, w, c}. Returns
--   { teacher = { params, mflop, weight_bytes_int8 },
--     students = { { params, mflop, weight_bytes_int8, part_size, sends_bytes }, ... },
--     fc = { params, mflop },
--     comm = { bytes_per_inference, syncs_per_inference, split_bytes_per_inference },
--     gain = { params, mflop, comm } }
--
-- mflop counts 2 per multiply-add of convolutions and linear layers. weight_bytes_int8 is one byte
-- per parameter. A student sends its pooled vector once, as f32. split_bytes_per_inference is what
-- one device receives when the teacher's convolutions are split over as many devices by output
-- channels instead: every convolution's output, gathered after each layer, less its own share.


local function row(net, shape)
  local params = net:parameter_count()
  return { params = params, mflop = net:mflop(shape), weight_bytes_int8 = params }
end

--- Elements that the teacher's convolutions put out for one image.
local function activations_of(net, shape)
  local Module = require "edgeai.nn.module"
  local grad = require "edgeai.grad"
  local total = 0
  local was_training = net.training
  net:eval()
  grad.no_grad(function()
    Module.observe(function(m, _, y)
      if m.kind == "conv2d" then total = total + y:numel() end
    end, net, require("edgeai.tensor").zeros(shape))
  end)
  net:train(was_training)
  return total / shape[1]
end

return function(teacher, students, shape)
  local report = { teacher = row(teacher, shape), students = {} }
  local sent, largest = 0, { params = 0, mflop = 0 }
  for i, s in ipairs(students.students) do
    local r = row(s, shape)
    r.part_size = students.part_sizes[i]
    r.sends_bytes = 4 * r.part_size
    sent = sent + r.sends_bytes
    largest.params = math.max(largest.params, r.params)
    largest.mflop = math.max(largest.mflop, r.mflop)
    report.students[i] = r
  end
  local n = #students.students
  report.fc = { params = students.fc:parameter_count(),
    mflop = 2 * sent / 4 * students.classes / 1e6 }
  local split = 4 * activations_of(teacher, shape) * (n - 1) / n
  report.comm = { bytes_per_inference = sent, syncs_per_inference = 1,
    split_bytes_per_inference = split }
  report.gain = { params = report.teacher.params / largest.params,
    mflop = report.teacher.mflop / largest.mflop, comm = split / math.max(sent, 1) }
  return report
end
