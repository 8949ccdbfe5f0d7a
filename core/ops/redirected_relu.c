/* SPDX-License-Identifier: GPL-3.0-or-later
 * redirected_relu "high:f=inf" (x {n, ...}) - a ReLU whose gradient finds its way into dead units,
 * for optimising images (Lucid's override): y = min(max(x, 0), high). f32, bf16, f64.
 *
 * Gradient, with g that of a loss to be made smaller, for each image apart: g where 0 <= x <= high.
 * If that is 0 all over the image, then g everywhere but where a step against it would lead further
 * away: where x < 0 and g > 0, or x > high and g < 0.
 */
#include "real.h"

typedef struct job {
  ea_call *call;
  int64_t count; /* of one image */
  double high;
} job;

EA_INLINE void forward_image(const job *j, int dtype, int64_t image) {
  const void *x = ea_ptr(j->call->in[0]);
  void *y = ea_ptr(j->call->out[0]);
  for (int64_t i = image * j->count; i < (image + 1) * j->count; i++) {
    double v = ea_real(x, dtype, i);
    ea_real_set(y, dtype, i, v < 0 ? 0 : v > j->high ? j->high : v);
  }
}

EA_INLINE void backward_image(const job *j, int dtype, int64_t image) {
  const void *x = ea_ptr(j->call->in[0]), *g = ea_ptr(j->call->gout[0]);
  void *gx = ea_ptr(j->call->gin[0]);
  int alive = 0;
  for (int64_t i = image * j->count; i < (image + 1) * j->count; i++) {
    double v = ea_real(x, dtype, i), d = ea_real(g, dtype, i);
    int open = v >= 0 && v <= j->high;
    alive |= open && d != 0;
    ea_real_set(gx, dtype, i, open ? d : 0);
  }
  if (alive) return;
  for (int64_t i = image * j->count; i < (image + 1) * j->count; i++) {
    double v = ea_real(x, dtype, i), d = ea_real(g, dtype, i);
    ea_real_set(gx, dtype, i, (v < 0 && d > 0) || (v > j->high && d < 0) ? 0 : d);
  }
}

static void forward_shard(void *arg, int64_t image) {
  const job *j = arg;
  EA_BY_DTYPE(j->call->in[0]->dtype, forward_image(j, D, image));
}

static void backward_shard(void *arg, int64_t image) {
  const job *j = arg;
  EA_BY_DTYPE(j->call->in[0]->dtype, backward_image(j, D, image));
}

static int shape(ea_call *c) {
  EA_TRY(ea_call_check_float(c, 0));
  if (c->in[0]->ndim < 1)
    return ea_call_fail(c, EA_ERR_SHAPE, "expected images {n, ...}, got a single number");
  return ea_call_output_like(c, 0, c->in[0]);
}

static void run(ea_call *c, void (*shard)(void *, int64_t)) {
  int64_t n = c->in[0]->size[0];
  if (n == 0) return;
  job j = {c, ea_tensor_count(c->in[0]) / n, c->attr[0]};
  ea_parallel(n, shard, &j);
}

static int forward(ea_call *c) {
  run(c, forward_shard);
  return EA_OK;
}

static int backward(ea_call *c) {
  run(c, backward_shard);
  return EA_OK;
}

const ea_op ea_op_redirected_relu = {.name = "redirected_relu",
                                     .nin_least = 1,
                                     .nin_most = 1,
                                     .nout = 1,
                                     .attrs = "high:f=inf",
                                     .need_in = 1,
                                     .shape = shape,
                                     .forward = forward,
                                     .backward = backward};
