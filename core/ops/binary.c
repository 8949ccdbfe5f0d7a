/* SPDX-License-Identifier: GPL-3.0-or-later
 * binary.c - arithmetic of two tensors of one float type, broadcast as NumPy does:
 *
 *   add      z = x + y        dx = g             dy = g
 *   sub      z = x - y        dx = g             dy = -g
 *   mul      z = x y          dx = g y           dy = g x
 *   div      z = x / y        dx = g / y         dy = -g x / y^2
 *   maximum  z = max(x, y)    g goes to the larger one; halves where they are equal
 *   minimum  z = min(x, y)    likewise
 *   pow      z = x^y          dx = g y x^(y-1)   dy = g ln(x) x^y   (0 where y = 0; x = 0, y >= 0)
 *
 * Gradients are summed over broadcast axes. NaN in either input gives NaN.
 */
#include <tgmath.h>

#include "expr.h"

static int binary_shape(ea_call *c) {
  int ndim;
  int64_t size[EA_MAX_DIM];
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_call_check_same_dtype(c));
  EA_TRY(ea_broadcast_sizes(c, 0, &ndim, size));
  ea_call_output(c, 0, c->in[0]->dtype, ndim, size);
  return EA_OK;
}

static int binary_forward(ea_call *c, ea_kernel f32, ea_kernel f64) {
  const ea_tensor *z = c->out[0];
  ea_expr e;
  ea_expr_init(&e, z->ndim, z->size, f32, f64);
  ea_expr_tensor(&e, 0, c->in[0]);
  ea_expr_tensor(&e, 1, c->in[1]);
  ea_expr_store(&e, ea_ptr(z), z->dtype, 0);
  return EA_OK;
}

/* need: whether the gradient's formula reads the inputs; if not they may be gone */
static int binary_gradient(ea_call *c, int k, int need, ea_kernel f32, ea_kernel f64) {
  const ea_tensor *g = c->gout[0];
  if (!c->gin[k]) return EA_OK;
  ea_expr e;
  ea_expr_init(&e, g->ndim, g->size, f32, f64);
  if (!f32) {
    ea_expr_tensor(&e, 0, g); /* the gradient itself */
  } else {
    if (need) ea_expr_tensor(&e, 0, c->in[0]);
    if (need) ea_expr_tensor(&e, 1, c->in[1]);
    ea_expr_tensor(&e, 2, g);
  }
  return ea_broadcast_gradient(c, k, &e);
}

#define BINARY_OP(op, need, DX32, DX64, DY32, DY64)                                     \
  static int op##_forward(ea_call *c) { return binary_forward(c, op##_f32, op##_f64); } \
  static int op##_backward(ea_call *c) {                                                \
    EA_TRY(binary_gradient(c, 0, need, DX32, DX64));                                    \
    return binary_gradient(c, 1, need, DY32, DY64);                                     \
  }                                                                                     \
  const ea_op ea_op_##op = {.name = #op,                                                \
                            .nin_least = 2,                                             \
                            .nin_most = 2,                                              \
                            .nout = 1,                                                  \
                            .attrs = "",                                                \
                            .flags = EA_OP_ACCUMULATES,                                 \
                            .need_in = need,                                            \
                            .shape = binary_shape,                                      \
                            .forward = op##_forward,                                    \
                            .backward = op##_backward};

/* ops whose gradients read both inputs */
#define BINARY(op, VALUE, DX, DY) \
  EA_KERNEL(op, VALUE)            \
  EA_KERNEL(op##_dx, DX)          \
  EA_KERNEL(op##_dy, DY)          \
  BINARY_OP(op, 3, op##_dx_f32, op##_dx_f64, op##_dy_f32, op##_dy_f64)

EA_KERNEL(add, x[i] + y[i])
BINARY_OP(add, 0, NULL, NULL, NULL, NULL)

EA_KERNEL(sub, x[i] - y[i])
EA_KERNEL(sub_dy, -g[i])
BINARY_OP(sub, 0, NULL, NULL, sub_dy_f32, sub_dy_f64)

BINARY(mul, x[i] * y[i], g[i] * y[i], g[i] * x[i])
BINARY(div, x[i] / y[i], g[i] / y[i], -g[i] * x[i] / (y[i] * y[i]))

/* What follows is read as formulas. */
/* clang-format off */
#define HALF ((real)0.5)
BINARY(maximum, x[i] > y[i] || x[i] != x[i] ? x[i] : y[i],
       x[i] > y[i] ? g[i] : x[i] == y[i] ? HALF * g[i] : 0,
       x[i] < y[i] ? g[i] : x[i] == y[i] ? HALF * g[i] : 0)
BINARY(minimum, x[i] < y[i] || x[i] != x[i] ? x[i] : y[i],
       x[i] < y[i] ? g[i] : x[i] == y[i] ? HALF * g[i] : 0,
       x[i] > y[i] ? g[i] : x[i] == y[i] ? HALF * g[i] : 0)
/* clang-format on */

BINARY(pow, pow(x[i], y[i]), y[i] == 0 ? 0 : g[i] * y[i] * pow(x[i], y[i] - 1),
       x[i] == 0 && y[i] >= 0 ? 0 : g[i] * log(x[i]) * pow(x[i], y[i]))
