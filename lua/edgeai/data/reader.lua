-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.reader - reads the two published layouts: CIFAR's binary records and MNIST's IDX.
-- A reader is a function(source, dir, part) -> images u8 {n,h,w,c}, labels i32 {n} from 1.

local F = require "edgeai.ffi"
local raw = require "edgeai.data.raw"
local C = F.C

local reader = {}

local function check_labels(source, path, labels)
  local label = F.data(labels)
  for i = 0, raw.count(labels) - 1 do
    if label[i] < 1 or label[i] > source.classes then
      F.raise("%s: %s gives image %d the label %d, but there are only the labels 0..%d; %s",
        source.name, path, i, label[i] - 1, source.classes - 1,
        require("edgeai.data.place").remedy(source))
    end
  end
  return labels
end

--- Records of `source.label_bytes` and 3*32*32 bytes, in one file or several.
function reader.cifar(source, dir, part)
  local images, labels = {}, {}
  for _, file in ipairs(source.files) do
    if file.part == part then
      local path = dir .. "/" .. file.name
      local image, label = F.out(), F.out()
      F.check(C.ea_cifar_load(path, source.label_bytes, image, label))
      local counted = F.own(label[0])
      images[#images + 1] = F.own(image[0])
      labels[#labels + 1] = check_labels(source, path, raw.shifted(counted, 1))
      F.drop(counted)
    end
  end
  return raw.concat(images), raw.concat(labels)
end

--- One file of images {n,h,w} and one of labels {n}, gzipped or not.
function reader.idx(source, dir, part)
  local images, labels, paths = nil, nil, {}
  for _, file in ipairs(source.files) do
    if file.part == part then
      paths[file.what] = dir .. "/" .. file.name
      local t = raw.read(C.ea_idx_load, paths[file.what])
      if file.what == "images" then images = t else labels = t end
    end
  end
  local size = raw.size(images)
  if #size ~= 3 or size[2] ~= source.shape[1] or size[3] ~= source.shape[2] then
    F.raise("%s: %s holds {%s}, not images of %dx%d; %s", source.name, paths.images,
      table.concat(size, ", "), source.shape[1], source.shape[2],
      require("edgeai.data.place").remedy(source))
  end
  if C.ea_tensor_ndim(labels) ~= 1 or raw.count(labels) ~= size[1] then
    F.raise("%s: %s holds {%s}, not one label for each of the %d images; %s", source.name,
      paths.labels, table.concat(raw.size(labels), ", "), size[1],
      require("edgeai.data.place").remedy(source))
  end
  return raw.reshape(images, { size[1], size[2], size[3], 1 }),
    check_labels(source, paths.labels, raw.shifted(labels, 1))
end

return reader
