/* SPDX-License-Identifier: GPL-3.0-or-later
 * fold.h - reducing an expression over some of its axes, in double, in a fixed order.
 */
#ifndef EA_FOLD_H
#define EA_FOLD_H

#include "expr.h"

enum ea_fold_kind { EA_FOLD_SUM, EA_FOLD_MAX, EA_FOLD_MIN }; /* max and min hand NaN through */

/* One run of adjacent reduced axes: {outer, length, inner} -> {outer, inner}. The length may be cut
 * into segments whose partial results are combined in order. */
typedef struct ea_fold_pass {
  int64_t outer, length, inner, segment, segments, tile, tiles;
} ea_fold_pass;

typedef struct ea_fold {
  int npass;
  ea_fold_pass pass[EA_MAX_DIM];
  int64_t results; /* doubles that come out */
  int64_t scratch; /* doubles needed while it runs */
} ea_fold;

/* Bit d of mask: axis d is reduced. Results are in the order of the axes kept. */
void ea_fold_plan(ea_fold *f, int ndim, const int64_t *size, unsigned mask);
void ea_fold_run(const ea_fold *f, const ea_expr *e, int kind, double *out, double *scratch);
/* Plans, runs and stores finish(result) (NULL: the result) with the call's scratch. */
int ea_fold_store(ea_call *c, const ea_expr *e, unsigned mask, int kind, ea_kernel finish,
                  const double *attr, void *out, int dtype, int accumulate);

#endif
