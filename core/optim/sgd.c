/* SPDX-License-Identifier: GPL-3.0-or-later
 * sgd.c - stochastic gradient descent with momentum (Sutskever et al. 2013), as PyTorch writes it:
 *
 *   g <- scale*g + wd*p        (wd only where decay_mask is not 0)
 *   m <- momentum*m + g        (m <- g at the first step)
 *   p <- p - lr*(g + momentum*m) with Nesterov, p - lr*m without
 *
 * One pass: every buffer is read and written once per step.
 */
#include <math.h>

#include "optim.h"

typedef struct sgd {
  float *p, *m;
  const float *g;
  const uint8_t *mask;
  float lr, momentum, wd, scale;
  int nesterov, first;
} sgd;

/* The loop-invariant choices below are hoisted by the compiler: each loop stays branch-free. */
static void sgd_range(void *arg, int64_t begin, int64_t end) {
  const sgd *s = arg;
  const int64_t n = end - begin;
  float *restrict p = s->p + begin;
  const float *restrict g = s->g + begin;
  const uint8_t *restrict mask = s->mask ? s->mask + begin : NULL;
  const float lr = s->lr, momentum = s->momentum, wd = s->wd, scale = s->scale;
  const int nesterov = s->nesterov;
  if (!s->m) {
    for (int64_t i = 0; i < n; i++) {
      const float decay = mask ? (mask[i] ? wd : 0.0f) : wd;
      p[i] -= lr * (scale * g[i] + decay * p[i]);
    }
    return;
  }
  float *restrict m = s->m + begin;
  if (s->first) memset(m, 0, (size_t)n * sizeof *m);
  for (int64_t i = 0; i < n; i++) {
    const float decay = mask ? (mask[i] ? wd : 0.0f) : wd;
    const float d = scale * g[i] + decay * p[i];
    const float v = momentum * m[i] + d;
    m[i] = v;
    p[i] -= lr * (nesterov ? d + momentum * v : v);
  }
}

int ea_sgd(ea_tensor *p, const ea_tensor *g, ea_tensor *m, const ea_tensor *decay_mask, double lr,
           double momentum, int nesterov, double wd, double scale, int first) {
  EA_TRY(ea_optim_check("sgd", "p", p, EA_F32, -1));
  const int64_t n = ea_tensor_count(p);
  EA_TRY(ea_optim_check("sgd", "g", g, EA_F32, n));
  if (m || momentum != 0) EA_TRY(ea_optim_check("sgd", "m", m, EA_F32, n));
  if (decay_mask) EA_TRY(ea_optim_check("sgd", "decay_mask", decay_mask, EA_U8, n));
  EA_TRY(ea_optim_check_range("sgd", "lr", lr, 0, INFINITY));
  EA_TRY(ea_optim_check_range("sgd", "momentum", momentum, 0, 1));
  EA_TRY(ea_optim_check_range("sgd", "weight_decay", wd, 0, INFINITY));
  ea_changed(p);
  sgd s = {.p = ea_f32(p),
           .m = momentum != 0 ? ea_f32(m) : NULL,
           .g = ea_f32(g),
           .mask = decay_mask ? ea_u8(decay_mask) : NULL,
           .lr = (float)lr,
           .momentum = (float)momentum,
           .wd = (float)wd,
           .scale = (float)scale,
           .nesterov = nesterov,
           .first = first};
  ea_parallel_range(n, EA_CHUNK, sgd_range, &s);
  return EA_OK;
}
