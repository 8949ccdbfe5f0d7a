/* SPDX-License-Identifier: GPL-3.0-or-later
 * move.h - moving elements without looking at them: the work of every shape op.
 */
#ifndef EA_MOVE_H
#define EA_MOVE_H

#include "op.h"

/* Copies a block of ndim (0..8) sizes between two strided memories that do not overlap. Elements
 * have esize (1, 2, 4 or 8) bytes; strides count elements and may be 0 (from) or negative; `to` and
 * `from` point at element {0, 0, ...}. Runs in parallel. */
void ea_move(int esize, int ndim, const int64_t *size, void *to, const int64_t *to_stride,
             const void *from, const int64_t *from_stride);

/* The common case: `rows` runs of `run` elements, row strides given. */
void ea_move_rows(int esize, int64_t rows, int64_t run, void *to, int64_t to_stride,
                  const void *from, int64_t from_stride);

static inline void *ea_element(const ea_tensor *t, int64_t i) {
  return (char *)ea_ptr(t) + i * ea_dtype_size(t->dtype);
}

/* Strides of a contiguous tensor of these sizes. */
static inline void ea_strides_of(int ndim, const int64_t *size, int64_t *stride) {
  int64_t s = 1;
  for (int d = ndim - 1; d >= 0; d--) {
    stride[d] = s;
    s *= size[d];
  }
}

#endif
