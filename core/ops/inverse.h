/* SPDX-License-Identifier: GPL-3.0-or-later
 * inverse.h - the inverse of an index list, so that a gradient is gathered (every target in
 * parallel, its sources in a fixed order) and never scattered.
 */
#ifndef EA_INVERSE_H
#define EA_INVERSE_H

#include "op.h"

/* map: n targets in 0..m-1, or -1 for none. Afterwards the positions i with map[i] == t, ascending,
 * are list[start[t]] .. list[start[t + 1] - 1]. start has m + 1 places, list n. */
static inline void ea_invert(const int32_t *map, int64_t n, int64_t m, int64_t *start,
                             int64_t *list) {
  for (int64_t t = 0; t <= m; t++) start[t] = 0;
  for (int64_t i = 0; i < n; i++)
    if (map[i] >= 0) start[map[i]]++;
  int64_t sum = 0;
  for (int64_t t = 0; t <= m; t++) {
    sum += start[t];
    start[t] = sum; /* the end of t's run; filling from behind turns it into the beginning */
  }
  for (int64_t i = n - 1; i >= 0; i--)
    if (map[i] >= 0) list[--start[map[i]]] = i;
}

#endif
