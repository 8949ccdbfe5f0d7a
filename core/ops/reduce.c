/* SPDX-License-Identifier: GPL-3.0-or-later
 * reduce.c - one number from many, over the given axes (none given: all of them). keep=1 leaves the
 * reduced axes with size 1. Everything is added up in double.
 *
 *   sum   S x             dx = g           (integers: the sum is i32, clamped)
 *   mean  S x / n         dx = g / n       (integers: the mean is f32); NaN of no elements
 *   max   largest x       dx = g / ties where x equals it, else 0     (min likewise)
 *   norm  sqrt(S x^2 + eps)   dx = g x / y, and 0 where y = 0
 *
 * max and min need at least one element; NaN among them gives NaN.
 */
#include "reduce.h"

#include <tgmath.h>

int ea_reduce_axes(const ea_call *c, int first, unsigned *mask) {
  int ndim = c->in[0]->ndim;
  unsigned bits = 0;
  *mask = 0;
  for (int k = first; k < c->nattr; k++) {
    int axis;
    EA_TRY(ea_call_axis(c, c->attr[k], ndim, &axis));
    if (bits >> axis & 1) return ea_call_fail(c, EA_ERR_ARG, "one axis is given twice");
    bits |= 1u << axis;
  }
  *mask = c->nattr > first ? bits : (1u << ndim) - 1;
  return EA_OK;
}

void ea_reduce_output(ea_call *c, int dtype, unsigned mask, int keep) {
  const ea_tensor *x = c->in[0];
  int64_t size[EA_MAX_DIM];
  int ndim = 0;
  for (int d = 0; d < x->ndim; d++) {
    if (!(mask >> d & 1)) size[ndim++] = x->size[d];
    else if (keep) size[ndim++] = 1;
  }
  ea_call_output(c, 0, dtype, ndim, size);
}

int64_t ea_reduce_length(const ea_tensor *x, unsigned mask) {
  int64_t n = 1;
  for (int d = 0; d < x->ndim; d++)
    if (mask >> d & 1) n *= x->size[d];
  return n;
}

void ea_reduce_expr(const ea_call *c, ea_expr *e, ea_kernel f32, ea_kernel f64) {
  ea_expr_init(e, c->in[0]->ndim, c->in[0]->size, f32, f64);
}

/* ---- sum, mean ------------------------------------------------------------------------------- */

EA_KERNEL(scale, x[i] * p)

static int is_float(int dtype) { return dtype == EA_F32 || dtype == EA_F64 || dtype == EA_BF16; }

static int total_shape(ea_call *c, int integer_result) {
  unsigned mask;
  int dtype = c->in[0]->dtype;
  EA_TRY(ea_reduce_axes(c, 1, &mask));
  ea_reduce_output(c, is_float(dtype) ? dtype : integer_result, mask, c->attr[0] != 0);
  return EA_OK;
}
static int sum_shape(ea_call *c) { return total_shape(c, EA_I32); }
static int mean_shape(ea_call *c) { return total_shape(c, EA_F32); }

static int total_forward(ea_call *c, int mean) {
  const ea_tensor *x = c->in[0];
  unsigned mask;
  EA_TRY(ea_reduce_axes(c, 1, &mask));
  double attr[2] = {mean ? 1.0 / (double)ea_reduce_length(x, mask) : 1, 0};
  ea_expr e;
  ea_reduce_expr(c, &e, NULL, NULL);
  ea_expr_tensor(&e, 0, x);
  return ea_fold_store(c, &e, mask, EA_FOLD_SUM, mean ? scale_f64 : NULL, attr, ea_ptr(c->out[0]),
                       c->out[0]->dtype, 0);
}

static int total_backward(ea_call *c, int mean) {
  const ea_tensor *g = c->gout[0], *dx = c->gin[0];
  if (!dx || !g) return EA_OK;
  unsigned mask;
  EA_TRY(ea_reduce_axes(c, 1, &mask));
  ea_expr e;
  ea_reduce_expr(c, &e, mean ? scale_f32 : NULL, mean ? scale_f64 : NULL);
  ea_expr_reduced(&e, 0, ea_ptr(g), g->dtype, mask);
  e.attr[0] = 1.0 / (double)ea_reduce_length(dx, mask);
  ea_expr_store(&e, ea_ptr(dx), dx->dtype, c->accumulate & 1);
  return EA_OK;
}

static int sum_forward(ea_call *c) { return total_forward(c, 0); }
static int sum_backward(ea_call *c) { return total_backward(c, 0); }
static int mean_forward(ea_call *c) { return total_forward(c, 1); }
static int mean_backward(ea_call *c) { return total_backward(c, 1); }

/* ---- max, min -------------------------------------------------------------------------------- */

EA_KERNEL(same, x[i] == y[i] ? 1 : 0)
EA_KERNEL(chosen, x[i] == y[i] ? g[i] : 0)
EA_KERNEL(share, y[i] / x[i])

static int extreme_shape(ea_call *c) {
  unsigned mask;
  EA_TRY(ea_reduce_axes(c, 1, &mask));
  if (ea_reduce_length(c->in[0], mask) == 0)
    return ea_call_fail(c, EA_ERR_SHAPE, "needs at least one element along the reduced axes of %s",
                        ea_shape_text(c->in[0]));
  ea_reduce_output(c, c->in[0]->dtype, mask, c->attr[0] != 0);
  return EA_OK;
}

static int extreme_forward(ea_call *c, int kind) {
  unsigned mask;
  EA_TRY(ea_reduce_axes(c, 1, &mask));
  ea_expr e;
  ea_reduce_expr(c, &e, NULL, NULL);
  ea_expr_tensor(&e, 0, c->in[0]);
  return ea_fold_store(c, &e, mask, kind, NULL, NULL, ea_ptr(c->out[0]), c->out[0]->dtype, 0);
}

static int extreme_backward(ea_call *c) {
  const ea_tensor *x = c->in[0], *y = c->out[0], *g = c->gout[0], *dx = c->gin[0];
  if (!dx) return EA_OK;
  unsigned mask;
  EA_TRY(ea_reduce_axes(c, 1, &mask));
  ea_expr e;
  ea_reduce_expr(c, &e, same_f32, same_f64);
  ea_expr_tensor(&e, 0, x);
  ea_expr_reduced(&e, 1, ea_ptr(y), y->dtype, mask);
  ea_fold f;
  ea_fold_plan(&f, x->ndim, x->size, mask);
  double *ties = ea_call_scratch(c, (size_t)(f.results + f.scratch + 1) * sizeof(double));
  if (!ties) return EA_ERR_MEMORY;
  ea_fold_run(&f, &e, EA_FOLD_SUM, ties, ties + f.results);
  ea_expr part; /* each result's gradient per tie, over the ties themselves */
  ea_expr_init(&part, 1, &f.results, share_f32, share_f64);
  ea_expr_array(&part, 0, ties, EA_F64, 1, &f.results);
  ea_expr_array(&part, 1, ea_ptr(g), g->dtype, 1, &f.results);
  ea_expr_store(&part, ties, EA_F64, 0);
  e.f32 = chosen_f32;
  e.f64 = chosen_f64;
  ea_expr_reduced(&e, 2, ties, EA_F64, mask);
  ea_expr_store(&e, ea_ptr(dx), dx->dtype, c->accumulate & 1);
  return EA_OK;
}

static int max_forward(ea_call *c) { return extreme_forward(c, EA_FOLD_MAX); }
static int min_forward(ea_call *c) { return extreme_forward(c, EA_FOLD_MIN); }

/* ---- norm ------------------------------------------------------------------------------------ */

EA_KERNEL(squared, x[i] * x[i])
EA_KERNEL_OF(root, double, sqrt(x[i] + p))
EA_KERNEL(norm_dx, y[i] == 0 ? 0 : g[i] * x[i] / y[i])

static int norm_shape(ea_call *c) {
  unsigned mask;
  EA_TRY(ea_call_check_float(c, 0));
  if (!(c->attr[0] >= 0))
    return ea_call_fail(c, EA_ERR_ARG, "eps must be 0 or more, got %g", c->attr[0]);
  EA_TRY(ea_reduce_axes(c, 2, &mask));
  ea_reduce_output(c, c->in[0]->dtype, mask, c->attr[1] != 0);
  return EA_OK;
}

static int norm_forward(ea_call *c) {
  unsigned mask;
  EA_TRY(ea_reduce_axes(c, 2, &mask));
  double attr[2] = {c->attr[0], 0};
  ea_expr e;
  ea_reduce_expr(c, &e, squared_f32, squared_f64);
  ea_expr_tensor(&e, 0, c->in[0]);
  return ea_fold_store(c, &e, mask, EA_FOLD_SUM, root, attr, ea_ptr(c->out[0]), c->out[0]->dtype,
                       0);
}

static int norm_backward(ea_call *c) {
  const ea_tensor *y = c->out[0], *g = c->gout[0], *dx = c->gin[0];
  if (!dx) return EA_OK;
  unsigned mask;
  EA_TRY(ea_reduce_axes(c, 2, &mask));
  ea_expr e;
  ea_reduce_expr(c, &e, norm_dx_f32, norm_dx_f64);
  ea_expr_tensor(&e, 0, c->in[0]);
  ea_expr_reduced(&e, 1, ea_ptr(y), y->dtype, mask);
  ea_expr_reduced(&e, 2, ea_ptr(g), g->dtype, mask);
  ea_expr_store(&e, ea_ptr(dx), dx->dtype, c->accumulate & 1);
  return EA_OK;
}

/* ---- the ops --------------------------------------------------------------------------------- */

#define REDUCTION(op, schema, keep_in, keep_out, SHAPE, BACKWARD) \
  const ea_op ea_op_##op = {.name = #op,                          \
                            .nin_least = 1,                       \
                            .nin_most = 1,                        \
                            .nout = 1,                            \
                            .attrs = schema,                      \
                            .flags = EA_OP_ACCUMULATES,           \
                            .need_in = keep_in,                   \
                            .need_out = keep_out,                 \
                            .shape = SHAPE,                       \
                            .forward = op##_forward,              \
                            .backward = BACKWARD};

REDUCTION(sum, "keep:b=0 axes:X", 0, 0, sum_shape, sum_backward)
REDUCTION(mean, "keep:b=0 axes:X", 0, 0, mean_shape, mean_backward)
REDUCTION(max, "keep:b=0 axes:X", 1, 1, extreme_shape, extreme_backward)
REDUCTION(min, "keep:b=0 axes:X", 1, 1, extreme_shape, extreme_backward)
REDUCTION(norm, "eps:f=0 keep:b=0 axes:X", 1, 1, norm_shape, norm_backward)
