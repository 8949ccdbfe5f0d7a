/* SPDX-License-Identifier: GPL-3.0-or-later
 * var.c - the variance over the given axes (none: all): y = S (x - mean)^2 / (n - correction), in
 * two passes; correction 1 is the unbiased estimate. dx = g 2 (x - mean) / (n - correction).
 * Where n <= correction the result is NaN, as in PyTorch.
 */
#include "reduce.h"

EA_KERNEL(deviation, (x[i] - y[i]) * (x[i] - y[i]))
EA_KERNEL(scale, x[i] * p)
EA_KERNEL(var_dx, g[i] * p * (x[i] - y[i]))

static int var_shape(ea_call *c) {
  unsigned mask;
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_reduce_axes(c, 2, &mask));
  ea_reduce_output(c, c->in[0]->dtype, mask, c->attr[1] != 0);
  return EA_OK;
}

/* 1 / (n - correction); NaN where it is not positive */
static double weight(const ea_call *c, unsigned mask) {
  double n = (double)ea_reduce_length(c->in[0], mask) - c->attr[0];
  return n > 0 ? 1 / n : 0.0 / 0.0;
}

/* The means, and behind them room for the variances and the folds. */
static double *means(ea_call *c, unsigned mask, ea_fold *f) {
  const ea_tensor *x = c->in[0];
  ea_fold_plan(f, x->ndim, x->size, mask);
  double *mean = ea_call_scratch(c, (size_t)(2 * f->results + f->scratch + 1) * sizeof(double));
  if (!mean) return NULL;
  ea_expr e;
  ea_expr_init(&e, x->ndim, x->size, NULL, NULL);
  ea_expr_tensor(&e, 0, x);
  ea_fold_run(f, &e, EA_FOLD_SUM, mean, mean + 2 * f->results);
  double n = (double)ea_reduce_length(x, mask);
  for (int64_t i = 0; i < f->results; i++) mean[i] /= n;
  return mean;
}

static int var_forward(ea_call *c) {
  const ea_tensor *x = c->in[0], *y = c->out[0];
  unsigned mask;
  EA_TRY(ea_reduce_axes(c, 2, &mask));
  ea_fold f;
  double *mean = means(c, mask, &f);
  if (!mean) return EA_ERR_MEMORY;
  double *var = mean + f.results;
  ea_expr e;
  ea_expr_init(&e, x->ndim, x->size, deviation_f32, deviation_f64);
  ea_expr_tensor(&e, 0, x);
  ea_expr_reduced(&e, 1, mean, EA_F64, mask);
  ea_fold_run(&f, &e, EA_FOLD_SUM, var, var + f.results);
  ea_expr_init(&e, 1, &f.results, scale_f32, scale_f64);
  ea_expr_array(&e, 0, var, EA_F64, 1, &f.results);
  e.attr[0] = weight(c, mask);
  e.wide = 1;
  ea_expr_store(&e, ea_ptr(y), y->dtype, 0);
  return EA_OK;
}

static int var_backward(ea_call *c) {
  const ea_tensor *x = c->in[0], *g = c->gout[0], *dx = c->gin[0];
  if (!dx) return EA_OK;
  unsigned mask;
  EA_TRY(ea_reduce_axes(c, 2, &mask));
  ea_fold f;
  double *mean = means(c, mask, &f);
  if (!mean) return EA_ERR_MEMORY;
  ea_expr e;
  ea_expr_init(&e, x->ndim, x->size, var_dx_f32, var_dx_f64);
  ea_expr_tensor(&e, 0, x);
  ea_expr_reduced(&e, 1, mean, EA_F64, mask);
  ea_expr_reduced(&e, 2, ea_ptr(g), g->dtype, mask);
  e.attr[0] = 2 * weight(c, mask);
  e.wide = 1; /* x - mean would cancel in f32 */
  ea_expr_store(&e, ea_ptr(dx), dx->dtype, c->accumulate & 1);
  return EA_OK;
}

const ea_op ea_op_var = {.name = "var",
                         .nin_least = 1,
                         .nin_most = 1,
                         .nout = 1,
                         .attrs = "correction:i=1 keep:b=0 axes:X",
                         .flags = EA_OP_ACCUMULATES,
                         .need_in = 1,
                         .shape = var_shape,
                         .forward = var_forward,
                         .backward = var_backward};
