/* SPDX-License-Identifier: GPL-3.0-or-later
 * loss.h - what the losses share. A loss is a scalar, f32 (f64 where an input is f64) even for bf16
 * inputs; all inside is computed in f64, each row by itself, and the rows are summed in order.
 */
#ifndef EA_LOSS_H
#define EA_LOSS_H

#include <math.h>

#include "wide.h"

enum { EA_LOSS_ROWS = 16 }; /* rows a shard takes */

/* Checks that two inputs are floats of one shape (types may differ), and declares the scalar. */
int ea_loss_pair(ea_call *c, const char *first, const char *second);
/* Checks that input 0 is float {n >= 1, c >= 1}. */
int ea_loss_logits(const ea_call *c, const char *what);
/* Declares out[0] a scalar of the inputs' type. */
void ea_loss_output(ea_call *c);
/* n doubles of scratch, summed in order into out[0] times `scale`. NULL on no memory. */
double *ea_loss_parts(ea_call *c, int64_t n);
void ea_loss_finish(ea_call *c, const double *part, int64_t n, double scale);

/* log sum_j exp(z_j * scale) of n elements from `at`, and no overflow: the largest is taken out. */
static inline double ea_logsumexp(const ea_tensor *t, int64_t at, int64_t n, double scale) {
  const void *z = ea_ptr(t);
  double largest = -INFINITY, sum = 0;
  for (int64_t j = 0; j < n; j++) largest = fmax(largest, ea_read(z, t->dtype, at + j) * scale);
  if (isinf(largest)) return largest;
  for (int64_t j = 0; j < n; j++) sum += exp(ea_read(z, t->dtype, at + j) * scale - largest);
  return largest + log(sum);
}

static inline double ea_loss_gradient(const ea_call *c) {
  return ea_read(ea_ptr(c->gout[0]), c->gout[0]->dtype, 0);
}

#endif
