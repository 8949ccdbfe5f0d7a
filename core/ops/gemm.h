/* SPDX-License-Identifier: GPL-3.0-or-later
 * gemm.h - dense products over the thread pool, and f32 images of bf16 operands.
 */
#ifndef EA_GEMM_H
#define EA_GEMM_H

#include "op.h"

typedef struct ea_gemm {
  int dtype; /* EA_F32 or EA_F64 */
  int ta, tb;
  int64_t batch, m, n, k;
  int shared;        /* bit 0: a is one matrix for the whole batch; bit 1: b is */
  const void *a, *b; /* {batch, m, k} ({batch, k, m} where ta), {batch, k, n} ({batch, n, k}) */
  void *c;           /* {batch, m, n} */
  int add;           /* 1: c += a b, 0: c = a b */
} ea_gemm;

/* Runs it, cut into pieces by shape alone: any number of threads gives the same bytes. Every
 * element of c is one sum over k inside one call of the BLAS; batch does not change its sizes. */
int ea_gemm_run(const ea_gemm *g);

/* f32 memory with t's values: t's own, or for bf16 the next part of *scratch, which moves on. */
const float *ea_gemm_widen(const ea_tensor *t, float **scratch);
/* f32 memory to compute t's values in: t's own, or the next part of *scratch, to be narrowed. */
float *ea_gemm_target(const ea_tensor *t, float **scratch);
/* Rounds what was computed in `from` into t, if that is not t's own memory. */
void ea_gemm_narrow(const ea_tensor *t, const float *from);
/* Floats of scratch that widening (or aiming at) t takes. */
static inline int64_t ea_gemm_room(const ea_tensor *t) {
  return t && t->dtype == EA_BF16 ? ea_tensor_count(t) : 0;
}

#endif
