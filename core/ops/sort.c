/* SPDX-License-Identifier: GPL-3.0-or-later
 * sort.c - order along an axis. Both ops return values and their i32 indices counted from `base`;
 * equal elements keep their order; NaN counts as the largest. Any element type.
 *
 *   sort  all elements, ascending or descending
 *   topk  the k largest, largest first (largest=0: the k smallest, smallest first)
 *
 * The gradient of a value goes to the element it was.
 */
#include "lines.h"

typedef struct item {
  double value;
  int64_t index;
} item;

typedef struct job {
  ea_lines from, to; /* to: the first `to.length` of each sorted line */
  const ea_tensor *x, *values, *indices;
  int64_t base;
  int descending, add;
  item *space; /* for each thread 2 * from.length items, and behind them the lines */
  double *line;
} job;

/* ---- merge sort: stable, no memory of its own ------------------------------------------------ */

static inline int before(const item *a, const item *b, int descending) {
  if (descending) return a->value > b->value || (a->value != a->value && b->value == b->value);
  return a->value < b->value || (b->value != b->value && a->value == a->value);
}

static void merge(const item *a, int64_t middle, int64_t n, int descending, item *to) {
  int64_t left = 0, right = middle;
  for (int64_t k = 0; k < n; k++) {
    if ((k & 0xffff) == 0xffff && ea_interrupt_stops()) return;
    int take_right = right < n && (left >= middle || before(&a[right], &a[left], descending));
    to[k] = a[take_right ? right++ : left++];
  }
}

/* Sorts a[0..n-1]; returns where the result is: a or b. */
static item *merge_sort(item *a, item *b, int64_t n, int descending) {
  for (int64_t width = 1; width < n; width *= 2) {
    for (int64_t at = 0; at < n; at += 2 * width) {
      if (at % (1 << 18) == 0 && ea_interrupt_stops()) return a;
      int64_t m = EA_MIN(2 * width, n - at);
      merge(a + at, EA_MIN(width, m), m, descending, b + at);
    }
    item *t = a;
    a = b;
    b = t;
  }
  return a;
}

/* ---- forward --------------------------------------------------------------------------------- */

static void sort_lines(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  int64_t n = j->from.length;
  double *v = j->line + ea_thread_index() * n;
  item *a = j->space + ea_thread_index() * 2 * n;
  for (int64_t k = begin; k < end; k++) {
    ea_line_read(&j->from, j->x, k, v);
    for (int64_t i = 0; i < n; i++) a[i] = (item){v[i], i};
    const item *sorted = merge_sort(a, a + n, n, j->descending);
    for (int64_t i = 0; i < j->to.length; i++) v[i] = sorted[i].value;
    ea_line_write(&j->to, j->values, k, v, 0);
    for (int64_t i = 0; i < j->to.length; i++) v[i] = (double)(sorted[i].index + j->base);
    ea_line_write(&j->to, j->indices, k, v, 0);
  }
}

static int forward(ea_call *c, double axis_attr, int descending, double base) {
  job j = {.x = c->in[0],
           .values = c->out[0],
           .indices = c->out[1],
           .base = (int64_t)base,
           .descending = descending};
  int axis;
  EA_TRY(ea_call_axis(c, axis_attr, j.x->ndim, &axis));
  ea_lines_of(&j.from, j.x, axis);
  ea_lines_of(&j.to, j.values, axis);
  int64_t space = ea_threads() * j.from.length;
  j.space = ea_call_scratch(c, (size_t)space * (2 * sizeof(item) + sizeof(double)) + 1);
  if (!j.space) return EA_ERR_MEMORY;
  j.line = (double *)(j.space + 2 * space);
  ea_lines_run(&j.from, sort_lines, &j);
  return EA_OK;
}

/* ---- backward -------------------------------------------------------------------------------- */

static void scatter(void *arg, int64_t begin, int64_t end) {
  const job *j = arg; /* here x is the input's gradient, values the output's */
  const int32_t *index = ea_i32(j->indices);
  double *v = j->line + ea_thread_index() * 2 * j->from.length, *g = v + j->from.length;
  for (int64_t k = begin; k < end; k++) {
    ea_line_read(&j->to, j->values, k, g);
    memset(v, 0, (size_t)j->from.length * sizeof *v);
    for (int64_t i = 0; i < j->to.length; i++) {
      int64_t at = index[ea_line_at(&j->to, k, i)] - j->base;
      if (at >= 0 && at < j->from.length) v[at] = g[i]; /* the caller holds the indices, too */
    }
    ea_line_write(&j->from, j->x, k, v, j->add);
  }
}

static int backward(ea_call *c, double axis_attr, double base) {
  if (!c->gin[0] || !c->gout[0]) return EA_OK;
  job j = {.x = c->gin[0],
           .values = c->gout[0],
           .indices = c->out[1],
           .base = (int64_t)base,
           .add = c->accumulate & 1};
  int axis;
  EA_TRY(ea_call_axis(c, axis_attr, j.x->ndim, &axis));
  ea_lines_of(&j.from, j.x, axis);
  ea_lines_of(&j.to, j.values, axis);
  j.line = ea_call_scratch(c, (size_t)(ea_threads() * 2 * j.from.length + 1) * sizeof(double));
  if (!j.line) return EA_ERR_MEMORY;
  ea_lines_run(&j.from, scatter, &j);
  return EA_OK;
}

/* ---- sort ------------------------------------------------------------------------------------ */

static int sort_shape(ea_call *c) {
  const ea_tensor *x = c->in[0];
  int axis;
  EA_TRY(ea_call_axis(c, c->attr[0], x->ndim, &axis));
  ea_call_output(c, 0, x->dtype, x->ndim, x->size);
  ea_call_output(c, 1, EA_I32, x->ndim, x->size);
  return EA_OK;
}

static int sort_forward(ea_call *c) { return forward(c, c->attr[0], c->attr[1] != 0, c->attr[2]); }
static int sort_backward(ea_call *c) { return backward(c, c->attr[0], c->attr[2]); }

const ea_op ea_op_sort = {.name = "sort",
                          .nin_least = 1,
                          .nin_most = 1,
                          .nout = 2,
                          .attrs = "axis:x=-1 descending:b=0 base:o=0",
                          .flags = EA_OP_ACCUMULATES,
                          .need_out = 2,
                          .shape = sort_shape,
                          .forward = sort_forward,
                          .backward = sort_backward};

/* ---- topk ------------------------------------------------------------------------------------ */

static int topk_shape(ea_call *c) {
  const ea_tensor *x = c->in[0];
  int axis;
  int64_t size[EA_MAX_DIM];
  EA_TRY(ea_call_axis(c, c->attr[1], x->ndim, &axis));
  memcpy(size, x->size, sizeof size);
  if (!(c->attr[0] >= 0 && c->attr[0] <= (double)x->size[axis]))
    return ea_call_fail(c, EA_ERR_ARG, "k must be from 0 to the axis's size %lld, got %g",
                        (long long)x->size[axis], c->attr[0]);
  size[axis] = ea_attr_int(c, 0);
  ea_call_output(c, 0, x->dtype, x->ndim, size);
  ea_call_output(c, 1, EA_I32, x->ndim, size);
  return EA_OK;
}

static int topk_forward(ea_call *c) { return forward(c, c->attr[1], c->attr[2] != 0, c->attr[3]); }
static int topk_backward(ea_call *c) { return backward(c, c->attr[1], c->attr[3]); }

const ea_op ea_op_topk = {.name = "topk",
                          .nin_least = 1,
                          .nin_most = 1,
                          .nout = 2,
                          .attrs = "k:i axis:x=-1 largest:b=1 base:o=0",
                          .flags = EA_OP_ACCUMULATES,
                          .need_out = 2,
                          .shape = topk_shape,
                          .forward = topk_forward,
                          .backward = topk_backward};
