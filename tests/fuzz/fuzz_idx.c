/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuzz_idx.c - libFuzzer target: the IDX reader, gzipped or not.
 */
#include "data/formats.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  ea_source s;
  ea_tensor *t = NULL;
  ea_source_memory(data, bytes, "fuzz", &s);
  int status = ea_idx_parse(&s, &t);
  use_tensor(t);
  return finish_run(status);
}
