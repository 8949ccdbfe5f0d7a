/* SPDX-License-Identifier: Apache-2.0
 * memory.c - all memory of the core passes here: counted, aligned, and failable for tests.
 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base.h"

enum { HEADER = 64, HUGE_BYTES = 2 << 20 }; /* the header keeps the size and the alignment */

static _Atomic int64_t live, blocks, peak, count, fail_in;

int64_t ea_memory_live(void) { return live; }
int64_t ea_memory_blocks(void) { return blocks; }
int64_t ea_memory_peak(void) { return peak; }
int64_t ea_memory_count(void) { return count; }
void ea_memory_reset_peak(void) { peak = live; }
void ea_memory_fail_at(int64_t n) { fail_in = n; }

static int must_fail(void) {
  int64_t n = fail_in;
  return n > 0 && atomic_fetch_sub(&fail_in, 1) == 1;
}

void *ea_alloc(size_t bytes) {
  atomic_fetch_add(&count, 1);
  char *p = NULL;
  if (!must_fail() && bytes < ((size_t)1 << 47)) {
    size_t total = (bytes + HEADER + 63) & ~(size_t)63;
    /* Large blocks on huge-page boundaries: activations are read in long runs. */
    p = aligned_alloc(total >= HUGE_BYTES ? HUGE_BYTES : 64,
                      total >= HUGE_BYTES ? (total + HUGE_BYTES - 1) & ~(size_t)(HUGE_BYTES - 1)
                                          : total);
    if (p && total >= HUGE_BYTES) madvise(p, total, MADV_HUGEPAGE);
  }
  if (!p) {
    ea_fail(EA_ERR_MEMORY, "out of memory: %.1f MB asked for while %.1f MB are in use",
            (double)bytes / 1e6, (double)live / 1e6);
    return NULL;
  }
  *(size_t *)(void *)p = bytes;
  atomic_fetch_add(&blocks, 1);
  int64_t now = atomic_fetch_add(&live, (int64_t)bytes) + (int64_t)bytes;
  int64_t most = peak;
  while (now > most && !atomic_compare_exchange_weak(&peak, &most, now)) {
  }
  return p + HEADER;
}

void *ea_alloc_zero(size_t bytes) {
  void *p = ea_alloc(bytes);
  if (p) memset(p, 0, bytes);
  return p;
}

void ea_free(void *p) {
  if (!p) return;
  char *block = (char *)p - HEADER;
  atomic_fetch_sub(&blocks, 1);
  atomic_fetch_sub(&live, (int64_t) * (size_t *)(void *)block);
  free(block);
}

int ea_memory_room(size_t bytes, const char *whose) {
  void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    return ea_fail(EA_ERR_MEMORY,
                   "out of memory: %s may need %.0f MB more while %.1f MB are in use", whose,
                   (double)bytes / 1e6, (double)live / 1e6);
  munmap(p, bytes);
  return EA_OK;
}

char *ea_strdup(const char *s) {
  size_t n = strlen(s) + 1;
  char *copy = ea_alloc(n);
  if (copy) memcpy(copy, s, n);
  return copy;
}

char *ea_sprintf(const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  char *s = n < 0 ? NULL : ea_alloc((size_t)n + 1);
  if (s) vsnprintf(s, (size_t)n + 1, format, again);
  va_end(again);
  va_end(args);
  return s;
}
