/* SPDX-License-Identifier: GPL-3.0-or-later
 * softmax.c - the three functions of the logarithm of a sum of exponentials, computed in double:
 *
 *   logsumexp    L = m + ln S e^(x-m), m = max x, over axes       dx = g e^(x-L)
 *   softmax      y = e^(x-L) along an axis                        dx = y (g - S g y)
 *   log_softmax  y = x - L along an axis                          dx = g - e^y S g
 */
#include "reduce.h"

#include <tgmath.h>

EA_KERNEL(shifted_exp, exp(x[i] - y[i]))
EA_KERNEL(difference, x[i] - y[i])
EA_KERNEL(logsumexp_dx, g[i] * exp(x[i] - y[i]))
EA_KERNEL(product, x[i] * y[i])
EA_KERNEL(softmax_dx, x[i] * (y[i] - g[i]))        /* y, g, S g y */
EA_KERNEL(log_softmax_dx, y[i] - exp(x[i]) * g[i]) /* y, g, S g */

/* L of in[0] over the axes in mask, in the call's scratch; NULL on no memory. */
static double *log_sum_exp(ea_call *c, unsigned mask, int64_t *results) {
  const ea_tensor *x = c->in[0];
  ea_fold f;
  ea_fold_plan(&f, x->ndim, x->size, mask);
  double *sum = ea_call_scratch(c, (size_t)(2 * f.results + f.scratch + 1) * sizeof(double));
  if (!sum) return NULL;
  double *m = sum + f.results, *scratch = m + f.results;
  ea_expr e;
  ea_expr_init(&e, x->ndim, x->size, NULL, NULL);
  ea_expr_tensor(&e, 0, x);
  ea_fold_run(&f, &e, EA_FOLD_MAX, m, scratch);
  for (int64_t i = 0; i < f.results; i++)
    if (isinf(m[i])) m[i] = 0; /* inf - inf would be NaN */
  e.f32 = shifted_exp_f32;
  e.f64 = shifted_exp_f64;
  ea_expr_reduced(&e, 1, m, EA_F64, mask);
  ea_fold_run(&f, &e, EA_FOLD_SUM, sum, scratch);
  for (int64_t i = 0; i < f.results; i++) sum[i] = m[i] + log(sum[i]);
  *results = f.results;
  return sum;
}

/* ---- logsumexp ------------------------------------------------------------------------------- */

static int logsumexp_shape(ea_call *c) {
  unsigned mask;
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_reduce_axes(c, 1, &mask));
  ea_reduce_output(c, c->in[0]->dtype, mask, c->attr[0] != 0);
  return EA_OK;
}

static int logsumexp_forward(ea_call *c) {
  const ea_tensor *y = c->out[0];
  unsigned mask;
  int64_t n;
  EA_TRY(ea_reduce_axes(c, 1, &mask));
  const double *l = log_sum_exp(c, mask, &n);
  if (!l) return EA_ERR_MEMORY;
  ea_expr e;
  ea_expr_init(&e, 1, &n, NULL, NULL);
  ea_expr_array(&e, 0, l, EA_F64, 1, &n);
  ea_expr_store(&e, ea_ptr(y), y->dtype, 0);
  return EA_OK;
}

static int logsumexp_backward(ea_call *c) {
  const ea_tensor *x = c->in[0], *y = c->out[0], *g = c->gout[0], *dx = c->gin[0];
  if (!dx) return EA_OK;
  unsigned mask;
  EA_TRY(ea_reduce_axes(c, 1, &mask));
  ea_expr e;
  ea_expr_init(&e, x->ndim, x->size, logsumexp_dx_f32, logsumexp_dx_f64);
  ea_expr_tensor(&e, 0, x);
  ea_expr_reduced(&e, 1, ea_ptr(y), y->dtype, mask);
  ea_expr_reduced(&e, 2, ea_ptr(g), g->dtype, mask);
  e.wide = 1;
  ea_expr_store(&e, ea_ptr(dx), dx->dtype, c->accumulate & 1);
  return EA_OK;
}

const ea_op ea_op_logsumexp = {.name = "logsumexp",
                               .nin_least = 1,
                               .nin_most = 1,
                               .nout = 1,
                               .attrs = "keep:b=0 axes:X",
                               .flags = EA_OP_ACCUMULATES,
                               .need_in = 1,
                               .need_out = 1,
                               .shape = logsumexp_shape,
                               .forward = logsumexp_forward,
                               .backward = logsumexp_backward};

/* ---- softmax, log_softmax -------------------------------------------------------------------- */

static int softmax_mask(const ea_call *c, unsigned *mask) {
  int axis;
  *mask = 0;
  EA_TRY(ea_call_axis(c, c->attr[0], c->in[0]->ndim, &axis));
  *mask = 1u << axis;
  return EA_OK;
}

static int softmax_shape(ea_call *c) {
  unsigned mask;
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(softmax_mask(c, &mask));
  ea_call_output(c, 0, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->size);
  return EA_OK;
}

static int both_forward(ea_call *c, ea_kernel f32, ea_kernel f64) {
  const ea_tensor *x = c->in[0], *y = c->out[0];
  unsigned mask;
  int64_t n;
  EA_TRY(softmax_mask(c, &mask));
  const double *l = log_sum_exp(c, mask, &n);
  if (!l) return EA_ERR_MEMORY;
  ea_expr e;
  ea_expr_init(&e, x->ndim, x->size, f32, f64);
  ea_expr_tensor(&e, 0, x);
  ea_expr_reduced(&e, 1, l, EA_F64, mask);
  e.wide = 1;
  ea_expr_store(&e, ea_ptr(y), y->dtype, 0);
  return EA_OK;
}

/* weighted: fold g y, else g */
static int both_backward(ea_call *c, int weighted, ea_kernel f32, ea_kernel f64) {
  const ea_tensor *y = c->out[0], *g = c->gout[0], *dx = c->gin[0];
  if (!dx) return EA_OK;
  unsigned mask;
  EA_TRY(softmax_mask(c, &mask));
  ea_fold f;
  ea_fold_plan(&f, y->ndim, y->size, mask);
  double *sum = ea_call_scratch(c, (size_t)(f.results + f.scratch + 1) * sizeof(double));
  if (!sum) return EA_ERR_MEMORY;
  ea_expr e;
  ea_expr_init(&e, y->ndim, y->size, weighted ? product_f32 : NULL, weighted ? product_f64 : NULL);
  ea_expr_tensor(&e, 0, g);
  if (weighted) ea_expr_tensor(&e, 1, y);
  ea_fold_run(&f, &e, EA_FOLD_SUM, sum, sum + f.results);
  ea_expr_init(&e, y->ndim, y->size, f32, f64);
  ea_expr_tensor(&e, 0, y);
  ea_expr_tensor(&e, 1, g);
  ea_expr_reduced(&e, 2, sum, EA_F64, mask);
  e.wide = 1;
  ea_expr_store(&e, ea_ptr(dx), dx->dtype, c->accumulate & 1);
  return EA_OK;
}

static int softmax_forward(ea_call *c) { return both_forward(c, shifted_exp_f32, shifted_exp_f64); }
static int softmax_backward(ea_call *c) {
  return both_backward(c, 1, softmax_dx_f32, softmax_dx_f64);
}
static int log_softmax_forward(ea_call *c) {
  return both_forward(c, difference_f32, difference_f64);
}
static int log_softmax_backward(ea_call *c) {
  return both_backward(c, 0, log_softmax_dx_f32, log_softmax_dx_f64);
}

const ea_op ea_op_softmax = {.name = "softmax",
                             .nin_least = 1,
                             .nin_most = 1,
                             .nout = 1,
                             .attrs = "axis:x=-1",
                             .flags = EA_OP_ACCUMULATES,
                             .need_out = 1,
                             .shape = softmax_shape,
                             .forward = softmax_forward,
                             .backward = softmax_backward};

const ea_op ea_op_log_softmax = {.name = "log_softmax",
                                 .nin_least = 1,
                                 .nin_most = 1,
                                 .nout = 1,
                                 .attrs = "axis:x=-1",
                                 .flags = EA_OP_ACCUMULATES,
                                 .need_out = 1,
                                 .shape = softmax_shape,
                                 .forward = log_softmax_forward,
                                 .backward = log_softmax_backward};
