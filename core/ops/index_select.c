/* SPDX-License-Identifier: GPL-3.0-or-later
 * index_select "axis:x=0 base:o=0" (x, index i32 {k}) - the k named slices of x along an axis, in
 * that order; repeats are allowed. Any type. Indices count from `base`. A slice's gradient is the
 * sum over its repeats, in their order.
 */
#include "axis.h"
#include "inverse.h"
#include "move.h"
#include "wide.h"

enum { AXIS, BASE };
enum { LANES = 256 };

static int shape(ea_call *c) {
  const ea_tensor *x = c->in[0];
  int64_t size[EA_MAX_DIM];
  int dim = 0;
  EA_TRY(ea_call_check_dtype(c, 1, EA_I32));
  EA_TRY(ea_call_check_ndim(c, 1, 1));
  EA_TRY(ea_call_axis(c, AXIS, x->ndim, &dim));
  memcpy(size, x->size, sizeof size);
  size[dim] = c->in[1]->size[0];
  ea_call_output(c, 0, x->dtype, x->ndim, size);
  return EA_OK;
}

typedef struct selection {
  ea_axis axis; /* of x */
  int64_t k;
  const int32_t *map; /* from 0 */
  const int64_t *start, *list;
  const ea_tensor *x, *y; /* or their gradients */
} selection;

/* scratch: the map from 0, and for backward its inverse. */
static int prepare(ea_call *c, selection *s, const ea_tensor *x, const ea_tensor *y) {
  const int32_t *index = ea_i32(c->in[1]);
  int64_t base = ea_attr_int(c, BASE), k = c->in[1]->size[0];
  *s = (selection){.axis = ea_axis_split(x, ea_attr_int(c, AXIS)), .k = k, .x = x, .y = y};
  int64_t n = s->axis.len;
  int64_t *start = ea_call_scratch(c, (size_t)(n + 1 + k + k) * sizeof(int64_t));
  if (!start) return EA_ERR_MEMORY;
  int32_t *map = (int32_t *)(start + n + 1 + k);
  for (int64_t i = 0; i < k; i++) {
    if (index[i] < base || index[i] - base >= n)
      return ea_call_fail(c, EA_ERR_ARG,
                          "index element %lld is %d, but the axis of %s has only "
                          "%lld to %lld",
                          (long long)(i + base), index[i], ea_shape_text(x), (long long)base,
                          (long long)(n - 1 + base));
    map[i] = (int32_t)(index[i] - base);
  }
  s->map = map;
  s->start = start;
  s->list = start + n + 1;
  return EA_OK;
}

/* Slices of x or y are numbered through: outer index * slices per outer index + slice. */
static void copy_range(void *arg, int64_t begin, int64_t end) {
  const selection *s = arg;
  int64_t run = s->axis.inner;
  size_t bytes = (size_t)(run * ea_dtype_size(s->x->dtype));
  for (int64_t i = begin; i < end; i++) {
    int64_t from = i / s->k * s->axis.len + s->map[i % s->k];
    memcpy(ea_element(s->y, i * run), ea_element(s->x, from * run), bytes);
  }
}

static int forward(ea_call *c) {
  selection s;
  EA_TRY(prepare(c, &s, c->in[0], c->out[0]));
  ea_parallel_range(s.axis.outer * s.k, EA_MAX(1, EA_CHUNK / EA_MAX(1, s.axis.inner)), copy_range,
                    &s);
  return EA_OK;
}

static void sum_range(void *arg, int64_t begin, int64_t end) {
  const selection *s = arg;
  double sum[LANES], part[LANES];
  int64_t run = s->axis.inner, n = s->axis.len;
  for (int64_t i = begin; i < end; i++) {
    const int64_t first = s->start[i % n], last = s->start[i % n + 1];
    for (int64_t j = 0; j < run; j += LANES) {
      int64_t lanes = EA_MIN(LANES, run - j);
      for (int64_t l = 0; l < lanes; l++) sum[l] = 0;
      for (int64_t r = first; r < last; r++) {
        int64_t from = i / n * s->k + s->list[r];
        ea_load_f64(part, ea_ptr(s->y), s->y->dtype, from * run + j, lanes);
        for (int64_t l = 0; l < lanes; l++) sum[l] += part[l];
      }
      ea_store_f64(ea_ptr(s->x), s->x->dtype, i * run + j, sum, lanes);
    }
  }
}

static int backward(ea_call *c) {
  selection s;
  if (!c->gin[0]) return EA_OK;
  EA_TRY(prepare(c, &s, c->gin[0], c->gout[0]));
  ea_invert(s.map, s.k, s.axis.len, (int64_t *)s.start, (int64_t *)s.list);
  ea_parallel_range(s.axis.outer * s.axis.len, EA_MAX(1, EA_CHUNK / EA_MAX(1, s.axis.inner)),
                    sum_range, &s);
  return EA_OK;
}

const ea_op ea_op_index_select = {
    .name = "index_select",
    .nin_least = 2,
    .nin_most = 2,
    .nout = 1,
    .attrs = "axis:x=0 base:o=0",
    .need_in = 2,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
