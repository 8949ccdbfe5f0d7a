-- SPDX-License-Identifier: GPL-3.0-or-later
-- Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 grey images of 28x28. md5: of the files at
-- url, published in the project's README; Debian's package holds the same images packed anew.
-- sums as in cifar10.lua.

return {
  name = "fashion-mnist",
  title = "Fashion-MNIST",
  folder = "fashion-mnist",
  files = {
    { name = "train-images-idx3-ubyte.gz", part = "train", what = "images",
      md5 = "8d4fb7e6c68d591d4c3dfef9ec88bf0d" },
    { name = "train-labels-idx1-ubyte.gz", part = "train", what = "labels",
      md5 = "25c81989df183df01b3e8a0aad5dffbe" },
    { name = "t10k-images-idx3-ubyte.gz", part = "test", what = "images",
      md5 = "bef4ecab320f06d8554ea6380940ec79" },
    { name = "t10k-labels-idx1-ubyte.gz", part = "test", what = "labels",
      md5 = "bb300cfdad3c16e7a12a480ee83cd310" },
  },
  read = require("edgeai.data.reader").idx,
  shape = { 28, 28, 1 },
  classes = 10,
  names = { "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
    "bag", "ankle boot" },
  counts = { train = 60000, test = 10000 },
  mean = { 0.28604060 },
  std = { 0.35302424 },
  url = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
  debian = "dataset-fashion-mnist",
  megabytes = 31,
  sums = {
    train = { { 3431114169 }, { 631470052347 } },
    test = { { 573469082 }, { 105272563536 } },
  },
}
