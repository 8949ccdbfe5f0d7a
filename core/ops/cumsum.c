/* SPDX-License-Identifier: GPL-3.0-or-later
 * cumsum.c - running sums along an axis, added up in double: y_i = x_1 + ... + x_i. The gradient is
 * the running sum from the end: dx_i = g_i + ... + g_n.
 */
#include "lines.h"

typedef struct job {
  ea_lines lines;
  const ea_tensor *from, *to;
  int backward, add;
  double *line;
} job;

static int cumsum_shape(ea_call *c) {
  int axis;
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_call_axis(c, c->attr[0], c->in[0]->ndim, &axis));
  ea_call_output(c, 0, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->size);
  return EA_OK;
}

static void add_up(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  int64_t n = j->lines.length;
  double *v = j->line + ea_thread_index() * n;
  for (int64_t k = begin; k < end; k++) {
    ea_line_read(&j->lines, j->from, k, v);
    if (j->backward)
      for (int64_t i = n - 1; i > 0; i--) v[i - 1] += v[i];
    else
      for (int64_t i = 1; i < n; i++) v[i] += v[i - 1];
    ea_line_write(&j->lines, j->to, k, v, j->add);
  }
}

static int run(ea_call *c, job *j) {
  int axis;
  EA_TRY(ea_call_axis(c, c->attr[0], j->from->ndim, &axis));
  ea_lines_of(&j->lines, j->from, axis);
  j->line = ea_call_scratch(c, (size_t)(ea_threads() * j->lines.length + 1) * sizeof(double));
  if (!j->line) return EA_ERR_MEMORY;
  ea_lines_run(&j->lines, add_up, j);
  return EA_OK;
}

static int cumsum_forward(ea_call *c) { return run(c, &(job){.from = c->in[0], .to = c->out[0]}); }

static int cumsum_backward(ea_call *c) {
  if (!c->gin[0]) return EA_OK;
  return run(c,
             &(job){.from = c->gout[0], .to = c->gin[0], .backward = 1, .add = c->accumulate & 1});
}

const ea_op ea_op_cumsum = {.name = "cumsum",
                            .nin_least = 1,
                            .nin_most = 1,
                            .nout = 1,
                            .attrs = "axis:x=-1",
                            .flags = EA_OP_ACCUMULATES,
                            .shape = cumsum_shape,
                            .forward = cumsum_forward,
                            .backward = cumsum_backward};
