/* SPDX-License-Identifier: GPL-3.0-or-later
 * compare.c - comparisons and choice, broadcast as NumPy does.
 *
 *   less, greater, equal (x, y of one type, any) -> u8: 1 where it holds, else 0; no gradient
 *   where (condition u8, x, y of one float type) -> condition ? x : y; the gradient goes to the one
 *     chosen, summed over broadcast axes
 */
#include "expr.h"

static int compare_shape(ea_call *c) {
  int ndim;
  int64_t size[EA_MAX_DIM];
  EA_TRY(ea_call_check_same_dtype(c));
  EA_TRY(ea_broadcast_sizes(c, 0, &ndim, size));
  ea_call_output(c, 0, EA_U8, ndim, size);
  return EA_OK;
}

static int compare_forward(ea_call *c, ea_kernel f32, ea_kernel f64) {
  const ea_tensor *z = c->out[0];
  int dtype = c->in[0]->dtype;
  ea_expr e;
  ea_expr_init(&e, z->ndim, z->size, f32, f64);
  ea_expr_tensor(&e, 0, c->in[0]);
  ea_expr_tensor(&e, 1, c->in[1]);
  e.wide = dtype == EA_F64 || dtype == EA_I32; /* exact: float does not hold them */
  ea_expr_store(&e, ea_ptr(z), EA_U8, 0);
  return EA_OK;
}

#define COMPARE(op, CONDITION)                                                           \
  EA_KERNEL(op, (CONDITION) ? 1 : 0)                                                     \
  static int op##_forward(ea_call *c) { return compare_forward(c, op##_f32, op##_f64); } \
  const ea_op ea_op_##op = {.name = #op,                                                 \
                            .nin_least = 2,                                              \
                            .nin_most = 2,                                               \
                            .nout = 1,                                                   \
                            .attrs = "",                                                 \
                            .flags = EA_OP_NO_GRAD,                                      \
                            .shape = compare_shape,                                      \
                            .forward = op##_forward};

COMPARE(less, x[i] < y[i])
COMPARE(greater, x[i] > y[i])
COMPARE(equal, x[i] == y[i])

/* ---- where ----------------------------------------------------------------------------------- */

EA_KERNEL(where, x[i] != 0 ? y[i] : g[i])
EA_KERNEL(where_dx, x[i] != 0 ? g[i] : 0)
EA_KERNEL(where_dy, x[i] != 0 ? 0 : g[i])

static int where_shape(ea_call *c) {
  int ndim;
  int64_t size[EA_MAX_DIM];
  EA_TRY(ea_call_check_dtype(c, 0, EA_U8));
  EA_TRY(ea_call_check_float(c, 1));
  if (c->in[1]->dtype != c->in[2]->dtype)
    return ea_call_fail(c, EA_ERR_DTYPE,
                        "both choices must have one element type, got %s and %s; "
                        "cast one of them",
                        ea_shape_text(c->in[1]), ea_shape_text(c->in[2]));
  EA_TRY(ea_broadcast_sizes(c, 0, &ndim, size));
  ea_call_output(c, 0, c->in[1]->dtype, ndim, size);
  return EA_OK;
}

static int where_forward(ea_call *c) {
  const ea_tensor *z = c->out[0];
  ea_expr e;
  ea_expr_init(&e, z->ndim, z->size, where_f32, where_f64);
  for (int k = 0; k < 3; k++) ea_expr_tensor(&e, k, c->in[k]);
  ea_expr_store(&e, ea_ptr(z), z->dtype, 0);
  return EA_OK;
}

static int where_backward(ea_call *c) {
  const ea_tensor *g = c->gout[0];
  for (int k = 1; k < 3; k++) {
    if (!c->gin[k]) continue;
    ea_expr e;
    ea_expr_init(&e, g->ndim, g->size, k == 1 ? where_dx_f32 : where_dy_f32,
                 k == 1 ? where_dx_f64 : where_dy_f64);
    ea_expr_tensor(&e, 0, c->in[0]);
    ea_expr_tensor(&e, 2, g);
    EA_TRY(ea_broadcast_gradient(c, k, &e));
  }
  return EA_OK;
}

const ea_op ea_op_where = {.name = "where",
                           .nin_least = 3,
                           .nin_most = 3,
                           .nout = 1,
                           .attrs = "",
                           .flags = EA_OP_ACCUMULATES,
                           .need_in = 1,
                           .shape = where_shape,
                           .forward = where_forward,
                           .backward = where_backward};
