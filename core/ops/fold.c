/* SPDX-License-Identifier: GPL-3.0-or-later
 * fold.c - see fold.h. Work is cut by shape alone and every sum runs in double, so results are
 * accurate and the same for any number of threads.
 */
#include "fold.h"

#include <math.h>

enum { FOLD_TILE = 4096, FOLD_SEGMENT = 64 };

static void pass_plan(ea_fold_pass *p, int64_t outer, int64_t length, int64_t inner) {
  p->outer = outer;
  p->length = length;
  p->inner = inner;
  p->tile = EA_MIN(inner, FOLD_TILE);
  p->tiles = inner ? (inner + p->tile - 1) / p->tile : 0;
  p->segment = length;
  /* Few results of long sums: cut the length; at least FOLD_SEGMENT, to keep the partials small. */
  if (outer * inner < EA_CHUNK && outer * inner > 0)
    p->segment = EA_MIN(length, EA_MAX(EA_CHUNK / inner, FOLD_SEGMENT));
  p->segments = p->segment ? (length + p->segment - 1) / p->segment : 1;
}

void ea_fold_plan(ea_fold *f, int ndim, const int64_t *size, unsigned mask) {
  int64_t dims[EA_MAX_DIM];
  int folded[EA_MAX_DIM], n = 0; /* runs of adjacent axes of one kind */
  for (int d = 0; d < ndim; d++) {
    int fold = mask >> d & 1;
    if (n > 0 && folded[n - 1] == fold) {
      dims[n - 1] *= size[d];
    } else {
      dims[n] = size[d];
      folded[n++] = fold;
    }
  }
  f->npass = 0;
  f->scratch = 0;
  int64_t inner = 1;
  for (int d = n - 1; d >= 0; d--) {
    if (!folded[d]) {
      inner *= dims[d];
      continue;
    }
    int64_t outer = 1;
    for (int k = 0; k < d; k++) outer *= dims[k];
    ea_fold_pass *p = &f->pass[f->npass++];
    pass_plan(p, outer, dims[d], inner);
    f->scratch += outer * inner + (p->segments > 1 ? outer * p->segments * inner : 0);
  }
  if (f->npass == 0) pass_plan(&f->pass[f->npass++], 1, 1, inner);
  f->results = inner;
}

/* ---- one pass -------------------------------------------------------------------------------- */

static inline double larger(double m, double v) { return v > m || v != v ? v : m; }
static inline double smaller(double m, double v) { return v < m || v != v ? v : m; }

static double fold_row(int kind, double acc, const double *v, int64_t n) {
  if (kind == EA_FOLD_SUM) {
    double s = 0;
#pragma omp simd reduction(+ : s)
    for (int64_t i = 0; i < n; i++) s += v[i];
    return acc + s;
  }
  if (kind == EA_FOLD_MAX)
    for (int64_t i = 0; i < n; i++) acc = larger(acc, v[i]);
  else
    for (int64_t i = 0; i < n; i++) acc = smaller(acc, v[i]);
  return acc;
}

static void fold_columns(int kind, double *acc, const double *v, int64_t n) {
  if (kind == EA_FOLD_SUM)
    for (int64_t i = 0; i < n; i++) acc[i] += v[i];
  else if (kind == EA_FOLD_MAX)
    for (int64_t i = 0; i < n; i++) acc[i] = larger(acc[i], v[i]);
  else
    for (int64_t i = 0; i < n; i++) acc[i] = smaller(acc[i], v[i]);
}

/* Folds n consecutive elements into `width` columns, going round. */
static void fold_range(const ea_expr *e, int kind, int64_t begin, int64_t n, int64_t width,
                       double *acc) {
  double buffer[EA_BLOCK] __attribute__((aligned(64)));
  int64_t column = 0;
  for (int64_t m; n > 0; n -= m, begin += m) {
    m = EA_MIN(n, EA_BLOCK);
    const double *v = ea_expr_f64(e, begin, m, buffer);
    if (width == 1) {
      acc[0] = fold_row(kind, acc[0], v, m);
      continue;
    }
    for (int64_t i = 0, run; i < m; i += run) {
      run = EA_MIN(m - i, width - column);
      fold_columns(kind, acc + column, v + i, run);
      column = column + run == width ? 0 : column + run;
    }
  }
}

typedef struct fold_job {
  const ea_fold_pass *p;
  const ea_expr *e;
  int kind;
  double *out; /* {outer, segments, inner} */
} fold_job;

static double fold_start(int kind) {
  return kind == EA_FOLD_SUM ? 0 : kind == EA_FOLD_MAX ? -INFINITY : INFINITY;
}

static void fold_tasks(void *arg, int64_t begin, int64_t end) {
  const fold_job *j = arg;
  const ea_fold_pass *p = j->p;
  for (int64_t task = begin; task < end; task++) {
    int64_t tile = task % p->tiles, part = task / p->tiles; /* part = outer * segments + segment */
    int64_t o = part / p->segments, first = part % p->segments * p->segment;
    int64_t rows = EA_MIN(p->segment, p->length - first);
    int64_t column = tile * p->tile, width = EA_MIN(p->tile, p->inner - column);
    int64_t at = (o * p->length + first) * p->inner + column;
    double *acc = j->out + part * p->inner + column;
    for (int64_t i = 0; i < width; i++) acc[i] = fold_start(j->kind);
    if (p->tiles == 1) fold_range(j->e, j->kind, at, rows * width, width, acc);
    else
      for (int64_t r = 0; r < rows; r++)
        fold_range(j->e, j->kind, at + r * p->inner, width, width, acc);
  }
}

static void fold_segments(const ea_fold_pass *p, int kind, const double *part, double *out) {
  for (int64_t o = 0; o < p->outer; o++, out += p->inner) {
    for (int64_t i = 0; i < p->inner; i++) out[i] = fold_start(kind);
    for (int64_t s = 0; s < p->segments; s++, part += p->inner)
      fold_columns(kind, out, part, p->inner);
  }
}

static void pass_run(const ea_fold_pass *p, const ea_expr *e, int kind, double *out,
                     double *partial) {
  fold_job j = {p, e, kind, p->segments > 1 ? partial : out};
  int64_t work = EA_MAX(1, p->segment * p->tile);
  ea_parallel_range(p->outer * p->segments * p->tiles, EA_MAX(1, EA_CHUNK / work), fold_tasks, &j);
  if (p->segments > 1) fold_segments(p, kind, partial, out);
}

void ea_fold_run(const ea_fold *f, const ea_expr *e, int kind, double *out, double *scratch) {
  ea_expr between;
  for (int k = 0; k < f->npass; k++) {
    const ea_fold_pass *p = &f->pass[k];
    int64_t results = p->outer * p->inner;
    double *to = k + 1 == f->npass ? out : scratch;
    pass_run(p, e, kind, to, scratch + results);
    ea_expr_init(&between, 1, &results, NULL, NULL);
    ea_expr_array(&between, 0, to, EA_F64, 1, &results);
    e = &between;
    scratch += results + (p->segments > 1 ? results * p->segments : 0);
  }
}

int ea_fold_store(ea_call *c, const ea_expr *e, unsigned mask, int kind, ea_kernel finish,
                  const double *attr, void *out, int dtype, int accumulate) {
  ea_fold f;
  ea_fold_plan(&f, e->ndim, e->size, mask);
  double *result = ea_call_scratch(c, (size_t)(f.results + f.scratch + 1) * sizeof(double));
  if (!result) return EA_ERR_MEMORY;
  ea_fold_run(&f, e, kind, result, result + f.results);
  ea_expr last;
  ea_expr_init(&last, 1, &f.results, finish, finish);
  ea_expr_array(&last, 0, result, EA_F64, 1, &f.results);
  last.wide = 1;
  if (attr) memcpy(last.attr, attr, sizeof last.attr);
  ea_expr_store(&last, out, dtype, accumulate);
  return EA_OK;
}
