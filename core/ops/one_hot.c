/* SPDX-License-Identifier: GPL-3.0-or-later
 * one_hot "classes:i base:o=0" (labels i32 {...}) - f32 {..., classes}: 1 at the label, counted
 * from `base`, 0 elsewhere. No gradient.
 */
#include "op.h"

static int shape(ea_call *c) {
  const ea_tensor *x = c->in[0];
  int64_t size[EA_MAX_DIM], classes = ea_attr_int(c, 0);
  EA_TRY(ea_call_check_dtype(c, 0, EA_I32));
  if (classes < 1)
    return ea_call_fail(c, EA_ERR_ARG, "classes must be at least 1, got %lld", (long long)classes);
  if (x->ndim == EA_MAX_DIM)
    return ea_call_fail(c, EA_ERR_SHAPE, "%s has no room for another dimension", ea_shape_text(x));
  for (int d = 0; d < x->ndim; d++) size[d] = x->size[d];
  size[x->ndim] = classes;
  if (ea_check_sizes(x->ndim + 1, size) < 0) return ea_fail_within(EA_ERR_SHAPE, "one_hot");
  ea_call_output(c, 0, EA_F32, x->ndim + 1, size);
  return EA_OK;
}

static int forward(ea_call *c) {
  const int32_t *label = ea_i32(c->in[0]);
  int64_t n = ea_tensor_count(c->in[0]), classes = ea_attr_int(c, 0), base = ea_attr_int(c, 1);
  float *out = ea_f32(c->out[0]);
  memset(out, 0, (size_t)ea_tensor_bytes(c->out[0]));
  for (int64_t i = 0; i < n; i++) {
    if (label[i] < base || label[i] - base >= classes)
      return ea_call_fail(c, EA_ERR_ARG,
                          "label %d of element %lld is not one of the %lld classes "
                          "(%lld to %lld)",
                          label[i], (long long)(i + base), (long long)classes, (long long)base,
                          (long long)(base + classes - 1));
    out[i * classes + label[i] - base] = 1;
  }
  return EA_OK;
}

const ea_op ea_op_one_hot = {
    .name = "one_hot",
    .nin_least = 1,
    .nin_most = 1,
    .nout = 1,
    .attrs = "classes:i base:o=0",
    .flags = EA_OP_NO_GRAD,
    .shape = shape,
    .forward = forward,
};
