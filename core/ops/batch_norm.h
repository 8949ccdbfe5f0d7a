/* SPDX-License-Identifier: GPL-3.0-or-later
 * batch_norm.h - what batch_norm.c (the op) and its f64 kernel tell each other.
 */
#ifndef EA_BATCH_NORM_H
#define EA_BATCH_NORM_H

#include "op.h"

enum { BN_X, BN_WEIGHT, BN_BIAS, BN_RUNNING_MEAN, BN_RUNNING_VAR };

typedef struct ea_bn {
  int64_t rows, channels;
  int training, relu;
  double momentum, eps;
} ea_bn;

/* out = scale * in + shift per channel, by a call in evaluation mode; channels numbers each. */
void ea_bn_line(const ea_call *c, float *scale, float *shift);
int ea_bn_relu(const ea_call *c); /* 1: and a ReLU follows */

/* The plain loops, one channel after the other, that f64 runs: for gradient checks. */
void ea_bn_forward_f64(ea_call *c, const ea_bn *b);
void ea_bn_backward_f64(ea_call *c, const ea_bn *b);

#endif
