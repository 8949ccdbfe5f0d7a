/* SPDX-License-Identifier: GPL-3.0-or-later
 * warp - images sampled at given places (Jaderberg et al. 2015); as PyTorch's grid_sample with
 * align_corners=false.
 *
 *   x {n,h,w,c} f32, bf16 or f64; grid {n,gh,gw,2} f32 (f64 with f64 x): (gx, gy) in [-1,1], the
 *   outer edges of the image -> y {n,gh,gw,c}: x at column ((gx+1) w - 1)/2, row ((gy+1) h - 1)/2.
 *   mode 0 bilinear, 1 nearest (halves to even); padding 0: zeros outside; 1: the border's values.
 *   Gradients to x and to grid (which is 0 in mode 1 and where the border holds the place).
 */
#include <math.h>

#include "real.h"

typedef struct job {
  ea_call *call;
  int64_t h, w, c, gh, gw;
  int nearest, border;
  float *f32;
} job;

/* One coordinate: two neighbours, their weights, d(position)/d(grid) (0 where the border holds). */
typedef struct place {
  int64_t at[2];
  double weight[2], slope;
} place;

static place place_of(const job *j, double g, int64_t size) {
  double s = ((g + 1) * (double)size - 1) / 2, slope = (double)size / 2;
  if (!(s > -0x1p30)) s = -0x1p30; /* NaN too */
  if (s > 0x1p30) s = 0x1p30;
  if (j->border && (s <= 0 || s >= (double)(size - 1))) {
    s = s <= 0 ? 0 : (double)(size - 1);
    slope = 0;
  }
  if (j->nearest) {
    int64_t at = (int64_t)nearbyint(s);
    return (place){{at, at}, {1, 0}, 0};
  }
  double low = floor(s);
  return (place){{(int64_t)low, (int64_t)low + 1}, {1 - (s - low), s - low}, slope};
}

static int inside(const job *j, int64_t row, int64_t column) {
  return row >= 0 && row < j->h && column >= 0 && column < j->w;
}

EA_INLINE void forward_row(const job *j, int dtype, int64_t row) {
  int64_t image = row / j->gh;
  const void *x = ea_ptr(j->call->in[0]), *grid = ea_ptr(j->call->in[1]);
  void *y = ea_ptr(j->call->out[0]);
  int grid_dtype = dtype == EA_F64 ? EA_F64 : EA_F32;
  for (int64_t k = 0; k < j->gw; k++) {
    int64_t p = row * j->gw + k, from[4];
    place u = place_of(j, ea_real(grid, grid_dtype, 2 * p), j->w);
    place v = place_of(j, ea_real(grid, grid_dtype, 2 * p + 1), j->h);
    double weight[4];
    for (int q = 0; q < 4; q++) {
      int ok = inside(j, v.at[q / 2], u.at[q % 2]);
      from[q] = ok ? ((image * j->h + v.at[q / 2]) * j->w + u.at[q % 2]) * j->c : -1;
      weight[q] = v.weight[q / 2] * u.weight[q % 2];
    }
    for (int64_t c = 0; c < j->c; c++) {
      double sum = 0;
      for (int q = 0; q < 4; q++)
        if (from[q] >= 0 && weight[q] != 0) sum += weight[q] * ea_real(x, dtype, from[q] + c);
      ea_real_set(y, dtype, p * j->c + c, sum);
    }
  }
}

EA_INLINE void backward_image(const job *j, int dtype, int sum_dtype, int64_t image, void *to) {
  ea_call *c = j->call;
  const void *x = ea_ptr(c->in[0]), *grid = ea_ptr(c->in[1]), *g = ea_ptr(c->gout[0]);
  int grid_dtype = dtype == EA_F64 ? EA_F64 : EA_F32;
  for (int64_t k = 0; k < j->gh * j->gw; k++) {
    int64_t p = image * j->gh * j->gw + k;
    place u = place_of(j, ea_real(grid, grid_dtype, 2 * p), j->w);
    place v = place_of(j, ea_real(grid, grid_dtype, 2 * p + 1), j->h);
    double gu = 0, gv = 0;
    for (int q = 0; q < 4; q++) {
      int64_t row = v.at[q / 2], column = u.at[q % 2];
      if (!inside(j, row, column)) continue;
      int64_t at = (row * j->w + column) * j->c, from = image * j->h * j->w * j->c + at;
      double weight = v.weight[q / 2] * u.weight[q % 2], dot = 0;
      for (int64_t i = 0; i < j->c; i++) {
        double gy = ea_real(g, dtype, p * j->c + i);
        if (to && weight != 0) ea_real_add(to, sum_dtype, at + i, weight * gy);
        dot += gy * ea_real(x, dtype, from + i);
      }
      gu += (q % 2 ? 1 : -1) * v.weight[q / 2] * dot;
      gv += (q / 2 ? 1 : -1) * u.weight[q % 2] * dot;
    }
    if (!c->gin[1]) continue;
    ea_real_set(ea_ptr(c->gin[1]), grid_dtype, 2 * p, u.slope * gu);
    ea_real_set(ea_ptr(c->gin[1]), grid_dtype, 2 * p + 1, v.slope * gv);
  }
}

static void forward_shard(void *arg, int64_t row) {
  const job *j = arg;
  EA_BY_DTYPE(j->call->in[0]->dtype, forward_row(j, D, row));
}

static void backward_shard(void *arg, int64_t image) {
  const job *j = arg;
  ea_tensor *gx = j->call->gin[0];
  ea_image_sum s = {0};
  if (gx) s = ea_image_sum_begin(gx, image, j->h * j->w * j->c, j->f32);
  EA_BY_DTYPE(j->call->in[0]->dtype,
              backward_image(j, D, (int)D == EA_BF16 ? EA_F32 : (int)D, image, s.at));
  if (gx) ea_image_sum_end(&s);
}

static void describe(ea_call *c, job *j) {
  const ea_tensor *x = c->in[0], *grid = c->in[1];
  *j = (job){.call = c,
             .h = x->size[1],
             .w = x->size[2],
             .c = x->size[3],
             .gh = grid->size[1],
             .gw = grid->size[2],
             .nearest = c->attr[0] == 1,
             .border = c->attr[1] == 1};
}

static int shape(ea_call *c) {
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_call_check_ndim(c, 0, 4));
  EA_TRY(ea_call_check_ndim(c, 1, 4));
  const ea_tensor *x = c->in[0], *grid = c->in[1];
  EA_TRY(ea_call_check_dtype(c, 1, x->dtype == EA_F64 ? EA_F64 : EA_F32));
  if (grid->size[0] != x->size[0] || grid->size[3] != 2)
    return ea_call_fail(c, EA_ERR_SHAPE,
                        "the grid must be {%lld, height, width, 2} for the images "
                        "%s, got %s",
                        (long long)x->size[0], ea_shape_text(x), ea_shape_text(grid));
  if (x->size[1] * x->size[2] == 0)
    return ea_call_fail(c, EA_ERR_SHAPE, "the images %s have no pixels", ea_shape_text(x));
  for (int k = 0; k < 2; k++)
    if (c->attr[k] != 0 && c->attr[k] != 1)
      return ea_call_fail(c, EA_ERR_ARG, "%s is %g, expected 0 (%s) or 1 (%s)",
                          k ? "padding" : "mode", c->attr[k], k ? "zeros" : "bilinear",
                          k ? "border" : "nearest");
  int64_t size[4] = {x->size[0], grid->size[1], grid->size[2], x->size[3]};
  ea_call_output(c, 0, x->dtype, 4, size);
  return EA_OK;
}

static int forward(ea_call *c) {
  job j;
  describe(c, &j);
  ea_parallel(c->in[0]->size[0] * j.gh, forward_shard, &j);
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

const ea_op ea_op_warp = {.name = "warp",
                          .nin_least = 2,
                          .nin_most = 2,
                          .nout = 1,
                          .attrs = "mode:i=0 padding:i=0",
                          .need_in = 3,
                          .shape = shape,
                          .forward = forward,
                          .backward = backward};
