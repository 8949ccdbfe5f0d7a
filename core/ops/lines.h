/* SPDX-License-Identifier: GPL-3.0-or-later
 * lines.h - a tensor as lines along one axis, for ops that need a whole one at once.
 */
#ifndef EA_LINES_H
#define EA_LINES_H

#include "expr.h"

/* Line k has `length` elements, `inner` apart. */
typedef struct ea_lines {
  int64_t lines, length, inner;
} ea_lines;

void ea_lines_of(ea_lines *l, const ea_tensor *t, int axis);
/* Line k of t, or of an array like it, to doubles and back. add: t += v. */
void ea_line_read(const ea_lines *l, const ea_tensor *t, int64_t k, double *v);
void ea_line_write(const ea_lines *l, const ea_tensor *t, int64_t k, const double *v, int add);
/* Where line k's element i lies. */
static inline int64_t ea_line_at(const ea_lines *l, int64_t k, int64_t i) {
  return (k / l->inner * l->length + i) * l->inner + k % l->inner;
}
/* Runs fn over all lines in parallel. */
void ea_lines_run(const ea_lines *l, ea_range_fn fn, void *arg);

#endif
