/* SPDX-License-Identifier: GPL-3.0-or-later
 * resize - images to height x width, per channel; as PyTorch's interpolate.
 *
 *   x {n,h,w,c} f32, bf16 or f64 -> y {n,height,width,c}.
 *   mode 0, bilinear: y at i reads x at s = max(0, (i + 1/2) h/height - 1/2), or with align_corners
 *   s = i (h-1)/(height-1), between its two neighbours in proportion.
 *   mode 1, nearest: s = floor(i h/height).
 */
#include <math.h>

#include "real.h"

typedef struct job {
  ea_call *call;
  int64_t h, w, c, oh, ow;
  int nearest, corners;
  float *f32;
} job;

typedef struct tap {
  int64_t at[2];
  double weight[2];
} tap; /* two neighbours on one axis */

static tap tap_of(const job *j, int64_t i, int64_t in, int64_t out) {
  if (j->nearest) {
    int64_t at = i * in / out;
    return (tap){{at, at}, {1, 0}};
  }
  double s = j->corners ? (out > 1 ? (double)i * (double)(in - 1) / (double)(out - 1) : 0)
                        : fmax(0, ((double)i + 0.5) * (double)in / (double)out - 0.5);
  int64_t low = EA_MIN((int64_t)s, in - 1);
  double part = s - (double)low;
  return (tap){{low, EA_MIN(low + 1, in - 1)}, {1 - part, part}};
}

EA_INLINE void forward_row(const job *j, int dtype, int64_t row) {
  int64_t image = row / j->oh;
  const void *x = ea_ptr(j->call->in[0]);
  void *y = ea_ptr(j->call->out[0]);
  tap v = tap_of(j, row % j->oh, j->h, j->oh);
  for (int64_t k = 0; k < j->ow; k++) {
    tap u = tap_of(j, k, j->w, j->ow);
    int64_t to = (row * j->ow + k) * j->c, from[4];
    double weight[4];
    for (int q = 0; q < 4; q++) {
      from[q] = ((image * j->h + v.at[q / 2]) * j->w + u.at[q % 2]) * j->c;
      weight[q] = v.weight[q / 2] * u.weight[q % 2];
    }
    for (int64_t c = 0; c < j->c; c++) {
      double sum = ea_real(x, dtype, from[0] + c);
      if (!j->nearest) {
        sum *= weight[0];
        for (int q = 1; q < 4; q++) sum += weight[q] * ea_real(x, dtype, from[q] + c);
      }
      ea_real_set(y, dtype, to + c, sum);
    }
  }
}

EA_INLINE void backward_image(const job *j, int dtype, int sum_dtype, int64_t image, void *to) {
  const void *g = ea_ptr(j->call->gout[0]);
  for (int64_t i = 0; i < j->oh; i++) {
    tap v = tap_of(j, i, j->h, j->oh);
    for (int64_t k = 0; k < j->ow; k++) {
      tap u = tap_of(j, k, j->w, j->ow);
      int64_t from = ((image * j->oh + i) * j->ow + k) * j->c;
      for (int q = 0; q < 4; q++) {
        double weight = v.weight[q / 2] * u.weight[q % 2];
        int64_t at = (v.at[q / 2] * j->w + u.at[q % 2]) * j->c;
        if (weight == 0) continue;
        for (int64_t c = 0; c < j->c; c++)
          ea_real_add(to, sum_dtype, at + c, weight * ea_real(g, dtype, from + c));
      }
    }
  }
}

static void forward_shard(void *arg, int64_t row) {
  const job *j = arg;
  EA_BY_DTYPE(j->call->in[0]->dtype, forward_row(j, D, row));
}

static void backward_shard(void *arg, int64_t image) {
  const job *j = arg;
  ea_image_sum s = ea_image_sum_begin(j->call->gin[0], image, j->h * j->w * j->c, j->f32);
  EA_BY_DTYPE(j->call->gin[0]->dtype,
              backward_image(j, D, (int)D == EA_BF16 ? EA_F32 : (int)D, image, s.at));
  ea_image_sum_end(&s);
}

static void describe(ea_call *c, job *j) {
  const ea_tensor *x = c->in[0];
  *j = (job){.call = c,
             .h = x->size[1],
             .w = x->size[2],
             .c = x->size[3],
             .oh = ea_attr_int(c, 0),
             .ow = ea_attr_int(c, 1),
             .nearest = c->attr[2] == 1,
             .corners = c->attr[3] != 0};
}

static int shape(ea_call *c) {
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_call_check_ndim(c, 0, 4));
  const ea_tensor *x = c->in[0];
  if (!(c->attr[0] >= 1 && c->attr[0] <= 32768 && c->attr[1] >= 1 && c->attr[1] <= 32768))
    return ea_call_fail(c, EA_ERR_ARG, "expected a height and a width of 1 to 32768, got %g and %g",
                        c->attr[0], c->attr[1]);
  if (c->attr[2] != 0 && c->attr[2] != 1)
    return ea_call_fail(c, EA_ERR_ARG, "mode is %g, expected 0 (bilinear) or 1 (nearest)",
                        c->attr[2]);
  if (c->attr[2] == 1 && c->attr[3] != 0)
    return ea_call_fail(c, EA_ERR_ARG, "align_corners goes with mode 0 (bilinear) only");
  if (x->size[1] * x->size[2] == 0)
    return ea_call_fail(c, EA_ERR_SHAPE, "the images %s have no pixels", ea_shape_text(x));
  int64_t size[4] = {x->size[0], ea_attr_int(c, 0), ea_attr_int(c, 1), x->size[3]};
  ea_call_output(c, 0, x->dtype, 4, size);
  return EA_OK;
}

static int forward(ea_call *c) {
  job j;
  describe(c, &j);
  ea_parallel(c->in[0]->size[0] * j.oh, forward_shard, &j);
  return EA_OK;
}

static int backward(ea_call *c) {
  job j;
  describe(c, &j);
  j.f32 = ea_call_scratch(c, ea_image_sum_bytes(c->gin[0], j.h * j.w * j.c));
  if (!j.f32) return EA_ERR_MEMORY;
  ea_parallel(c->in[0]->size[0], backward_shard, &j);
  return EA_OK;
}

const ea_op ea_op_resize = {.name = "resize",
                            .nin_least = 1,
                            .nin_most = 1,
                            .nout = 1,
                            .attrs = "height:i width:i mode:i=0 align_corners:b=0",
                            .shape = shape,
                            .forward = forward,
                            .backward = backward};
