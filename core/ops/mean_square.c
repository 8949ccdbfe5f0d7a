/* SPDX-License-Identifier: GPL-3.0-or-later
 * mean_square - the mean of the squares along the last axis, in one pass: of activations
 * {n, h, w, c} the attention map {n, h, w} (Zagoruyko & Komodakis 2017, arXiv 1612.03928).
 *
 *   x {..., C} f32, bf16 or f64, C >= 1 -> y {...} f32 (f64 of f64): y = S x^2 / C
 *   dx = 2 g x / C
 */
#include "lanes.h"
#include "op.h"

enum { NUMBERS = 16384 }; /* of x, in a chunk */

typedef struct job {
  ea_call *call;
  int64_t channels;
} job;

static int shape(ea_call *c) {
  EA_TRY(ea_call_check_float(c, 0));
  const ea_tensor *x = c->in[0];
  if (x->ndim < 1 || x->size[x->ndim - 1] < 1)
    return ea_call_fail(c, EA_ERR_SHAPE, "expected {..., channels} with at least one, got %s",
                        ea_shape_text(x));
  ea_call_output(c, 0, x->dtype == EA_F64 ? EA_F64 : EA_F32, x->ndim - 1, x->size);
  return EA_OK;
}

/* Halves are added, then their halves: in this order on any CPU. */
EA_INLINE float sum_lanes(ea_lanes v) {
  float f[EA_LANES];
  memcpy(f, &v, sizeof f);
  for (int half = EA_LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) f[i] += f[i + half];
  return f[0];
}

EA_INLINE float sum_squares(const void *x, int dtype, int64_t at, int64_t channels) {
  ea_lanes sum = {0};
  int64_t k = 0;
  for (; k + EA_LANES <= channels; k += EA_LANES) {
    ea_lanes v = ea_lanes_load(x, dtype, at + k, EA_LANES);
    sum = ea_lanes_fma(v, v, sum);
  }
  if (k < channels) {
    ea_lanes v = ea_lanes_load(x, dtype, at + k, (int)(channels - k));
    sum = ea_lanes_fma(v, v, sum);
  }
  return sum_lanes(sum);
}

EA_INLINE void forward_rows(const job *j, int dtype, int64_t begin, int64_t end) {
  const void *x = ea_ptr(j->call->in[0]);
  float *y = ea_f32(j->call->out[0]), scale = 1 / (float)j->channels;
  for (int64_t r = begin; r < end; r++)
    y[r] = scale * sum_squares(x, dtype, r * j->channels, j->channels);
}

EA_INLINE void backward_lanes(const job *j, int dtype, int64_t at, int n, ea_lanes slope) {
  void *dx = ea_ptr(j->call->gin[0]);
  ea_lanes v = slope * ea_lanes_load(ea_ptr(j->call->in[0]), dtype, at, n);
  if (j->call->accumulate & 1) v += ea_lanes_load(dx, dtype, at, n);
  ea_lanes_store(dx, dtype, at, n, v);
}

EA_INLINE void backward_rows(const job *j, int dtype, int64_t begin, int64_t end) {
  const float *g = ea_f32(j->call->gout[0]);
  float scale = 2 / (float)j->channels;
  for (int64_t r = begin; r < end; r++) {
    ea_lanes slope = ea_lanes_all(scale * g[r]);
    int64_t k = 0, at = r * j->channels;
    for (; k + EA_LANES <= j->channels; k += EA_LANES)
      backward_lanes(j, dtype, at + k, EA_LANES, slope);
    if (k < j->channels) backward_lanes(j, dtype, at + k, (int)(j->channels - k), slope);
  }
}

static void forward_f64(const job *j, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; r++) {
    const double *x = ea_f64(j->call->in[0]) + r * j->channels;
    double sum = 0;
    for (int64_t k = 0; k < j->channels; k++) sum += x[k] * x[k];
    ea_f64(j->call->out[0])[r] = sum / (double)j->channels;
  }
}

static void backward_f64(const job *j, int64_t begin, int64_t end) {
  const double *x = ea_f64(j->call->in[0]), *g = ea_f64(j->call->gout[0]);
  double *dx = ea_f64(j->call->gin[0]);
  for (int64_t i = begin * j->channels; i < end * j->channels; i++) {
    double v = 2 * g[i / j->channels] * x[i] / (double)j->channels;
    dx[i] = v + (j->call->accumulate & 1 ? dx[i] : 0);
  }
}

static void forward_range(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  int dtype = j->call->in[0]->dtype;
  if (dtype == EA_F64) forward_f64(j, begin, end);
  else if (dtype == EA_F32) forward_rows(j, EA_F32, begin, end);
  else forward_rows(j, EA_BF16, begin, end);
}

static void backward_range(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  int dtype = j->call->in[0]->dtype;
  if (dtype == EA_F64) backward_f64(j, begin, end);
  else if (dtype == EA_F32) backward_rows(j, EA_F32, begin, end);
  else backward_rows(j, EA_BF16, begin, end);
}

static void run(ea_call *c, ea_range_fn range) {
  const ea_tensor *x = c->in[0];
  job j = {c, x->size[x->ndim - 1]};
  ea_parallel_range(ea_tensor_count(x) / j.channels, EA_MAX(1, NUMBERS / j.channels), range, &j);
}

static int forward(ea_call *c) {
  run(c, forward_range);
  return EA_OK;
}

static int backward(ea_call *c) {
  if (c->gin[0]) run(c, backward_range);
  return EA_OK;
}

const ea_op ea_op_mean_square = {.name = "mean_square",
                                 .nin_least = 1,
                                 .nin_most = 1,
                                 .nout = 1,
                                 .attrs = "",
                                 .flags = EA_OP_ACCUMULATES,
                                 .need_in = 1,
                                 .shape = shape,
                                 .forward = forward,
                                 .backward = backward};
