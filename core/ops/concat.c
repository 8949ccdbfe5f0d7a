/* SPDX-License-Identifier: GPL-3.0-or-later
 * concat "axis:x=0" (1..16 inputs) - joins along an axis that exists; the other sizes are equal.
 * stack "axis:x=0" (1..16 inputs) - joins tensors of one shape along a new axis put there.
 * All inputs of one type, any type.
 */
#include "axis.h"
#include "move.h"

static int concat_shape(ea_call *c) {
  const ea_tensor *first = c->in[0];
  int64_t size[EA_MAX_DIM];
  int dim = 0;
  EA_TRY(ea_call_axis(c, 0, first->ndim, &dim));
  EA_TRY(ea_call_check_same_dtype(c));
  memcpy(size, first->size, sizeof size);
  for (int i = 1; i < c->nin; i++) {
    const ea_tensor *x = c->in[i];
    int fits = x->ndim == first->ndim;
    for (int d = 0; fits && d < x->ndim; d++) fits = d == dim || x->size[d] == first->size[d];
    if (!fits)
      return ea_call_fail(c, EA_ERR_SHAPE,
                          "input %d is %s, which does not join %s: only the sizes "
                          "along the axis may differ",
                          i + 1, ea_shape_text(x), ea_shape_text(first));
    size[dim] += x->size[dim];
  }
  ea_call_output(c, 0, first->dtype, first->ndim, size);
  return EA_OK;
}

static int stack_shape(ea_call *c) {
  const ea_tensor *first = c->in[0];
  int64_t size[EA_MAX_DIM];
  int dim = 0;
  if (first->ndim == EA_MAX_DIM)
    return ea_call_fail(c, EA_ERR_SHAPE, "%s has no room for another dimension",
                        ea_shape_text(first));
  EA_TRY(ea_call_axis(c, 0, first->ndim + 1, &dim));
  EA_TRY(ea_call_check_same_dtype(c));
  for (int i = 1; i < c->nin; i++)
    if (!ea_tensor_same_shape(c->in[i], first))
      return ea_call_fail(c, EA_ERR_SHAPE, "input %d is %s, the first is %s: all must be alike",
                          i + 1, ea_shape_text(c->in[i]), ea_shape_text(first));
  for (int d = 0; d <= first->ndim; d++)
    size[d] = d < dim ? first->size[d] : d == dim ? c->nin : first->size[d - 1];
  ea_call_output(c, 0, first->dtype, first->ndim + 1, size);
  return EA_OK;
}

/* Input i's share of the joined tensor is, for each outer index, one run of share(i) elements. */
static void join(const ea_call *c, const ea_tensor *joined, ea_tensor *const *part, int back) {
  ea_axis a = ea_axis_split(joined, ea_attr_int(c, 0));
  int esize = ea_dtype_size(joined->dtype), stacked = joined->ndim > c->in[0]->ndim;
  int64_t row = a.len * a.inner, at = 0;
  for (int i = 0; i < c->nin; i++) {
    int64_t share = a.inner * (stacked ? 1 : c->in[i]->size[a.dim]);
    if (part[i]) {
      void *whole = ea_element(joined, at), *own = ea_ptr(part[i]);
      if (back) ea_move_rows(esize, a.outer, share, own, share, whole, row);
      else ea_move_rows(esize, a.outer, share, whole, row, own, share);
    }
    at += share;
  }
}

static int forward(ea_call *c) {
  join(c, c->out[0], c->in, 0);
  return EA_OK;
}

static int backward(ea_call *c) {
  join(c, c->gout[0], c->gin, 1);
  return EA_OK;
}

const ea_op ea_op_concat = {
    .name = "concat",
    .nin_least = 1,
    .nin_most = EA_MAX_IN,
    .nout = 1,
    .attrs = "axis:x=0",
    .shape = concat_shape,
    .forward = forward,
    .backward = backward,
};

const ea_op ea_op_stack = {
    .name = "stack",
    .nin_least = 1,
    .nin_most = EA_MAX_IN,
    .nout = 1,
    .attrs = "axis:x=0",
    .shape = stack_shape,
    .forward = forward,
    .backward = backward,
};
