/* SPDX-License-Identifier: GPL-3.0-or-later
 * cast.c - y = x as another element type.
 * To integers: rounded half to even, clamped to the range, NaN becomes 0 (as ea_tensor_copy). The
 * gradient passes between float types, cast back.
 */
#include "expr.h"

static int is_float(int dtype) { return dtype == EA_F32 || dtype == EA_F64 || dtype == EA_BF16; }

static int cast_shape(ea_call *c) {
  int dtype = (int)c->attr[0];
  if (!ea_dtype_name(dtype))
    return ea_call_fail(c, EA_ERR_ARG, "there is no element type number %d", dtype);
  ea_call_output(c, 0, dtype, c->in[0]->ndim, c->in[0]->size);
  return EA_OK;
}

static void cast(const ea_tensor *to, const ea_tensor *from, int accumulate) {
  ea_expr e;
  ea_expr_init(&e, from->ndim, from->size, NULL, NULL);
  ea_expr_tensor(&e, 0, from);
  e.wide = from->dtype == EA_I32 || from->dtype == EA_F64; /* float does not hold them */
  ea_expr_store(&e, ea_ptr(to), to->dtype, accumulate);
}

static int cast_forward(ea_call *c) {
  cast(c->out[0], c->in[0], 0);
  return EA_OK;
}

static int cast_backward(ea_call *c) {
  if (c->gin[0] && c->gout[0] && is_float(c->gout[0]->dtype))
    cast(c->gin[0], c->gout[0], c->accumulate & 1);
  return EA_OK;
}

const ea_op ea_op_cast = {.name = "cast",
                          .nin_least = 1,
                          .nin_most = 1,
                          .nout = 1,
                          .attrs = "dtype:t",
                          .flags = EA_OP_ACCUMULATES,
                          .shape = cast_shape,
                          .forward = cast_forward,
                          .backward = cast_backward};
