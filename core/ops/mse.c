/* SPDX-License-Identifier: GPL-3.0-or-later
 * mse (a, b) - scalar, mean of (a - b)^2; gradient 2 (a - b) / count to a, its negative to b.
 * l1_loss (a, b) - scalar, mean of |a - b|; gradient sign(a - b) / count, 0 where they are equal.
 * a and b have one shape.
 */
#include "loss.h"

enum { BLOCK = 256 };

static int shape(ea_call *c) { return ea_loss_pair(c, "the first input", "the second"); }

typedef struct pair {
  const ea_tensor *a, *b, *ga, *gb;
  int squared;
  double *part, scale;
} pair;

static double sum_block(const double *a, const double *b, int64_t n, int squared) {
  double s[4] = {0}; /* four sums side by side: the order is fixed, and the loop is a vector one */
  int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (int k = 0; k < 4; k++) {
      double d = a[i + k] - b[i + k];
      s[k] += squared ? d * d : fabs(d);
    }
  for (; i < n; i++) {
    double d = a[i] - b[i];
    s[0] += squared ? d * d : fabs(d);
  }
  return (s[0] + s[1]) + (s[2] + s[3]);
}

static void loss_range(void *arg, int64_t begin, int64_t end) {
  const pair *p = arg;
  double a[BLOCK], b[BLOCK], sum = 0;
  for (int64_t i = begin; i < end; i += BLOCK) {
    int64_t n = EA_MIN(BLOCK, end - i);
    ea_load_f64(a, ea_ptr(p->a), p->a->dtype, i, n);
    ea_load_f64(b, ea_ptr(p->b), p->b->dtype, i, n);
    sum += sum_block(a, b, n, p->squared);
  }
  p->part[begin / EA_CHUNK] = sum;
}

static int measure(ea_call *c, int squared) {
  int64_t count = ea_tensor_count(c->in[0]), chunks = (count + EA_CHUNK - 1) / EA_CHUNK;
  pair p = {.a = c->in[0], .b = c->in[1], .squared = squared, .part = ea_loss_parts(c, chunks)};
  if (!p.part) return EA_ERR_MEMORY;
  ea_parallel_range(count, EA_CHUNK, loss_range, &p);
  ea_loss_finish(c, p.part, chunks, 1.0 / (double)count);
  return EA_OK;
}

static void grad_range(void *arg, int64_t begin, int64_t end) {
  const pair *p = arg;
  double a[BLOCK], b[BLOCK];
  for (int64_t i = begin; i < end; i += BLOCK) {
    int64_t n = EA_MIN(BLOCK, end - i);
    ea_load_f64(a, ea_ptr(p->a), p->a->dtype, i, n);
    ea_load_f64(b, ea_ptr(p->b), p->b->dtype, i, n);
    for (int64_t k = 0; k < n; k++) {
      double d = a[k] - b[k];
      a[k] = p->scale * (p->squared ? 2 * d : d > 0 ? 1 : d < 0 ? -1 : d);
      b[k] = -a[k];
    }
    if (p->ga) ea_store_f64(ea_ptr(p->ga), p->ga->dtype, i, a, n);
    if (p->gb) ea_store_f64(ea_ptr(p->gb), p->gb->dtype, i, b, n);
  }
}

static int pull(ea_call *c, int squared) {
  int64_t count = ea_tensor_count(c->in[0]);
  pair p = {.a = c->in[0],
            .b = c->in[1],
            .ga = c->gin[0],
            .gb = c->gin[1],
            .squared = squared,
            .scale = ea_loss_gradient(c) / (double)count};
  ea_parallel_range(count, EA_CHUNK, grad_range, &p);
  return EA_OK;
}

static int mse_forward(ea_call *c) { return measure(c, 1); }
static int mse_backward(ea_call *c) { return pull(c, 1); }
static int l1_forward(ea_call *c) { return measure(c, 0); }
static int l1_backward(ea_call *c) { return pull(c, 0); }

const ea_op ea_op_mse = {
    .name = "mse",
    .nin_least = 2,
    .nin_most = 2,
    .nout = 1,
    .attrs = "",
    .need_in = 3,
    .shape = shape,
    .forward = mse_forward,
    .backward = mse_backward,
};

const ea_op ea_op_l1_loss = {
    .name = "l1_loss",
    .nin_least = 2,
    .nin_most = 2,
    .nout = 1,
    .attrs = "",
    .need_in = 3,
    .shape = shape,
    .forward = l1_forward,
    .backward = l1_backward,
};
