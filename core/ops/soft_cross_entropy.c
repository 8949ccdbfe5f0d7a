/* SPDX-License-Identifier: GPL-3.0-or-later
 * soft_cross_entropy (logits {n,c}, probabilities {n,c}) - scalar, mean over rows of
 *   -sum_j p_j log softmax(z)_j
 * (torch.nn.functional.cross_entropy with class probabilities; they need not sum to 1).
 * Gradients: logits: (softmax(z)_j sum_k p_k - p_j) / n; probabilities: -log softmax(z)_j / n.
 */
#include "loss.h"

static int shape(ea_call *c) {
  EA_TRY(ea_loss_logits(c, "the logits"));
  return ea_loss_pair(c, "logits", "probabilities");
}

typedef struct rows {
  const ea_tensor *z, *p, *gz, *gp;
  int64_t classes;
  double *loss, scale;
} rows;

static void loss_range(void *arg, int64_t begin, int64_t end) {
  const rows *r = arg;
  for (int64_t i = begin; i < end; i++) {
    int64_t at = i * r->classes;
    double all = ea_logsumexp(r->z, at, r->classes, 1), sum = 0;
    for (int64_t j = at; j < at + r->classes; j++) {
      double p = ea_read(ea_ptr(r->p), r->p->dtype, j);
      if (p != 0) sum += p * (all - ea_read(ea_ptr(r->z), r->z->dtype, j)); /* 0 * inf is 0 here */
    }
    r->loss[i] = sum;
  }
}

static int forward(ea_call *c) {
  int64_t n = c->in[0]->size[0];
  rows r = {
      .z = c->in[0], .p = c->in[1], .classes = c->in[0]->size[1], .loss = ea_loss_parts(c, n)};
  if (!r.loss) return EA_ERR_MEMORY;
  ea_parallel_range(n, EA_LOSS_ROWS, loss_range, &r);
  ea_loss_finish(c, r.loss, n, 1.0 / (double)n);
  return EA_OK;
}

static void grad_range(void *arg, int64_t begin, int64_t end) {
  const rows *r = arg;
  for (int64_t i = begin; i < end; i++) {
    int64_t at = i * r->classes;
    double all = ea_logsumexp(r->z, at, r->classes, 1), sum = 0;
    for (int64_t j = at; j < at + r->classes; j++) sum += ea_read(ea_ptr(r->p), r->p->dtype, j);
    for (int64_t j = at; j < at + r->classes; j++) {
      double log_q = ea_read(ea_ptr(r->z), r->z->dtype, j) - all;
      double p = ea_read(ea_ptr(r->p), r->p->dtype, j);
      if (r->gz) ea_write(ea_ptr(r->gz), r->gz->dtype, j, (exp(log_q) * sum - p) * r->scale);
      if (r->gp) ea_write(ea_ptr(r->gp), r->gp->dtype, j, -log_q * r->scale);
    }
  }
}

static int backward(ea_call *c) {
  int64_t n = c->in[0]->size[0];
  rows r = {.z = c->in[0],
            .p = c->in[1],
            .gz = c->gin[0],
            .gp = c->gin[1],
            .classes = c->in[0]->size[1],
            .scale = ea_loss_gradient(c) / (double)n};
  ea_parallel_range(n, EA_LOSS_ROWS, grad_range, &r);
  return EA_OK;
}

const ea_op ea_op_soft_cross_entropy = {
    .name = "soft_cross_entropy",
    .nin_least = 2,
    .nin_most = 2,
    .nout = 1,
    .attrs = "",
    .need_in = 3,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
