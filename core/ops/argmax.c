/* SPDX-License-Identifier: GPL-3.0-or-later
 * argmax.c - where the largest (argmax) or smallest (argmin) element along an axis is, as i32,
 * counted from `base`; the first one among equals, the first NaN if there is one. Any element type.
 */
#include "lines.h"

typedef struct job {
  ea_lines lines;
  const ea_tensor *x;
  int32_t *out, base;
  double sign, *line; /* line: length doubles for each thread */
} job;

static int shape(ea_call *c) {
  const ea_tensor *x = c->in[0];
  int axis, ndim = 0;
  int64_t size[EA_MAX_DIM];
  EA_TRY(ea_call_axis(c, c->attr[1], x->ndim, &axis));
  if (x->size[axis] == 0)
    return ea_call_fail(c, EA_ERR_SHAPE, "needs at least one element along the axis, got %s",
                        ea_shape_text(x));
  for (int d = 0; d < x->ndim; d++) {
    if (d != axis) size[ndim++] = x->size[d];
    else if (c->attr[2] != 0) size[ndim++] = 1;
  }
  ea_call_output(c, 0, EA_I32, ndim, size);
  return EA_OK;
}

static void search(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  double *v = j->line + ea_thread_index() * j->lines.length;
  for (int64_t k = begin; k < end; k++) {
    int64_t best = 0;
    ea_line_read(&j->lines, j->x, k, v);
    for (int64_t i = 1; i < j->lines.length && v[best] == v[best]; i++)
      if (j->sign * v[i] > j->sign * v[best] || v[i] != v[i]) best = i;
    j->out[k] = (int32_t)best + j->base;
  }
}

static int forward(ea_call *c, double sign) {
  job j = {.x = c->in[0], .out = ea_i32(c->out[0]), .base = (int32_t)c->attr[0], .sign = sign};
  int axis;
  EA_TRY(ea_call_axis(c, c->attr[1], c->in[0]->ndim, &axis));
  ea_lines_of(&j.lines, c->in[0], axis);
  j.line = ea_call_scratch(c, (size_t)(ea_threads() * j.lines.length) * sizeof(double));
  if (!j.line) return EA_ERR_MEMORY;
  ea_lines_run(&j.lines, search, &j);
  return EA_OK;
}

static int argmax_forward(ea_call *c) { return forward(c, 1); }
static int argmin_forward(ea_call *c) { return forward(c, -1); }

const ea_op ea_op_argmax = {.name = "argmax",
                            .nin_least = 1,
                            .nin_most = 1,
                            .nout = 1,
                            .attrs = "base:o=0 axis:x=-1 keep:b=0",
                            .flags = EA_OP_NO_GRAD,
                            .shape = shape,
                            .forward = argmax_forward};

const ea_op ea_op_argmin = {.name = "argmin",
                            .nin_least = 1,
                            .nin_most = 1,
                            .nout = 1,
                            .attrs = "base:o=0 axis:x=-1 keep:b=0",
                            .flags = EA_OP_NO_GRAD,
                            .shape = shape,
                            .forward = argmin_forward};
