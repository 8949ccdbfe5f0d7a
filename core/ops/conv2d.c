/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d - cross-correlation of images, as every network library's "convolution".
 *
 *   y[n,i,j,o] = bias[o] + sum over a,b,c of w[o,c,a,b] *
 *                x[n, i*stride - pad + a*dilation, j*stride - pad + b*dilation, c]
 *   (x is 0 outside; c runs over o's group)
 *   x {n,h,w,c}; w {o, c/groups, kh, kw}; bias {o}, optional -> y {n,oh,ow,o},
 *   oh = (h + 2 pad - dilation (kh-1) - 1) / stride + 1, rounded down.
 *
 * x is f32, bf16 or f64; w and bias are f32 (f64 with f64 x): with bf16 activations these are the
 * master weights, rounded to bf16 inside. Gradients of w and bias are summed in their type.
 *
 * A batch_norm in evaluation mode behind it is a scale and a shift of the output channels: in a
 * captured graph they go into w and bias (folding; every run does it anew, so changed parameters
 * count), and a ReLU behind that into the writing of y and the reading of its gradient. One before
 * it, in whatever mode, is applied to x where that is read, in forward and for the gradient of w:
 * what it makes is never a tensor.
 */
#include <stdio.h>
#include <stdlib.h>

#include "amx.h"
#include "batch_norm.h"
#include "conv2d.h"

static int engine = -1; /* as ea_conv_set_engine counts them; -1: not decided yet */

static int available(int wanted) { return wanted == 2 && !ea_conv_onednn_name() ? 1 : wanted; }

static int find_engine(void) {
  if (engine < 0) {
    const char *e = getenv("EDGEAI_CONV");
    int wanted = e && strcmp(e, "portable") == 0 ? 1 : e && strcmp(e, "onednn") == 0 ? 2 : 0;
    engine = available(wanted);
  }
  return engine;
}

const char *ea_conv_engine(void) {
  static char name[64];
  if (find_engine() == 1) return "portable";
  const char *onednn = ea_conv_onednn_name(), *tiles = ea_amx() ? ", AMX tiles" : "";
  if (engine == 2) snprintf(name, sizeof name, "%s", onednn);
  else if (onednn) snprintf(name, sizeof name, "%s, Winograd, direct sums%s", onednn, tiles);
  else snprintf(name, sizeof name, "Winograd, direct sums%s, portable", tiles);
  return name;
}

int ea_conv_set_engine(int to) {
  int before = find_engine();
  engine = available(to);
  return before;
}

int ea_cpu_has_bf16(void) { return ea_conv_onednn_has_bf16(); }

/* ---- what conv_transpose2d has in common ---- */

ea_conv ea_conv_of(const ea_call *c) {
  const ea_tensor *x = c->in[0], *w = c->in[1];
  return (ea_conv){.dtype = x->dtype,
                   .n = x->size[0],
                   .kh = w->size[2],
                   .kw = w->size[3],
                   .stride = ea_attr_int(c, 0),
                   .pad = ea_attr_int(c, 1),
                   .groups = ea_attr_int(c, 2),
                   .dilation = ea_attr_int(c, 3)};
}

static int master_of(const ea_call *c) { return c->in[0]->dtype == EA_F64 ? EA_F64 : EA_F32; }

int ea_conv_check_attr(ea_call *c, int k, const char *name, int least) {
  if (c->attr[k] >= least && c->attr[k] <= 65536) return EA_OK;
  return ea_call_fail(c, EA_ERR_ARG, "%s is %g, expected an integer of %d or more", name,
                      c->attr[k], least);
}

int ea_conv_check(ea_call *c) {
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_call_check_ndim(c, 0, 4));
  EA_TRY(ea_call_check_ndim(c, 1, 4));
  EA_TRY(ea_call_check_dtype(c, 1, master_of(c)));
  static const char *const name[] = {"stride", "pad", "groups", "dilation"};
  for (int k = 0; k < 4; k++) EA_TRY(ea_conv_check_attr(c, k, name[k], k == 1 ? 0 : 1));
  for (int k = 0; k < 4; k++)
    if (c->in[1]->size[k] < 1)
      return ea_call_fail(c, EA_ERR_SHAPE, "the weights %s are empty", ea_shape_text(c->in[1]));
  return EA_OK;
}

int ea_conv_check_bias(ea_call *c, int64_t channels) {
  if (c->nin < 3) return EA_OK;
  EA_TRY(ea_call_check_ndim(c, 2, 1));
  EA_TRY(ea_call_check_dtype(c, 2, master_of(c)));
  if (c->in[2]->size[0] == channels) return EA_OK;
  return ea_call_fail(c, EA_ERR_SHAPE,
                      "the bias is %s, expected one number for each of %lld output channels",
                      ea_shape_text(c->in[2]), (long long)channels);
}

int ea_conv_backward_nothing(ea_call *c) {
  for (int i = 1; i < 3; i++)
    if (c->gin[i] && !(c->accumulate >> i & 1))
      memset(ea_ptr(c->gin[i]), 0, (size_t)ea_tensor_bytes(c->gin[i]));
  return EA_OK;
}

double ea_conv_flops(const ea_conv *v) {
  return 2.0 * (double)(v->n * v->oh * v->ow * v->o) * (double)(v->c / v->groups * v->kh * v->kw);
}

/* ---- the op ---- */

static void describe(const ea_call *c, ea_conv *v) {
  const ea_tensor *x = c->in[0];
  *v = ea_conv_of(c);
  v->h = x->size[1];
  v->w = x->size[2];
  v->c = x->size[3];
  v->o = c->in[1]->size[0];
  v->oh = (v->h + 2 * v->pad - v->dilation * (v->kh - 1) - 1) / v->stride + 1;
  v->ow = (v->w + 2 * v->pad - v->dilation * (v->kw - 1) - 1) / v->stride + 1;
}

static int shape(ea_call *c) {
  EA_TRY(ea_conv_check(c));
  const ea_tensor *x = c->in[0], *w = c->in[1];
  int64_t groups = ea_attr_int(c, 2);
  if (w->size[1] * groups != x->size[3])
    return ea_call_fail(c, EA_ERR_SHAPE,
                        "weights %s with groups %d take %lld input channels, but the images %s "
                        "(NHWC) have %lld",
                        ea_shape_text(w), (int)groups, (long long)(w->size[1] * groups),
                        ea_shape_text(x), (long long)x->size[3]);
  if (w->size[0] % groups)
    return ea_call_fail(c, EA_ERR_SHAPE, "%lld output channels do not divide into %d groups",
                        (long long)w->size[0], (int)groups);
  EA_TRY(ea_conv_check_bias(c, w->size[0]));
  ea_conv v;
  describe(c, &v);
  if (v.h + 2 * v.pad < v.dilation * (v.kh - 1) + 1 ||
      v.w + 2 * v.pad < v.dilation * (v.kw - 1) + 1)
    return ea_call_fail(c, EA_ERR_SHAPE,
                        "the kernel of weights %s does not fit into images %s padded by %d; pad "
                        "more or use a smaller kernel",
                        ea_shape_text(w), ea_shape_text(x), (int)v.pad);
  int64_t size[4] = {v.n, v.oh, v.ow, v.o};
  ea_call_output(c, 0, x->dtype, 4, size);
  return EA_OK;
}

/* The engines of this library; 1: none does it. */
static int run_own(ea_call *c, const ea_conv *v, int pass, int dry) {
  if (v->dtype == EA_F32 && v->stride == 1) return ea_conv_winograd(c, v, pass, dry);
  if (v->dtype == EA_F32) return ea_conv_direct(c, v, pass, dry);
  return ea_conv_amx(c, v, pass, dry);
}

int ea_conv_run(ea_call *c, const ea_conv *v, int pass, int dry) {
  if (find_engine() != 1 && v->dtype != EA_F64) {
    int status = engine == 0 ? run_own(c, v, pass, dry) : 1;
    if (status == 1) status = ea_conv_onednn(c, v, pass, dry);
    if (status <= 0) return status;
  }
  if (!dry && pass == EA_CONV_DATA) ea_conv_along_grad(c);
  EA_TRY(ea_conv_portable(c, v, pass, dry));
  if (pass == EA_CONV_FORWARD && c->residual && !dry) ea_accumulate(c->out[0], c->residual);
  return EA_OK;
}

/* Both gradients. Without a norm. */
static int run_back(ea_call *c, const ea_conv *v, int dry) {
  if (c->gin[0] && c->gin[1] && find_engine() == 0) {
    int status = run_own(c, v, EA_CONV_BOTH, dry);
    if (status <= 0) return status;
  }
  if (c->gin[0]) EA_TRY(ea_conv_run(c, v, EA_CONV_DATA, dry));
  else if (!dry) ea_conv_along_grad(c);
  return c->gin[1] ? ea_conv_run(c, v, EA_CONV_WEIGHTS, dry) : EA_OK;
}

/* ---- what a folded call owns ---- */

typedef struct fusion {
  ea_tensor *w, *bias; /* folded */
} fusion;

static void free_fusion(void *state) {
  fusion *f = state;
  ea_tensor_release(f->w);
  ea_tensor_release(f->bias);
  ea_free(f);
}

static int make_fusion(ea_call *c) {
  if (c->state) return EA_OK;
  fusion *f = ea_alloc_zero(sizeof *f);
  if (!f) return EA_ERR_MEMORY;
  c->state = f;
  c->free_state = free_fusion;
  EA_TRY(ea_tensor_new(EA_F32, 4, c->in[1]->size, &f->w));
  return ea_tensor_new(EA_F32, 1, c->in[1]->size, &f->bias);
}

const ea_bn_line *ea_conv_line(const ea_call *c) {
  return c->through ? &((const ea_bn_state *)c->through->state)->grad.line : NULL;
}

/* ---- a folded batch_norm ---- */

static void fold_channels(void *arg, int64_t begin, int64_t end) {
  const ea_call *c = arg;
  const fusion *f = c->state;
  int64_t o = f->bias->size[0], count = ea_tensor_count(f->w) / o;
  float *w = ea_f32(f->w), *shift = ea_f32(f->bias);
  const float *scale = w + o * (count - 1);
  for (int64_t k = begin; k < end; k++) {
    float by = scale[k];
    if (c->nin == 3) shift[k] += by * ea_f32(c->in[2])[k];
    for (int64_t i = 0; i < count; i++) w[k * count + i] = by * ea_f32(c->in[1])[k * count + i];
  }
}

/* The scale is in the weights' last numbers, which are written last. */
static void fold(ea_call *c) {
  const fusion *f = c->state;
  int64_t o = f->bias->size[0], count = ea_tensor_count(f->w) / o;
  ea_bn_fold(c->norm, ea_f32(f->w) + o * (count - 1), ea_f32(f->bias));
  int64_t before = o * (count - 1) / count; /* channels whose weights do not reach there */
  ea_parallel_range(before, EA_MAX(1, EA_CHUNK / count), fold_channels, c);
  fold_channels(c, before, o);
}

/* Runs a pass with the folded weights in place of the call's. */
static int run_folded(ea_call *c, const ea_conv *v, int pass, int dry) {
  const fusion *f = c->state;
  ea_tensor *w = c->in[1], *bias = c->in[2];
  int nin = c->nin;
  c->in[1] = f->w;
  c->in[2] = f->bias;
  c->nin = 3;
  int status = ea_conv_run(c, v, pass, dry);
  c->in[1] = w;
  c->in[2] = bias;
  c->nin = nin;
  return status;
}

/* ---- passes over a shard's numbers while they are in the cache ---- */

enum { ADD, RELU, CUT };

EA_INLINE void touch(int what, int dtype, void *to, const void *g, const void *from, int64_t i,
                     int n) {
  ea_lanes v = ea_lanes_load(g, dtype, i, n);
  if (what == ADD) v += ea_lanes_load(from, dtype, i, n);
  if (what == RELU) v = ea_lanes_relu(v);
  if (what == CUT) v = ea_lanes_cut(v, ea_lanes_load(from, dtype, i, n));
  ea_lanes_store(to, dtype, i, n, v);
}

EA_INLINE void touch_all(int what, int dtype, void *to, const void *g, const void *from,
                         int64_t n) {
  int64_t i = 0;
  for (; i + EA_LANES <= n; i += EA_LANES) touch(what, dtype, to, g, from, i, EA_LANES);
  if (i < n) touch(what, dtype, to, g, from, i, (int)(n - i));
}

void ea_conv_add(void *to, const void *from, int dtype, int64_t n) {
  if (dtype == EA_F32) touch_all(ADD, EA_F32, to, to, from, n);
  else touch_all(ADD, EA_BF16, to, to, from, n);
}

void ea_conv_relu(void *y, int dtype, int64_t n) {
  if (dtype == EA_F32) touch_all(RELU, EA_F32, y, y, NULL, n);
  else touch_all(RELU, EA_BF16, y, y, NULL, n);
}

void ea_conv_cut(void *to, const void *g, const void *y, int dtype, int64_t n) {
  if (dtype == EA_F32) touch_all(CUT, EA_F32, to, g, y, n);
  else touch_all(CUT, EA_BF16, to, g, y, n);
}

/* ---- forward ---- */

static int forward(ea_call *c) {
  ea_conv v;
  describe(c, &v);
  if (!v.n) return EA_OK;
  ea_conv_along_begin(c, EA_CONV_FORWARD);
  if (!c->norm) return ea_conv_run(c, &v, EA_CONV_FORWARD, 0);
  fold(c);
  return run_folded(c, &v, EA_CONV_FORWARD, 0);
}

/* ---- gradient of the bias: sums of the channels over all pixels ---- */

enum { SUM_SHARDS = 16 };

typedef struct channel_sum {
  const void *g;
  int dtype;
  int64_t rows, channels;
  double *partial; /* {SUM_SHARDS, channels} */
} channel_sum;

static void sum_shard(void *arg, int64_t shard) {
  const channel_sum *s = arg;
  int64_t begin = s->rows * shard / SUM_SHARDS, end = s->rows * (shard + 1) / SUM_SHARDS;
  double *sum = s->partial + shard * s->channels;
  for (int64_t k = 0; k < s->channels; k++) sum[k] = 0;
  for (int64_t r = begin; r < end; r++) {
    int64_t at = r * s->channels;
    if (s->dtype == EA_F64)
      for (int64_t k = 0; k < s->channels; k++) sum[k] += ((const double *)s->g)[at + k];
    else if (s->dtype == EA_F32)
      for (int64_t k = 0; k < s->channels; k++) sum[k] += ((const float *)s->g)[at + k];
    else
      for (int64_t k = 0; k < s->channels; k++)
        sum[k] += ea_bf16_to_f32(((const uint16_t *)s->g)[at + k]);
  }
}

int ea_conv_backward_bias(ea_call *c, int64_t rows, int64_t channels) {
  const ea_tensor *g = c->gout[0];
  channel_sum s = {ea_ptr(g), g->dtype, rows, channels, NULL};
  s.partial = ea_call_scratch(c, (size_t)(SUM_SHARDS * channels) * sizeof(double));
  if (!s.partial) return EA_ERR_MEMORY;
  ea_parallel(SUM_SHARDS, sum_shard, &s);
  int add = c->accumulate >> 2 & 1;
  for (int64_t k = 0; k < channels; k++) {
    double sum = 0;
    for (int i = 0; i < SUM_SHARDS; i++) sum += s.partial[i * channels + k];
    if (g->dtype == EA_F64) ea_f64(c->gin[2])[k] = sum + (add ? ea_f64(c->gin[2])[k] : 0);
    else ea_f32(c->gin[2])[k] = (float)sum + (add ? ea_f32(c->gin[2])[k] : 0);
  }
  return EA_OK;
}

static int backward(ea_call *c) {
  ea_conv v;
  describe(c, &v);
  if (!v.n) return ea_conv_backward_nothing(c);
  if (c->norm) return c->gin[0] ? run_folded(c, &v, EA_CONV_DATA, 0) : EA_OK;
  ea_conv_along_begin(c, EA_CONV_DATA);
  EA_TRY(run_back(c, &v, 0));
  if (c->nin == 3 && c->gin[2]) EA_TRY(ea_conv_backward_bias(c, v.n * v.oh * v.ow, v.o));
  return EA_OK;
}

static int prepare(ea_call *c) {
  ea_conv v;
  describe(c, &v);
  if (!v.n) return EA_OK;
  int (*run_this)(ea_call *, const ea_conv *, int, int) = c->norm ? run_folded : ea_conv_run;
  if (c->norm) EA_TRY(make_fusion(c));
  EA_TRY(run_this(c, &v, EA_CONV_FORWARD, 1));
  unsigned before = c->accumulate;
  c->accumulate = ~0u; /* the most memory it may take */
  int status = EA_OK;
  if (c->needs_backward && !c->norm) status = run_back(c, &v, 1);
  else if (c->needs_backward && c->gin[0]) status = run_folded(c, &v, EA_CONV_DATA, 1);
  c->accumulate = before;
  return status;
}

static double flops(const ea_call *c) {
  ea_conv v;
  describe(c, &v);
  return ea_conv_flops(&v);
}

const ea_op ea_op_conv2d = {.name = "conv2d",
                            .nin_least = 2,
                            .nin_most = 3,
                            .nout = 1,
                            .attrs = "stride:i=1 pad:i=0 groups:i=1 dilation:i=1",
                            .flags = EA_OP_ACCUMULATES | EA_OP_BILINEAR,
                            .need_in = 3,
                            .shape = shape,
                            .forward = forward,
                            .backward = backward,
                            .flops = flops,
                            .prepare = prepare};
