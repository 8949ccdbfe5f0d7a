/* SPDX-License-Identifier: GPL-3.0-or-later
 * blas.c - OpenBLAS, always one thread a call: results then do not depend on the thread count.
 */
#include "blas.h"

#include <cblas.h>

#include "../base/base.h"

enum { BUFFER = 130 << 20 }; /* OpenBLAS takes one for each thread that is in a product */

/* Debian builds OpenBLAS with its own pool; ours shards the work instead. Where it gets no buffer
 * it tries again for ever: hence the look beforehand. */
int ea_blas_ready(void) {
  static int ready; /* threads */
  if (ready >= ea_threads()) return EA_OK;
  EA_TRY(ea_memory_room((size_t)(ea_threads() - ready) * BUFFER, "OpenBLAS"));
  openblas_set_num_threads(1);
  ready = ea_threads();
  return EA_OK;
}

void ea_sgemm(int ta, int tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
              int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
  cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
              (blasint)m, (blasint)n, (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c,
              (blasint)ldc);
}

void ea_dgemm(int ta, int tb, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
              int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc) {
  cblas_dgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
              (blasint)m, (blasint)n, (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c,
              (blasint)ldc);
}

const char *ea_blas_core(void) { return openblas_get_corename(); }
