/* SPDX-License-Identifier: GPL-3.0-or-later
 * unary.c - functions of one tensor, element by element; p and q are the op's attributes.
 *
 *   affine      scale x + shift         pow_scalar  x^exponent
 *   exp log sqrt sin cos atan           square      x^2
 *   abs         |x|, gradient 0 at 0    sign        -1, 0, 1, gradient 0
 *   relu        max(x, 0)               leaky_relu  x > 0 ? x : slope x
 *   sigmoid     1 / (1 + e^-x)          tanh
 *   gelu        x Phi(x), exact (erf)   silu        x sigmoid(x)
 *   softplus    ln(1 + e^x)             clamp       min(max(x, low), high), gradient where inside
 *
 * In the formulas of the gradients x is the input, y the output and g the output's gradient; an op
 * keeps only what its formula reads. NaN passes through every one of them.
 */
#include <tgmath.h>

#include "expr.h"

static int unary_shape(ea_call *c) {
  EA_TRY(ea_call_check_float(c, 0));
  ea_call_output(c, 0, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->size);
  return EA_OK;
}

static void unary_attrs(const ea_call *c, ea_expr *e) {
  for (int k = 0; k < c->nattr && k < 2; k++) e->attr[k] = c->attr[k];
}

static int unary_forward(ea_call *c, ea_kernel f32, ea_kernel f64) {
  const ea_tensor *y = c->out[0];
  ea_expr e;
  ea_expr_init(&e, y->ndim, y->size, f32, f64);
  ea_expr_tensor(&e, 0, c->in[0]);
  unary_attrs(c, &e);
  ea_expr_store(&e, ea_ptr(y), y->dtype, 0);
  return EA_OK;
}

static int unary_backward(ea_call *c, ea_kernel f32, ea_kernel f64) {
  const ea_tensor *g = c->gout[0];
  if (!c->gin[0]) return EA_OK;
  ea_expr e;
  ea_expr_init(&e, g->ndim, g->size, f32, f64);
  if (c->op->need_in) ea_expr_tensor(&e, 0, c->in[0]);
  if (c->op->need_out) ea_expr_tensor(&e, 1, c->out[0]);
  ea_expr_tensor(&e, 2, g);
  unary_attrs(c, &e);
  ea_expr_store(&e, ea_ptr(c->gin[0]), c->gin[0]->dtype, c->accumulate & 1);
  return EA_OK;
}

enum { NOTHING = 0, KEEP_X = 1, KEEP_Y = 2 };

#define UNARY(op, schema, keep, VALUE, GRADIENT)                                               \
  EA_KERNEL(op, VALUE)                                                                         \
  EA_KERNEL(op##_dx, GRADIENT)                                                                 \
  static int op##_forward(ea_call *c) { return unary_forward(c, op##_f32, op##_f64); }         \
  static int op##_backward(ea_call *c) { return unary_backward(c, op##_dx_f32, op##_dx_f64); } \
  const ea_op ea_op_##op = {.name = #op,                                                       \
                            .nin_least = 1,                                                    \
                            .nin_most = 1,                                                     \
                            .nout = 1,                                                         \
                            .attrs = schema,                                                   \
                            .flags = EA_OP_ACCUMULATES,                                        \
                            .need_in = (keep) == KEEP_X,                                       \
                            .need_out = (keep) == KEEP_Y,                                      \
                            .shape = unary_shape,                                              \
                            .forward = op##_forward,                                           \
                            .backward = op##_backward};

#define C(number) ((real)(number))

/* What follows is read as formulas. */
/* clang-format off */
UNARY(affine, "scale:f=1 shift:f=0", NOTHING, p * x[i] + q, p * g[i])
UNARY(pow_scalar, "exponent:f", KEEP_X, p == 2 ? x[i] * x[i] : pow(x[i], p),
      p == 0 ? 0 : p == 2 ? 2 * x[i] * g[i] : p * pow(x[i], p - 1) * g[i])
UNARY(exp, "", KEEP_Y, exp(x[i]), y[i] * g[i])
UNARY(log, "", KEEP_X, log(x[i]), g[i] / x[i])
UNARY(sqrt, "", KEEP_Y, sqrt(x[i]), g[i] / (2 * y[i]))
UNARY(square, "", KEEP_X, x[i] * x[i], 2 * x[i] * g[i])
UNARY(sin, "", KEEP_X, sin(x[i]), cos(x[i]) * g[i])
UNARY(cos, "", KEEP_X, cos(x[i]), -sin(x[i]) * g[i])
UNARY(atan, "", KEEP_X, atan(x[i]), g[i] / (1 + x[i] * x[i]))

UNARY(abs, "", KEEP_X, fabs(x[i]), x[i] > 0 ? g[i] : x[i] < 0 ? -g[i] : 0)
UNARY(sign, "", NOTHING, x[i] > 0 ? 1 : x[i] < 0 ? -1 : x[i], 0 * g[i])
UNARY(relu, "", KEEP_Y, x[i] <= 0 ? 0 : x[i], y[i] <= 0 ? 0 : g[i])
UNARY(leaky_relu, "slope:f=0.01", KEEP_X, x[i] > 0 ? x[i] : p * x[i], x[i] > 0 ? g[i] : p * g[i])
UNARY(clamp, "low:f=-inf high:f=inf", KEEP_X, x[i] < p ? p : x[i] > q ? q : x[i],
      x[i] < p || x[i] > q ? 0 : g[i])

#define SIGMOID(v) (1 / (1 + exp(-(v))))
UNARY(sigmoid, "", KEEP_Y, SIGMOID(x[i]), g[i] * y[i] * (1 - y[i]))

/* libm's tanhf takes 20 ns; by one exponential in double it takes 4, and is within one ulp. */
static inline float tanh_float(float x) {
  double e = exp(2.0 * (x < -20 ? -20 : x > 20 ? 20 : x));
  return fabs(x) < 1e-4f ? x : (float)((e - 1) / (e + 1));
}
#define TANH(v) _Generic((v), float: tanh_float, default: (tanh))(v)
UNARY(tanh, "", KEEP_Y, TANH(x[i]), g[i] * (1 - y[i] * y[i]))

UNARY(silu, "", KEEP_X, x[i] * SIGMOID(x[i]),
      g[i] * SIGMOID(x[i]) * (1 + x[i] * (1 - SIGMOID(x[i]))))
UNARY(softplus, "", KEEP_X, (x[i] < 0 ? 0 : x[i]) + log1p(exp(-fabs(x[i]))), g[i] * SIGMOID(x[i]))

#define SQRT_HALF C(0.70710678118654752440)     /* 1/sqrt(2) */
#define SQRT_HALF_PI C(0.39894228040143267794)  /* 1/sqrt(2 pi) */
#define PHI(v) (C(0.5) * (1 + erf((v) * SQRT_HALF)))
UNARY(gelu, "", KEEP_X, x[i] * PHI(x[i]),
      g[i] * (PHI(x[i]) + x[i] * SQRT_HALF_PI * exp(C(-0.5) * x[i] * x[i])))
/* clang-format on */
