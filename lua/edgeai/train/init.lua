-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.train - training and evaluating networks.

local evaluate = require "edgeai.train.evaluate"

return {
  fit = require "edgeai.train.fit",
  accuracy = evaluate.accuracy,
  batches = evaluate.batches,
  checkpoint = require "edgeai.train.checkpoint",
}
