/* SPDX-License-Identifier: GPL-3.0-or-later
 * gemm.c - cutting products into pieces for the thread pool, by shape alone.
 */
#include "gemm.h"

#include "../tensor/blas.h"

enum {
  PIECE = 1 << 20,  /* multiply-adds worth a piece of their own: some 20 us */
  MOST_PIECES = 16, /* of one product; each packs its operands again */
  GRAIN = 16        /* pieces are multiples of this many rows or columns */
};

/* Multiply-adds of a piece, if need be of more pieces: some 90 ms, for whoever presses Ctrl-C. */
static const int64_t MOST_WORK = (int64_t)1 << 32;

typedef struct job {
  const ea_gemm *g;
  int64_t step, pieces; /* of each product, along its longer side */
  int64_t per_shard;    /* whole small products that share a shard */
} job;

static void run_piece(const job *j, int64_t item, int64_t piece) {
  const ea_gemm *g = j->g;
  int64_t lda = g->ta ? g->m : g->k, ldb = g->tb ? g->k : g->n, ldc = g->n;
  int64_t a = g->shared & 1 ? 0 : item * g->m * g->k, b = g->shared & 2 ? 0 : item * g->k * g->n;
  int64_t c = item * g->m * g->n;
  int64_t m = g->m, n = g->n, at = piece * j->step;
  if (m >= n) {
    m = EA_MIN(j->step, m - at);
    a += g->ta ? at : at * lda;
    c += at * ldc;
  } else {
    n = EA_MIN(j->step, n - at);
    b += g->tb ? at * ldb : at;
    c += at;
  }
  if (g->dtype == EA_F64)
    ea_dgemm(g->ta, g->tb, m, n, g->k, 1, (const double *)g->a + a, lda, (const double *)g->b + b,
             ldb, g->add, (double *)g->c + c, ldc);
  else
    ea_sgemm(g->ta, g->tb, m, n, g->k, 1, (const float *)g->a + a, lda, (const float *)g->b + b,
             ldb, (float)g->add, (float *)g->c + c, ldc);
}

static void run_shard(void *arg, int64_t shard) {
  const job *j = arg;
  int64_t last = EA_MIN(j->g->batch * j->pieces, (shard + 1) * j->per_shard);
  for (int64_t i = shard * j->per_shard; i < last; i++) run_piece(j, i / j->pieces, i % j->pieces);
}

int ea_gemm_run(const ea_gemm *g) {
  int64_t count = g->batch * g->m * g->n;
  if (count == 0) return EA_OK;
  if (g->k == 0) { /* an empty sum; the BLAS refuses rows of length 0 */
    if (!g->add) memset(g->c, 0, (size_t)(count * ea_dtype_size(g->dtype)));
    return EA_OK;
  }
  EA_TRY(ea_blas_ready());
  int64_t work = g->m * g->n * g->k, side = EA_MAX(g->m, g->n);
  job j = {.g = g, .step = side, .pieces = 1, .per_shard = 1};
  if (work < PIECE) {
    j.per_shard = PIECE / work;
  } else {
    int64_t most = EA_MAX(MOST_PIECES, work / MOST_WORK);
    int64_t pieces = EA_MAX(1, EA_MIN(EA_MIN(work / PIECE, most), side / GRAIN));
    j.step = (side + pieces * GRAIN - 1) / (pieces * GRAIN) * GRAIN;
    j.pieces = (side + j.step - 1) / j.step;
  }
  ea_parallel((g->batch * j.pieces + j.per_shard - 1) / j.per_shard, run_shard, &j);
  return EA_OK;
}

typedef struct conversion {
  const ea_tensor *t;
  float *f32;
} conversion;

static void widen_range(void *arg, int64_t begin, int64_t end) {
  const conversion *v = arg;
  ea_load_f32(v->f32 + begin, ea_bf16(v->t) + begin, EA_BF16, end - begin);
}

static void narrow_range(void *arg, int64_t begin, int64_t end) {
  const conversion *v = arg;
  ea_store_f32(ea_bf16(v->t) + begin, EA_BF16, v->f32 + begin, end - begin);
}

float *ea_gemm_target(const ea_tensor *t, float **scratch) {
  if (t->dtype != EA_BF16) return ea_ptr(t);
  float *to = *scratch;
  *scratch += ea_tensor_count(t);
  return to;
}

const float *ea_gemm_widen(const ea_tensor *t, float **scratch) {
  conversion v = {t, ea_gemm_target(t, scratch)};
  if (t->dtype == EA_BF16) ea_parallel_range(ea_tensor_count(t), EA_CHUNK, widen_range, &v);
  return v.f32;
}

void ea_gemm_narrow(const ea_tensor *t, const float *from) {
  conversion v = {t, (float *)from};
  if (t->dtype == EA_BF16) ea_parallel_range(ea_tensor_count(t), EA_CHUNK, narrow_range, &v);
}
