/* SPDX-License-Identifier: GPL-3.0-or-later
 * pad2d "top:i=0 bottom:i=0 left:i=0 right:i=0 mode:i=0 value:f=0" (x {n,h,w,c}) - a border around
 * images, out {n, h+top+bottom, w+left+right, c}. Any type.
 * mode 0: constant `value`; 1: reflect (the edge itself is not repeated; borders below h and w);
 * 2: replicate the edge.
 */
#include "inverse.h"
#include "move.h"
#include "wide.h"

enum { TOP, BOTTOM, LEFT, RIGHT, MODE, VALUE };
enum { CONSTANT, REFLECT, REPLICATE };
enum { LANES = 128 };

static int shape(ea_call *c) {
  const ea_tensor *x = c->in[0];
  EA_TRY(ea_call_check_ndim(c, 0, 4));
  int64_t pad[4], mode = ea_attr_int(c, MODE);
  for (int k = 0; k < 4; k++) {
    pad[k] = ea_attr_int(c, k);
    if (pad[k] < 0 || pad[k] > 1 << 20)
      return ea_call_fail(c, EA_ERR_ARG, "a border must have 0 to 2^20 pixels, got %lld",
                          (long long)pad[k]);
  }
  if (mode < CONSTANT || mode > REPLICATE)
    return ea_call_fail(c, EA_ERR_ARG,
                        "mode must be 0 (constant), 1 (reflect) or 2 (replicate), "
                        "got %lld",
                        (long long)mode);
  for (int k = 0; k < 4; k++) {
    int64_t edge = x->size[1 + k / 2];
    int64_t most = mode == REFLECT ? edge - 1 : mode == REPLICATE && edge == 0 ? 0 : pad[k];
    if (pad[k] > 0 && pad[k] > most)
      return ea_call_fail(c, EA_ERR_SHAPE, "a border of %lld needs images larger than that, got %s",
                          (long long)pad[k], ea_shape_text(x));
  }
  int64_t size[4] = {x->size[0], x->size[1] + pad[TOP] + pad[BOTTOM],
                     x->size[2] + pad[LEFT] + pad[RIGHT], x->size[3]};
  ea_call_output(c, 0, x->dtype, 4, size);
  return EA_OK;
}

/* Which of n pixels stands at each of n + before + after places; -1: the constant. */
static void fill_map(int32_t *map, int64_t n, int64_t before, int64_t after, int64_t mode) {
  for (int64_t i = 0; i < before + n + after; i++) {
    int64_t from = i - before;
    if (from < 0) from = mode == CONSTANT ? -1 : mode == REFLECT ? -from : 0;
    else if (from >= n) from = mode == CONSTANT ? -1 : mode == REFLECT ? 2 * n - 2 - from : n - 1;
    map[i] = (int32_t)from;
  }
}

typedef struct pad {
  const ea_tensor *x, *y; /* the images and the padded ones, or their gradients */
  int64_t left;
  int32_t *row, *col; /* maps of y's rows and columns */
  int64_t *row_start, *row_list, *col_start, *col_list;
  uint64_t value; /* one element's bytes */
} pad;

static int prepare(ea_call *c, pad *p, const ea_tensor *x, const ea_tensor *y) {
  int64_t h = x->size[1], w = x->size[2], oh = y->size[1], ow = y->size[2];
  int64_t *s = ea_call_scratch(c, (size_t)((h + 1 + w + 1 + 2 * (oh + ow)) * 8));
  if (!s) return EA_ERR_MEMORY;
  *p = (pad){.x = x, .y = y, .left = ea_attr_int(c, LEFT)};
  p->row_start = s, s += h + 1;
  p->col_start = s, s += w + 1;
  p->row_list = s, s += oh;
  p->col_list = s, s += ow;
  p->row = (int32_t *)s;
  p->col = p->row + oh;
  fill_map(p->row, h, ea_attr_int(c, TOP), ea_attr_int(c, BOTTOM), ea_attr_int(c, MODE));
  fill_map(p->col, w, ea_attr_int(c, LEFT), ea_attr_int(c, RIGHT), ea_attr_int(c, MODE));
  return EA_OK;
}

static void fill(char *to, int esize, uint64_t value, int64_t n) {
  if (value == 0) {
    memset(to, 0, (size_t)(n * esize));
    return;
  }
  for (int64_t i = 0; i < n; i++) memcpy(to + i * esize, &value, (size_t)esize);
}

static void pad_row(void *arg, int64_t shard) {
  const pad *p = arg;
  int esize = ea_dtype_size(p->x->dtype);
  int64_t h = p->x->size[1], w = p->x->size[2], oh = p->y->size[1], ow = p->y->size[2];
  int64_t pixel = p->x->size[3], from = p->row[shard % oh];
  char *to = ea_element(p->y, shard * ow * pixel);
  if (from < 0) {
    fill(to, esize, p->value, ow * pixel);
    return;
  }
  const char *row = ea_element(p->x, (shard / oh * h + from) * w * pixel);
  memcpy(to + p->left * pixel * esize, row, (size_t)(w * pixel * esize));
  for (int64_t i = 0; i < ow; i++) {
    if (i == p->left) i += w;
    if (i >= ow) break;
    char *out = to + i * pixel * esize;
    if (p->col[i] < 0) fill(out, esize, p->value, pixel);
    else memcpy(out, row + p->col[i] * pixel * esize, (size_t)(pixel * esize));
  }
}

static int forward(ea_call *c) {
  pad p;
  double v = c->attr[VALUE];
  int dtype = c->in[0]->dtype;
  EA_TRY(prepare(c, &p, c->in[0], c->out[0]));
  if (dtype == EA_I32) {
    int32_t i = (int32_t)EA_MAX(-2147483648.0, EA_MIN(2147483647.0, v));
    memcpy(&p.value, &i, sizeof i);
  } else if (dtype == EA_U8) {
    p.value = (uint8_t)EA_MAX(0.0, EA_MIN(255.0, v));
  } else if (dtype == EA_I8) {
    int8_t i = (int8_t)EA_MAX(-128.0, EA_MIN(127.0, v));
    memcpy(&p.value, &i, sizeof i);
  } else {
    ea_write(&p.value, dtype, 0, v);
  }
  ea_parallel(p.y->size[0] * p.y->size[1], pad_row, &p);
  return EA_OK;
}

/* One row of x's gradient: each pixel sums the places where it stood. */
static void gather_row(void *arg, int64_t shard) {
  const pad *p = arg;
  int64_t h = p->x->size[1], w = p->x->size[2], oh = p->y->size[1], ow = p->y->size[2];
  int64_t pixel = p->x->size[3], n = shard / h, y = shard % h;
  double sum[LANES], part[LANES];
  for (int64_t x = 0; x < w; x++) {
    for (int64_t c0 = 0; c0 < pixel; c0 += LANES) {
      int64_t lanes = EA_MIN(LANES, pixel - c0);
      memset(sum, 0, sizeof sum);
      for (int64_t r = p->row_start[y]; r < p->row_start[y + 1]; r++) {
        for (int64_t s = p->col_start[x]; s < p->col_start[x + 1]; s++) {
          int64_t at = ((n * oh + p->row_list[r]) * ow + p->col_list[s]) * pixel + c0;
          ea_load_f64(part, ea_ptr(p->y), p->y->dtype, at, lanes);
          for (int64_t i = 0; i < lanes; i++) sum[i] += part[i];
        }
      }
      ea_store_f64(ea_ptr(p->x), p->x->dtype, (shard * w + x) * pixel + c0, sum, lanes);
    }
  }
}

static int backward(ea_call *c) {
  pad p;
  EA_TRY(prepare(c, &p, c->gin[0], c->gout[0]));
  ea_invert(p.row, p.y->size[1], p.x->size[1], p.row_start, p.row_list);
  ea_invert(p.col, p.y->size[2], p.x->size[2], p.col_start, p.col_list);
  ea_parallel(p.x->size[0] * p.x->size[1], gather_row, &p);
  return EA_OK;
}

const ea_op ea_op_pad2d = {
    .name = "pad2d",
    .nin_least = 1,
    .nin_most = 1,
    .nout = 1,
    .attrs = "top:i=0 bottom:i=0 left:i=0 right:i=0 mode:i=0 value:f=0",
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
