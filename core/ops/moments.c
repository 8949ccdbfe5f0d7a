/* SPDX-License-Identifier: GPL-3.0-or-later
 * moments - mean and biased variance per channel, over all axes but the last, in one pass.
 *
 *   x {..., C} f32, bf16 or f64 -> y {2, C} f32 (f64 of f64): y[0] = S x / R,
 *   y[1] = S (x - y[0])^2 / R, of R >= 1 rows.
 *   dx = (g[0] + 2 g[1] (x - y[0])) / R
 * f32 and bf16 are summed as by batch_norm in training. In a captured graph the gradient costs
 * nothing more where the same x also enters a batch_norm in evaluation mode (fuse.c): that adds it.
 */
#include "batch_norm.h"

enum { ROWS = 256 }; /* of a chunk in backward */

static int64_t rows_of(const ea_tensor *x) {
  int64_t rows = 1;
  for (int i = 0; i < x->ndim - 1; i++) rows *= x->size[i];
  return rows;
}

static int shape(ea_call *c) {
  EA_TRY(ea_call_check_float(c, 0));
  const ea_tensor *x = c->in[0];
  if (x->ndim < 2 || rows_of(x) < 1)
    return ea_call_fail(c, EA_ERR_SHAPE, "expected {..., channels} with at least one row, got %s",
                        ea_shape_text(x));
  int64_t size[2] = {2, x->size[x->ndim - 1]};
  ea_call_output(c, 0, x->dtype == EA_F64 ? EA_F64 : EA_F32, 2, size);
  return EA_OK;
}

static void forward_f64(ea_call *c, int64_t rows, int64_t channels) {
  const double *x = ea_f64(c->in[0]);
  double *mean = ea_f64(c->out[0]), *var = mean + channels;
  for (int64_t k = 0; k < channels; k++) {
    mean[k] = var[k] = 0;
    for (int64_t r = 0; r < rows; r++) mean[k] += x[r * channels + k] / (double)rows;
    for (int64_t r = 0; r < rows; r++) {
      double v = x[r * channels + k] - mean[k];
      var[k] += v * v / (double)rows;
    }
  }
}

static int forward(ea_call *c) {
  const ea_tensor *x = c->in[0];
  int64_t channels = x->size[x->ndim - 1];
  if (!channels) return EA_OK;
  if (x->dtype != EA_F64)
    return ea_bn_batch_moments(c, ea_f32(c->out[0]), ea_f32(c->out[0]) + channels);
  forward_f64(c, rows_of(x), channels);
  return EA_OK;
}

static void backward_f64(ea_call *c, int64_t rows, int64_t channels) {
  const double *x = ea_f64(c->in[0]), *mean = ea_f64(c->out[0]), *g = ea_f64(c->gout[0]);
  double *dx = ea_f64(c->gin[0]);
  for (int64_t i = 0; i < rows * channels; i++) {
    int64_t k = i % channels;
    double v = (g[k] + 2 * g[channels + k] * (x[i] - mean[k])) / (double)rows;
    dx[i] = v + (c->accumulate & 1 ? dx[i] : 0);
  }
}

void ea_moments_slope(const ea_call *c, int64_t rows, float *slope, float *level) {
  int64_t channels = c->out[0]->size[1];
  const float *g = ea_f32(c->gout[0]);
  for (int64_t k = 0; k < channels; k++) {
    slope[k] = (float)(2.0 * g[channels + k] / (double)rows);
    level[k] = (float)(g[k] / (double)rows);
  }
}

typedef struct job {
  const ea_call *call;
  const float *slope, *level;
  int64_t channels;
} job;

EA_INLINE void backward_lanes(const job *j, int dtype, int64_t row, int64_t end, int64_t k, int n) {
  const void *x = ea_ptr(j->call->in[0]);
  void *dx = ea_ptr(j->call->gin[0]);
  ea_lanes mean = ea_lanes_load(ea_f32(j->call->out[0]), EA_F32, k, n);
  ea_lanes slope = ea_lanes_load(j->slope, EA_F32, k, n);
  ea_lanes level = ea_lanes_load(j->level, EA_F32, k, n);
  for (int64_t at = row * j->channels + k; row < end; row++, at += j->channels) {
    ea_lanes v = (ea_lanes_load(x, dtype, at, n) - mean) * slope + level;
    if (j->call->accumulate & 1) v += ea_lanes_load(dx, dtype, at, n);
    ea_lanes_store(dx, dtype, at, n, v);
  }
}

EA_INLINE void backward_rows(const job *j, int dtype, int64_t begin, int64_t end) {
  int64_t k = 0;
  for (; k + EA_LANES <= j->channels; k += EA_LANES)
    backward_lanes(j, dtype, begin, end, k, EA_LANES);
  if (k < j->channels) backward_lanes(j, dtype, begin, end, k, (int)(j->channels - k));
}

static void backward_range(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  if (j->call->in[0]->dtype == EA_F32) backward_rows(j, EA_F32, begin, end);
  else backward_rows(j, EA_BF16, begin, end);
}

static int backward(ea_call *c) {
  const ea_tensor *x = c->in[0];
  int64_t rows = rows_of(x), channels = x->size[x->ndim - 1];
  if (!c->gin[0] || !channels) return EA_OK;
  if (x->dtype == EA_F64) {
    backward_f64(c, rows, channels);
    return EA_OK;
  }
  float *slope = ea_call_scratch(c, (size_t)(2 * channels) * sizeof(float));
  if (!slope) return EA_ERR_MEMORY;
  ea_moments_slope(c, rows, slope, slope + channels);
  job j = {c, slope, slope + channels, channels};
  ea_parallel_range(rows, ROWS, backward_range, &j);
  return EA_OK;
}

static int prepare(ea_call *c) {
  return c->in[0]->dtype == EA_F64 || ea_bn_state_of(c) ? EA_OK : EA_ERR_MEMORY;
}

const ea_op ea_op_moments = {.name = "moments",
                             .nin_least = 1,
                             .nin_most = 1,
                             .nout = 1,
                             .attrs = "",
                             .flags = EA_OP_ACCUMULATES,
                             .need_in = 1,
                             .need_out = 1,
                             .shape = shape,
                             .forward = forward,
                             .backward = backward,
                             .prepare = prepare};
