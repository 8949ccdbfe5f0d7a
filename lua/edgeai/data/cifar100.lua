-- SPDX-License-Identifier: GPL-3.0-or-later
-- CIFAR-100 (Krizhevsky 2009), binary version, with its 100 fine classes: 50,000 + 10,000 colour
-- images of 32x32. md5 and sums as in cifar10.lua.

local names = {}
for name in ([[
  apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
  camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
  cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
  lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
  oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
  possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
  spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
  train trout tulip turtle wardrobe whale willow_tree wolf woman worm]]):gmatch "%S+" do
  names[#names + 1] = name
end

return {
  name = "cifar100",
  title = "CIFAR-100",
  folder = "cifar-100-binary",
  files = {
    { name = "train.bin", part = "train", bytes = 153700000 },
    { name = "test.bin", part = "test", bytes = 30740000 },
  },
  label_bytes = 2,
  read = require("edgeai.data.reader").cifar,
  shape = { 32, 32, 3 },
  classes = 100,
  names = names,
  counts = { train = 50000, test = 10000 },
  mean = { 0.50707516, 0.48654887, 0.44091784 },
  std = { 0.26733429, 0.25643846, 0.27615047 },
  url = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
  md5 = "03b5dce01913d631647c71ecec9e9cb8",
  megabytes = 169,
  sums = {
    train = { { 6620373279, 6352382090, 5756623363 },
      { 1093977562105, 1007075543166, 901128318593 } },
    test = { { 1328569193, 1272680636, 1153999502 },
      { 220286936083, 202279090580, 181176077848 } },
  },
}
