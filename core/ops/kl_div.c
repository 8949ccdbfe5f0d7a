/* SPDX-License-Identifier: GPL-3.0-or-later
 * kl_div "temperature:f=1 reduction:i=0" (student logits s {n,c}, teacher logits t {n,c}) - scalar:
 *   KL_i = sum_j p_j (log p_j - log q_j),  p = softmax(t / T), q = softmax(s / T)
 * reduction 0: mean over the rows (torch's "batchmean"); 1: mean over rows and classes (torch's
 * "mean"). Not multiplied by T^2. With N = n or n*c, the gradients are
 *   s_j: (q_j - p_j) / (T N);  t_j: p_j (log p_j - log q_j - KL_i) / (T N).
 */
#include "loss.h"

enum { TEMPERATURE, REDUCTION };

static int shape(ea_call *c) {
  if (!(c->attr[TEMPERATURE] > 0 && isfinite(c->attr[TEMPERATURE])))
    return ea_call_fail(c, EA_ERR_ARG, "the temperature must be above 0, got %g",
                        c->attr[TEMPERATURE]);
  if (c->attr[REDUCTION] != 0 && c->attr[REDUCTION] != 1)
    return ea_call_fail(c, EA_ERR_ARG,
                        "reduction must be 0 (mean over rows) or 1 (mean over rows "
                        "and classes), got %g",
                        c->attr[REDUCTION]);
  EA_TRY(ea_loss_logits(c, "the student's logits"));
  return ea_loss_pair(c, "the student's logits", "the teacher's logits");
}

typedef struct rows {
  const ea_tensor *s, *t, *gs, *gt;
  int64_t classes;
  double cold; /* 1 / T */
  double *loss, scale;
} rows;

static rows rows_of(const ea_call *c) {
  return (rows){.s = c->in[0],
                .t = c->in[1],
                .gs = c->gin[0],
                .gt = c->gin[1],
                .classes = c->in[0]->size[1],
                .cold = 1 / c->attr[TEMPERATURE]};
}

static double count_of(const ea_call *c) {
  const ea_tensor *s = c->in[0];
  return (double)(c->attr[REDUCTION] == 0 ? s->size[0] : s->size[0] * s->size[1]);
}

typedef struct row {
  double s_all, t_all, kl; /* log-sum-exp of both, and the divergence */
} row;

static double log_p(const rows *r, const ea_tensor *z, double all, int64_t at) {
  return ea_read(ea_ptr(z), z->dtype, at) * r->cold - all;
}

static row measure(const rows *r, int64_t i) {
  int64_t at = i * r->classes;
  row m = {.s_all = ea_logsumexp(r->s, at, r->classes, r->cold),
           .t_all = ea_logsumexp(r->t, at, r->classes, r->cold)};
  for (int64_t j = at; j < at + r->classes; j++) {
    double lp = log_p(r, r->t, m.t_all, j), p = exp(lp);
    if (p > 0) m.kl += p * (lp - log_p(r, r->s, m.s_all, j));
    else if (isnan(p)) m.kl = p;
  }
  return m;
}

static void loss_range(void *arg, int64_t begin, int64_t end) {
  const rows *r = arg;
  for (int64_t i = begin; i < end; i++) r->loss[i] = measure(r, i).kl;
}

static int forward(ea_call *c) {
  rows r = rows_of(c);
  int64_t n = r.s->size[0];
  r.loss = ea_loss_parts(c, n);
  if (!r.loss) return EA_ERR_MEMORY;
  ea_parallel_range(n, EA_LOSS_ROWS, loss_range, &r);
  ea_loss_finish(c, r.loss, n, 1 / count_of(c));
  return EA_OK;
}

static void grad_range(void *arg, int64_t begin, int64_t end) {
  const rows *r = arg;
  for (int64_t i = begin; i < end; i++) {
    int64_t at = i * r->classes;
    row m = measure(r, i);
    for (int64_t j = at; j < at + r->classes; j++) {
      double lp = log_p(r, r->t, m.t_all, j), lq = log_p(r, r->s, m.s_all, j);
      double p = exp(lp), q = exp(lq);
      if (r->gs) ea_write(ea_ptr(r->gs), r->gs->dtype, j, (q - p) * r->scale);
      if (r->gt)
        ea_write(ea_ptr(r->gt), r->gt->dtype, j, p == 0 ? 0 : p * (lp - lq - m.kl) * r->scale);
    }
  }
}

static int backward(ea_call *c) {
  rows r = rows_of(c);
  r.scale = ea_loss_gradient(c) * r.cold / count_of(c);
  ea_parallel_range(r.s->size[0], EA_LOSS_ROWS, grad_range, &r);
  return EA_OK;
}

const ea_op ea_op_kl_div = {
    .name = "kl_div",
    .nin_least = 2,
    .nin_most = 2,
    .nout = 1,
    .attrs = "temperature:f=1 reduction:i=0",
    .need_in = 3,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
