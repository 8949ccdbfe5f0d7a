/* SPDX-License-Identifier: GPL-3.0-or-later
 * broadcast.c - NumPy broadcasting for ops of several inputs: sizes are aligned at the last axis;
 * two sizes fit when they are equal or one of them is 1; missing leading axes count as 1.
 */
#include "fold.h"

int ea_broadcast_sizes(const ea_call *c, int first, int *ndim, int64_t *size) {
  int n = 0;
  for (int k = first; k < c->nin; k++) n = EA_MAX(n, c->in[k]->ndim);
  for (int d = 0; d < n; d++) size[d] = 1;
  for (int k = first; k < c->nin; k++) {
    const ea_tensor *t = c->in[k];
    for (int d = 0; d < t->ndim; d++) {
      int64_t *s = &size[n - t->ndim + d];
      if (*s == 1) *s = t->size[d];
      else if (t->size[d] != 1 && t->size[d] != *s)
        return ea_call_fail(c, EA_ERR_SHAPE,
                            "%s and %s do not broadcast: sizes, counted from the last axis, must "
                            "be equal or 1",
                            ea_shape_text(c->in[k - 1]), ea_shape_text(t));
    }
  }
  *ndim = n;
  return EA_OK;
}

int ea_broadcast_gradient(ea_call *c, int k, const ea_expr *e) {
  const ea_tensor *t = c->in[k];
  int accumulate = c->accumulate >> k & 1, lead = e->ndim - t->ndim;
  unsigned mask = 0;
  for (int d = 0; d < e->ndim; d++)
    if (d < lead || t->size[d - lead] != e->size[d]) mask |= 1u << d;
  if (mask == 0) {
    ea_expr_store(e, ea_ptr(c->gin[k]), c->gin[k]->dtype, accumulate);
    return EA_OK;
  }
  return ea_fold_store(c, e, mask, EA_FOLD_SUM, NULL, NULL, ea_ptr(c->gin[k]), c->gin[k]->dtype,
                       accumulate);
}
