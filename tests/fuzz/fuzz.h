/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuzz.h - what the fuzz targets share: every byte of a result is read, and nothing may leak.
 */
#ifndef EA_FUZZ_H
#define EA_FUZZ_H

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Reads all elements, so that the sanitizers see what was never written or is not there. */
static inline void use_tensor(ea_tensor *t) {
  if (!t) return;
  uint64_t hash = ea_tensor_hash(t);
  if (hash == 1 && ea_tensor_ndim(t) > EA_MAX_DIM) abort();
  ea_tensor_release(t);
}

static inline void use_archive(ea_archive *a) {
  for (int i = 0; i < ea_archive_count(a); i++) {
    if (strlen(ea_archive_name(a, i)) > (size_t)1 << 30) abort();
    use_tensor(ea_tensor_retain(ea_archive_tensor(a, i)));
  }
  ea_archive_free(a);
}

/* At the end of each run: a failure has its sentence, and all memory is back. */
static inline int finish_run(int status) {
  if (status < 0 && !*ea_error()) abort();
  if (ea_memory_live() != 0) abort();
  return 0;
}

#endif
