-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dream - a network compressed without its data (Dream Distillation, arXiv 1905.07072): metadata
-- of activations, targets drawn from them, images synthesised to match.

local metadata = require "edgeai.dream.metadata"
local files = require "edgeai.dream.files"

return {
  metadata = metadata.metadata,
  read_metadata = metadata.read_metadata,
  check = require "edgeai.dream.check",
  activations = metadata.activations,
  teacher = require "edgeai.dream.teacher",
  student = require "edgeai.dream.student",
  targets = require "edgeai.dream.targets",
  synthesise = require "edgeai.dream.synthesise",
  load = files.load_all,
  compare = require "edgeai.dream.compare",
  pictures = require "edgeai.dream.pictures",
  redraw = require "edgeai.dream.redraw",
  conclude = require "edgeai.dream.conclude",
}
