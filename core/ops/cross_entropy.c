/* SPDX-License-Identifier: GPL-3.0-or-later
 * cross_entropy "base:o=0 smoothing:f=0" (logits {n,c}, labels i32 {n}) - scalar, mean over rows of
 *   -sum_j t_j log softmax(z)_j,  t_j = smoothing/c + (1 - smoothing) [j = label - base]
 * (torch.nn.functional.cross_entropy with label_smoothing). Gradient to the logits:
 * (softmax(z)_j - t_j) / n. A label outside the classes is refused.
 */
#include "loss.h"

enum { BASE, SMOOTHING };

static int shape(ea_call *c) {
  const ea_tensor *z = c->in[0], *label = c->in[1];
  EA_TRY(ea_loss_logits(c, "the logits"));
  EA_TRY(ea_call_check_dtype(c, 1, EA_I32));
  if (label->ndim != 1 || label->size[0] != z->size[0])
    return ea_call_fail(c, EA_ERR_SHAPE, "logits %s need labels {%lld} i32, got %s",
                        ea_shape_text(z), (long long)z->size[0], ea_shape_text(label));
  if (!(c->attr[SMOOTHING] >= 0 && c->attr[SMOOTHING] <= 1))
    return ea_call_fail(c, EA_ERR_ARG, "smoothing must lie in 0..1, got %g", c->attr[SMOOTHING]);
  ea_call_output(c, 0, z->dtype == EA_F64 ? EA_F64 : EA_F32, 0, NULL);
  return EA_OK;
}

static int check_labels(const ea_call *c) {
  int64_t n = c->in[0]->size[0], classes = c->in[0]->size[1], base = ea_attr_int(c, BASE);
  const int32_t *label = ea_i32(c->in[1]);
  for (int64_t i = 0; i < n; i++)
    if (label[i] < base || label[i] - base >= classes)
      return ea_call_fail(c, EA_ERR_ARG,
                          "row %lld has the label %d, but the %lld classes are %lld "
                          "to %lld",
                          (long long)(i + base), label[i], (long long)classes, (long long)base,
                          (long long)(base + classes - 1));
  return EA_OK;
}

typedef struct rows {
  const ea_tensor *z;
  const int32_t *label;
  int64_t base, classes;
  double smoothing;
  double *loss;        /* forward */
  const ea_tensor *gz; /* backward */
  double scale;
} rows;

static rows rows_of(const ea_call *c) {
  return (rows){.z = c->in[0],
                .label = ea_i32(c->in[1]),
                .base = ea_attr_int(c, BASE),
                .classes = c->in[0]->size[1],
                .smoothing = c->attr[SMOOTHING]};
}

static void loss_range(void *arg, int64_t begin, int64_t end) {
  const rows *r = arg;
  for (int64_t i = begin; i < end; i++) {
    int64_t at = i * r->classes;
    double all = ea_logsumexp(r->z, at, r->classes, 1), mean = 0;
    double own = ea_read(ea_ptr(r->z), r->z->dtype, at + r->label[i] - r->base);
    if (r->smoothing > 0) {
      for (int64_t j = 0; j < r->classes; j++) mean += ea_read(ea_ptr(r->z), r->z->dtype, at + j);
      mean *= r->smoothing / (double)r->classes;
    }
    r->loss[i] = all - (1 - r->smoothing) * own - mean;
  }
}

static int forward(ea_call *c) {
  rows r = rows_of(c);
  int64_t n = r.z->size[0];
  EA_TRY(check_labels(c));
  r.loss = ea_loss_parts(c, n);
  if (!r.loss) return EA_ERR_MEMORY;
  ea_parallel_range(n, EA_LOSS_ROWS, loss_range, &r);
  ea_loss_finish(c, r.loss, n, 1.0 / (double)n);
  return EA_OK;
}

static void grad_range(void *arg, int64_t begin, int64_t end) {
  const rows *r = arg;
  for (int64_t i = begin; i < end; i++) {
    int64_t at = i * r->classes, own = r->label[i] - r->base;
    double all = ea_logsumexp(r->z, at, r->classes, 1);
    for (int64_t j = 0; j < r->classes; j++) {
      double p = exp(ea_read(ea_ptr(r->z), r->z->dtype, at + j) - all);
      double t = r->smoothing / (double)r->classes + (j == own ? 1 - r->smoothing : 0);
      ea_write(ea_ptr(r->gz), r->gz->dtype, at + j, (p - t) * r->scale);
    }
  }
}

static int backward(ea_call *c) {
  rows r = rows_of(c);
  if (!c->gin[0]) return EA_OK;
  r.gz = c->gin[0];
  r.scale = ea_loss_gradient(c) / (double)r.z->size[0];
  ea_parallel_range(r.z->size[0], EA_LOSS_ROWS, grad_range, &r);
  return EA_OK;
}

const ea_op ea_op_cross_entropy = {
    .name = "cross_entropy",
    .nin_least = 2,
    .nin_most = 2,
    .nout = 1,
    .attrs = "base:o=0 smoothing:f=0",
    .need_in = 3,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
