/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuzz_cifar.c - libFuzzer target: the CIFAR reader; the first byte chooses CIFAR-10 or CIFAR-100.
 */
#include "data/formats.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  if (bytes == 0) return 0;
  ea_source s;
  ea_tensor *images = NULL, *labels = NULL;
  ea_source_memory(data + 1, bytes - 1, "fuzz", &s);
  int status = ea_cifar_parse(&s, 1 + (data[0] & 1), &images, &labels);
  use_tensor(images);
  use_tensor(labels);
  return finish_run(status);
}
