/* SPDX-License-Identifier: GPL-3.0-or-later
 * reshape "size:L" (x) - the same elements under another shape; one size may be -1: what is left.
 * Any type. out is x's memory (EA_OP_ALIAS), so there is nothing to run in either direction.
 */
#include "op.h"

static int shape(ea_call *c) {
  const ea_tensor *x = c->in[0];
  int64_t size[EA_MAX_DIM], known = 1, count = ea_tensor_count(x);
  int open = -1;
  if (c->nattr > EA_MAX_DIM)
    return ea_call_fail(c, EA_ERR_ARG, "at most %d sizes, got %d", EA_MAX_DIM, c->nattr);
  for (int d = 0; d < c->nattr; d++) size[d] = ea_attr_int(c, d);
  for (int d = 0; d < c->nattr; d++) {
    if (size[d] == -1 && open < 0) open = d;
    else if (size[d] < 0)
      return ea_call_fail(c, EA_ERR_ARG,
                          "sizes must not be negative, except one -1 for what is left");
    else if (__builtin_mul_overflow(known, size[d], &known))
      return ea_call_fail(c, EA_ERR_SHAPE, "%s cannot become %s: too many elements",
                          ea_shape_text(x), ea_sizes_text(c->nattr, size));
  }
  if (open >= 0) {
    if (known == 0 || count % known != 0)
      return ea_call_fail(c, EA_ERR_SHAPE, "%s has %lld elements, which %lld does not divide",
                          ea_shape_text(x), (long long)count, (long long)known);
    size[open] = count / known;
  } else if (known != count) {
    return ea_call_fail(c, EA_ERR_SHAPE, "%s has %lld elements, %s has %lld", ea_shape_text(x),
                        (long long)count, ea_sizes_text(c->nattr, size), (long long)known);
  }
  ea_call_output(c, 0, x->dtype, c->nattr, size);
  return EA_OK;
}

const ea_op ea_op_reshape = {
    .name = "reshape",
    .nin_least = 1,
    .nin_most = 1,
    .nout = 1,
    .attrs = "size:L",
    .flags = EA_OP_ALIAS,
    .shape = shape,
};
