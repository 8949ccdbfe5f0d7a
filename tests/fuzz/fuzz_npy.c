/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuzz_npy.c - libFuzzer target: the .npy reader.
 */
#include "tensor/formats.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  ea_source s;
  ea_tensor *t = NULL;
  ea_source_memory(data, bytes, "fuzz", &s);
  int status = ea_npy_parse(&s, &t);
  use_tensor(t);
  return finish_run(status);
}
