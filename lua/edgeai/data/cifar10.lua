-- SPDX-License-Identifier: GPL-3.0-or-later
-- CIFAR-10 (Krizhevsky 2009), binary version: 50,000 + 10,000 colour images of 32x32.
-- md5: published on the page. sums: of all byte values for each channel, and of their squares, of
-- the genuine pixels; they do not depend on the order of the images.

local files = {}
for i = 1, 5 do
  files[i] = { name = ("data_batch_%d.bin"):format(i), part = "train", bytes = 30730000 }
end
files[6] = { name = "test_batch.bin", part = "test", bytes = 30730000 }

return {
  name = "cifar10",
  title = "CIFAR-10",
  folder = "cifar-10-batches-bin",
  files = files,
  label_bytes = 1,
  read = require("edgeai.data.reader").cifar,
  shape = { 32, 32, 3 },
  classes = 10,
  names = { "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
    "truck" },
  counts = { train = 50000, test = 10000 },
  mean = { 0.49139968, 0.48215841, 0.44653091 },
  std = { 0.24703223, 0.24348513, 0.26158784 },
  url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
  md5 = "c32a1d4ab5d03f1284b67883e8d87530",
  megabytes = 170,
  sums = {
    train = { { 6415714204, 6295060180, 5829907619 },
      { 1007102432534, 971356520230, 891641299129 } },
    test = { { 1290492328, 1266775083, 1176108223 },
      { 203142822772, 195994125155, 180646015723 } },
  },
}
