/* SPDX-License-Identifier: GPL-3.0-or-later
 * ema.c - exponential moving average of parameters (Polyak & Juditsky 1992): a <- d*a + (1-d)*p.
 */
#include <math.h>

#include "optim.h"

typedef struct ema {
  float *a;
  const float *p;
  float decay, rest;
} ema;

static void ema_range(void *arg, int64_t begin, int64_t end) {
  const ema *e = arg;
  float *restrict a = e->a;
  const float *restrict p = e->p;
  const float decay = e->decay, rest = e->rest;
  for (int64_t i = begin; i < end; i++) a[i] = decay * a[i] + rest * p[i];
}

int ea_ema(ea_tensor *average, const ea_tensor *p, double decay) {
  EA_TRY(ea_optim_check("ema", "p", p, EA_F32, -1));
  const int64_t n = ea_tensor_count(p);
  EA_TRY(ea_optim_check("ema", "average", average, EA_F32, n));
  /* 1 included: a frozen average */
  EA_TRY(ea_optim_check_range("ema", "decay", decay, 0, nextafter(1, 2)));
  ea_changed(average);
  ema e = {ea_f32(average), ea_f32(p), (float)decay, (float)(1 - decay)};
  ea_parallel_range(n, EA_CHUNK, ema_range, &e);
  return EA_OK;
}
