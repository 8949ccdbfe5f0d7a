/* SPDX-License-Identifier: GPL-3.0-or-later
 * network.c - reading weight matrices, and modularity (Newman & Girvan 2004, with the resolution
 * of Reichardt & Bornholdt 2006 on the null model):
 *   Q = sum_ij (w_ij - resolution * k_i k_j / 2m) [c_i = c_j] / 2m
 */
#include "network.h"

#include <math.h>

static double weight_at(const ea_tensor *w, int64_t i, int64_t j) {
  int64_t at = i * w->stride[0] + j * w->stride[1];
  return w->dtype == EA_F32 ? (double)ea_f32(w)[at] : ea_f64(w)[at];
}

static int check_form(const char *who, const ea_tensor *w) {
  if (!w) return ea_fail(EA_ERR_ARG, "%s: the weight matrix is missing", who);
  if (w->dtype != EA_F32 && w->dtype != EA_F64)
    return ea_fail(EA_ERR_DTYPE, "%s: expected weights in f32 or f64, got %s", who,
                   ea_dtype_name(w->dtype));
  if (w->ndim != 2 || w->size[0] != w->size[1] || w->size[0] < 1)
    return ea_fail(EA_ERR_SHAPE, "%s: expected a square weight matrix {n, n}, got %s", who,
                   ea_shape_text(w));
  if (w->size[0] > 32768)
    return ea_fail(EA_ERR_SHAPE, "%s: expected at most 32768 nodes, got %lld", who,
                   (long long)w->size[0]);
  if (!w->storage)
    return ea_fail(EA_ERR_ARG, "%s: the weight matrix has no values while a graph is captured",
                   who);
  return EA_OK;
}

/* Refuses negative and non-finite weights; *largest: off the diagonal. */
static int check_values(const char *who, const ea_tensor *w, double *largest) {
  *largest = 0;
  for (int64_t i = 0; i < w->size[0]; i++) {
    for (int64_t j = 0; j < w->size[0]; j++) {
      double x = weight_at(w, i, j);
      if (!(x >= 0) || !isfinite(x))
        return ea_fail(EA_ERR_NUMERIC,
                       "%s: weights must be finite and not negative, but row %lld, column %lld "
                       "(from 1) is %g",
                       who, (long long)i + 1, (long long)j + 1, x);
      if (i != j && x > *largest) *largest = x;
    }
  }
  return EA_OK;
}

static int fill(const char *who, const ea_tensor *w, double largest, ea_network *net) {
  for (int64_t i = 0; i < net->n; i++) {
    for (int64_t j = i + 1; j < net->n; j++) {
      double a = weight_at(w, i, j), b = weight_at(w, j, i);
      if (fabs(a - b) > 1e-6 * largest)
        return ea_fail(EA_ERR_ARG,
                       "%s: the weight matrix must be symmetric, but entry (%lld, %lld) (from 1) "
                       "is %g and its mirror %g; add its transpose first",
                       who, (long long)i + 1, (long long)j + 1, a, b);
      double x = a == b ? a / largest : 0.5 * (a / largest + b / largest);
      if (!(x > 0)) continue;
      net->weight[i * net->n + j] = net->weight[j * net->n + i] = x;
      net->edges++;
    }
  }
  for (int64_t i = 0; i < net->n; i++) {
    for (int64_t j = 0; j < net->n; j++) net->strength[i] += net->weight[i * net->n + j];
    net->total += net->strength[i];
  }
  return EA_OK;
}

int ea_network_load(const char *who, const ea_tensor *w, ea_network *out) {
  double largest;
  EA_TRY(check_form(who, w));
  EA_TRY(check_values(who, w, &largest));
  ea_network net = {.n = w->size[0]};
  net.weight = ea_alloc_zero((size_t)(net.n * net.n) * sizeof(double));
  net.strength = net.weight ? ea_alloc_zero((size_t)net.n * sizeof(double)) : NULL;
  int status = net.strength ? EA_OK : EA_ERR_MEMORY;
  if (status == EA_OK && largest > 0) status = fill(who, w, largest, &net);
  if (status < 0) ea_network_free(&net);
  else *out = net;
  return status;
}

void ea_network_free(ea_network *net) {
  ea_free(net->weight);
  ea_free(net->strength);
  net->weight = net->strength = NULL;
}

double ea_network_modularity(const ea_network *net, const int32_t *label, double resolution,
                             double *scratch) {
  if (net->edges == 0) return 0;
  double inside = 0, expected = 0;
  memset(scratch, 0, (size_t)net->n * sizeof(double));
  for (int64_t i = 0; i < net->n; i++) {
    const double *row = net->weight + i * net->n;
    scratch[label[i]] += net->strength[i];
    for (int64_t j = 0; j < net->n; j++)
      if (label[j] == label[i]) inside += row[j];
  }
  for (int64_t c = 0; c < net->n; c++) expected += scratch[c] * scratch[c];
  return inside / net->total - resolution * (expected / net->total) / net->total;
}

int ea_modularity(const ea_tensor *w, const ea_tensor *membership, double resolution, double *out) {
  static const char *who = "modularity";
  ea_network net;
  if (!membership || !out) return ea_fail(EA_ERR_ARG, "%s: an argument is missing", who);
  if (!(resolution >= 0) || !isfinite(resolution))
    return ea_fail(EA_ERR_ARG, "%s: expected a resolution of 0 or more, got %g", who, resolution);
  EA_TRY(ea_network_load(who, w, &net));
  int status = EA_OK;
  int32_t *label = NULL;
  double *scratch = NULL;
  if (membership->dtype != EA_I32 || membership->ndim != 1 || membership->size[0] != net.n ||
      !membership->storage) {
    status = ea_fail(EA_ERR_SHAPE,
                     "%s: expected a membership {%lld} i32, one number per node, "
                     "got %s",
                     who, (long long)net.n, ea_shape_text(membership));
    goto done;
  }
  status = EA_ERR_MEMORY;
  if (!(label = ea_alloc((size_t)net.n * sizeof *label))) goto done;
  if (!(scratch = ea_alloc((size_t)net.n * sizeof *scratch))) goto done;
  for (int64_t i = 0; i < net.n; i++) label[i] = ea_i32(membership)[i * membership->stride[0]];
  status = ea_label_canonical(net.n, label, label);
  if (status < 0) goto done;
  *out = ea_network_modularity(&net, label, resolution, scratch);
  status = EA_OK;
done:
  ea_free(label);
  ea_free(scratch);
  ea_network_free(&net);
  return status;
}
