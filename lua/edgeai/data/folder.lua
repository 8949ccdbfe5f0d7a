-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.folder - a data set of one's own: a folder of PNG or JPEG files for each class.
--   ROOT/train/CLASS/*  and  ROOT/test/CLASS/*     the test images are given
--   ROOT/CLASS/*                                   a part is held out for testing, by seed
-- Classes are sorted by name. Images must be of one size unless `size` resizes them. What was read
-- is kept as one file in the user's cache, until a file's name, size or time changes.

local ffi = require "ffi"
local F = require "edgeai.ffi"
local place = require "edgeai.data.place"
local raw = require "edgeai.data.raw"
local shell = require "edgeai.data.shell"
local C = F.C

local LOADERS = { png = C.ea_png_load, jpg = C.ea_jpeg_load, jpeg = C.ea_jpeg_load }

--- Folders and files in a folder, sorted, without hidden ones.
local function list(path)
  local out = ffi.new "char *[1]"
  F.check(C.ea_list_folder(path, out))
  local joined, folders, files = ffi.string(out[0]), {}, {}
  C.ea_buffer_free(out[0])
  for name in joined:gmatch "[^\n]+" do
    if name:sub(1, 1) ~= "." then
      if name:sub(-1) == "/" then
        folders[#folders + 1] = name:sub(1, -2)
      else
        files[#files + 1] = name
      end
    end
  end
  return folders, files
end

local function loader_of(path)
  local extension = path:match "%.(%w+)$"
  return extension and LOADERS[extension:lower()]
end

--- All images below root/CLASS as a list of { path =, label = }.
local function scan(root, classes)
  local found = {}
  for label, class in ipairs(classes) do
    local _, files = list(root .. "/" .. class)
    local before = #found
    for _, file in ipairs(files) do
      if loader_of(file) then
        found[#found + 1] = { path = ("%s/%s/%s"):format(root, class, file), label = label }
      end
    end
    if #found == before then
      F.raise("folder: %s/%s holds no .png, .jpg or .jpeg file", root, class)
    end
  end
  return found
end

--- u8 {h,w,c} -> u8 {height,width,c}: whole-number averaging first, so that a large image does not
-- alias, then bilinear.
local function resized(image, height, width)
  local ea = require "edgeai"
  local size = raw.size(image)
  if size[1] == height and size[2] == width then return image end
  return ea.no_grad(function()
    local x = raw.reshape(image, { 1, size[1], size[2], size[3] }):to "f32"
    local factor = math.floor(math.min(size[1] / height, size[2] / width))
    if factor > 1 then x = ea.avg_pool2d(x, { size = factor }) end
    return ea.resize(x, { height = height, width = width }):to "u8"
  end)
end

--- Reads the images into one tensor.
local function read(found, options)
  local images, bytes, expected
  local labels = raw.new("i32", { #found })
  for i, item in ipairs(found) do
    local image = raw.read(loader_of(item.path), item.path, options.channels)
    if options.size then image = resized(image, options.size[1], options.size[2]) end
    local size = raw.size(image)
    if #size == 4 then table.remove(size, 1) end
    if not images then
      expected, bytes = size, size[1] * size[2] * size[3]
      images = raw.new("u8", { #found, size[1], size[2], size[3] })
    elseif size[1] ~= expected[1] or size[2] ~= expected[2] then
      F.raise("folder: %s is %dx%d, but %s is %dx%d; load with size = { height, width } to resize "
        .. "them", item.path, size[1], size[2], found[1].path, expected[1], expected[2])
    end
    ffi.copy(F.data(images) + (i - 1) * bytes, C.ea_tensor_data(image), bytes)
    F.data(labels)[i - 1] = item.label
    F.drop(image)
  end
  return images, labels
end

--- Where the cache of this state of the folder is: a hash of names, sizes, times and options.
local function cache_path(root, options)
  local size = options.size and table.concat(options.size, "x") or "as they are"
  local command = [[cd -- "$1" && { pwd; echo "$2"; find -L . -type f -printf '%P %s %T@\n' |
    LC_ALL=C sort; } | md5sum]]
  local _, line = shell.run("sh", "-c", command, "sh", root, size .. " " .. options.channels)
  local digest = line:match "^%x+"
  return digest and ("%s/folders/%s.safetensors"):format(place.cache(), digest)
end

local function load_cache(path)
  if not path or C.ea_file_exists(path) ~= 1 then return nil end
  local out = ffi.new "ea_archive *[1]"
  if C.ea_safetensors_load(path, out) ~= C.EA_OK then return nil end
  local parts = {}
  for i = 0, C.ea_archive_count(out[0]) - 1 do
    parts[ffi.string(C.ea_archive_name(out[0], i))] =
      F.share(C.ea_archive_tensor(out[0], i))
  end
  C.ea_archive_free(out[0])
  return parts
end

--- A cache that cannot be written costs only time, so failures are not reported.
local function save_cache(path, parts)
  if not path or C.ea_make_folder(path:match "^(.*)/") ~= C.EA_OK then return end
  local out = ffi.new "ea_archive *[1]"
  if C.ea_archive_new(out) ~= C.EA_OK then return end
  local status = C.EA_OK
  for name, t in pairs(parts) do
    if status == C.EA_OK then status = C.ea_archive_add(out[0], name, t) end
  end
  if status == C.EA_OK then C.ea_safetensors_save(path, out[0]) end
  C.ea_archive_free(out[0])
end

--- Classes of root, and whether it has train/ and test/.
local function layout(root)
  if C.ea_file_exists(root) ~= 2 then
    F.raise("folder: there is no folder %s; it must hold a folder of .png or .jpg files for each "
      .. "class, or train/ and test/ with such folders", root)
  end
  local given = C.ea_file_exists(root .. "/train") == 2
  local classes = list(given and root .. "/train" or root)
  if #classes < 2 then
    F.raise("folder: %s holds %d folders, but a folder is needed for each of at least 2 classes",
      given and root .. "/train" or root, #classes)
  end
  if given and C.ea_file_exists(root .. "/test") ~= 2 then
    F.raise("folder: %s has train/ but no test/ beside it", root)
  end
  for _, class in ipairs(given and list(root .. "/test") or {}) do
    if C.ea_file_exists(("%s/train/%s"):format(root, class)) ~= 2 then
      F.raise("folder: the class %s is in %s/test but not in %s/train", class, root, root)
    end
  end
  return classes, given
end

local function check_size(size)
  local ok = type(size) == "table" and #size == 2
  for i = 1, 2 do
    ok = ok and type(size[i]) == "number" and size[i] % 1 == 0 and size[i] >= 1 and size[i] <= 4096
  end
  if not ok then F.raise("folder: size must be { height, width }, each 1..4096") end
end

--- A source (see init.lua) for the folder `root`. options: size = { h, w } or nil, channels = 1
-- or 3, test = 0.1 (fraction or number held out where there is no test/), seed.
return function(root, options)
  root = root:gsub("(.)/+$", "%1")
  if options.size then check_size(options.size) end
  if options.channels ~= 1 and options.channels ~= 3 then
    F.raise("folder: channels must be 1 or 3, got %s", tostring(options.channels))
  end
  local classes, given = layout(root)
  local cache = cache_path(root, options)
  local parts = load_cache(cache)
  if not parts then
    parts = {}
    for _, part in ipairs(given and { "train", "test" } or { "all" }) do
      local below = part == "all" and root or root .. "/" .. part
      parts[part .. ".images"], parts[part .. ".labels"] = read(scan(below, classes), options)
    end
    if given then
      local train, test = raw.size(parts["train.images"]), raw.size(parts["test.images"])
      if train[2] ~= test[2] or train[3] ~= test[3] then
        F.raise("folder: images in %s/train are %dx%d, those in test are %dx%d; load with size = "
          .. "{ height, width } to resize them", root, train[2], train[3], test[2], test[3])
      end
    end
    save_cache(cache, parts)
  end
  local index = {}
  if not given then
    index.train, index.test = require("edgeai.data.splits").stratified(parts["all.labels"],
      #classes, options.test, options.seed, "test")
  end
  return {
    name = root:match "([^/]+)$" or root,
    classes = #classes,
    names = classes,
    read = function(_, _, part)
      local from = given and part or "all"
      return parts[from .. ".images"], parts[from .. ".labels"], index[part]
    end,
  }
end
