/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuzz_safetensors.c - libFuzzer target: the safetensors reader.
 */
#include "tensor/formats.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  ea_source s;
  ea_archive *a = NULL;
  ea_source_memory(data, bytes, "fuzz", &s);
  int status = ea_safetensors_parse(&s, &a);
  use_archive(a);
  return finish_run(status);
}
