/* SPDX-License-Identifier: GPL-3.0-or-later
 * lanes.h - a tensor as lines along one axis, for ops that need a whole line at once.
 */
#ifndef EA_LANES_H
#define EA_LANES_H

#include "expr.h"

/* Lane k has `length` elements, `inner` apart. */
typedef struct ea_lanes {
  int64_t lanes, length, inner;
} ea_lanes;

void ea_lanes_of(ea_lanes *l, const ea_tensor *t, int axis);
/* Lane k of t, or of an array like it, to doubles and back. add: t += v. */
void ea_lane_read(const ea_lanes *l, const ea_tensor *t, int64_t k, double *v);
void ea_lane_write(const ea_lanes *l, const ea_tensor *t, int64_t k, const double *v, int add);
/* Where lane k's element i lies. */
static inline int64_t ea_lane_at(const ea_lanes *l, int64_t k, int64_t i) {
  return (k / l->inner * l->length + i) * l->inner + k % l->inner;
}
/* Runs fn over all lanes in parallel. */
void ea_lanes_run(const ea_lanes *l, ea_range_fn fn, void *arg);

#endif
