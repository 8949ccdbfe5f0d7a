/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuzz_jpeg.c - libFuzzer target: the JPEG reader, to 0, 1, 3 and 4 channels by the length of the
 * input.
 */
#include "image/image.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  static const int channels[] = {0, 1, 3, 4};
  ea_tensor *t = NULL;
  if (bytes > 2048) return 0; /* the more bytes, the more pixels they may claim: it takes longer */
  int status = ea_jpeg_parse(data, bytes, "fuzz", channels[bytes % 4], &t);
  use_tensor(t);
  return finish_run(status);
}
