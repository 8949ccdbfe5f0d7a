/* SPDX-License-Identifier: GPL-3.0-or-later
 * real.h - one kernel for f32, bf16 and f64: numbers are loaded as double and rounded when stored.
 * A kernel takes `dtype`, is EA_INLINE, and is called through EA_BY_DTYPE with D, a constant in
 * each of three copies. For ops where simplicity is worth more than the last bit of speed.
 */
#ifndef EA_REAL_H
#define EA_REAL_H

#include "lanes.h"
#include "op.h"

#define EA_BY_DTYPE(dtype, statement) \
  switch (dtype) {                    \
    case EA_F32: {                    \
      enum { D = EA_F32 };            \
      statement;                      \
    } break;                          \
    case EA_F64: {                    \
      enum { D = EA_F64 };            \
      statement;                      \
    } break;                          \
    default: {                        \
      enum { D = EA_BF16 };           \
      statement;                      \
    } break;                          \
  }

EA_INLINE double ea_real(const void *p, int dtype, int64_t i) {
  return dtype == EA_F32   ? ((const float *)p)[i]
         : dtype == EA_F64 ? ((const double *)p)[i]
                           : ea_bf16_to_f32(((const uint16_t *)p)[i]);
}

EA_INLINE void ea_real_set(void *p, int dtype, int64_t i, double v) {
  if (dtype == EA_F32) ((float *)p)[i] = (float)v;
  else if (dtype == EA_F64) ((double *)p)[i] = v;
  else ((uint16_t *)p)[i] = ea_f32_to_bf16((float)v);
}

EA_INLINE void ea_real_add(void *p, int dtype, int64_t i, double v) {
  ea_real_set(p, dtype, i, ea_real(p, dtype, i) + v);
}

/* A sum scattered over one image of a gradient: in place, or for bf16 in an f32 image per thread
 * that is rounded once at the end. `f32` is scratch of ea_image_sum_bytes(). */
typedef struct ea_image_sum {
  void *at;
  int dtype; /* of the numbers at `at` */
  void *final;
  int64_t count;
} ea_image_sum;

static inline size_t ea_image_sum_bytes(const ea_tensor *g, int64_t count) {
  return g && g->dtype == EA_BF16 ? (size_t)ea_threads() * (size_t)count * sizeof(float) : 1;
}

static inline ea_image_sum ea_image_sum_begin(const ea_tensor *g, int64_t image, int64_t count,
                                              float *f32) {
  size_t e = (size_t)ea_dtype_size(g->dtype);
  void *final = (char *)ea_ptr(g) + (size_t)(image * count) * e;
  ea_image_sum s = {final, g->dtype, final, count};
  if (g->dtype == EA_BF16) {
    s.at = f32 + ea_thread_index() * count;
    s.dtype = EA_F32;
    e = sizeof(float);
  }
  memset(s.at, 0, (size_t)count * e);
  return s;
}

static inline void ea_image_sum_end(const ea_image_sum *s) {
  if (s->at != s->final) ea_store_f32(s->final, EA_BF16, s->at, s->count);
}

#endif
