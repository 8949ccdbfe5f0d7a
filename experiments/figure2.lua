-- SPDX-License-Identifier: GPL-3.0-or-later
-- Figure 2 of Dream Distillation (arXiv 1905.07072) from a run of experiments/dream.lua: the
-- clusters of a class, t-SNE of real activations and of targets, dreams by class, accuracies by
-- what students learned from. Pictures go to the run's folder; figure2.png holds all four.
--   edgeai run experiments/figure2.lua --set run=runs/dream/latest --set class=4
local ea = require "edgeai"

local cfg = ea.config {
  run = { "runs/dream/latest", "folder of a finished run of experiments/dream.lua" },
  class = { 1, "whose clusters are drawn, from 1", type = "integer", least = 1 },
  points = { 600, "of the t-SNE, half of them targets", type = "integer", least = 30 },
  perplexity = { 30, "of the t-SNE", least = 1 },
}
for _, name in ipairs(ea.dream.redraw(cfg.run, { class = cfg.class, points = cfg.points,
  perplexity = cfg.perplexity })) do
  print(cfg.run .. "/" .. name)
end
