/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuzz_npz.c - libFuzzer target: the .npz reader.
 */
#include "tensor/formats.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  ea_archive *a = NULL;
  int status = ea_npz_parse(data, bytes, "fuzz", &a);
  use_archive(a);
  return finish_run(status);
}
