/* SPDX-License-Identifier: GPL-3.0-or-later
 * axis.h - one axis of a tensor: a contiguous tensor seen as {outer, len, inner} around it.
 */
#ifndef EA_AXIS_H
#define EA_AXIS_H

#include "op.h"

typedef struct ea_axis {
  int dim;
  int64_t outer, len, inner;
} ea_axis;

/* The axis in attribute k, from 0; negative counts from the end of ndim dimensions. */
static inline int ea_call_axis(const ea_call *c, int k, int ndim, int *dim) {
  int64_t axis = ea_attr_int(c, k);
  if (axis < 0) axis += ndim;
  if (axis < 0 || axis >= ndim)
    return ea_call_fail(c, EA_ERR_ARG, "the axis does not exist: the tensor has %d dimension%s",
                        ndim, ndim == 1 ? "" : "s");
  *dim = (int)axis;
  return EA_OK;
}

/* Splits t around an axis that was checked before (it may be negative). */
static inline ea_axis ea_axis_split(const ea_tensor *t, int64_t axis) {
  ea_axis a = {(int)(axis < 0 ? axis + t->ndim : axis), 1, 1, 1};
  for (int d = 0; d < t->ndim; d++) {
    if (d < a.dim) a.outer *= t->size[d];
    else if (d > a.dim) a.inner *= t->size[d];
    else a.len = t->size[d];
  }
  return a;
}

#endif
