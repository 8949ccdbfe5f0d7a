/* SPDX-License-Identifier: GPL-3.0-or-later
 * ahead.h - what the next image or block of a convolution will need, fetched into the second cache
 * while this one is multiplied: some lines at each step, since all at once would hold the loads up.
 */
#ifndef EA_AHEAD_H
#define EA_AHEAD_H

#include "op.h"

enum { EA_AHEAD_RUNS = 5 };
typedef struct ea_ahead {
  const char *at[EA_AHEAD_RUNS], *end[EA_AHEAD_RUNS]; /* runs of bytes */
  int run, runs;
} ea_ahead;

static inline void ea_ahead_add(ea_ahead *a, const void *from, int64_t bytes) {
  a->at[a->runs] = from;
  a->end[a->runs++] = (const char *)from + bytes;
}

/* How many lines, at most so many, are to be fetched from *next on. */
static inline int64_t ea_ahead_take(ea_ahead *a, int64_t most, const char **next) {
  if (a->run == a->runs) return 0;
  *next = a->at[a->run];
  int64_t left = (a->end[a->run] - *next + 63) / 64, lines = EA_MIN(left, most);
  a->at[a->run] += lines * 64;
  a->run += lines == left;
  return lines;
}

#endif
