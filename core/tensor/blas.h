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
/* To be called by the driving thread before any product or LAPACK: takes OpenBLAS's own threads
 * away and makes sure that there is memory for its buffers. */
int ea_blas_ready(void);

#endif
