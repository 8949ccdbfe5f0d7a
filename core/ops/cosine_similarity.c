/* SPDX-License-Identifier: GPL-3.0-or-later
 * cosine_similarity "axis:x=-1 eps:f=1e-8" (a, b) - c = a.b / (A B), A = max(|a|, eps), B likewise,
 * along the axis, which disappears (torch.nn.functional.cosine_similarity). Computed in f64.
 * Gradient (g of c): a: g (b / (A B) - c a / A^2), without the second term where |a| <= eps.
 */
#include <math.h>

#include "along.h"

enum { AXIS, EPS };

static int shape(ea_call *c) {
  const ea_tensor *a = c->in[0];
  int64_t size[EA_MAX_DIM];
  int dim = 0, n = 0;
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_call_check_same_dtype(c));
  if (!ea_tensor_same_shape(a, c->in[1]))
    return ea_call_fail(c, EA_ERR_SHAPE, "both inputs must have one shape, got %s and %s",
                        ea_shape_text(a), ea_shape_text(c->in[1]));
  EA_TRY(ea_call_axis(c, AXIS, a->ndim, &dim));
  if (!(c->attr[EPS] >= 0))
    return ea_call_fail(c, EA_ERR_ARG, "eps must not be negative, got %g", c->attr[EPS]);
  for (int d = 0; d < a->ndim; d++)
    if (d != dim) size[n++] = a->size[d];
  ea_call_output(c, 0, a->dtype, n, size);
  return EA_OK;
}

typedef struct job {
  ea_axis axis;
  double eps;
  const ea_tensor *a, *b, *c, *ga, *gb, *gc;
} job;

static void forward_range(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  double ab[EA_ALONG], aa[EA_ALONG], bb[EA_ALONG];
  for (int64_t g = begin; g < end; g++) {
    ea_along l = ea_along_group(&j->axis, g);
    ea_along_dot(&l, j->a, j->b, ab);
    ea_along_dot(&l, j->a, j->a, aa);
    ea_along_dot(&l, j->b, j->b, bb);
    for (int i = 0; i < EA_ALONG; i++)
      ab[i] /= fmax(sqrt(aa[i]), j->eps) * fmax(sqrt(bb[i]), j->eps);
    ea_store_f64(ea_ptr(j->c), j->c->dtype, l.result, ab, l.results);
  }
}

static int forward(ea_call *c) {
  job j = {.axis = ea_axis_split(c->in[0], ea_attr_int(c, AXIS)),
           .eps = c->attr[EPS],
           .a = c->in[0],
           .b = c->in[1],
           .c = c->out[0]};
  ea_parallel_range(ea_along_groups(&j.axis), ea_along_chunk(&j.axis), forward_range, &j);
  return EA_OK;
}

/* to = other * gc / (A B) - own * gc c / A^2. */
static void pull(const job *j, const ea_along *l, const ea_tensor *to, const ea_tensor *own,
                 const ea_tensor *other, const double *gc, const double *dot, const double *own2,
                 const double *other2) {
  double p[EA_ALONG], q[EA_ALONG];
  for (int i = 0; i < EA_ALONG; i++) {
    double norm = sqrt(own2[i]), both = fmax(norm, j->eps) * fmax(sqrt(other2[i]), j->eps);
    p[i] = gc[i] / both;
    q[i] = norm > j->eps ? -gc[i] * dot[i] / (both * own2[i]) : 0;
  }
  ea_along_combine(l, to, other, p, own, q);
}

static void backward_range(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  double ab[EA_ALONG], aa[EA_ALONG], bb[EA_ALONG], gc[EA_ALONG] = {0};
  for (int64_t g = begin; g < end; g++) {
    ea_along l = ea_along_group(&j->axis, g);
    ea_along_dot(&l, j->a, j->b, ab);
    ea_along_dot(&l, j->a, j->a, aa);
    ea_along_dot(&l, j->b, j->b, bb);
    ea_load_f64(gc, ea_ptr(j->gc), j->gc->dtype, l.result, l.results);
    for (int i = 1; l.row && i < EA_ALONG; i++) gc[i] = gc[0];
    if (j->ga) pull(j, &l, j->ga, j->a, j->b, gc, ab, aa, bb);
    if (j->gb) pull(j, &l, j->gb, j->b, j->a, gc, ab, bb, aa);
  }
}

static int backward(ea_call *c) {
  job j = {.axis = ea_axis_split(c->in[0], ea_attr_int(c, AXIS)),
           .eps = c->attr[EPS],
           .a = c->in[0],
           .b = c->in[1],
           .ga = c->gin[0],
           .gb = c->gin[1],
           .gc = c->gout[0]};
  ea_parallel_range(ea_along_groups(&j.axis), ea_along_chunk(&j.axis), backward_range, &j);
  return EA_OK;
}

const ea_op ea_op_cosine_similarity = {
    .name = "cosine_similarity",
    .nin_least = 2,
    .nin_most = 2,
    .nout = 1,
    .attrs = "axis:x=-1 eps:f=1e-8",
    .need_in = 3,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
