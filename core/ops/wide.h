/* SPDX-License-Identifier: GPL-3.0-or-later
 * wide.h - elements of f32, bf16 and f64 memory as doubles, for kernels whose cost is not the
 * arithmetic (losses, normalisations): one path for all three types, rounded once when stored.
 */
#ifndef EA_WIDE_H
#define EA_WIDE_H

#include "op.h"

static inline double ea_read(const void *p, int dtype, int64_t i) {
  if (dtype == EA_F32) return ((const float *)p)[i];
  if (dtype == EA_F64) return ((const double *)p)[i];
  return ea_bf16_to_f32(((const uint16_t *)p)[i]);
}

static inline void ea_write(void *p, int dtype, int64_t i, double v) {
  if (dtype == EA_F32) ((float *)p)[i] = (float)v;
  else if (dtype == EA_F64) ((double *)p)[i] = v;
  else ((uint16_t *)p)[i] = ea_f32_to_bf16((float)v);
}

static inline void ea_load_f64(double *to, const void *p, int dtype, int64_t at, int64_t n) {
  if (dtype == EA_F32) {
    const float *from = (const float *)p + at;
    for (int64_t i = 0; i < n; i++) to[i] = from[i];
  } else if (dtype == EA_F64) {
    memcpy(to, (const double *)p + at, (size_t)n * sizeof(double));
  } else {
    const uint16_t *from = (const uint16_t *)p + at;
    for (int64_t i = 0; i < n; i++) to[i] = ea_bf16_to_f32(from[i]);
  }
}

static inline void ea_store_f64(void *p, int dtype, int64_t at, const double *from, int64_t n) {
  if (dtype == EA_F32) {
    float *to = (float *)p + at;
    for (int64_t i = 0; i < n; i++) to[i] = (float)from[i];
  } else if (dtype == EA_F64) {
    memcpy((double *)p + at, from, (size_t)n * sizeof(double));
  } else {
    uint16_t *to = (uint16_t *)p + at;
    for (int64_t i = 0; i < n; i++) to[i] = ea_f32_to_bf16((float)from[i]);
  }
}

#endif
