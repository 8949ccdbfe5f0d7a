/* SPDX-License-Identifier: GPL-3.0-or-later
 * compare.c - how alike two partitions are: normalised mutual information and the adjusted Rand
 * index, from the counts n_ij of things labelled i by one and j by the other.
 *   NMI = 2 I(a,b) / (H(a) + H(b))                       Danon et al. 2005
 *   ARI = (sum C(n_ij,2) - E) / ((A + B) / 2 - E), A = sum C(n_i.,2), B = sum C(n_.j,2),
 *         E = A B / C(n,2)                                Hubert & Arabie 1985
 * Both are 1 for equal partitions, also where the fraction is 0/0 (all in one, all alone).
 */
#include "network.h"

#include <math.h>
#include <stdlib.h>

typedef struct group {
  int32_t begin; /* where its members start among the sorted keys */
  int32_t first; /* smallest member */
  int32_t size;
} group;

static int by_size(const void *x, const void *y) {
  const group *a = x, *b = y;
  if (a->size != b->size) return a->size > b->size ? -1 : 1;
  return a->first < b->first ? -1 : 1;
}

static int by_value(const void *x, const void *y) {
  uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
  return (a > b) - (a < b);
}

/* Sorted keys (label, position): members of one label stand together, smallest first. */
static uint64_t pair_key(int32_t a, int32_t b) { return (uint64_t)(uint32_t)a << 32 | (uint32_t)b; }

int ea_label_canonical(int64_t n, const int32_t *in, int32_t *out) {
  uint64_t *key = ea_alloc((size_t)n * sizeof *key);
  group *groups = key ? ea_alloc((size_t)n * sizeof *groups) : NULL;
  if (!groups) {
    ea_free(key);
    return EA_ERR_MEMORY;
  }
  for (int64_t i = 0; i < n; i++) key[i] = pair_key(in[i], (int32_t)i);
  qsort(key, (size_t)n, sizeof *key, by_value);
  int32_t k = 0;
  for (int64_t i = 0; i < n; i++) {
    if (i == 0 || key[i] >> 32 != key[i - 1] >> 32)
      groups[k++] = (group){.begin = (int32_t)i, .first = (int32_t)(uint32_t)key[i]};
    groups[k - 1].size++;
  }
  qsort(groups, (size_t)k, sizeof *groups, by_size);
  for (int32_t g = 0; g < k; g++)
    for (int32_t i = 0; i < groups[g].size; i++) out[(uint32_t)key[groups[g].begin + i]] = g;
  ea_free(groups);
  ea_free(key);
  return k;
}

typedef struct counts {
  double pairs_ab, pairs_a, pairs_b;       /* sums of n(n-1)/2 */
  double entropy_ab, entropy_a, entropy_b; /* in nats */
} counts;

/* Adds up the run lengths of sorted keys shifted right. */
static void runs(int64_t n, const uint64_t *key, int shift, double *pairs, double *entropy) {
  *pairs = *entropy = 0;
  for (int64_t i = 0, begin = 0; i < n; i++) {
    if (i + 1 < n && key[i + 1] >> shift == key[begin] >> shift) continue;
    double size = (double)(i + 1 - begin), p = size / (double)n;
    *pairs += size * (size - 1) / 2;
    *entropy -= p * log(p);
    begin = i + 1;
  }
}

static int count(int64_t n, const int32_t *a, const int32_t *b, counts *out) {
  uint64_t *key = ea_alloc((size_t)n * sizeof *key);
  if (!key) return EA_ERR_MEMORY;
  for (int64_t i = 0; i < n; i++) key[i] = pair_key(a[i], b[i]);
  qsort(key, (size_t)n, sizeof *key, by_value);
  runs(n, key, 0, &out->pairs_ab, &out->entropy_ab);
  runs(n, key, 32, &out->pairs_a, &out->entropy_a);
  for (int64_t i = 0; i < n; i++) key[i] = (uint32_t)b[i];
  qsort(key, (size_t)n, sizeof *key, by_value);
  runs(n, key, 0, &out->pairs_b, &out->entropy_b);
  ea_free(key);
  return EA_OK;
}

static double adjusted_rand(int64_t n, const counts *c) {
  double all = (double)n * (double)(n - 1) / 2;
  double expected = all > 0 ? c->pairs_a * c->pairs_b / all : 0;
  double most = (c->pairs_a + c->pairs_b) / 2;
  return most == expected ? 1 : (c->pairs_ab - expected) / (most - expected);
}

int ea_label_rand(int64_t n, const int32_t *a, const int32_t *b, double *out) {
  counts c;
  EA_TRY(count(n, a, b, &c));
  *out = adjusted_rand(n, &c);
  return EA_OK;
}

static int copy_labels(const char *who, const ea_tensor *t, int32_t **out) {
  if (t->dtype != EA_I32 || t->ndim != 1 || t->size[0] < 1 || !t->storage)
    return ea_fail(EA_ERR_SHAPE, "%s: expected a membership {n} i32 with n >= 1, got %s", who,
                   ea_shape_text(t));
  int32_t *label = ea_alloc((size_t)t->size[0] * sizeof *label);
  if (!label) return EA_ERR_MEMORY;
  for (int64_t i = 0; i < t->size[0]; i++) label[i] = ea_i32(t)[i * t->stride[0]];
  *out = label;
  return EA_OK;
}

static int compare(const char *who, const ea_tensor *a, const ea_tensor *b, counts *c) {
  int32_t *x = NULL, *y = NULL;
  if (!a || !b) return ea_fail(EA_ERR_ARG, "%s: an argument is missing", who);
  int status = copy_labels(who, a, &x);
  if (status == EA_OK) status = copy_labels(who, b, &y);
  if (status == EA_OK && a->size[0] != b->size[0])
    status = ea_fail(EA_ERR_SHAPE, "%s: expected two memberships of one length, got %s and %s", who,
                     ea_shape_text(a), ea_shape_text(b));
  if (status == EA_OK) status = count(a->size[0], x, y, c);
  ea_free(x);
  ea_free(y);
  return status;
}

int ea_nmi(const ea_tensor *a, const ea_tensor *b, double *out) {
  counts c;
  if (!out) return ea_fail(EA_ERR_ARG, "nmi: an argument is missing");
  EA_TRY(compare("nmi", a, b, &c));
  double sum = c.entropy_a + c.entropy_b;
  double shared = sum - c.entropy_ab; /* mutual information; rounding may leave it below 0 */
  *out = sum > 0 ? EA_MIN(1, EA_MAX(0, 2 * shared / sum)) : 1;
  return EA_OK;
}

int ea_adjusted_rand(const ea_tensor *a, const ea_tensor *b, double *out) {
  counts c;
  if (!out) return ea_fail(EA_ERR_ARG, "adjusted_rand: an argument is missing");
  EA_TRY(compare("adjusted_rand", a, b, &c));
  *out = adjusted_rand(a->size[0], &c);
  return EA_OK;
}
