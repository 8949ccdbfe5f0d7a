/* SPDX-License-Identifier: GPL-3.0-or-later
 * batch_norm_along.c - what a batch_norm keeps, and the parts of its work that a convolution does
 * along, on images that are in the cache: see batch_norm.h, and conv2d_along.c.
 */
#include "batch_norm.h"

/* ---- the state ---- */

ea_bn_state *ea_bn_state_of(ea_call *c) {
  if (c->state) return c->state;
  const ea_tensor *x = c->in[BN_X];
  int64_t channels = x->size[x->ndim - 1], vector = ea_bn_vector(channels);
  size_t sums = 2 * (size_t)channels * sizeof(double), own = ea_round64(sizeof(ea_bn_state));
  char *memory = ea_alloc_zero(own + sums + 6 * (size_t)vector * sizeof(float));
  if (!memory) return NULL;
  ea_bn_state *s = (void *)memory;
  s->sum = (double *)(void *)(memory + own);
  s->origin = (float *)(void *)(memory + own + sums);
  for (int i = 0; i < 5; i++) s->vector[i] = s->origin + (i + 1) * vector;
  s->grad = (ea_bn_grad){
      {s->vector[0], s->vector[1], ea_bn_relu(c)}, s->vector[2], s->vector[3], s->vector[4]};
  s->channels = channels;
  c->state = s;
  c->free_state = ea_free;
  return s;
}

/* ---- sums ---- */

/* A shard's, in memory {sum {2, channels}, rows, origin {repeated channels}}. */
typedef struct partial {
  double *sum, *rows;
  float *origin;
} partial;

static partial partial_at(int64_t channels, const void *memory) {
  double *sum = (double *)(uintptr_t)memory;
  return (partial){sum, sum + 2 * channels, (float *)(void *)(sum + 2 * channels + 1)};
}

size_t ea_bn_partial_bytes(int64_t channels) {
  size_t bytes = (2 * (size_t)channels + 1) * sizeof(double);
  return ea_round64(bytes + (size_t)ea_bn_vector(channels) * sizeof(float));
}

void ea_bn_gather_begin(ea_bn_state *s, const ea_call *norm) {
  const ea_tensor *x = norm->in[BN_X];
  s->dtype = x->dtype;
  s->rows = ea_tensor_count(x) / s->channels;
  s->has_sum = 0;
  s->gathered = 0;
}

static partial begin_partial(const ea_bn_state *s, void *memory, int first, int64_t rows) {
  partial p = partial_at(s->channels, memory);
  if (first) memset(p.sum, 0, (size_t)(2 * s->channels + 1) * sizeof *p.sum);
  *p.rows += (double)rows;
  return p;
}

void ea_bn_gather_moments(const ea_bn_state *s, void *memory, int first, const void *x,
                          int64_t rows) {
  partial p = begin_partial(s, memory, first, rows);
  if (first) ea_bn_first_row(p.origin, x, s->dtype, s->channels);
  ea_bn_moments(p.origin, s->dtype, s->channels, x, rows, p.sum);
}

void ea_bn_gather_sums(const ea_bn_state *s, void *memory, int first, const void *g, const void *x,
                       int64_t rows) {
  partial p = begin_partial(s, memory, first, rows);
  if (first) memset(p.origin, 0, (size_t)s->channels * sizeof(float));
  ea_bn_grad_sums(&s->grad, s->dtype, s->channels, g, x, rows, p.sum);
}

/* Moments of different origins: with d from the one to the other, the sum grows by n d and the sum
 * of squares by 2 d sum + n d^2. The sums of backward all have the origin 0. */
void ea_bn_gather_take(ea_bn_state *s, const char *memory, int64_t shards) {
  int64_t channels = s->channels;
  for (int64_t i = 0; i < shards; i++, memory += ea_bn_partial_bytes(channels)) {
    partial p = partial_at(channels, memory);
    if (!s->gathered) {
      memset(s->sum, 0, 2 * (size_t)channels * sizeof *s->sum);
      memcpy(s->origin, p.origin, (size_t)channels * sizeof *s->origin);
    }
    for (int64_t k = 0; k < channels; k++) {
      double d = (double)p.origin[k] - s->origin[k], n = *p.rows, sum = p.sum[k];
      s->sum[k] += sum + n * d;
      s->sum[channels + k] += p.sum[channels + k] + d * (2 * sum + n * d);
    }
    s->gathered += (int64_t)*p.rows;
  }
  s->has_sum = s->gathered == s->rows;
}

/* ---- the second pass of backward ---- */

void ea_bn_grad_some(const ea_bn_state *s, int64_t row, int64_t rows) {
  int64_t at = row * s->channels * ea_dtype_size(s->dtype);
  ea_bn_grad_rows(&s->grad, s->dtype, s->channels, s->g + at, s->x + at, s->to + at, s->add, rows);
}

/* From behind: what the sums' pass read last is still in the cache. */
static void grad_range(void *arg, int64_t begin, int64_t end) {
  const ea_bn_state *s = arg;
  ea_bn_grad_some(s, s->rows - end, end - begin);
}

void ea_bn_grad_all(ea_bn_state *s) {
  ea_parallel_range(s->rows, EA_MAX(1, EA_BN_SHARD / s->channels), grad_range, s);
  s->waits = 0;
}
