/* SPDX-License-Identifier: GPL-3.0-or-later
 * random.c - tensors of random numbers.
 */
#include <math.h>

#include "../base/philox.h"
#include "tensor.h"

static int need_float(const ea_tensor *t, const char *what) {
  if (t->storage && ea_tensor_contiguous(t) && (t->dtype == EA_F32 || t->dtype == EA_F64))
    return EA_OK;
  return ea_fail(EA_ERR_DTYPE, "%s: expected a contiguous f32 or f64 tensor, got %s", what,
                 ea_shape_text(t));
}

static void put(ea_tensor *t, int64_t i, double v) {
  if (t->dtype == EA_F32) ea_f32(t)[i] = (float)v;
  else ea_f64(t)[i] = v;
}

/* (0,1) with 32 bits, never 0. */
static double open_unit(uint32_t word) { return ((double)word + 0.5) * 0x1p-32; }

/* In [low, high): rounding to f32 must not reach the end. */
int ea_random_uniform(ea_tensor *t, uint64_t seed, uint64_t stream, uint64_t index, double low,
                      double high) {
  EA_TRY(need_float(t, "uniform"));
  ea_changed(t);
  int64_t n = ea_tensor_count(t);
  for (int64_t i = 0; i < n; i += 4) {
    uint32_t r[4];
    ea_philox(seed, stream, index, (uint64_t)i / 4, r);
    for (int64_t k = 0; k < 4 && i + k < n; k++) {
      double v = low + (high - low) * (double)ea_unit_float(r[k]);
      if (t->dtype == EA_F32 && low < high && (float)v >= (float)high)
        v = nextafterf((float)high, -INFINITY);
      put(t, i + k, v);
    }
  }
  return EA_OK;
}

/* Box-Muller. */
int ea_random_normal(ea_tensor *t, uint64_t seed, uint64_t stream, uint64_t index, double mean,
                     double std) {
  EA_TRY(need_float(t, "normal"));
  ea_changed(t);
  int64_t n = ea_tensor_count(t);
  for (int64_t i = 0; i < n; i += 4) {
    uint32_t r[4];
    ea_philox(seed, stream, index, (uint64_t)i / 4, r);
    for (int64_t k = 0; k < 4 && i + k < n; k += 2) {
      double radius = sqrt(-2 * log(open_unit(r[k]))), angle = 2 * M_PI * open_unit(r[k + 1]);
      put(t, i + k, mean + std * radius * cos(angle));
      if (i + k + 1 < n) put(t, i + k + 1, mean + std * radius * sin(angle));
    }
  }
  return EA_OK;
}

/* Fisher-Yates. */
int ea_random_permutation(ea_tensor *t, uint64_t seed, uint64_t stream, uint64_t index, int base) {
  if (!t->storage || t->dtype != EA_I32 || t->ndim != 1 || !ea_tensor_contiguous(t))
    return ea_fail(EA_ERR_DTYPE, "permutation: expected a contiguous 1-d i32 tensor, got %s",
                   ea_shape_text(t));
  ea_changed(t);
  int32_t *p = ea_i32(t);
  int64_t n = t->size[0];
  for (int64_t i = 0; i < n; i++) p[i] = (int32_t)i + base;
  for (int64_t i = n - 1; i > 0; i--) {
    uint32_t r[4];
    ea_philox(seed, stream, index, (uint64_t)i, r);
    int64_t k = ea_below(r[0], (uint32_t)i + 1);
    int32_t swap = p[i];
    p[i] = p[k];
    p[k] = swap;
  }
  return EA_OK;
}
