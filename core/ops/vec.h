/* SPDX-License-Identifier: GPL-3.0-or-later
 * vec.h - f32 vectors as wide as the CPU's registers, for kernels that keep many of them there: GCC
 * makes poor code of wider ones.
 */
#ifndef EA_VEC_H
#define EA_VEC_H

#include "lanes.h"

#ifdef __AVX512F__
enum { EA_VEC = 16 };
#elif defined __AVX__
enum { EA_VEC = 8 };
#else
enum { EA_VEC = 4 };
#endif
typedef float ea_vec __attribute__((vector_size(EA_VEC * 4)));
typedef int32_t ea_vec_bits __attribute__((vector_size(EA_VEC * 4)));

EA_INLINE ea_vec ea_vec_get(const float *from) {
  ea_vec v;
  memcpy(&v, from, sizeof v);
  return v;
}
EA_INLINE void ea_vec_put(float *to, ea_vec v) { memcpy(to, &v, sizeof v); }
/* So many zeros; returns what is behind them. */
EA_INLINE float *ea_vec_zeros(float *to, int64_t count) {
  memset(to, 0, (size_t)count * sizeof *to);
  return to + count;
}
/* max(v, 0); NaN stays. */
EA_INLINE ea_vec ea_vec_relu(ea_vec v) { return (ea_vec)((ea_vec_bits)v & ~(ea_vec_bits)(v < 0)); }

#endif
