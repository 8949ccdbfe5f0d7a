/* SPDX-License-Identifier: GPL-3.0-or-later
 * norm.c - Euclidean norm of a buffer. Squares and sums are f64, in an order that neither the
 * number of threads nor the width of the CPU's vectors changes: fixed chunks, 16 lanes in each.
 */
#include <math.h>

#include "optim.h"

enum { NORM_LANES = 16, NORM_CHUNKS = 256 };

typedef struct norm {
  const float *x;
  double *part; /* one sum of squares per chunk */
} norm;

static void norm_range(void *arg, int64_t begin, int64_t end) {
  const norm *s = arg;
  const float *x = s->x;
  double lane[NORM_LANES] = {0}, sum = 0;
  int64_t i = begin;
  for (; i + NORM_LANES <= end; i += NORM_LANES)
    for (int k = 0; k < NORM_LANES; k++) lane[k] += (double)x[i + k] * x[i + k];
  for (; i < end; i++) sum += (double)x[i] * x[i];
  for (int k = 0; k < NORM_LANES; k++) sum += lane[k];
  s->part[begin / EA_CHUNK] = sum;
}

int ea_norm(const ea_tensor *t, double *out) {
  EA_TRY(ea_optim_check("norm", "t", t, EA_F32, -1));
  if (!out) return ea_fail(EA_ERR_ARG, "norm: out is missing");
  const int64_t n = ea_tensor_count(t), most = (int64_t)NORM_CHUNKS * EA_CHUNK;
  double part[NORM_CHUNKS], sum = 0;
  for (int64_t at = 0; at < n; at += most) { /* training asks every step: nothing is allocated */
    const int64_t count = EA_MIN(n - at, most);
    norm s = {ea_f32(t) + at, part};
    ea_parallel_range(count, EA_CHUNK, norm_range, &s);
    for (int64_t c = 0; c * EA_CHUNK < count; c++) sum += part[c];
  }
  *out = sqrt(sum);
  return EA_OK;
}
