/* SPDX-License-Identifier: GPL-3.0-or-later
 * batch_norm.h - what batch_norm.c (the op) and its f64 kernel tell each other.
 */
#ifndef EA_BATCH_NORM_H
#define EA_BATCH_NORM_H

#include "lanes.h"
#include "op.h"

enum { BN_X, BN_WEIGHT, BN_BIAS, BN_RUNNING_MEAN, BN_RUNNING_VAR };

typedef struct ea_bn {
  int64_t rows, channels;
  int training, relu;
  double momentum, eps;
} ea_bn;

/* out = scale * in + shift per channel, by a call in evaluation mode; channels numbers each. */
void ea_bn_fold(const ea_call *c, float *scale, float *shift);
int ea_bn_relu(const ea_call *c); /* 1: and a ReLU follows */

/* What a call that ran forward makes of x: scale * x + shift per channel, then perhaps the ReLU. */
typedef struct ea_bn_line {
  const float *scale, *shift;
  int relu;
} ea_bn_line;
/* Its scale and shift, the same in backward: bit for bit, or the ReLU's cut would move. */
void ea_bn_find_line(const ea_call *c, float *scale, float *shift);
/* Applies it to `rows` rows of f32 or bf16: `channels` numbers each, those of the line from `first`
 * on; the rows lie so many numbers apart. */
void ea_bn_apply(const ea_bn_line *line, int dtype, int64_t first, int64_t channels, void *to,
                 int64_t to_apart, const void *from, int64_t from_apart, int64_t rows);

EA_INLINE ea_lanes ea_bn_through(ea_lanes x, ea_lanes scale, ea_lanes shift, int relu) {
  ea_lanes y = x * scale + shift;
  return relu ? ea_lanes_relu(y) : y;
}

/* Mean and biased variance of in[0] per channel (f32 or bf16, at least one row), of any call. */
int ea_bn_moments(ea_call *c, float *mean, float *var);
/* The gradient of a call of moments: slope * (x - mean) + level per channel. */
void ea_moments_slope(const ea_call *c, int64_t rows, float *slope, float *level);

/* The plain loops, one channel after the other, that f64 runs: for gradient checks. */
void ea_bn_forward_f64(ea_call *c, const ea_bn *b);
void ea_bn_backward_f64(ea_call *c, const ea_bn *b);

#endif
