-- SPDX-License-Identifier: GPL-3.0-or-later
-- MNIST (LeCun et al. 1998): 60,000 + 10,000 grey images of 28x28. md5: of the gzipped files, as
-- torchvision publishes them with this mirror (the original site no longer serves them).

return {
  name = "mnist",
  title = "MNIST",
  folder = "mnist",
  files = {
    { name = "train-images-idx3-ubyte.gz", part = "train", what = "images",
      md5 = "f68b3c2dcbeaaa9fbdd348bbdeb94873" },
    { name = "train-labels-idx1-ubyte.gz", part = "train", what = "labels",
      md5 = "d53e105ee54ea40749a09fcbcd1e9432" },
    { name = "t10k-images-idx3-ubyte.gz", part = "test", what = "images",
      md5 = "9fb629c4189551a2d022fa330f9573f3" },
    { name = "t10k-labels-idx1-ubyte.gz", part = "test", what = "labels",
      md5 = "ec29112dd5afa0611ce80d1b7f02629c" },
  },
  read = require("edgeai.data.reader").idx,
  shape = { 28, 28, 1 },
  classes = 10,
  names = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" },
  counts = { train = 60000, test = 10000 },
  mean = { 0.1306605 },
  std = { 0.3081078 },
  url = "https://ossci-datasets.s3.amazonaws.com/mnist/",
  megabytes = 12,
}
