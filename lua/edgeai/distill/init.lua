-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill - what a student learns from a teacher. Losses, one file each, of one batch:
-- kd (logits), attention, hint (with regressor), similarity, rkd, pkt, activation_transfer.
-- objective mixes them for ea.train.fit, method names usual mixes; recall keeps a teacher's answers
-- in a file; transfer finds images to learn from. Teachers are frozen: compute their outputs under
-- ea.no_grad.

local hint = require "edgeai.distill.hint"

return require "edgeai.plugin.miss" {
  kd = require "edgeai.distill.kd",
  attention = require "edgeai.distill.attention",
  hint = hint.hint,
  regressor = hint.regressor,
  similarity = require "edgeai.distill.similarity",
  rkd = require "edgeai.distill.rkd",
  pkt = require "edgeai.distill.pkt",
  activation_transfer = require "edgeai.distill.activation_transfer",
  objective = require "edgeai.distill.objective",
  recall = require "edgeai.distill.recall",
  method = require "edgeai.distill.method",
  transfer = require "edgeai.distill.transfer",
  conclude = require "edgeai.distill.conclude",
}
