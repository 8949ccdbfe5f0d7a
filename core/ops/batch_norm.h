/* SPDX-License-Identifier: GPL-3.0-or-later
 * batch_norm.h - what batch_norm.c (the op) and its kernels tell each other, and convolutions.
 */
#ifndef EA_BATCH_NORM_H
#define EA_BATCH_NORM_H

#include "lanes.h"
#include "op.h"

enum { BN_X, BN_WEIGHT, BN_BIAS, BN_RUNNING_MEAN, BN_RUNNING_VAR };
enum { EA_BN_SHARD = 32768 }; /* elements */

typedef struct ea_bn {
  int64_t rows, channels;
  int training, relu;
  double momentum, eps;
} ea_bn;

/* out = scale * in + shift per channel, by a call in evaluation mode; channels numbers each. */
void ea_bn_fold(const ea_call *c, float *scale, float *shift);
int ea_bn_relu(const ea_call *c); /* 1: and a ReLU follows */

/* What a call that ran forward makes of x: scale * x + shift per channel, then perhaps the ReLU;
 * bit for bit the same in backward, or the ReLU's cut would move. Vectors are of
 * ea_bn_vector(channels) numbers: those of few channels are repeated. */
typedef struct ea_bn_line {
  const float *scale, *shift;
  int relu;
} ea_bn_line;
/* Applies it to `rows` rows of f32 or bf16: `channels` numbers each, those of the line from `first`
 * on; the rows lie so many numbers apart. */
void ea_bn_apply(const ea_bn_line *line, int dtype, int64_t first, int64_t channels, void *to,
                 int64_t to_apart, const void *from, int64_t from_apart, int64_t rows);
/* To lines of `columns` rows side by side; the lines lie so many numbers apart. */
void ea_bn_apply_lines(const ea_bn_line *line, int dtype, int64_t channels, void *to,
                       int64_t to_apart, const void *from, int64_t from_apart, int64_t columns,
                       int64_t lines);

/* Rows of few channels without gaps are taken as fewer rows of EA_BN_WIDE numbers: so many each. */
enum { EA_BN_SIDE = 4, EA_BN_WIDE = EA_BN_SIDE * EA_LANES };
static inline int64_t ea_bn_together(int64_t channels) {
  return channels > 0 && channels < EA_BN_WIDE && EA_BN_WIDE % channels == 0 ? EA_BN_WIDE / channels
                                                                             : 1;
}
static inline int64_t ea_bn_vector(int64_t channels) { return channels * ea_bn_together(channels); }

EA_INLINE ea_lanes ea_bn_through(ea_lanes x, ea_lanes scale, ea_lanes shift, int relu) {
  ea_lanes y = ea_lanes_fma(x, scale, shift);
  return relu ? ea_lanes_relu(y) : y;
}

/* What the second pass of backward needs of the batch: per channel. */
typedef struct ea_bn_grad {
  ea_bn_line line;
  const float *mean, *slope, *level;
} ea_bn_grad;

/* Rows of f32 or bf16, one after the other; sum {2, channels} is added to.
 * moments: of x - origin and its square. grad_sums: of g and g (x - mean), where the ReLU did not
 * cut. grad_rows: to = scale g + (x - mean) slope + level, added to what is there if `add`. */
void ea_bn_moments(const float *origin, int dtype, int64_t channels, const void *x, int64_t rows,
                   double *sum);
void ea_bn_grad_sums(const ea_bn_grad *b, int dtype, int64_t channels, const void *g, const void *x,
                     int64_t rows, double *sum);
void ea_bn_grad_rows(const ea_bn_grad *b, int dtype, int64_t channels, const void *g, const void *x,
                     void *to, int add, int64_t rows);

/* What a call keeps from forward to backward, and what others did for it or have yet to do. */
typedef struct ea_bn_state {
  ea_bn_grad grad;
  float *vector[5]; /* of grad: scale, shift, mean, slope, level */
  float *origin;    /* of the moments */
  double *sum;      /* {2, channels}: the moments, or the sums of backward */
  int has_sum;      /* 1: a convolution gathered them */
  int64_t gathered; /* rows, so far */
  int waits;        /* 1: the second pass of backward has yet to run, on these: */
  const char *g, *x;
  char *to;
  int add, dtype;
  int64_t rows, channels;
} ea_bn_state;
/* The call's, made if need be; NULL: no memory. */
ea_bn_state *ea_bn_state_of(ea_call *c);

/* A convolution that has some rows of a batch_norm's x, or of the gradient of its y, in the cache
 * gathers the sums of them: begins once, adds rows to a shard's partial sums (`first`: the shard's
 * first rows), and takes all the shards' in order, for as many groups of shards as there are. */
size_t ea_bn_partial_bytes(int64_t channels); /* of a shard */
void ea_bn_gather_begin(ea_bn_state *s, const ea_call *norm);
void ea_bn_gather_moments(const ea_bn_state *s, void *partial, int first, const void *x,
                          int64_t rows);
void ea_bn_gather_sums(const ea_bn_state *s, void *partial, int first, const void *g, const void *x,
                       int64_t rows);
void ea_bn_gather_take(ea_bn_state *s, const char *partial, int64_t shards);
/* The second pass of backward, where it waits: of rows, which another thread does not touch, or of
 * all. `waits` stays for whoever began. */
void ea_bn_grad_some(const ea_bn_state *s, int64_t row, int64_t rows);
void ea_bn_grad_all(ea_bn_state *s);

/* Mean and biased variance of in[0] per channel (f32 or bf16, at least one row), of any call. */
int ea_bn_batch_moments(ea_call *c, float *mean, float *var);
/* The gradient of a call of moments: slope * (x - mean) + level per channel. */
void ea_moments_slope(const ea_call *c, int64_t rows, float *slope, float *level);

/* Fills a vector up, of which its first `channels` numbers are there. */
void ea_bn_repeat(float *v, int64_t channels);
/* The first row, repeated as a vector. */
void ea_bn_first_row(float *to, const void *x, int dtype, int64_t channels);

/* The plain loops, one channel after the other, that f64 runs: for gradient checks. */
void ea_bn_forward_f64(ea_call *c, const ea_bn *b);
void ea_bn_backward_f64(ea_call *c, const ea_bn *b);

#endif
