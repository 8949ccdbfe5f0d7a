-- SPDX-License-Identifier: GPL-3.0-or-later
-- lucid_numbers.lua - for specs: Lucid's numbers ($EDGEAI_SHARED/golden/lucid, or ../shared beside
-- the repository), and which spec answers for which of them. Each looks at all of its own; what is
-- new in the file and nobody's fails vis_golden_spec.lua.

local assert = require "luassert"
local shared = require "shared"

local numbers = {}

-- Patterns of the keys that a spec reads.
local held = {
  vis_lucid = { "^obj%.", "^style%.mean_l[12]$", "^match_avgpool$" },
  vis_param = { "^fft%.scale%.", "^fft%.image%.", "^fft%.single%.", "^param%.", "^laplacian",
    "^lowres%[2%]%->%[5%]$", "^lowres%[2%]%->%[4%],offset=1$", "^lowres%[2,2%]", "^cppn",
    "^maco%.4x4 %(population", "^to_valid_rgb", "^color%.matrix_over_maxnorm$", "^color%.encode" },
  vis_transform = { "^pad%(", "^crop_or_pad_to", "^jitter%(", "^random_scale", "^random_rotate",
    "^standard_transforms%.", "^redirected_relu", "^render%.", "^adam%.", "^thresholds" },
  vis_golden = { "^hue_to_rgb$", "^collapse_channels$", "^deepdream%.", "^maxpool_",
    "^attribution%.", "^normalize_layout$", "^bin_laid_out", "^color%.column_norms$",
    "^color%.max_norm$", "^color%.inverse_matrix$", "^random%.", "^fft%.init_pixel_std%.",
    "^unit%.", "^normalize_array$", "^resize%.", "^lowres%[2%]%->%[4%],offset=True$",
    "^rotate%.nearest_stats$", "^style%.gram_style$", "^diversity%.", "^thresholds",
    "^adam%.x0=1,g=1e%-7" },
}

--- What no spec reads, and why.
numbers.without = {
  ["rotate.tf_gradient_vs_true_adjoint"] = "the upstream gradient, on which it depends, is not "
    .. "among the fixtures; the gradient itself is compared (random_rotate)",
  ["maco.4x4 (Horama: sample std, eps 1e-4)"] = "of MACO's two programs edgeai follows the other",
  soft_alpha_blend = "what was blended is not among the fixtures, and edgeai shows transparent "
    .. "pictures by mixing with random backgrounds (transform.background) instead",
  bilinearly_sampled_image = "texture and coordinates are not among the fixtures, and edgeai has "
    .. "no 3-D textures",
}

local function path(name) return shared.folder .. "/golden/lucid/" .. name end

--- What a spec says where they are not here.
numbers.absent = path "expected.lua" .. " is not here (set EDGEAI_SHARED)"

--- Is it a spec's? (of no spec: anybody's)
function numbers.held(key, spec)
  for name, patterns in pairs(held) do
    for _, pattern in ipairs(patterns) do
      if (not spec or spec == name) and key:find(pattern) then return true end
    end
  end
  return false
end

--- All of them, as they are in the file.
function numbers.all() return dofile(path "expected.lua") end

--- For a spec: the numbers, and the fixtures; nil where they are not here. The third result is a
-- test, for the end, that it has read all of its own.
function numbers.of(spec)
  if not shared.there(path "expected.lua") then return nil end
  local all, seen = numbers.all(), {}
  local gold = setmetatable({}, { __index = function(_, key)
    seen[key] = true
    return all[key]
  end })
  return gold, dofile(path "fixtures.lua"), function()
    local missing = {}
    for key in pairs(all) do
      if numbers.held(key, spec) and not seen[key] then missing[#missing + 1] = key end
    end
    table.sort(missing)
    assert.same({}, missing)
  end
end

return numbers
