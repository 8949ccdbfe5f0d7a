/* SPDX-License-Identifier: GPL-3.0-or-later
 * loss.c - checks and sums that the losses share.
 */
#include "loss.h"

void ea_loss_output(ea_call *c) {
  int wide = 0;
  for (int i = 0; i < c->nin; i++) wide |= c->in[i]->dtype == EA_F64;
  ea_call_output(c, 0, wide ? EA_F64 : EA_F32, 0, NULL);
}

int ea_loss_pair(ea_call *c, const char *first, const char *second) {
  const ea_tensor *a = c->in[0], *b = c->in[1];
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_call_check_float(c, 1));
  if (!ea_tensor_same_shape(a, b))
    return ea_call_fail(c, EA_ERR_SHAPE, "%s and %s must have one shape, got %s and %s", first,
                        second, ea_shape_text(a), ea_shape_text(b));
  if (ea_tensor_count(a) == 0)
    return ea_call_fail(c, EA_ERR_SHAPE, "a mean over nothing has no value: got %s",
                        ea_shape_text(a));
  ea_loss_output(c);
  return EA_OK;
}

int ea_loss_logits(const ea_call *c, const char *what) {
  EA_TRY(ea_call_check_float(c, 0));
  if (c->in[0]->ndim != 2 || ea_tensor_count(c->in[0]) == 0)
    return ea_call_fail(c, EA_ERR_SHAPE,
                        "%s must be {rows, classes} with at least one of each, "
                        "got %s",
                        what, ea_shape_text(c->in[0]));
  return EA_OK;
}

double *ea_loss_parts(ea_call *c, int64_t n) {
  return ea_call_scratch(c, (size_t)n * sizeof(double));
}

void ea_loss_finish(ea_call *c, const double *part, int64_t n, double scale) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += part[i];
  ea_write(ea_ptr(c->out[0]), c->out[0]->dtype, 0, sum * scale);
}
