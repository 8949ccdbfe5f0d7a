/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuzz_png.c - libFuzzer target: the PNG reader, to 0, 1, 3 and 4 channels by the length of the
 * input.
 */
#include "image/image.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  static const int channels[] = {0, 1, 3, 4};
  ea_source s;
  ea_tensor *t = NULL;
  ea_source_memory(data, bytes, "fuzz", &s);
  int status = ea_png_parse(&s, channels[bytes % 4], &t);
  use_tensor(t);
  return finish_run(status);
}
