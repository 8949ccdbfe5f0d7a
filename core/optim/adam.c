/* SPDX-License-Identifier: GPL-3.0-or-later
 * adam.c - Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019), as PyTorch writes them:
 *
 *   coupled:   g <- scale*g + wd*p          decoupled:  p <- p*(1 - lr*wd)
 *   m <- beta1*m + (1-beta1)*g,  v <- beta2*v + (1-beta2)*g^2      (both start as 0)
 *   p <- p - lr/(1-beta1^step) * m / (sqrt(v)/sqrt(1-beta2^step) + eps)
 *
 * wd counts only where decay_mask is not 0. One pass; step 1 does not read the old m and v.
 */
#include <math.h>

#include "optim.h"

typedef struct adam {
  float *p, *m, *v;
  const float *g;
  const uint8_t *mask;
  float beta1, beta2, rest1, rest2, eps, scale; /* rest = 1 - beta, rounded once */
  float rate;                                   /* lr / (1 - beta1^step) */
  float root;                                   /* 1 / sqrt(1 - beta2^step) */
  float coupled;                                /* wd added to the gradient */
  float shrink;                                 /* lr*wd taken off the parameter */
  int first;
} adam;

static void adam_range(void *arg, int64_t begin, int64_t end) {
  const adam *a = arg;
  const int64_t n = end - begin;
  float *restrict p = a->p + begin, *restrict m = a->m + begin, *restrict v = a->v + begin;
  const float *restrict g = a->g + begin;
  const uint8_t *restrict mask = a->mask ? a->mask + begin : NULL;
  const float beta1 = a->beta1, beta2 = a->beta2, rest1 = a->rest1, rest2 = a->rest2;
  const float eps = a->eps, scale = a->scale;
  const float rate = a->rate, root = a->root, coupled = a->coupled, shrink = a->shrink;
  if (a->first) {
    memset(m, 0, (size_t)n * sizeof *m);
    memset(v, 0, (size_t)n * sizeof *v);
  }
  for (int64_t i = 0; i < n; i++) {
    const float on = mask ? (mask[i] ? 1.0f : 0.0f) : 1.0f;
    const float d = scale * g[i] + on * coupled * p[i];
    const float mi = beta1 * m[i] + rest1 * d;
    const float vi = beta2 * v[i] + rest2 * d * d;
    m[i] = mi;
    v[i] = vi;
    p[i] = p[i] * (1.0f - on * shrink) - rate * (mi / (sqrtf(vi) * root + eps));
  }
}

int ea_adam(ea_tensor *p, const ea_tensor *g, ea_tensor *m, ea_tensor *v,
            const ea_tensor *decay_mask, double lr, double beta1, double beta2, double eps,
            double wd, int decoupled, double scale, int64_t step) {
  EA_TRY(ea_optim_check("adam", "p", p, EA_F32, -1));
  const int64_t n = ea_tensor_count(p);
  EA_TRY(ea_optim_check("adam", "g", g, EA_F32, n));
  EA_TRY(ea_optim_check("adam", "m", m, EA_F32, n));
  EA_TRY(ea_optim_check("adam", "v", v, EA_F32, n));
  if (decay_mask) EA_TRY(ea_optim_check("adam", "decay_mask", decay_mask, EA_U8, n));
  EA_TRY(ea_optim_check_range("adam", "lr", lr, 0, INFINITY));
  EA_TRY(ea_optim_check_range("adam", "beta1", beta1, 0, 1));
  EA_TRY(ea_optim_check_range("adam", "beta2", beta2, 0, 1));
  EA_TRY(ea_optim_check_range("adam", "eps", eps, 0, INFINITY));
  EA_TRY(ea_optim_check_range("adam", "weight_decay", wd, 0, INFINITY));
  if (step < 1)
    return ea_fail(EA_ERR_ARG, "adam: step counts from 1, but is %lld", (long long)step);
  ea_changed(p);
  adam a = {.p = ea_f32(p),
            .m = ea_f32(m),
            .v = ea_f32(v),
            .g = ea_f32(g),
            .mask = decay_mask ? ea_u8(decay_mask) : NULL,
            .beta1 = (float)beta1,
            .beta2 = (float)beta2,
            .rest1 = (float)(1 - beta1),
            .rest2 = (float)(1 - beta2),
            .eps = (float)eps,
            .scale = (float)scale,
            .rate = (float)(lr / (1 - pow(beta1, (double)step))),
            .root = (float)(1 / sqrt(1 - pow(beta2, (double)step))),
            .coupled = decoupled ? 0.0f : (float)wd,
            .shrink = decoupled ? (float)(lr * wd) : 0.0f,
            .first = step == 1};
  ea_parallel_range(n, EA_CHUNK, adam_range, &a);
  return EA_OK;
}
