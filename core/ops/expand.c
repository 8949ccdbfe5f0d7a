/* SPDX-License-Identifier: GPL-3.0-or-later
 * expand "size:L" (x) - repeats x along its dimensions of size 1 and along new leading ones; -1
 * keeps a size. Any type. The gradient is the sum over the repeats, in one fixed order.
 */
#include "move.h"
#include "wide.h"

enum { LANES = 256 };

static int shape(ea_call *c) {
  const ea_tensor *x = c->in[0];
  int64_t size[EA_MAX_DIM];
  int lead = c->nattr - x->ndim;
  if (lead < 0 || c->nattr > EA_MAX_DIM)
    return ea_call_fail(c, EA_ERR_ARG, "needs %d to %d sizes for %s, got %d", x->ndim, EA_MAX_DIM,
                        ea_shape_text(x), c->nattr);
  for (int d = 0; d < c->nattr; d++) {
    size[d] = ea_attr_int(c, d);
    if (d >= lead && size[d] == -1) size[d] = x->size[d - lead];
  }
  for (int d = 0; d < c->nattr; d++) {
    if (size[d] < 0) return ea_call_fail(c, EA_ERR_ARG, "a new leading size must not be negative");
    if (d >= lead && x->size[d - lead] != 1 && x->size[d - lead] != size[d])
      return ea_call_fail(c, EA_ERR_SHAPE, "%s does not expand to %s: only sizes of 1 do",
                          ea_shape_text(x), ea_sizes_text(c->nattr, size));
  }
  if (ea_check_sizes(c->nattr, size) < 0) return ea_fail_within(EA_ERR_SHAPE, "expand");
  ea_call_output(c, 0, x->dtype, c->nattr, size);
  return EA_OK;
}

/* Strides with which `small` is read to look like `big`: 0 where it repeats. */
static void repeat_strides(const ea_tensor *small, const ea_tensor *big, int64_t *stride) {
  int64_t own[EA_MAX_DIM];
  int lead = big->ndim - small->ndim;
  ea_strides_of(small->ndim, small->size, own);
  for (int d = 0; d < big->ndim; d++)
    stride[d] = d < lead || small->size[d - lead] == 1 ? 0 : own[d - lead];
}

static int forward(ea_call *c) {
  const ea_tensor *x = c->in[0], *y = c->out[0];
  int64_t from[EA_MAX_DIM], to[EA_MAX_DIM];
  repeat_strides(x, y, from);
  ea_strides_of(y->ndim, y->size, to);
  ea_move(ea_dtype_size(y->dtype), y->ndim, y->size, ea_ptr(y), to, ea_ptr(x), from);
  return EA_OK;
}

/* The gradient's dimensions in two groups: kept (walked by x's elements) and repeated. */
typedef struct sums {
  int dtype, nkeep, nrepeat;
  int64_t keep_size[EA_MAX_DIM], keep_stride[EA_MAX_DIM];
  int64_t repeat_size[EA_MAX_DIM], repeat_stride[EA_MAX_DIM];
  int64_t repeats; /* combinations of the repeated dimensions, without `across` */
  int64_t run;     /* elements of x that lie together in the gradient too */
  int64_t across;  /* repeats of one element that lie together; run or across is 1 */
  const void *from;
  void *to;
} sums;

static int64_t offset_of(int64_t i, int n, const int64_t *size, const int64_t *stride) {
  int64_t offset = 0;
  for (int d = n - 1; d >= 0; d--) {
    offset += i % size[d] * stride[d];
    i /= size[d];
  }
  return offset;
}

static double sum_row(const sums *s, int64_t at) {
  double part[LANES], total = 0;
  for (int64_t i = 0; i < s->across; i += LANES) {
    int64_t n = EA_MIN(LANES, s->across - i);
    ea_load_f64(part, s->from, s->dtype, at + i, n);
    for (int64_t k = 0; k < n; k++) total += part[k];
  }
  return total;
}

static void sum_range(void *arg, int64_t begin, int64_t end) {
  const sums *s = arg;
  double total[LANES], part[LANES];
  while (begin < end) {
    int64_t lanes = EA_MIN(EA_MIN(end - begin, s->run - begin % s->run), LANES);
    int64_t base = offset_of(begin, s->nkeep, s->keep_size, s->keep_stride);
    for (int64_t i = 0; i < lanes; i++) total[i] = 0;
    for (int64_t r = 0; r < s->repeats; r++) {
      int64_t at = base + offset_of(r, s->nrepeat, s->repeat_size, s->repeat_stride);
      if (s->across > 1) {
        total[0] += sum_row(s, at);
        continue;
      }
      ea_load_f64(part, s->from, s->dtype, at, lanes);
      for (int64_t i = 0; i < lanes; i++) total[i] += part[i];
    }
    ea_store_f64(s->to, s->dtype, begin, total, lanes);
    begin += lanes;
  }
}

static int backward(ea_call *c) {
  const ea_tensor *gx = c->gin[0], *gy = c->gout[0];
  int64_t stride[EA_MAX_DIM], repeat[EA_MAX_DIM], each;
  sums s = {.dtype = gx->dtype,
            .repeats = 1,
            .run = 1,
            .across = 1,
            .from = ea_ptr(gy),
            .to = ea_ptr(gx)};
  ea_strides_of(gy->ndim, gy->size, stride);
  repeat_strides(gx, gy, repeat);
  for (int d = 0; d < gy->ndim; d++) {
    if (gy->size[d] == 1) continue;
    if (repeat[d] != 0) {
      s.keep_size[s.nkeep] = gy->size[d];
      s.keep_stride[s.nkeep++] = stride[d];
      s.run *= gy->size[d];
    } else {
      int last = s.nrepeat - 1;
      if (last >= 0 && s.repeat_stride[last] == gy->size[d] * stride[d]) { /* neighbours: one */
        s.repeat_size[last] *= gy->size[d];
        s.repeat_stride[last] = stride[d];
      } else {
        s.repeat_size[s.nrepeat] = gy->size[d];
        s.repeat_stride[s.nrepeat++] = stride[d];
      }
      s.repeats *= gy->size[d];
      s.run = 1; /* only what is behind the last repeated dimension runs together */
    }
  }
  each = s.repeats;
  if (s.repeats > 1 && s.repeat_stride[s.nrepeat - 1] == 1) {
    s.across = s.repeat_size[--s.nrepeat];
    s.repeats /= s.across;
  }
  int64_t chunk = EA_MAX(EA_MAX(1, EA_CHUNK / EA_MAX(1, each)), EA_MIN(s.run, LANES));
  ea_parallel_range(ea_tensor_count(gx), chunk, sum_range, &s);
  return EA_OK;
}

const ea_op ea_op_expand = {
    .name = "expand",
    .nin_least = 1,
    .nin_most = 1,
    .nout = 1,
    .attrs = "size:L",
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
