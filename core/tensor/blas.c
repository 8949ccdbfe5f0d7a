/* SPDX-License-Identifier: GPL-3.0-or-later
 * blas.c - OpenBLAS, always one thread a call: results then do not depend on the thread count.
 */
#include "blas.h"

#include <cblas.h>
#include <pthread.h>

#include "../edgeai.h"

/* Debian builds OpenBLAS with its own pool; ours shards the work instead. */
static void one_thread(void) { openblas_set_num_threads(1); }
static pthread_once_t once = PTHREAD_ONCE_INIT;

void ea_blas_one_thread(void) { pthread_once(&once, one_thread); }

void ea_sgemm(int ta, int tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
              int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
  ea_blas_one_thread();
  cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
              (blasint)m, (blasint)n, (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c,
              (blasint)ldc);
}

void ea_dgemm(int ta, int tb, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
              int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc) {
  ea_blas_one_thread();
  cblas_dgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
              (blasint)m, (blasint)n, (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c,
              (blasint)ldc);
}

const char *ea_blas_core(void) { return openblas_get_corename(); }
