/* SPDX-License-Identifier: GPL-3.0-or-later
 * global_avg_pool, global_max_pool - one number per image and channel.
 *
 *   y[n,c] = mean or max of x[n,:,:,c];  x {n,h,w,c} f32, bf16 or f64 -> y {n,c} of x's type.
 *   Gradient of the mean: g/(h w) everywhere; of the max: to the first of the largest.
 */
#include "real.h"

typedef struct job {
  ea_call *call;
  int max, backward;
  int64_t pixels, channels;
} job;

enum { BLOCK = 64 }; /* channels at a time */

/* Sums or maxima of channels k..k+n-1 of one image; first[i]: the first pixel with the maximum. */
EA_INLINE void pool_block(const void *x, int dtype, const job *j, int64_t image, int64_t k, int n,
                          double *out, int64_t *first) {
  int64_t base = image * j->pixels * j->channels + k;
  for (int i = 0; i < n; i++) {
    out[i] = j->max ? ea_real(x, dtype, base + i) : 0;
    first[i] = 0;
  }
  for (int64_t p = 0; p < j->pixels; p++)
    for (int i = 0; i < n; i++) {
      double v = ea_real(x, dtype, base + p * j->channels + i);
      if (!j->max) out[i] += v;
      else if (v > out[i] || (v != v && out[i] == out[i])) { /* the first NaN wins */ out[i] = v;
        first[i] = p;
      }
    }
}

EA_INLINE void pool_image(const job *j, int dtype, int64_t image) {
  ea_call *c = j->call;
  for (int64_t k = 0; k < j->channels; k += BLOCK) {
    int n = (int)EA_MIN(BLOCK, j->channels - k);
    double value[BLOCK];
    int64_t first[BLOCK], base = image * j->pixels * j->channels + k, at = image * j->channels + k;
    if (!j->backward || j->max) pool_block(ea_ptr(c->in[0]), dtype, j, image, k, n, value, first);
    if (!j->backward) {
      for (int i = 0; i < n; i++)
        ea_real_set(ea_ptr(c->out[0]), dtype, at + i,
                    j->max ? value[i] : value[i] / (double)j->pixels);
      continue;
    }
    void *gx = ea_ptr(c->gin[0]);
    for (int i = 0; i < n; i++) value[i] = ea_real(ea_ptr(c->gout[0]), dtype, at + i);
    if (!j->max)
      for (int i = 0; i < n; i++) value[i] /= (double)j->pixels;
    for (int64_t p = 0; p < j->pixels; p++)
      for (int i = 0; i < n; i++)
        ea_real_set(gx, dtype, base + p * j->channels + i, !j->max || first[i] == p ? value[i] : 0);
  }
}

static void run_image(void *arg, int64_t image) {
  const job *j = arg;
  EA_BY_DTYPE(j->call->in[0]->dtype, pool_image(j, D, image));
}

static int shape(ea_call *c) {
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_call_check_ndim(c, 0, 4));
  const ea_tensor *x = c->in[0];
  if (x->size[1] * x->size[2] == 0)
    return ea_call_fail(c, EA_ERR_SHAPE, "the images %s have no pixels", ea_shape_text(x));
  int64_t size[2] = {x->size[0], x->size[3]};
  ea_call_output(c, 0, x->dtype, 2, size);
  return EA_OK;
}

static int run(ea_call *c, int max, int backward) {
  const ea_tensor *x = c->in[0];
  job j = {c, max, backward, x->size[1] * x->size[2], x->size[3]};
  ea_parallel(x->size[0], run_image, &j);
  return EA_OK;
}

static int forward_avg(ea_call *c) { return run(c, 0, 0); }
static int backward_avg(ea_call *c) { return run(c, 0, 1); }
static int forward_max(ea_call *c) { return run(c, 1, 0); }
static int backward_max(ea_call *c) { return run(c, 1, 1); }

const ea_op ea_op_global_avg_pool = {.name = "global_avg_pool",
                                     .nin_least = 1,
                                     .nin_most = 1,
                                     .nout = 1,
                                     .attrs = "",
                                     .shape = shape,
                                     .forward = forward_avg,
                                     .backward = backward_avg};

const ea_op ea_op_global_max_pool = {.name = "global_max_pool",
                                     .nin_least = 1,
                                     .nin_most = 1,
                                     .nout = 1,
                                     .attrs = "",
                                     .need_in = 1,
                                     .shape = shape,
                                     .forward = forward_max,
                                     .backward = backward_max};
