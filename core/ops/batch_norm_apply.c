/* SPDX-License-Identifier: GPL-3.0-or-later
 * batch_norm_apply.c - what batch_norm makes of its input once the statistics are known, for itself
 * and for whoever reads an input through it: the same arithmetic, the same bits.
 */
#include "batch_norm.h"
#include "lanes.h"

enum { TILE = 8192, TILE_ROWS = 128, SIDE = 4 }; /* numbers, rows: stay in the first cache */

typedef struct job {
  const ea_bn_line *line;
  int64_t first; /* channel */
  void *to;
  const void *from;
  int64_t to_apart, from_apart;
} job;

/* From channel k of the first on, `lanes` (<= SIDE) of n (<= 16) channels. */
EA_INLINE void apply(const job *j, int dtype, int64_t row, int64_t end, int64_t k, int lanes,
                     int n) {
  ea_lanes scale[SIDE], shift[SIDE];
  for (int b = 0; b < lanes; b++) {
    scale[b] = ea_lanes_load(j->line->scale, EA_F32, j->first + k + b * EA_LANES, n);
    shift[b] = ea_lanes_load(j->line->shift, EA_F32, j->first + k + b * EA_LANES, n);
  }
  for (; row < end; row++)
    for (int b = 0; b < lanes; b++) {
      int64_t at = k + b * EA_LANES;
      ea_lanes v = ea_lanes_load(j->from, dtype, row * j->from_apart + at, n);
      v = ea_bn_through(v, scale[b], shift[b], j->line->relu);
      ea_lanes_store(j->to, dtype, row * j->to_apart + at, n, v);
    }
}

EA_INLINE void apply_all(const job *j, int dtype, int64_t channels, int64_t rows) {
  int64_t tile = EA_MIN(TILE_ROWS, EA_MAX(1, TILE / channels));
  for (int64_t row = 0; row < rows; row += tile) {
    int64_t end = EA_MIN(row + tile, rows), k = 0;
    for (; k + 4 * EA_LANES <= channels; k += 4 * EA_LANES)
      apply(j, dtype, row, end, k, 4, EA_LANES);
    for (; k + 2 * EA_LANES <= channels; k += 2 * EA_LANES)
      apply(j, dtype, row, end, k, 2, EA_LANES);
    for (; k + EA_LANES <= channels; k += EA_LANES) apply(j, dtype, row, end, k, 1, EA_LANES);
    if (k + EA_LANES / 2 <= channels) { /* a constant, too: 24 channels are not rare */
      apply(j, dtype, row, end, k, 1, EA_LANES / 2);
      k += EA_LANES / 2;
    }
    if (k < channels) apply(j, dtype, row, end, k, 1, (int)(channels - k));
  }
}

void ea_bn_apply(const ea_bn_line *line, int dtype, int64_t first, int64_t channels, void *to,
                 int64_t to_apart, const void *from, int64_t from_apart, int64_t rows) {
  job j = {line, first, to, from, to_apart, from_apart};
  if (dtype == EA_F32) apply_all(&j, EA_F32, channels, rows);
  else apply_all(&j, EA_BF16, channels, rows);
}
