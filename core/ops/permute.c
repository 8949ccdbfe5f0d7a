/* SPDX-License-Identifier: GPL-3.0-or-later
 * permute "dims:X" (x) - out's dimension d is x's dimension dims[d]. Any type.
 */
#include "move.h"

static int dims_of(const ea_call *c, int ndim, int *dims) {
  unsigned seen = 0;
  if (c->nattr != ndim)
    return ea_call_fail(c, EA_ERR_ARG, "needs each of the %d dimensions once, got %d", ndim,
                        c->nattr);
  for (int d = 0; d < ndim; d++) {
    int64_t from = ea_attr_int(c, d);
    if (from < 0) from += ndim;
    if (from < 0 || from >= ndim || (seen & (1u << from)))
      return ea_call_fail(c, EA_ERR_ARG, "needs each of the %d dimensions exactly once", ndim);
    seen |= 1u << from;
    dims[d] = (int)from;
  }
  return EA_OK;
}

static int shape(ea_call *c) {
  const ea_tensor *x = c->in[0];
  int dims[EA_MAX_DIM];
  int64_t size[EA_MAX_DIM];
  EA_TRY(dims_of(c, x->ndim, dims));
  for (int d = 0; d < x->ndim; d++) size[d] = x->size[dims[d]];
  ea_call_output(c, 0, x->dtype, x->ndim, size);
  return EA_OK;
}

/* plain: a contiguous tensor; permuted: its permuted copy. */
static int move(const ea_call *c, const ea_tensor *plain, const ea_tensor *permuted, int back) {
  int dims[EA_MAX_DIM], n = plain->ndim;
  int64_t straight[EA_MAX_DIM], crossed[EA_MAX_DIM], stride[EA_MAX_DIM];
  EA_TRY(dims_of(c, n, dims));
  ea_strides_of(n, plain->size, stride);
  ea_strides_of(n, permuted->size, straight);
  for (int d = 0; d < n; d++) crossed[d] = stride[dims[d]];
  int esize = ea_dtype_size(plain->dtype);
  if (!back) {
    ea_move(esize, n, permuted->size, ea_ptr(permuted), straight, ea_ptr(plain), crossed);
  } else { /* walk in plain's order, so that the writing side runs straight */
    int64_t from[EA_MAX_DIM];
    for (int d = 0; d < n; d++) from[dims[d]] = straight[d];
    ea_move(esize, n, plain->size, ea_ptr(plain), stride, ea_ptr(permuted), from);
  }
  return EA_OK;
}

static int forward(ea_call *c) { return move(c, c->in[0], c->out[0], 0); }
static int backward(ea_call *c) { return move(c, c->gin[0], c->gout[0], 1); }

const ea_op ea_op_permute = {
    .name = "permute",
    .nin_least = 1,
    .nin_most = 1,
    .nout = 1,
    .attrs = "dims:X",
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
