-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.verify - reads all of a data set and holds it against what is known of it: sizes of
-- the files, number of images, range and balance of the labels, exact sums of the pixels.

local F = require "edgeai.ffi"
local place = require "edgeai.data.place"
local raw = require "edgeai.data.raw"

local function same(a, b)
  for i = 1, #b do
    if a[i] ~= b[i] then return false end
  end
  return #a == #b
end

local function check_part(source, dir, part, problem)
  local ok, images, labels = pcall(source.read, source, dir, part)
  if not ok then return problem("%s", tostring(images)) end
  local count = raw.count(images)
  if count ~= source.counts[part] then
    problem("%s: %s has %d images instead of %d", source.name, part, count, source.counts[part])
  end
  local sums = source.sums and source.sums[part]
  if sums then
    local each = source.counts[part] / source.classes
    for k, n in ipairs(raw.class_counts(labels, nil, source.classes)) do
      if n ~= each then
        problem("%s: %s has %d images of class %d (%s) instead of %d", source.name, part, n, k,
          source.names[k], each)
      end
    end
    local first, second = raw.channel_sums(images)
    if not (same(first, sums[1]) and same(second, sums[2])) then
      problem("%s: the pixels of %s are not the published ones; %s", source.name, part,
        place.remedy(source))
    end
  end
  F.drop(images)
  F.drop(labels)
end

--- Returns { name =, ok =, where =, problems = { sentence... } }.
return function(source, root)
  local dir, state = place.find(source, root)
  local result = { name = source.name, problems = {} }
  local function problem(...) table.insert(result.problems, (...):format(select(2, ...))) end
  if state == "ready" then
    result.where = dir
    check_part(source, dir, "train", problem)
    check_part(source, dir, "test", problem)
  else
    problem("%s", dir)
  end
  result.ok = #result.problems == 0
  return result
end
