-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill - losses between a student and its teacher, one file each. Teachers are frozen:
-- compute their outputs under ea.no_grad.

return {
  kd = require "edgeai.distill.kd",
  attention = require "edgeai.distill.attention",
  activation_transfer = require "edgeai.distill.activation_transfer",
}
