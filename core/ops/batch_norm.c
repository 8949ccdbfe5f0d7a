/* SPDX-License-Identifier: GPL-3.0-or-later
 * batch_norm - Ioffe & Szegedy 2015, over all axes but the last (the channels).
 *
 *   y = (x - mean) * rstd * weight + bias,  rstd = 1 / sqrt(var + eps);   relu=1: y = max(y, 0)
 *   training: mean and (biased) var are the batch's, and the running statistics move in place:
 *             running = (1 - momentum) * running + momentum * batch's, with the unbiased var, as
 *             PyTorch; otherwise mean and var are the running ones.
 *   x {..., C} f32, bf16 or f64; weight, bias, running_mean, running_var {C} f32 (f64 with f64 x).
 *   Hidden outputs: mean {C}, rstd {C}.
 *
 * Backward, with g the gradient of y (0 where the ReLU cut), R rows:
 *   gbias = sum g;  gweight = rstd * sum g (x - mean)
 *   gx = weight rstd (g - gbias/R - (x - mean) rstd gweight/R) in training, weight rstd g otherwise
 * What the ReLU cut is found again from x, by the very arithmetic of forward: y need not be read.
 *
 * Sums are relative to the first row: no cancellation where the mean is far from 0.
 */
#include <math.h>

#include "batch_norm.h"

enum { MOST_SHARDS = 64 };

typedef struct job {
  ea_bn_state *s;
  const char *x, *g;
  char *y;
  int64_t shard_rows, shards;
  char *partial;
} job;

static void describe(const ea_call *c, ea_bn *b) {
  const ea_tensor *x = c->in[BN_X];
  b->channels = x->size[x->ndim - 1];
  b->rows = 1;
  for (int i = 0; i < x->ndim - 1; i++) b->rows *= x->size[i];
  b->training = c->attr[0] != 0;
  b->momentum = c->attr[1];
  b->eps = c->attr[2];
  b->relu = ea_bn_relu(c);
}

int ea_bn_relu(const ea_call *c) { return c->attr[3] != 0 || c->fused_relu; }

void ea_bn_fold(const ea_call *c, float *scale, float *shift) {
  const float *weight = ea_f32(c->in[BN_WEIGHT]), *bias = ea_f32(c->in[BN_BIAS]);
  const float *mean = ea_f32(c->in[BN_RUNNING_MEAN]), *var = ea_f32(c->in[BN_RUNNING_VAR]);
  for (int64_t k = 0; k < c->in[BN_WEIGHT]->size[0]; k++) {
    scale[k] = (float)(weight[k] / sqrt(var[k] + c->attr[2]));
    shift[k] = (float)(bias[k] - (double)mean[k] * scale[k]);
  }
}

static int shape(ea_call *c) {
  EA_TRY(ea_call_check_float(c, BN_X));
  const ea_tensor *x = c->in[BN_X];
  if (x->ndim < 2)
    return ea_call_fail(c, EA_ERR_SHAPE, "the input must be {..., channels}, got %s",
                        ea_shape_text(x));
  int type = x->dtype == EA_F64 ? EA_F64 : EA_F32;
  for (int i = BN_WEIGHT; i <= BN_RUNNING_VAR; i++) {
    static const char *const name[] = {"", "weight", "bias", "running_mean", "running_var"};
    EA_TRY(ea_call_check_dtype(c, i, type));
    if (c->in[i]->ndim != 1 || c->in[i]->size[0] != x->size[x->ndim - 1])
      return ea_call_fail(c, EA_ERR_SHAPE, "%s is %s, but the input %s has %lld channels", name[i],
                          ea_shape_text(c->in[i]), ea_shape_text(x),
                          (long long)x->size[x->ndim - 1]);
  }
  ea_bn b;
  describe(c, &b);
  for (int i = BN_RUNNING_MEAN; i <= BN_RUNNING_VAR; i++) /* forward would be given a copy */
    if (b.training && !ea_tensor_contiguous(c->in[i]))
      return ea_call_fail(c, EA_ERR_SHAPE,
                          "running statistics that training updates must be "
                          "contiguous");
  if (b.training && b.rows < 2)
    return ea_call_fail(c, EA_ERR_SHAPE,
                        "training needs at least two values per channel, got %s; "
                        "use a bigger batch or training=0",
                        ea_shape_text(x));
  if (!(b.eps >= 0) || !(b.momentum >= 0 && b.momentum <= 1))
    return ea_call_fail(c, EA_ERR_ARG, "expected eps >= 0 and momentum in 0..1, got %g and %g",
                        b.eps, b.momentum);
  ea_call_output(c, 0, x->dtype, x->ndim, x->size);
  ea_call_output(c, 1, type, 1, &b.channels);
  ea_call_output(c, 2, type, 1, &b.channels);
  return EA_OK;
}

/* ---- shards of rows ---- */

typedef struct part {
  int64_t rows, at; /* at: bytes to its first */
  char *partial;
} part;

static part find_part(const job *j, int64_t shard) {
  const ea_bn_state *s = j->s;
  int64_t first = shard * j->shard_rows;
  return (part){EA_MIN(j->shard_rows, s->rows - first),
                first * s->channels * ea_dtype_size(s->dtype),
                j->partial + shard * (int64_t)ea_bn_partial_bytes(s->channels)};
}

static void moments_shard(void *arg, int64_t shard) {
  const job *j = arg;
  part p = find_part(j, shard);
  ea_bn_gather_moments(j->s, p.partial, 1, j->x + p.at, p.rows);
}

static void grad_sums_shard(void *arg, int64_t shard) {
  const job *j = arg;
  part p = find_part(j, shard);
  ea_bn_gather_sums(j->s, p.partial, 1, j->g + p.at, j->x + p.at, p.rows);
}

/* A second pass goes backwards: what the first read last is still in the cache. */
static void apply_shard(void *arg, int64_t shard) {
  const job *j = arg;
  const ea_bn_state *s = j->s;
  part p = find_part(j, j->shards - 1 - shard);
  ea_bn_apply(&s->grad.line, s->dtype, 0, s->channels, j->y + p.at, s->channels, j->x + p.at,
              s->channels, p.rows);
}

static void cut(const ea_bn *b, job *j) {
  int64_t shards = EA_MAX(1, EA_MIN(MOST_SHARDS, b->rows * b->channels / EA_BN_SHARD));
  j->shard_rows = EA_MAX(1, (b->rows + shards - 1) / shards);
  j->shards = (b->rows + j->shard_rows - 1) / j->shard_rows;
}

/* Sums over all rows into the state, by whichever of the two. */
static int gather(ea_call *c, job *j, void (*shard)(void *arg, int64_t shard)) {
  j->partial = ea_call_scratch(c, (size_t)j->shards * ea_bn_partial_bytes(j->s->channels));
  if (!j->partial) return EA_ERR_MEMORY;
  ea_bn_gather_begin(j->s, c);
  ea_parallel(j->shards, shard, j);
  EA_TRY(ea_interrupt_check()); /* shards left out must not reach the running statistics */
  ea_bn_gather_take(j->s, j->partial, j->shards);
  return EA_OK;
}

/* ---- the op ---- */

static void moments_of(const ea_bn_state *s, int64_t k, double *mean, double *var) {
  double rows = (double)s->rows, sum = s->sum[k] / rows;
  *mean = s->origin[k] + sum;
  *var = s->sum[s->channels + k] / rows - sum * sum;
  if (*var < 0) *var = 0; /* rounding; NaN stays */
}

static void find_statistics(const ea_call *c, const ea_bn *b, const ea_bn_state *s) {
  float *mean = ea_f32(c->out[1]), *rstd = ea_f32(c->out[2]);
  float *running_mean = ea_f32(c->in[BN_RUNNING_MEAN]);
  float *running_var = ea_f32(c->in[BN_RUNNING_VAR]);
  double rows = (double)b->rows, m = b->momentum;
  for (int64_t k = 0; k < b->channels; k++) {
    if (!b->training) {
      mean[k] = running_mean[k];
      rstd[k] = (float)(1 / sqrt(running_var[k] + b->eps));
      continue;
    }
    double centre, var;
    moments_of(s, k, &centre, &var);
    mean[k] = (float)centre;
    rstd[k] = (float)(1 / sqrt(var + b->eps));
    running_mean[k] = (float)((1 - m) * running_mean[k] + m * centre);
    running_var[k] = (float)((1 - m) * running_var[k] + m * var * rows / (rows - 1));
  }
}

int ea_bn_batch_moments(ea_call *c, float *mean, float *var) {
  job j = {.s = ea_bn_state_of(c), .x = ea_ptr(c->in[BN_X])};
  if (!j.s) return EA_ERR_MEMORY;
  ea_bn b = {.channels = j.s->channels};
  b.rows = ea_tensor_count(c->in[BN_X]) / b.channels;
  cut(&b, &j);
  EA_TRY(gather(c, &j, moments_shard));
  j.s->has_sum = 0;
  for (int64_t k = 0; k < b.channels; k++) {
    double centre, spread;
    moments_of(j.s, k, &centre, &spread);
    mean[k] = (float)centre;
    var[k] = (float)spread;
  }
  return EA_OK;
}

static void set_mean(const ea_bn_state *s, const float *mean) {
  memcpy(s->vector[2], mean, (size_t)s->channels * sizeof *mean);
  ea_bn_repeat(s->vector[2], s->channels);
}

static void find_line(const ea_call *c, const ea_bn_state *s) {
  const float *weight = ea_f32(c->in[BN_WEIGHT]), *bias = ea_f32(c->in[BN_BIAS]);
  const float *mean = ea_f32(c->out[1]), *rstd = ea_f32(c->out[2]);
  float *scale = s->vector[0], *shift = s->vector[1];
  for (int64_t k = 0; k < s->channels; k++) {
    scale[k] = weight[k] * rstd[k];
    shift[k] = (float)(bias[k] - (double)mean[k] * scale[k]);
  }
  ea_bn_repeat(scale, s->channels);
  ea_bn_repeat(shift, s->channels);
  set_mean(s, mean);
}

static int forward(ea_call *c) {
  ea_bn b;
  describe(c, &b);
  if (!b.channels) return EA_OK;
  if (c->in[BN_X]->dtype == EA_F64) {
    ea_bn_forward_f64(c, &b);
    return EA_OK;
  }
  job j = {.s = ea_bn_state_of(c), .x = ea_ptr(c->in[BN_X]), .y = ea_ptr(c->out[0])};
  if (!j.s) return EA_ERR_MEMORY;
  cut(&b, &j);
  if (b.training && !j.s->has_sum) EA_TRY(gather(c, &j, moments_shard));
  j.s->has_sum = 0;
  find_statistics(c, &b, j.s);
  find_line(c, j.s);
  j.s->dtype = c->in[BN_X]->dtype;
  j.s->rows = b.rows;
  if (!c->deferred) ea_parallel(j.shards, apply_shard, &j);
  return EA_OK;
}

/* A parameter's gradient, added where so asked. */
static void give(ea_call *c, int i, int64_t k, double g) {
  float *to = ea_f32(c->gin[i]) + k;
  *to = (float)g + (c->accumulate >> i & 1 ? *to : 0);
}

static int backward(ea_call *c) {
  ea_bn b;
  describe(c, &b);
  for (int i = BN_RUNNING_MEAN; i <= BN_RUNNING_VAR; i++) /* nothing flows there */
    if (c->gin[i] && !(c->accumulate >> i & 1))
      memset(ea_ptr(c->gin[i]), 0, (size_t)ea_tensor_bytes(c->gin[i]));
  if (!b.channels) return EA_OK;
  if (c->in[BN_X]->dtype == EA_F64) {
    ea_bn_backward_f64(c, &b);
    return EA_OK;
  }
  ea_bn_state *s = c->state;
  job j = {.s = s, .x = ea_ptr(c->in[BN_X]), .g = ea_ptr(c->gout[0])};
  cut(&b, &j);
  int sums = b.training || c->gin[BN_WEIGHT] || c->gin[BN_BIAS];
  if (sums && !s->has_sum) EA_TRY(gather(c, &j, grad_sums_shard));
  s->has_sum = 0;
  const float *rstd = ea_f32(c->out[2]);
  float *scale = s->vector[0], *slope = s->vector[3], *level = s->vector[4];
  for (int64_t k = 0; k < b.channels; k++) {
    double g = sums ? s->sum[k] : 0, gx = sums ? s->sum[b.channels + k] : 0;
    if (c->gin[BN_WEIGHT]) give(c, BN_WEIGHT, k, gx * rstd[k]);
    if (c->gin[BN_BIAS]) give(c, BN_BIAS, k, g);
    double rows = (double)b.rows, r = rstd[k];
    slope[k] = b.training ? (float)(-scale[k] * r * r * gx / rows) : 0;
    level[k] = b.training ? (float)(-scale[k] * g / rows) : 0;
  }
  if (!c->gin[BN_X]) return EA_OK;
  s->g = j.g;
  s->x = j.x;
  s->to = ea_ptr(c->gin[BN_X]);
  s->add = c->accumulate & 1;
  if (c->moments) { /* their gradient goes along: so far slope and level are 0 */
    ea_moments_slope(c->moments, b.rows, slope, level);
    set_mean(s, ea_f32(c->moments->out[0]));
  }
  ea_bn_repeat(slope, b.channels);
  ea_bn_repeat(level, b.channels);
  s->waits = c->grad_waits;
  if (!s->waits) ea_bn_grad_all(s);
  if (c->moments) set_mean(s, ea_f32(c->out[1]));
  return EA_OK;
}

static int prepare(ea_call *c) {
  if (c->in[BN_X]->dtype == EA_F64 || !c->in[BN_WEIGHT]->size[0]) return EA_OK;
  return ea_bn_state_of(c) ? EA_OK : EA_ERR_MEMORY;
}

const ea_op ea_op_batch_norm = {.name = "batch_norm",
                                .nin_least = 5,
                                .nin_most = 5,
                                .nout = 1,
                                .nhidden = 2,
                                .attrs = "training:b=0 momentum:f=0.1 eps:f=1e-5 relu:b=0",
                                .flags = EA_OP_ACCUMULATES,
                                .need_in = 7,
                                .need_out = 6,
                                .shape = shape,
                                .forward = forward,
                                .backward = backward,
                                .prepare = prepare};
