/* SPDX-License-Identifier: GPL-3.0-or-later
 * layer_norm - Ba, Kiros & Hinton 2016, over the last axis.
 *
 *   y = (x - mean) * rstd * weight + bias,  rstd = 1 / sqrt(var + eps), var biased, per row
 *   x {..., d} f32, bf16 or f64; weight, bias {d} f32 (f64 with f64 x).
 *   Hidden outputs: mean {rows}, rstd {rows}.
 * Backward, with hat = (x - mean) rstd and h = weight g:
 *   gx = rstd (h - mean(h) - hat mean(h hat));  gweight = sum over rows of g hat;  gbias = sum of g
 */
#include <math.h>

#include "real.h"

enum { MOST_SHARDS = 32 };

typedef struct job {
  ea_call *call;
  int64_t rows, d, shards;
  double eps;
  double *partial; /* {shards, 2, d}: gweight, gbias */
} job;

EA_INLINE void forward_rows(const job *j, int dtype, int64_t begin, int64_t end) {
  ea_call *c = j->call;
  int master = dtype == EA_F64 ? EA_F64 : EA_F32;
  const void *x = ea_ptr(c->in[0]), *weight = ea_ptr(c->in[1]), *bias = ea_ptr(c->in[2]);
  double d = (double)j->d;
  for (int64_t r = begin; r < end; r++) {
    double mean = 0, var = 0;
    for (int64_t i = 0; i < j->d; i++) mean += ea_real(x, dtype, r * j->d + i);
    mean /= d;
    for (int64_t i = 0; i < j->d; i++) {
      double v = ea_real(x, dtype, r * j->d + i) - mean;
      var += v * v;
    }
    double rstd = 1 / sqrt(var / d + j->eps);
    for (int64_t i = 0; i < j->d; i++) {
      double hat = (ea_real(x, dtype, r * j->d + i) - mean) * rstd;
      ea_real_set(ea_ptr(c->out[0]), dtype, r * j->d + i,
                  hat * ea_real(weight, master, i) + ea_real(bias, master, i));
    }
    ea_real_set(ea_ptr(c->out[1]), master, r, mean);
    ea_real_set(ea_ptr(c->out[2]), master, r, rstd);
  }
}

EA_INLINE void backward_rows(const job *j, int dtype, int64_t begin, int64_t end, double *partial) {
  ea_call *c = j->call;
  int master = dtype == EA_F64 ? EA_F64 : EA_F32;
  const void *x = ea_ptr(c->in[0]), *weight = ea_ptr(c->in[1]), *g = ea_ptr(c->gout[0]);
  double d = (double)j->d;
  for (int64_t r = begin; r < end; r++) {
    double mean = ea_real(ea_ptr(c->out[1]), master, r);
    double rstd = ea_real(ea_ptr(c->out[2]), master, r), sum = 0, dot = 0;
    for (int64_t i = 0; i < j->d; i++) {
      double gy = ea_real(g, dtype, r * j->d + i), h = gy * ea_real(weight, master, i);
      double hat = (ea_real(x, dtype, r * j->d + i) - mean) * rstd;
      partial[i] += gy * hat;
      partial[j->d + i] += gy;
      sum += h;
      dot += h * hat;
    }
    if (!c->gin[0]) continue;
    for (int64_t i = 0; i < j->d; i++) {
      double h = ea_real(g, dtype, r * j->d + i) * ea_real(weight, master, i);
      double hat = (ea_real(x, dtype, r * j->d + i) - mean) * rstd;
      ea_real_set(ea_ptr(c->gin[0]), dtype, r * j->d + i, rstd * (h - sum / d - hat * dot / d));
    }
  }
}

static void forward_shard(void *arg, int64_t s) {
  const job *j = arg;
  int64_t begin = j->rows * s / j->shards, end = j->rows * (s + 1) / j->shards;
  EA_BY_DTYPE(j->call->in[0]->dtype, forward_rows(j, D, begin, end));
}

static void backward_shard(void *arg, int64_t s) {
  const job *j = arg;
  int64_t begin = j->rows * s / j->shards, end = j->rows * (s + 1) / j->shards;
  double *partial = j->partial + s * 2 * j->d;
  memset(partial, 0, (size_t)(2 * j->d) * sizeof *partial);
  EA_BY_DTYPE(j->call->in[0]->dtype, backward_rows(j, D, begin, end, partial));
}

static void describe(ea_call *c, job *j) {
  const ea_tensor *x = c->in[0];
  *j = (job){.call = c, .rows = 1, .d = x->size[x->ndim - 1], .eps = c->attr[0]};
  for (int i = 0; i < x->ndim - 1; i++) j->rows *= x->size[i];
  j->shards = EA_MAX(1, EA_MIN(MOST_SHARDS, j->rows));
}

static int shape(ea_call *c) {
  EA_TRY(ea_call_check_float(c, 0));
  const ea_tensor *x = c->in[0];
  int type = x->dtype == EA_F64 ? EA_F64 : EA_F32;
  if (x->ndim < 1 || x->size[x->ndim - 1] < 1)
    return ea_call_fail(c, EA_ERR_SHAPE, "the last axis of %s is empty", ea_shape_text(x));
  for (int i = 1; i <= 2; i++) {
    EA_TRY(ea_call_check_dtype(c, i, type));
    if (c->in[i]->ndim != 1 || c->in[i]->size[0] != x->size[x->ndim - 1])
      return ea_call_fail(c, EA_ERR_SHAPE, "the %s must be {%lld}, the last axis of %s, got %s",
                          i == 1 ? "weight" : "bias", (long long)x->size[x->ndim - 1],
                          ea_shape_text(x), ea_shape_text(c->in[i]));
  }
  if (!(c->attr[0] >= 0))
    return ea_call_fail(c, EA_ERR_ARG, "expected eps >= 0, got %g", c->attr[0]);
  job j;
  describe(c, &j);
  ea_call_output(c, 0, x->dtype, x->ndim, x->size);
  ea_call_output(c, 1, type, 1, &j.rows);
  ea_call_output(c, 2, type, 1, &j.rows);
  return EA_OK;
}

static int forward(ea_call *c) {
  job j;
  describe(c, &j);
  ea_parallel(j.shards, forward_shard, &j);
  return EA_OK;
}

static int backward(ea_call *c) {
  job j;
  describe(c, &j);
  j.partial = ea_call_scratch(c, (size_t)(j.shards * 2 * j.d) * sizeof(double));
  if (!j.partial) return EA_ERR_MEMORY;
  ea_parallel(j.shards, backward_shard, &j);
  for (int w = 0; w < 2; w++) {
    if (!c->gin[1 + w]) continue;
    for (int64_t i = 0; i < j.d; i++) {
      double sum = 0;
      for (int64_t s = 0; s < j.shards; s++) sum += j.partial[(s * 2 + w) * j.d + i];
      ea_real_set(ea_ptr(c->gin[1 + w]), c->gin[1 + w]->dtype, i, sum);
    }
  }
  return EA_OK;
}

const ea_op ea_op_layer_norm = {.name = "layer_norm",
                                .nin_least = 3,
                                .nin_most = 3,
                                .nout = 1,
                                .nhidden = 2,
                                .attrs = "eps:f=1e-5",
                                .need_in = 3,
                                .need_out = 6,
                                .shape = shape,
                                .forward = forward,
                                .backward = backward};
