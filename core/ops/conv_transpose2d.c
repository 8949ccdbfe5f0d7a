/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv_transpose2d - the gradient of a convolution with regard to its images, as an op: they grow
 * by the stride. As PyTorch's.
 *
 *   y[n,I,J,o] = bias[o] + sum over i,j,a,b,c with I = i*stride - pad + a*dilation and
 *                J = j*stride - pad + b*dilation of x[n,i,j,c] * w[c,o,a,b]  (c: o's group)
 *   x {n,h,w,c}; w {c, o/groups, kh, kw}; bias {o}, optional -> y {n,oh,ow,o},
 *   oh = (h-1) stride - 2 pad + dilation (kh-1) + output_pad + 1, output_pad < stride.
 *
 * Types as of conv2d, whose engines run it with images and results exchanged; with bf16, y is
 * rounded before the bias is added, too.
 */
#include "conv2d.h"
#include "real.h"

enum { X, W, BIAS };

/* The convolution that this is the gradient of: its x is our y. */
static void describe(const ea_call *c, ea_conv *v) {
  const ea_tensor *x = c->in[X];
  *v = ea_conv_of(c);
  v->oh = x->size[1];
  v->ow = x->size[2];
  v->o = x->size[3];
  v->c = c->in[W]->size[1] * v->groups;
  int64_t more = ea_attr_int(c, 4) + 1 - 2 * v->pad;
  v->h = (v->oh - 1) * v->stride + v->dilation * (v->kh - 1) + more;
  v->w = (v->ow - 1) * v->stride + v->dilation * (v->kw - 1) + more;
}

static int shape(ea_call *c) {
  EA_TRY(ea_conv_check(c));
  EA_TRY(ea_conv_check_attr(c, 4, "output_pad", 0));
  if (c->attr[4] >= c->attr[0])
    return ea_call_fail(c, EA_ERR_ARG, "output_pad is %g, expected less than the stride, %g",
                        c->attr[4], c->attr[0]);
  const ea_tensor *x = c->in[X], *w = c->in[W];
  if (w->size[0] != x->size[3])
    return ea_call_fail(
        c, EA_ERR_SHAPE, "weights %s take %lld input channels, but the images %s (NHWC) have %lld",
        ea_shape_text(w), (long long)w->size[0], ea_shape_text(x), (long long)x->size[3]);
  if (w->size[0] % ea_attr_int(c, 2))
    return ea_call_fail(c, EA_ERR_SHAPE, "%lld input channels do not divide into %lld groups",
                        (long long)w->size[0], (long long)ea_attr_int(c, 2));
  ea_conv v;
  describe(c, &v);
  EA_TRY(ea_conv_check_bias(c, v.c));
  if (v.oh < 1 || v.ow < 1 || v.h < 1 || v.w < 1)
    return ea_call_fail(c, EA_ERR_SHAPE,
                        "nothing is left of the images %s by weights %s and a pad of %d; pad less",
                        ea_shape_text(x), ea_shape_text(w), (int)v.pad);
  int64_t size[4] = {v.n, v.h, v.w, v.c};
  ea_call_output(c, 0, x->dtype, 4, size);
  return EA_OK;
}

/* The convolution's call: its images are `image`, its weights ours. */
static ea_call inner_of(ea_call *c, ea_tensor *image) {
  return (ea_call){.op = c->op,
                   .nin = 2,
                   .nout = 1,
                   .in = {image, c->in[W]},
                   .scratch = c->scratch ? c->scratch : &c->own_scratch};
}

static int run_forward(ea_call *c, const ea_conv *v, int dry) {
  ea_call inner = inner_of(c, c->out[0]);
  inner.gout[0] = c->in[X];
  inner.gin[0] = c->out[0];
  return ea_conv_run(&inner, v, EA_CONV_DATA, dry);
}

static int run_data(ea_call *c, const ea_conv *v, int dry) {
  ea_call inner = inner_of(c, c->gout[0]);
  inner.out[0] = c->gin[X];
  return ea_conv_run(&inner, v, EA_CONV_FORWARD, dry);
}

static int run_weights(ea_call *c, const ea_conv *v, int dry) {
  ea_call inner = inner_of(c, c->gout[0]);
  inner.gout[0] = c->in[X];
  inner.gin[1] = c->gin[W];
  return ea_conv_run(&inner, v, EA_CONV_WEIGHTS, dry);
}

static void add_bias(void *arg, int64_t begin, int64_t end) {
  const ea_call *c = arg;
  int64_t channels = c->in[BIAS]->size[0];
  void *y = ea_ptr(c->out[0]);
  const void *bias = ea_ptr(c->in[BIAS]);
  int master = c->in[BIAS]->dtype;
  for (int64_t i = begin * channels; i < end * channels; i++)
    EA_BY_DTYPE(c->out[0]->dtype, ea_real_add(y, D, i, ea_real(bias, master, i % channels)));
}

static int forward(ea_call *c) {
  ea_conv v;
  describe(c, &v);
  if (!v.n) return EA_OK;
  EA_TRY(run_forward(c, &v, 0));
  if (c->nin == 3) ea_parallel_range(v.n * v.h * v.w, EA_MAX(1, EA_CHUNK / v.c), add_bias, c);
  return EA_OK;
}

static int backward(ea_call *c) {
  ea_conv v;
  describe(c, &v);
  if (!v.n) return ea_conv_backward_nothing(c);
  if (c->gin[X]) EA_TRY(run_data(c, &v, 0));
  if (c->gin[W]) EA_TRY(run_weights(c, &v, 0));
  return c->nin == 3 && c->gin[BIAS] ? ea_conv_backward_bias(c, v.n * v.h * v.w, v.c) : EA_OK;
}

static int prepare(ea_call *c) {
  ea_conv v;
  describe(c, &v);
  if (!v.n) return EA_OK;
  EA_TRY(run_forward(c, &v, 1));
  if (c->needs_backward && c->gin[X]) EA_TRY(run_data(c, &v, 1));
  return c->needs_backward && c->gin[W] ? run_weights(c, &v, 1) : EA_OK;
}

static double flops(const ea_call *c) {
  ea_conv v;
  describe(c, &v);
  return ea_conv_flops(&v);
}

const ea_op ea_op_conv_transpose2d = {
    .name = "conv_transpose2d",
    .nin_least = 2,
    .nin_most = 3,
    .nout = 1,
    .attrs = "stride:i=1 pad:i=0 groups:i=1 dilation:i=1 output_pad:i=0",
    .flags = EA_OP_BILINEAR,
    .need_in = 3,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .flops = flops,
    .prepare = prepare};
