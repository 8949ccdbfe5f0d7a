-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.dfkd - data-free knowledge distillation for digital classification (Lopes, Fenu & Starner
-- 2017, arXiv 1710.07535): a teacher's owner gives away statistics of its layers' activations,
-- class by class; images are made that bring such activations about; a student learns from them.

return {
  metadata = require "edgeai.dfkd.metadata",
  reconstruct = require "edgeai.dfkd.reconstruct",
  pictures = require "edgeai.dfkd.pictures",
}
