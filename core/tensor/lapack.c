/* SPDX-License-Identifier: GPL-3.0-or-later
 * lapack.c - singular values and symmetric eigenvalues; the only user of LAPACKE. LAPACK stores
 * matrices by columns: our rows are its columns, so each call below is posed for the transpose.
 * Signs, which LAPACK leaves open, are fixed: the component of largest magnitude of each right
 * singular vector and each eigenvector (the first, among equals) is positive.
 */
#include <lapacke.h>
#include <math.h>

#include "blas.h"
#include "tensor.h"

/* A tensor's elements as doubles, whichever of the two types it has. */
static double at(const ea_tensor *t, int64_t i) {
  return t->dtype == EA_F64 ? ea_f64(t)[i] : ea_f32(t)[i];
}

static void negate(const ea_tensor *t, int64_t first, int64_t n, int64_t stride) {
  for (int64_t i = first; n-- > 0; i += stride) {
    if (t->dtype == EA_F64) ea_f64(t)[i] = -ea_f64(t)[i];
    else ea_f32(t)[i] = -ea_f32(t)[i];
  }
}

static int points_down(const ea_tensor *t, int64_t first, int64_t n) {
  double most = 0;
  for (int64_t i = first; i < first + n; i++)
    if (fabs(at(t, i)) > fabs(most)) most = at(t, i);
  return most < 0;
}

static int check(const char *who, const ea_tensor *a) {
  int64_t bad;
  if (a->dtype != EA_F32 && a->dtype != EA_F64)
    return ea_fail(EA_ERR_DTYPE, "%s: expected f32 or f64, got %s", who, ea_shape_text(a));
  if (a->ndim != 2)
    return ea_fail(EA_ERR_SHAPE, "%s: expected a matrix {m, n}, got %s", who, ea_shape_text(a));
  if (!a->storage) return ea_fail(EA_ERR_ARG, "%s: cannot be part of a captured graph", who);
  if (a->size[0] > 1 << 20 || a->size[1] > 1 << 20)
    return ea_fail(EA_ERR_SHAPE, "%s: at most 2^20 rows and columns, got %s", who,
                   ea_shape_text(a));
  EA_TRY(ea_tensor_count_nonfinite(a, &bad));
  if (bad)
    return ea_fail(EA_ERR_NUMERIC, "%s: %lld elements of %s are NaN or infinite", who,
                   (long long)bad, ea_shape_text(a));
  return EA_OK;
}

static int failed(const char *who, const ea_tensor *a, lapack_int info) {
  if (info == LAPACK_WORK_MEMORY_ERROR) return ea_fail(EA_ERR_MEMORY, "%s: no memory", who);
  return ea_fail(EA_ERR_NUMERIC, "%s: LAPACK gave up on %s (info %d)", who, ea_shape_text(a),
                 (int)info);
}

/* ---- svd ---- */

/* The transpose a' = v s u' as LAPACK sees it: its left vectors are our vt, its right ones u. */
static lapack_int gesdd(ea_tensor *a, ea_tensor *u, ea_tensor *s, ea_tensor *vt, void *work,
                        lapack_int lwork, lapack_int *iwork) {
  lapack_int m = (lapack_int)a->size[0], n = (lapack_int)a->size[1], k = EA_MIN(m, n);
  if (a->dtype == EA_F64)
    return LAPACKE_dgesdd_work(LAPACK_COL_MAJOR, 'S', n, m, ea_f64(a), n, ea_f64(s), ea_f64(vt), n,
                               ea_f64(u), k, work, lwork, iwork);
  return LAPACKE_sgesdd_work(LAPACK_COL_MAJOR, 'S', n, m, ea_f32(a), n, ea_f32(s), ea_f32(vt), n,
                             ea_f32(u), k, work, lwork, iwork);
}

static double size_asked(int dtype, const double *work) {
  if (dtype == EA_F64) return work[0];
  float f;
  memcpy(&f, work, sizeof f);
  /* A float cannot hold every size: LAPACK may have rounded it down. */
  return nextafterf(f, INFINITY);
}

static int run_svd(ea_tensor *a, ea_tensor *u, ea_tensor *s, ea_tensor *vt) {
  int64_t k = s->size[0];
  double query[1];
  lapack_int *iwork = ea_alloc((size_t)(8 * k) * sizeof *iwork);
  if (!iwork) return EA_ERR_MEMORY;
  lapack_int info = gesdd(a, u, s, vt, query, -1, iwork);
  void *work = NULL;
  if (!info) {
    lapack_int lwork = (lapack_int)ceil(size_asked(a->dtype, query));
    work = ea_alloc((size_t)lwork * (size_t)ea_dtype_size(a->dtype));
    if (!work) {
      ea_free(iwork);
      return EA_ERR_MEMORY;
    }
    info = gesdd(a, u, s, vt, work, lwork, iwork);
  }
  ea_free(work);
  ea_free(iwork);
  if (info) return failed("svd", a, info);
  for (int64_t i = 0; i < k; i++) {
    if (!points_down(vt, i * vt->size[1], vt->size[1])) continue;
    negate(vt, i * vt->size[1], vt->size[1], 1);
    negate(u, i, u->size[0], k);
  }
  return EA_OK;
}

int ea_svd(const ea_tensor *a, ea_tensor **u, ea_tensor **s, ea_tensor **vt) {
  ea_tensor *copy = NULL, *out[3] = {NULL};
  EA_TRY(check("svd", a));
  int64_t m = a->size[0], n = a->size[1], k = EA_MIN(m, n);
  int status = ea_tensor_clone(a, a->dtype, &copy); /* LAPACK destroys it */
  if (!status) status = ea_tensor_new(a->dtype, 2, (int64_t[]){m, k}, &out[0]);
  if (!status) status = ea_tensor_new(a->dtype, 1, (int64_t[]){k}, &out[1]);
  if (!status) status = ea_tensor_new(a->dtype, 2, (int64_t[]){k, n}, &out[2]);
  if (!status) status = ea_blas_ready();
  if (!status && k > 0) status = run_svd(copy, out[0], out[1], out[2]);
  ea_tensor_release(copy);
  if (status) {
    for (int i = 0; i < 3; i++) ea_tensor_release(out[i]);
    return status;
  }
  *u = out[0];
  *s = out[1];
  *vt = out[2];
  return EA_OK;
}

/* ---- eigh ---- */

static int check_symmetric(const ea_tensor *a) {
  int64_t n = a->size[0];
  double most = 0, limit = a->dtype == EA_F64 ? 1e-8 : 1e-4;
  for (int64_t i = 0; i < n * n; i++) most = fmax(most, fabs(at(a, i)));
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < i; j++)
      if (fabs(at(a, i * n + j) - at(a, j * n + i)) > limit * most)
        return ea_fail(EA_ERR_ARG,
                       "eigh: the matrix is not symmetric: row %lld column %lld is %g, "
                       "row %lld column %lld is %g (counted from 1)",
                       (long long)(i + 1), (long long)(j + 1), at(a, i * n + j), (long long)(j + 1),
                       (long long)(i + 1), at(a, j * n + i));
  return EA_OK;
}

static lapack_int syevd(ea_tensor *a, ea_tensor *w, void *work, lapack_int lwork, lapack_int *iwork,
                        lapack_int liwork) {
  lapack_int n = (lapack_int)a->size[0]; /* our lower triangle is LAPACK's upper one */
  if (a->dtype == EA_F64)
    return LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, 'V', 'U', n, ea_f64(a), n, ea_f64(w), work, lwork,
                               iwork, liwork);
  return LAPACKE_ssyevd_work(LAPACK_COL_MAJOR, 'V', 'U', n, ea_f32(a), n, ea_f32(w), work, lwork,
                             iwork, liwork);
}

/* a becomes the eigenvectors, one a row. */
static int run_eigh(ea_tensor *a, ea_tensor *w) {
  double query[1];
  lapack_int liwork = 0, *iwork = NULL;
  lapack_int info = syevd(a, w, query, -1, &liwork, -1);
  void *work = NULL;
  if (!info) {
    lapack_int lwork = (lapack_int)ceil(size_asked(a->dtype, query));
    work = ea_alloc((size_t)lwork * (size_t)ea_dtype_size(a->dtype));
    iwork = ea_alloc((size_t)liwork * sizeof *iwork);
    if (work && iwork) info = syevd(a, w, work, lwork, iwork, liwork);
    else info = LAPACK_WORK_MEMORY_ERROR;
  }
  ea_free(work);
  ea_free(iwork);
  if (info) return failed("eigh", a, info);
  for (int64_t i = 0, n = a->size[0]; i < n; i++)
    if (points_down(a, i * n, n)) negate(a, i * n, n, 1);
  return EA_OK;
}

int ea_eigh(const ea_tensor *a, ea_tensor **w, ea_tensor **v) {
  ea_tensor *rows = NULL, *columns = NULL, *values = NULL, *vectors = NULL;
  EA_TRY(check("eigh", a));
  int64_t n = a->size[0];
  if (a->size[1] != n)
    return ea_fail(EA_ERR_SHAPE, "eigh: expected a square matrix, got %s", ea_shape_text(a));
  int status = ea_tensor_clone(a, a->dtype, &rows); /* the vectors replace it */
  if (!status) status = check_symmetric(rows);
  if (!status) status = ea_tensor_new(a->dtype, 1, &n, &values);
  if (!status) status = ea_blas_ready();
  if (!status && n > 0) status = run_eigh(rows, values);
  if (!status) status = ea_tensor_permute(rows, (int[]){1, 0}, &columns);
  if (!status) status = ea_tensor_clone(columns, a->dtype, &vectors);
  ea_tensor_release(columns);
  ea_tensor_release(rows);
  if (status) {
    ea_tensor_release(values);
    return status;
  }
  *w = values;
  *v = vectors;
  return EA_OK;
}
