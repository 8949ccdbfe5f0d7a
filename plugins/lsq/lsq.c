/* SPDX-License-Identifier: GPL-3.0-or-later
 * fake_quantize "low:i=-128 high:i=127 factor:f=1" (x, scale) - the values that integers of
 * low..high can hold, v = x / scale:
 *   y = scale round(min(max(v, low), high)), halves to the even number.
 * scale: one number, or one for each of x's first dimension (a weight's output channels); below
 * 1e-8 it counts as 1e-8. Computed in f64.
 * Gradient (g of y) of Learned Step Size Quantization, straight through the rounding (Esser et al.
 * 2020, arXiv 1902.08153):
 *   dx     = g where low <= v <= high, else 0
 *   dscale = factor sum g (round(v) - v, or low or high where v is beyond)
 * LSQ's factor is 1 / sqrt(count high), count the numbers that share a scale.
 */
#include <math.h>

#include <edgeai_op.h>

enum { LOW, HIGH, FACTOR };
enum { BLOCK = 1024 };

/* x as rows of one scale each, and those cut into blocks: the units of work and of sums. */
typedef struct plan {
  ea_call *c;
  int64_t rows, length, blocks; /* blocks of a row */
  double low, high;
  double *sums; /* of each block; NULL: not wanted */
} plan;

static plan plan_of(ea_call *c) {
  int64_t count = ea_tensor_count(ea_call_in(c, 0)), rows = ea_tensor_count(ea_call_in(c, 1));
  plan p = {.c = c, .rows = rows, .low = ea_call_attr(c, LOW), .high = ea_call_attr(c, HIGH)};
  p.length = rows ? count / rows : 0;
  p.blocks = (p.length + BLOCK - 1) / BLOCK;
  return p;
}

/* Where unit `at` begins, how many numbers it has, and its scale. */
static int64_t unit(const plan *p, int64_t at, int64_t *begin, double *scale) {
  int64_t row = at / p->blocks, within = at % p->blocks * BLOCK;
  *begin = row * p->length + within;
  ea_tensor_read(ea_call_in(p->c, 1), row, 1, scale);
  *scale = fmax(*scale, 1e-8);
  return p->length - within < BLOCK ? p->length - within : BLOCK;
}

static int shape(ea_call *c) {
  const ea_tensor *x = ea_call_in(c, 0), *scale = ea_call_in(c, 1);
  if (ea_call_check_float(c, 0) < 0 || ea_call_check_float(c, 1) < 0) return EA_ERR_DTYPE;
  int64_t rows = ea_tensor_count(scale);
  if (rows != 1 &&
      (ea_tensor_ndim(scale) != 1 || ea_tensor_ndim(x) == 0 || ea_tensor_size(x, 0) != rows))
    return ea_call_fail(c, EA_ERR_SHAPE,
                        "scale must be one number, or one for each of the first "
                        "dimension of x; it has %lld",
                        (long long)rows);
  if (!(ea_call_attr(c, LOW) < ea_call_attr(c, HIGH)))
    return ea_call_fail(c, EA_ERR_ARG, "low must be less than high, got %g and %g",
                        ea_call_attr(c, LOW), ea_call_attr(c, HIGH));
  return ea_call_output_like(c, 0, x);
}

static double clamp(double v, double low, double high) {
  return v < low ? low : v > high ? high : v; /* NaN stays */
}

static void forward_range(void *arg, int64_t begin, int64_t end) {
  const plan *p = arg;
  double v[BLOCK], scale;
  for (int64_t at = begin, first; at < end; at++) {
    int64_t n = unit(p, at, &first, &scale);
    ea_tensor_read(ea_call_in(p->c, 0), first, n, v);
    for (int64_t i = 0; i < n; i++) v[i] = scale * nearbyint(clamp(v[i] / scale, p->low, p->high));
    ea_tensor_write(ea_call_out(p->c, 0), first, n, v);
  }
}

static int forward(ea_call *c) {
  plan p = plan_of(c);
  ea_parallel_range(p.rows * p.blocks, 16, forward_range, &p);
  return EA_OK;
}

static void backward_range(void *arg, int64_t begin, int64_t end) {
  const plan *p = arg;
  double x[BLOCK], g[BLOCK], scale;
  for (int64_t at = begin, first; at < end; at++) {
    int64_t n = unit(p, at, &first, &scale);
    double sum = 0;
    ea_tensor_read(ea_call_in(p->c, 0), first, n, x);
    ea_tensor_read(ea_call_gout(p->c, 0), first, n, g);
    for (int64_t i = 0; i < n; i++) {
      double v = x[i] / scale, inside = clamp(v, p->low, p->high);
      sum += g[i] * (v == inside ? nearbyint(v) - v : inside);
      if (v != inside) g[i] = 0;
    }
    if (ea_call_gin(p->c, 0)) ea_tensor_write(ea_call_gin(p->c, 0), first, n, g);
    if (p->sums) p->sums[at] = sum;
  }
}

static int backward(ea_call *c) {
  plan p = plan_of(c);
  ea_tensor *to = ea_call_gin(c, 1);
  if (to && !(p.sums = ea_call_scratch(c, (size_t)(p.rows * p.blocks + 1) * sizeof *p.sums)))
    return EA_ERR_MEMORY;
  ea_parallel_range(p.rows * p.blocks, 16, backward_range, &p);
  for (int64_t row = 0; to && row < p.rows; row++) {
    double sum = 0;
    for (int64_t k = 0; k < p.blocks; k++) sum += p.sums[row * p.blocks + k];
    sum *= ea_call_attr(c, FACTOR);
    ea_tensor_write(to, row, 1, &sum);
  }
  return EA_OK;
}

static const ea_op fake_quantize = {
    .name = "fake_quantize",
    .nin_least = 2,
    .nin_most = 2,
    .nout = 1,
    .attrs = "low:i=-128 high:i=127 factor:f=1",
    .need_in = 3,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
EA_PLUGIN(&fake_quantize);
