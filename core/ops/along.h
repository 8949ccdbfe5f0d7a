/* SPDX-License-Identifier: GPL-3.0-or-later
 * along.h - dot products along an axis. The tensor {outer, len, inner} is cut into groups: EA_ALONG
 * neighbouring inner positions with all their len elements, or, where inner is 1, one row of len
 * elements taken EA_ALONG at a time. Both are walked in steps of up to EA_ALONG neighbours.
 */
#ifndef EA_ALONG_H
#define EA_ALONG_H

#include "axis.h"
#include "wide.h"

enum { EA_ALONG = 64 };

typedef struct ea_along {
  int row;               /* 1: the steps go along one row, whose one result all lanes hold */
  int64_t at, stride;    /* first element of the first step, and from step to step */
  int64_t steps, n, end; /* lanes of a step; of the last one */
  int64_t result;        /* where the group's first result stands in a tensor without the axis */
  int64_t results;
} ea_along;

static inline int64_t ea_along_groups(const ea_axis *a) {
  return a->outer * ((a->inner + EA_ALONG - 1) / EA_ALONG);
}

static inline ea_along ea_along_group(const ea_axis *a, int64_t group) {
  if (a->inner == 1) {
    int64_t steps = (a->len + EA_ALONG - 1) / EA_ALONG;
    return (ea_along){
        1, group * a->len, EA_ALONG, steps, EA_ALONG, a->len - (steps - 1) * EA_ALONG, group, 1};
  }
  int64_t per = (a->inner + EA_ALONG - 1) / EA_ALONG;
  int64_t outer = group / per, i = group % per * EA_ALONG, n = EA_MIN(EA_ALONG, a->inner - i);
  return (ea_along){0, outer * a->len * a->inner + i, a->inner, a->len, n,
                    n, outer * a->inner + i,          n};
}

static inline int64_t ea_along_n(const ea_along *l, int64_t step) {
  return step == l->steps - 1 ? l->end : l->n;
}

/* sum[lane] = x . y along the axis. */
static inline void ea_along_dot(const ea_along *l, const ea_tensor *x, const ea_tensor *y,
                                double *sum) {
  double a[EA_ALONG], b[EA_ALONG];
  for (int i = 0; i < EA_ALONG; i++) sum[i] = 0;
  for (int64_t s = 0; s < l->steps; s++) {
    int64_t n = ea_along_n(l, s), at = l->at + s * l->stride;
    ea_load_f64(a, ea_ptr(x), x->dtype, at, n);
    ea_load_f64(b, ea_ptr(y), y->dtype, at, n);
    for (int64_t i = 0; i < n; i++) sum[i] += a[i] * b[i];
  }
  if (!l->row) return;
  double total = 0;
  for (int i = 0; i < EA_ALONG; i++) total += sum[i];
  for (int i = 0; i < EA_ALONG; i++) sum[i] = total;
}

/* out = x * p[lane] + y * q[lane] (y NULL: without). */
static inline void ea_along_combine(const ea_along *l, const ea_tensor *out, const ea_tensor *x,
                                    const double *p, const ea_tensor *y, const double *q) {
  double a[EA_ALONG], b[EA_ALONG];
  for (int64_t s = 0; s < l->steps; s++) {
    int64_t n = ea_along_n(l, s), at = l->at + s * l->stride;
    ea_load_f64(a, ea_ptr(x), x->dtype, at, n);
    for (int64_t i = 0; i < n; i++) a[i] *= p[i];
    if (y) {
      ea_load_f64(b, ea_ptr(y), y->dtype, at, n);
      for (int64_t i = 0; i < n; i++) a[i] += b[i] * q[i];
    }
    ea_store_f64(ea_ptr(out), out->dtype, at, a, n);
  }
}

/* Groups a shard takes. */
static inline int64_t ea_along_chunk(const ea_axis *a) {
  return EA_MAX(1, EA_CHUNK / (EA_MAX(1, a->len) * EA_MAX(1, EA_MIN(a->inner, EA_ALONG))));
}

#endif
