/* SPDX-License-Identifier: GPL-3.0-or-later
 * blas.h - dense products; blas.c alone uses cblas, lapack.c alone LAPACKE. All row-major, always
 * single-threaded per call (callers shard the work), callable from pool threads.
 */
#ifndef EA_BLAS_H
#define EA_BLAS_H

#include <stdint.h>

/* c {m,n} = alpha * op(a) {m,k} * op(b) {k,n} + beta * c; lda.. are row lengths. */
void ea_sgemm(int ta, int tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
              int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
void ea_dgemm(int ta, int tb, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
              int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc);
/* Takes OpenBLAS's own threads away; the products above do it themselves, LAPACK's users must. */
void ea_blas_one_thread(void);

#endif
