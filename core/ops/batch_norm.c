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
 * Channels run in up to four lanes of 16 side by side, rows in tiles that stay in the first cache;
 * sums are f32 within a tile, relative to the first row (no cancellation where the mean is far from
 * 0), and f64 beyond.
 */
#include <math.h>

#include "batch_norm.h"

enum {
  MOST_SHARDS = 64,
  SHARD = 32768,   /* elements */
  TILE = 8192,     /* elements */
  TILE_ROWS = 128, /* at most */
  SIDE = 4,
};

typedef struct job {
  const void *x, *g;
  void *to; /* y or gx */
  int dtype, relu, add;
  int64_t rows, channels, shard_rows, shards;
  double *partial;            /* {shards, 2, channels} */
  const float *a, *b, *c, *d; /* per channel; see each kernel; a, b: forward's scale and shift */
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

/* ---- kernels: a tile of rows; from channel k on, `lanes` (<= SIDE) of n (<= 16) channels ---- */

#define EACH_LANE(b) for (int b = 0; b < lanes; b++)

EA_INLINE void load_each(ea_lanes *to, int lanes, const void *from, int dtype, int64_t at, int n) {
  EACH_LANE(b) to[b] = ea_lanes_load(from, dtype, at + b * EA_LANES, n);
}

EA_INLINE void add_sums(double *sum, int lanes, const ea_lanes *s, int n) {
  EACH_LANE(b)
  for (int i = 0; i < n; i++) sum[b * EA_LANES + i] += s[b][i];
}

/* Sums of x - a and its square. */
EA_INLINE void tile_moments(const job *j, int dtype, int64_t row, int64_t end, int64_t k, int lanes,
                            int n, double *sum, double *square) {
  ea_lanes shift[SIDE], s[SIDE] = {0}, q[SIDE] = {0};
  load_each(shift, lanes, j->a, EA_F32, k, n);
  for (int64_t at = row * j->channels + k; row < end; row++, at += j->channels) EACH_LANE(b) {
      ea_lanes v = ea_lanes_load(j->x, dtype, at + b * EA_LANES, n) - shift[b];
      s[b] += v;
      q[b] += v * v;
    }
  add_sums(sum + k, lanes, s, n);
  add_sums(square + k, lanes, q, n);
}

/* The gradient behind the ReLU, given x and forward's scale and shift. */
EA_INLINE ea_lanes uncut(const job *j, int dtype, int64_t at, int n, ea_lanes x, ea_lanes scale,
                         ea_lanes shift) {
  ea_lanes g = ea_lanes_load(j->g, dtype, at, n);
  return j->relu ? ea_lanes_mask(g, ~(ea_lanes_bits)(x * scale + shift <= 0)) : g;
}

/* Sums of g and g * (x - c). */
EA_INLINE void tile_grad_sums(const job *j, int dtype, int64_t row, int64_t end, int64_t k,
                              int lanes, int n, double *sum, double *product) {
  ea_lanes scale[SIDE], shift[SIDE], mean[SIDE], s[SIDE] = {0}, p[SIDE] = {0};
  load_each(scale, lanes, j->a, EA_F32, k, n);
  load_each(shift, lanes, j->b, EA_F32, k, n);
  load_each(mean, lanes, j->c, EA_F32, k, n);
  for (int64_t at = row * j->channels + k; row < end; row++, at += j->channels) EACH_LANE(b) {
      int64_t i = at + b * EA_LANES;
      ea_lanes x = ea_lanes_load(j->x, dtype, i, n);
      ea_lanes g = uncut(j, dtype, i, n, x, scale[b], shift[b]);
      s[b] += g;
      p[b] += g * (x - mean[b]);
    }
  add_sums(sum + k, lanes, s, n);
  add_sums(product + k, lanes, p, n);
}

/* gx = a * g + ((x - c) * d + e), e behind d in memory; scale is a itself. */
EA_INLINE void tile_grad(const job *j, int dtype, int64_t row, int64_t end, int64_t k, int lanes,
                         int n) {
  ea_lanes scale[SIDE], shift[SIDE], mean[SIDE], slope[SIDE], level[SIDE];
  load_each(scale, lanes, j->a, EA_F32, k, n);
  load_each(shift, lanes, j->b, EA_F32, k, n);
  load_each(mean, lanes, j->c, EA_F32, k, n);
  load_each(slope, lanes, j->d, EA_F32, k, n);
  load_each(level, lanes, j->d + j->channels, EA_F32, k, n);
  for (int64_t at = row * j->channels + k; row < end; row++, at += j->channels) EACH_LANE(b) {
      int64_t i = at + b * EA_LANES;
      ea_lanes x = ea_lanes_load(j->x, dtype, i, n);
      ea_lanes g = uncut(j, dtype, i, n, x, scale[b], shift[b]);
      ea_lanes v = g * scale[b] + ((x - mean[b]) * slope[b] + level[b]);
      if (j->add) v += ea_lanes_load(j->to, dtype, i, n);
      ea_lanes_store(j->to, dtype, i, n, v);
    }
}

/* ---- shards: tiles of rows, lanes of channels ---- */

enum { MOMENTS, GRAD_SUMS, GRAD };

/* A second pass goes backwards: what the first read last is still in the cache. */
static int64_t from_behind(const job *j, int64_t shard) { return j->shards - 1 - shard; }

EA_INLINE void run_tile(const job *j, int kernel, int dtype, int64_t row, int64_t end, int64_t k,
                        int lanes, int n, double *partial) {
  double *second = partial + j->channels;
  if (kernel == MOMENTS) tile_moments(j, dtype, row, end, k, lanes, n, partial, second);
  if (kernel == GRAD_SUMS) tile_grad_sums(j, dtype, row, end, k, lanes, n, partial, second);
  if (kernel == GRAD) tile_grad(j, dtype, row, end, k, lanes, n);
}

EA_INLINE void run_tiles(const job *j, int kernel, int dtype, int64_t shard) {
  if (kernel == GRAD) shard = from_behind(j, shard);
  int64_t begin = shard * j->shard_rows, end = EA_MIN(begin + j->shard_rows, j->rows);
  int64_t tile = EA_MIN(TILE_ROWS, EA_MAX(1, TILE / j->channels));
  double *partial = j->partial ? j->partial + shard * 2 * j->channels : NULL;
  if (kernel == MOMENTS || kernel == GRAD_SUMS)
    memset(partial, 0, (size_t)(2 * j->channels) * sizeof *partial);
  for (int64_t row = begin; row < end; row += tile) {
    int64_t last = EA_MIN(row + tile, end), k = 0;
    for (; k + 4 * EA_LANES <= j->channels; k += 4 * EA_LANES)
      run_tile(j, kernel, dtype, row, last, k, 4, EA_LANES, partial);
    for (; k + 2 * EA_LANES <= j->channels; k += 2 * EA_LANES)
      run_tile(j, kernel, dtype, row, last, k, 2, EA_LANES, partial);
    for (; k + EA_LANES <= j->channels; k += EA_LANES)
      run_tile(j, kernel, dtype, row, last, k, 1, EA_LANES, partial);
    if (k + EA_LANES / 2 <= j->channels) { /* a constant, too: 24 channels are not rare */
      run_tile(j, kernel, dtype, row, last, k, 1, EA_LANES / 2, partial);
      k += EA_LANES / 2;
    }
    if (k < j->channels)
      run_tile(j, kernel, dtype, row, last, k, 1, (int)(j->channels - k), partial);
  }
}

#define SHARD_FUNCTION(name, kernel)                             \
  static void name(void *arg, int64_t shard) {                   \
    const job *j = arg;                                          \
    if (j->dtype == EA_F32) run_tiles(j, kernel, EA_F32, shard); \
    else run_tiles(j, kernel, EA_BF16, shard);                   \
  }
SHARD_FUNCTION(moments_shard, MOMENTS)
SHARD_FUNCTION(grad_sums_shard, GRAD_SUMS)
SHARD_FUNCTION(grad_shard, GRAD)

static void apply_shard(void *arg, int64_t shard) {
  const job *j = arg;
  int64_t begin = from_behind(j, shard) * j->shard_rows, e = ea_dtype_size(j->dtype);
  int64_t rows = EA_MIN(j->shard_rows, j->rows - begin), at = begin * j->channels * e;
  ea_bn_line line = {j->a, j->b, j->relu};
  ea_bn_apply(&line, j->dtype, 0, j->channels, (char *)j->to + at, j->channels,
              (const char *)j->x + at, j->channels, rows);
}

/* Sum i (0 or 1) of a channel over the shards, in order. */
static double total(const job *j, int i, int64_t k) {
  double sum = 0;
  for (int64_t s = 0; s < j->shards; s++) sum += j->partial[(s * 2 + i) * j->channels + k];
  return sum;
}

/* Scratch: the partial sums, then `vectors` times one f32 per channel, returned in *vector. */
static int begin(ea_call *c, const ea_bn *b, job *j, int vectors, float **vector) {
  int64_t count = b->rows * b->channels;
  int64_t shards = EA_MAX(1, EA_MIN(MOST_SHARDS, count / SHARD));
  *j = (job){.x = ea_ptr(c->in[BN_X]),
             .dtype = c->in[BN_X]->dtype,
             .relu = b->relu,
             .rows = b->rows,
             .channels = b->channels};
  j->shard_rows = EA_MAX(1, (b->rows + shards - 1) / shards);
  j->shards = (b->rows + j->shard_rows - 1) / j->shard_rows;
  int64_t sums = j->shards * 2 * b->channels;
  j->partial = ea_call_scratch(c, (size_t)sums * sizeof(double) +
                                      (size_t)(vectors * b->channels) * sizeof(float) + 64);
  if (!j->partial) return EA_ERR_MEMORY;
  *vector = (float *)(j->partial + sums);
  return EA_OK;
}

/* ---- the op ---- */

/* Sums over the batch, relative to the first row, which goes to shift. */
static int sum_moments(job *j, float *shift) {
  ea_load_f32(shift, j->x, j->dtype, j->channels);
  j->a = shift;
  ea_parallel(j->shards, moments_shard, j);
  return ea_interrupt_check(); /* shards left out must not reach the running statistics */
}

static void moments_of(const job *j, int64_t k, double *mean, double *var) {
  double rows = (double)j->rows, s = total(j, 0, k) / rows;
  *mean = j->a[k] + s;
  *var = total(j, 1, k) / rows - s * s;
  if (*var < 0) *var = 0; /* rounding; NaN stays */
}

static int batch_statistics(ea_call *c, const ea_bn *b, job *j, float *shift) {
  EA_TRY(sum_moments(j, shift));
  float *mean = ea_f32(c->out[1]), *rstd = ea_f32(c->out[2]);
  float *running_mean = ea_f32(c->in[BN_RUNNING_MEAN]);
  float *running_var = ea_f32(c->in[BN_RUNNING_VAR]);
  double rows = (double)b->rows, m = b->momentum;
  for (int64_t k = 0; k < b->channels; k++) {
    double centre, var;
    moments_of(j, k, &centre, &var);
    mean[k] = (float)centre;
    rstd[k] = (float)(1 / sqrt(var + b->eps));
    running_mean[k] = (float)((1 - m) * running_mean[k] + m * centre);
    running_var[k] = (float)((1 - m) * running_var[k] + m * var * rows / (rows - 1));
  }
  return EA_OK;
}

int ea_bn_moments(ea_call *c, float *mean, float *var) {
  const ea_tensor *x = c->in[BN_X];
  ea_bn b = {.channels = x->size[x->ndim - 1]};
  b.rows = ea_tensor_count(x) / b.channels;
  job j;
  float *shift;
  EA_TRY(begin(c, &b, &j, 1, &shift));
  EA_TRY(sum_moments(&j, shift));
  for (int64_t k = 0; k < b.channels; k++) {
    double centre, spread;
    moments_of(&j, k, &centre, &spread);
    mean[k] = (float)centre;
    var[k] = (float)spread;
  }
  return EA_OK;
}

void ea_bn_find_line(const ea_call *c, float *scale, float *shift) {
  const float *weight = ea_f32(c->in[BN_WEIGHT]), *bias = ea_f32(c->in[BN_BIAS]);
  const float *mean = ea_f32(c->out[1]), *rstd = ea_f32(c->out[2]);
  for (int64_t k = 0; k < c->in[BN_WEIGHT]->size[0]; k++) {
    scale[k] = weight[k] * rstd[k];
    shift[k] = (float)(bias[k] - (double)mean[k] * scale[k]);
  }
}

static int forward(ea_call *c) {
  ea_bn b;
  describe(c, &b);
  if (!b.channels) return EA_OK;
  if (c->in[BN_X]->dtype == EA_F64) {
    ea_bn_forward_f64(c, &b);
    return EA_OK;
  }
  job j;
  float *vector;
  EA_TRY(begin(c, &b, &j, 2, &vector));
  if (b.training) {
    EA_TRY(batch_statistics(c, &b, &j, vector));
  } else {
    for (int64_t k = 0; k < b.channels; k++) {
      ea_f32(c->out[1])[k] = ea_f32(c->in[BN_RUNNING_MEAN])[k];
      ea_f32(c->out[2])[k] = (float)(1 / sqrt(ea_f32(c->in[BN_RUNNING_VAR])[k] + b.eps));
    }
  }
  if (c->deferred) return EA_OK;
  ea_bn_find_line(c, vector, vector + b.channels);
  j.a = vector;
  j.b = vector + b.channels;
  j.to = ea_ptr(c->out[0]);
  ea_parallel(j.shards, apply_shard, &j);
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
  job j;
  float *vector;
  EA_TRY(begin(c, &b, &j, 4, &vector));
  float *slope = vector + 2 * b.channels, *level = vector + 3 * b.channels;
  const float *rstd = ea_f32(c->out[2]);
  ea_bn_find_line(c, vector, vector + b.channels);
  j.g = ea_ptr(c->gout[0]);
  j.a = vector;
  j.b = vector + b.channels;
  j.c = ea_f32(c->out[1]);
  j.d = slope;
  int sums = b.training || c->gin[BN_WEIGHT] || c->gin[BN_BIAS];
  if (sums) ea_parallel(j.shards, grad_sums_shard, &j);
  for (int64_t k = 0; k < b.channels; k++) {
    double g = sums ? total(&j, 0, k) : 0, gx = sums ? total(&j, 1, k) : 0;
    if (c->gin[BN_WEIGHT]) give(c, BN_WEIGHT, k, gx * rstd[k]);
    if (c->gin[BN_BIAS]) give(c, BN_BIAS, k, g);
    double rows = (double)b.rows, r = rstd[k];
    slope[k] = b.training ? (float)(-vector[k] * r * r * gx / rows) : 0;
    level[k] = b.training ? (float)(-vector[k] * g / rows) : 0;
  }
  if (!c->gin[BN_X]) return EA_OK;
  if (c->moments) { /* their gradient goes along: so far slope and level are 0 */
    ea_moments_slope(c->moments, b.rows, slope, level);
    j.c = ea_f32(c->moments->out[0]);
  }
  j.to = ea_ptr(c->gin[BN_X]);
  j.add = c->accumulate & 1;
  ea_parallel(j.shards, grad_shard, &j);
  return EA_OK;
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
                                .backward = backward};
