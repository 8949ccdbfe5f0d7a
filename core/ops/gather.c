/* SPDX-License-Identifier: GPL-3.0-or-later
 * gather "axis:x=0 base:o=0" (x, index i32) - out has index's shape; along axis 0:
 *   out[i][j][k] = x[index[i][j][k]][j][k]                                       (as torch.gather)
 * scatter_add "axis:x=0 base:o=0" (x, index i32, src) - out is x, plus
 *   out[index[i][j][k]][j][k] += src[i][j][k]                                (torch.scatter_add)
 * index has as many dimensions as x and, off the axis, sizes at most x's (and nowhere above src's).
 * Each one's gradient is the other. Indices count from `base`. gather takes any type of x,
 * scatter_add f32, bf16 (summed in f32) and f64. Sums run in the order of index's elements.
 */
#include "axis.h"
#include "move.h"
#include "wide.h"

enum { AXIS, BASE };

static int check(const ea_call *c, int *dim) {
  const ea_tensor *x = c->in[0], *index = c->in[1];
  EA_TRY(ea_call_check_dtype(c, 1, EA_I32));
  EA_TRY(ea_call_axis(c, AXIS, x->ndim, dim));
  int fits = index->ndim == x->ndim;
  for (int d = 0; fits && d < x->ndim; d++) fits = d == *dim || index->size[d] <= x->size[d];
  if (!fits)
    return ea_call_fail(c, EA_ERR_SHAPE,
                        "the index %s must have the dimensions of %s, and off the "
                        "axis no larger sizes",
                        ea_shape_text(index), ea_shape_text(x));
  return EA_OK;
}

static int gather_shape(ea_call *c) {
  int dim = 0;
  EA_TRY(check(c, &dim));
  ea_call_output(c, 0, c->in[0]->dtype, c->in[1]->ndim, c->in[1]->size);
  return EA_OK;
}

static int scatter_shape(ea_call *c) {
  const ea_tensor *x = c->in[0], *index = c->in[1], *src = c->in[2];
  int dim = 0;
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(check(c, &dim));
  if (src->dtype != x->dtype)
    return ea_call_fail(c, EA_ERR_DTYPE, "x %s and src %s must have one type", ea_shape_text(x),
                        ea_shape_text(src));
  int fits = src->ndim == x->ndim;
  for (int d = 0; fits && d < x->ndim; d++) fits = index->size[d] <= src->size[d];
  if (!fits)
    return ea_call_fail(c, EA_ERR_SHAPE, "the index %s must fit into src %s", ea_shape_text(index),
                        ea_shape_text(src));
  ea_call_output(c, 0, x->dtype, x->ndim, x->size);
  return EA_OK;
}

/* A walk over index's rows (its last dimension): `at` addresses the tensor of x's shape through the
 * index, `beside` the one of index's or src's shape at the same place. */
typedef struct walk {
  const ea_tensor *index, *at, *beside;
  int dim;
  int64_t base, rows, row, at_stride[EA_MAX_DIM], beside_stride[EA_MAX_DIM];
  int64_t rows_per_shard;
  void *sum; /* at's memory, or its f32 image for bf16 */
} walk;

static int walk_start(const ea_call *c, walk *w, const ea_tensor *at, const ea_tensor *beside) {
  const ea_tensor *index = c->in[1];
  int64_t axis = ea_attr_int(c, AXIS), n, count = ea_tensor_count(index);
  int last = index->ndim - 1;
  *w = (walk){.index = index, .at = at, .beside = beside, .base = ea_attr_int(c, BASE)};
  w->dim = (int)(axis < 0 ? axis + at->ndim : axis);
  w->row = index->size[last];
  w->rows = count == 0 ? 0 : count / w->row;
  ea_strides_of(at->ndim, at->size, w->at_stride);
  ea_strides_of(beside->ndim, beside->size, w->beside_stride);
  n = at->size[w->dim];
  const int32_t *i = ea_i32(index);
  for (int64_t k = 0; k < count; k++)
    if (i[k] < w->base || i[k] - w->base >= n)
      return ea_call_fail(c, EA_ERR_ARG,
                          "index element %lld is %d, but the axis of %s has only "
                          "%lld to %lld",
                          (long long)(k + w->base), i[k], ea_shape_text(at), (long long)w->base,
                          (long long)(n - 1 + w->base));
  return EA_OK;
}

static void walk_row(const walk *w, int64_t row, int64_t *at, int64_t *beside) {
  *at = *beside = 0;
  for (int d = w->index->ndim - 2; d >= 0; d--) {
    int64_t i = row % w->index->size[d];
    row /= w->index->size[d];
    *beside += i * w->beside_stride[d];
    if (d != w->dim) *at += i * w->at_stride[d];
  }
}

static void gather_range(void *arg, int64_t begin, int64_t end) {
  const walk *w = arg;
  int esize = ea_dtype_size(w->at->dtype);
  int64_t step = w->dim == w->index->ndim - 1 ? 0 : 1, along = w->at_stride[w->dim];
  for (int64_t r = begin; r < end; r++) {
    const int32_t *index = ea_i32(w->index) + r * w->row;
    int64_t from, to;
    walk_row(w, r, &from, &to);
    for (int64_t j = 0; j < w->row; j++)
      memcpy(ea_element(w->beside, to + j),
             ea_element(w->at, from + (index[j] - w->base) * along + j * step), (size_t)esize);
  }
}

static void gather(walk *w) {
  ea_parallel_range(w->rows, EA_MAX(1, EA_CHUNK / EA_MAX(1, w->row)), gather_range, w);
}

static void scatter_shard(void *arg, int64_t shard) {
  const walk *w = arg;
  int dtype = w->at->dtype;
  int64_t step = w->dim == w->index->ndim - 1 ? 0 : 1, along = w->at_stride[w->dim];
  int64_t end = EA_MIN(w->rows, (shard + 1) * w->rows_per_shard);
  for (int64_t r = shard * w->rows_per_shard; r < end; r++) {
    const int32_t *index = ea_i32(w->index) + r * w->row;
    int64_t to, from;
    walk_row(w, r, &to, &from);
    for (int64_t j = 0; j < w->row; j++) {
      int64_t at = to + (index[j] - w->base) * along + j * step;
      double v = ea_read(ea_ptr(w->beside), dtype, from + j);
      if (dtype == EA_F64) ((double *)w->sum)[at] += v;
      else ((float *)w->sum)[at] += (float)v;
    }
  }
}

/* at (whose starting values are there) += beside. Shards are slices of dimension 0, which never
 * meet, unless that is the axis. */
static int scatter(ea_call *c, walk *w) {
  const ea_tensor *at = w->at;
  int64_t count = ea_tensor_count(at);
  w->sum = ea_ptr(at);
  if (at->dtype == EA_BF16) {
    w->sum = ea_call_scratch(c, (size_t)count * sizeof(float));
    if (!w->sum) return EA_ERR_MEMORY;
    ea_load_f32(w->sum, ea_ptr(at), EA_BF16, count);
  }
  int64_t slices = w->dim == 0 ? 1 : w->index->size[0];
  if (w->rows > 0) {
    w->rows_per_shard = w->rows / slices;
    ea_parallel(slices, scatter_shard, w);
  }
  if (at->dtype == EA_BF16) ea_store_f32(ea_ptr(at), EA_BF16, w->sum, count);
  return EA_OK;
}

static int gather_forward(ea_call *c) {
  walk w;
  EA_TRY(walk_start(c, &w, c->in[0], c->out[0]));
  gather(&w);
  return EA_OK;
}

static int gather_backward(ea_call *c) {
  walk w;
  if (!c->gin[0]) return EA_OK;
  EA_TRY(walk_start(c, &w, c->gin[0], c->gout[0]));
  memset(ea_ptr(c->gin[0]), 0, (size_t)ea_tensor_bytes(c->gin[0]));
  return scatter(c, &w);
}

static int scatter_forward(ea_call *c) {
  walk w;
  EA_TRY(walk_start(c, &w, c->out[0], c->in[2]));
  memcpy(ea_ptr(c->out[0]), ea_ptr(c->in[0]), (size_t)ea_tensor_bytes(c->out[0]));
  return scatter(c, &w);
}

static int scatter_backward(ea_call *c) {
  walk w;
  if (c->gin[0]) memcpy(ea_ptr(c->gin[0]), ea_ptr(c->gout[0]), (size_t)ea_tensor_bytes(c->gin[0]));
  if (!c->gin[2]) return EA_OK;
  EA_TRY(walk_start(c, &w, c->gout[0], c->gin[2]));
  memset(ea_ptr(c->gin[2]), 0, (size_t)ea_tensor_bytes(c->gin[2]));
  gather(&w);
  return EA_OK;
}

const ea_op ea_op_gather = {
    .name = "gather",
    .nin_least = 2,
    .nin_most = 2,
    .nout = 1,
    .attrs = "axis:x=0 base:o=0",
    .need_in = 2,
    .shape = gather_shape,
    .forward = gather_forward,
    .backward = gather_backward,
};

const ea_op ea_op_scatter_add = {
    .name = "scatter_add",
    .nin_least = 3,
    .nin_most = 3,
    .nout = 1,
    .attrs = "axis:x=0 base:o=0",
    .need_in = 2,
    .shape = scatter_shape,
    .forward = scatter_forward,
    .backward = scatter_backward,
};
