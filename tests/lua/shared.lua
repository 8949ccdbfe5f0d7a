-- SPDX-License-Identifier: GPL-3.0-or-later
-- shared.lua - for specs: where files of other programs' numbers are, if they are here at all.

local F = require "edgeai.ffi"

local FILE = 1
local shared = {}

--- $EDGEAI_SHARED, or ../shared beside the repository.
shared.folder = os.getenv("EDGEAI_SHARED") or "../shared"

--- Is a file there?
function shared.there(path) return F.C.ea_file_exists(path) == FILE end

return shared
