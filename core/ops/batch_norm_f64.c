/* SPDX-License-Identifier: GPL-3.0-or-later
 * batch_norm in f64: the formulas of batch_norm.c as plain loops. Slow and obvious; what gradient
 * checks run.
 */
#include <math.h>

#include "batch_norm.h"

void ea_bn_forward_f64(ea_call *c, const ea_bn *b) {
  const double *x = ea_f64(c->in[BN_X]);
  double *y = ea_f64(c->out[0]), rows = (double)b->rows, m = b->momentum;
  double *running_mean = ea_f64(c->in[BN_RUNNING_MEAN]);
  double *running_var = ea_f64(c->in[BN_RUNNING_VAR]);
  for (int64_t k = 0; k < b->channels; k++) {
    double mean = running_mean[k], var = running_var[k];
    if (b->training) {
      mean = var = 0;
      for (int64_t r = 0; r < b->rows; r++) mean += x[r * b->channels + k];
      mean /= rows;
      for (int64_t r = 0; r < b->rows; r++) {
        double v = x[r * b->channels + k] - mean;
        var += v * v;
      }
      var /= rows;
      running_mean[k] = (1 - m) * running_mean[k] + m * mean;
      running_var[k] = (1 - m) * running_var[k] + m * var * rows / (rows - 1);
    }
    double rstd = 1 / sqrt(var + b->eps);
    ea_f64(c->out[1])[k] = mean;
    ea_f64(c->out[2])[k] = rstd;
    for (int64_t r = 0; r < b->rows; r++) {
      int64_t i = r * b->channels + k;
      double v = (x[i] - mean) * rstd * ea_f64(c->in[BN_WEIGHT])[k] + ea_f64(c->in[BN_BIAS])[k];
      y[i] = b->relu && v < 0 ? 0 : v;
    }
  }
}

static void give(ea_call *c, int i, int64_t at, double g) {
  if (!c->gin[i]) return;
  double *to = ea_f64(c->gin[i]) + at;
  *to = g + (c->accumulate >> i & 1 ? *to : 0);
}

void ea_bn_backward_f64(ea_call *c, const ea_bn *b) {
  const double *x = ea_f64(c->in[BN_X]), *gy = ea_f64(c->gout[0]);
  double rows = (double)b->rows;
  for (int64_t k = 0; k < b->channels; k++) {
    double mean = ea_f64(c->out[1])[k], rstd = ea_f64(c->out[2])[k];
    double weight = ea_f64(c->in[BN_WEIGHT])[k], bias = ea_f64(c->in[BN_BIAS])[k];
    double g_sum = 0, gx_sum = 0;
    for (int pass = 0; pass < 2; pass++) /* the sums, then gx */
      for (int64_t r = 0; r < b->rows; r++) {
        int64_t i = r * b->channels + k;
        double hat = (x[i] - mean) * rstd;
        double g = b->relu && hat * weight + bias <= 0 ? 0 : gy[i];
        if (pass == 0) {
          g_sum += g;
          gx_sum += g * hat;
        } else {
          double centre = b->training ? (g_sum + hat * gx_sum) / rows : 0;
          give(c, BN_X, i, weight * rstd * (g - centre));
        }
      }
    give(c, BN_WEIGHT, k, gx_sum);
    give(c, BN_BIAS, k, g_sum);
  }
}
