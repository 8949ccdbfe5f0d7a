/* SPDX-License-Identifier: GPL-3.0-or-later
 * slice "axis:x start:i=0 length:i step:i=1" (x) - elements start, start+step, ... (length of them,
 * counted from 0) along an axis. Any type.
 */
#include "axis.h"
#include "move.h"

static int shape(ea_call *c) {
  const ea_tensor *x = c->in[0];
  int dim = 0;
  EA_TRY(ea_call_axis(c, 0, x->ndim, &dim));
  int64_t start = ea_attr_int(c, 1), length = ea_attr_int(c, 2), step = ea_attr_int(c, 3);
  int64_t n = x->size[dim], size[EA_MAX_DIM];
  if (step < 1)
    return ea_call_fail(c, EA_ERR_ARG, "step must be at least 1, got %lld", (long long)step);
  if (start < 0 || start > n || length < 0 ||
      (length > 0 && (start >= n || length - 1 > (n - 1 - start) / step)))
    return ea_call_fail(c, EA_ERR_ARG,
                        "%lld elements from offset %lld (counted from 0) with step %lld leave an "
                        "axis of size %lld of %s",
                        (long long)length, (long long)start, (long long)step, (long long)n,
                        ea_shape_text(x));
  memcpy(size, x->size, sizeof size);
  size[dim] = length;
  ea_call_output(c, 0, x->dtype, x->ndim, size);
  return EA_OK;
}

/* whole: x or its gradient; part: out or its gradient. */
static void move(const ea_call *c, const ea_tensor *whole, const ea_tensor *part, int back) {
  ea_axis a = ea_axis_split(whole, ea_attr_int(c, 0));
  int64_t length = ea_attr_int(c, 2), step = ea_attr_int(c, 3);
  int64_t size[3] = {a.outer, length, a.inner};
  int64_t ws[3] = {a.len * a.inner, step * a.inner, 1}, ps[3] = {length * a.inner, a.inner, 1};
  int esize = ea_dtype_size(whole->dtype);
  void *w = ea_element(whole, ea_attr_int(c, 1) * a.inner), *p = ea_ptr(part);
  if (back) ea_move(esize, 3, size, w, ws, p, ps);
  else ea_move(esize, 3, size, p, ps, w, ws);
}

static int forward(ea_call *c) {
  move(c, c->in[0], c->out[0], 0);
  return EA_OK;
}

static int backward(ea_call *c) {
  memset(ea_ptr(c->gin[0]), 0, (size_t)ea_tensor_bytes(c->gin[0]));
  move(c, c->gin[0], c->gout[0], 1);
  return EA_OK;
}

const ea_op ea_op_slice = {
    .name = "slice",
    .nin_least = 1,
    .nin_most = 1,
    .nout = 1,
    .attrs = "axis:x start:i=0 length:i step:i=1",
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
