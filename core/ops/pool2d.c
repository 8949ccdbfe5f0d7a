/* SPDX-License-Identifier: GPL-3.0-or-later
 * max_pool2d, avg_pool2d - the maximum or mean of windows of size x size pixels, per channel.
 *
 *   x {n,h,w,c} f32, bf16 or f64 -> y {n,oh,ow,c}, oh = (h + 2 pad - size) / stride + 1, rounded
 *   down; stride 0 means stride = size; pad <= size/2.
 *   max ignores the padding; its gradient goes to the first of the largest (in reading order),
 *   found again from x. avg counts the padding as zeros and divides by size*size, as PyTorch's
 *   default.
 */
#include <math.h>

#include "real.h"

enum { BLOCK = 64 }; /* channels at a time */

typedef struct job {
  ea_call *call;
  int max;
  int64_t h, w, c, oh, ow, size, stride, pad;
  float *f32;
} job;

typedef struct window {
  int64_t top, bottom, left, right;
} window; /* within the image */

static window window_of(const job *j, int64_t i, int64_t k) {
  int64_t y = i * j->stride - j->pad, x = k * j->stride - j->pad;
  return (window){EA_MAX(y, 0), EA_MIN(y + j->size, j->h), EA_MAX(x, 0), EA_MIN(x + j->size, j->w)};
}

/* Sums or maxima of n channels from c0 over a window of the image at x; pixel[m]: where the first
 * maximum is. */
EA_INLINE void pool_window(const job *j, const void *x, int dtype, int64_t base, window v,
                           int64_t c0, int n, double *value, int32_t *pixel) {
  for (int m = 0; m < n; m++) {
    value[m] = j->max ? -INFINITY : 0;
    pixel[m] = (int32_t)(v.top * j->w + v.left);
  }
  for (int64_t a = v.top; a < v.bottom; a++)
    for (int64_t b = v.left; b < v.right; b++) {
      int64_t at = base + (a * j->w + b) * j->c + c0;
      int32_t here = (int32_t)(a * j->w + b);
      if (!j->max) {
        for (int m = 0; m < n; m++) value[m] += ea_real(x, dtype, at + m);
      } else {
        for (int m = 0; m < n; m++) {
          double u = ea_real(x, dtype, at + m);
          int take = (u > value[m]) | ((u != u) & (value[m] == value[m])); /* the first NaN wins */
          value[m] = take ? u : value[m];
          pixel[m] = take ? here : pixel[m];
        }
      }
    }
}

EA_INLINE void forward_image(const job *j, int dtype, int64_t image) {
  const void *x = ea_ptr(j->call->in[0]);
  void *y = ea_ptr(j->call->out[0]);
  double area = (double)(j->size * j->size), value[BLOCK];
  int32_t pixel[BLOCK];
  for (int64_t i = 0; i < j->oh; i++)
    for (int64_t k = 0; k < j->ow; k++)
      for (int64_t c0 = 0; c0 < j->c; c0 += BLOCK) {
        int n = (int)EA_MIN(BLOCK, j->c - c0);
        int64_t at = ((image * j->oh + i) * j->ow + k) * j->c + c0;
        window v = window_of(j, i, k);
        pool_window(j, x, dtype, image * j->h * j->w * j->c, v, c0, n, value, pixel);
        for (int m = 0; m < n; m++)
          ea_real_set(y, dtype, at + m, j->max ? value[m] : value[m] / area);
      }
}

EA_INLINE void backward_image(const job *j, int dtype, int sum_dtype, int64_t image, void *to) {
  const void *x = j->max ? ea_ptr(j->call->in[0]) : NULL, *g = ea_ptr(j->call->gout[0]);
  double area = (double)(j->size * j->size), value[BLOCK];
  int32_t pixel[BLOCK];
  for (int64_t i = 0; i < j->oh; i++)
    for (int64_t k = 0; k < j->ow; k++)
      for (int64_t c0 = 0; c0 < j->c; c0 += BLOCK) {
        int n = (int)EA_MIN(BLOCK, j->c - c0);
        int64_t at = ((image * j->oh + i) * j->ow + k) * j->c + c0;
        window v = window_of(j, i, k);
        if (j->max) {
          pool_window(j, x, dtype, image * j->h * j->w * j->c, v, c0, n, value, pixel);
          for (int m = 0; m < n; m++)
            ea_real_add(to, sum_dtype, pixel[m] * j->c + c0 + m, ea_real(g, dtype, at + m));
          continue;
        }
        for (int64_t a = v.top; a < v.bottom; a++)
          for (int64_t b = v.left; b < v.right; b++)
            for (int m = 0; m < n; m++)
              ea_real_add(to, sum_dtype, (a * j->w + b) * j->c + c0 + m,
                          ea_real(g, dtype, at + m) / area);
      }
}

static void forward_shard(void *arg, int64_t image) {
  const job *j = arg;
  EA_BY_DTYPE(j->call->in[0]->dtype, forward_image(j, D, image));
}

static void backward_shard(void *arg, int64_t image) {
  const job *j = arg;
  ea_image_sum s = ea_image_sum_begin(j->call->gin[0], image, j->h * j->w * j->c, j->f32);
  EA_BY_DTYPE(j->call->gin[0]->dtype,
              backward_image(j, D, (int)D == EA_BF16 ? EA_F32 : (int)D, image, s.at));
  ea_image_sum_end(&s);
}

static void describe(ea_call *c, int max, job *j) {
  const ea_tensor *x = c->in[0];
  *j = (job){.call = c,
             .max = max,
             .h = x->size[1],
             .w = x->size[2],
             .c = x->size[3],
             .size = ea_attr_int(c, 0),
             .stride = ea_attr_int(c, 1),
             .pad = ea_attr_int(c, 2)};
  if (!j->stride) j->stride = j->size;
  j->oh = (j->h + 2 * j->pad - j->size) / j->stride + 1;
  j->ow = (j->w + 2 * j->pad - j->size) / j->stride + 1;
}

static int shape(ea_call *c) {
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_call_check_ndim(c, 0, 4));
  if (!(c->attr[0] >= 1 && c->attr[0] <= 32768 && c->attr[1] >= 0 && c->attr[1] <= 32768))
    return ea_call_fail(c, EA_ERR_ARG,
                        "expected a size of 1 or more and a stride of 0 or more, "
                        "got %g and %g",
                        c->attr[0], c->attr[1]);
  if (!(c->attr[2] >= 0 && 2 * c->attr[2] <= c->attr[0]))
    return ea_call_fail(c, EA_ERR_ARG, "pad is %g, expected 0 to half the window's size of %g",
                        c->attr[2], c->attr[0]);
  job j;
  describe(c, 0, &j);
  if (j.h + 2 * j.pad < j.size || j.w + 2 * j.pad < j.size || j.h * j.w > INT32_MAX)
    return ea_call_fail(c, EA_ERR_SHAPE, "a window of %d x %d does not fit into the images %s",
                        (int)j.size, (int)j.size, ea_shape_text(c->in[0]));
  int64_t size[4] = {c->in[0]->size[0], j.oh, j.ow, j.c};
  ea_call_output(c, 0, c->in[0]->dtype, 4, size);
  return EA_OK;
}

static int forward(ea_call *c, int max) {
  job j;
  describe(c, max, &j);
  ea_parallel(c->in[0]->size[0], forward_shard, &j);
  return EA_OK;
}

static int backward(ea_call *c, int max) {
  job j;
  describe(c, max, &j);
  j.f32 = ea_call_scratch(c, ea_image_sum_bytes(c->gin[0], j.h * j.w * j.c));
  if (!j.f32) return EA_ERR_MEMORY;
  ea_parallel(c->in[0]->size[0], backward_shard, &j);
  return EA_OK;
}

static int forward_max(ea_call *c) { return forward(c, 1); }
static int forward_avg(ea_call *c) { return forward(c, 0); }
static int backward_max(ea_call *c) { return backward(c, 1); }
static int backward_avg(ea_call *c) { return backward(c, 0); }

const ea_op ea_op_max_pool2d = {.name = "max_pool2d",
                                .nin_least = 1,
                                .nin_most = 1,
                                .nout = 1,
                                .attrs = "size:i stride:i=0 pad:i=0",
                                .need_in = 1,
                                .shape = shape,
                                .forward = forward_max,
                                .backward = backward_max};

const ea_op ea_op_avg_pool2d = {.name = "avg_pool2d",
                                .nin_least = 1,
                                .nin_most = 1,
                                .nout = 1,
                                .attrs = "size:i stride:i=0 pad:i=0",
                                .shape = shape,
                                .forward = forward_avg,
                                .backward = backward_avg};
