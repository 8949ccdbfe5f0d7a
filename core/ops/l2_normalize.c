/* SPDX-License-Identifier: GPL-3.0-or-later
 * l2_normalize "axis:x=-1 eps:f=1e-12" (x) - y = x / max(|x|, eps), |x| the Euclidean norm along
 * the axis (torch.nn.functional.normalize). Computed in f64.
 * Gradient (g of y): (g - y (y.g)) / |x|, and g / eps where |x| <= eps.
 */
#include <math.h>

#include "along.h"

enum { AXIS, EPS };

static int shape(ea_call *c) {
  int dim;
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_call_axis(c, AXIS, c->in[0]->ndim, &dim));
  if (!(c->attr[EPS] >= 0))
    return ea_call_fail(c, EA_ERR_ARG, "eps must not be negative, got %g", c->attr[EPS]);
  ea_call_output(c, 0, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->size);
  return EA_OK;
}

typedef struct job {
  ea_axis axis;
  double eps;
  const ea_tensor *x, *y, *gx, *gy;
} job;

static void forward_range(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  double p[EA_ALONG];
  for (int64_t g = begin; g < end; g++) {
    ea_along l = ea_along_group(&j->axis, g);
    ea_along_dot(&l, j->x, j->x, p);
    for (int i = 0; i < EA_ALONG; i++) p[i] = 1 / fmax(sqrt(p[i]), j->eps);
    ea_along_combine(&l, j->y, j->x, p, NULL, NULL);
  }
}

static int forward(ea_call *c) {
  job j = {
      ea_axis_split(c->in[0], ea_attr_int(c, AXIS)), c->attr[EPS], c->in[0], c->out[0], NULL, NULL};
  ea_parallel_range(ea_along_groups(&j.axis), ea_along_chunk(&j.axis), forward_range, &j);
  return EA_OK;
}

static void backward_range(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  double p[EA_ALONG], q[EA_ALONG];
  for (int64_t g = begin; g < end; g++) {
    ea_along l = ea_along_group(&j->axis, g);
    ea_along_dot(&l, j->x, j->x, p);
    ea_along_dot(&l, j->x, j->gy, q);
    for (int i = 0; i < EA_ALONG; i++) {
      double norm = sqrt(p[i]);
      q[i] = norm > j->eps ? -q[i] / (norm * norm * norm) : 0;
      p[i] = 1 / fmax(norm, j->eps);
    }
    ea_along_combine(&l, j->gx, j->gy, p, j->x, q);
  }
}

static int backward(ea_call *c) {
  job j = {ea_axis_split(c->in[0], ea_attr_int(c, AXIS)),
           c->attr[EPS],
           c->in[0],
           NULL,
           c->gin[0],
           c->gout[0]};
  ea_parallel_range(ea_along_groups(&j.axis), ea_along_chunk(&j.axis), backward_range, &j);
  return EA_OK;
}

const ea_op ea_op_l2_normalize = {
    .name = "l2_normalize",
    .nin_least = 1,
    .nin_most = 1,
    .nout = 1,
    .attrs = "axis:x=-1 eps:f=1e-12",
    .need_in = 1,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
