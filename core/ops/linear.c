/* SPDX-License-Identifier: GPL-3.0-or-later
 * linear (x {..., in}, weight {out, in}[, bias {out}]) - y = x weight' + bias, {..., out}, of x's
 * type. f32, f64; bf16 x with f32 (master) or bf16 weight and bias computes in f32, rounded once.
 * Gradients (g of y, rows r): x: g weight; weight: g' x; bias: sum_r g, summed in f64. Every
 * element is one sum in one order, whatever the number of threads.
 */
#include "gemm.h"
#include "wide.h"

enum { LANES = 64 };

static int shape(ea_call *c) {
  const ea_tensor *x = c->in[0], *w = c->in[1], *bias = c->nin > 2 ? c->in[2] : NULL;
  int64_t size[EA_MAX_DIM];
  for (int i = 0; i < c->nin; i++) EA_TRY(ea_call_check_float(c, i));
  if (w->dtype != x->dtype && !(x->dtype == EA_BF16 && w->dtype == EA_F32))
    return ea_call_fail(c, EA_ERR_DTYPE, "%s x needs a %s weight, got %s", ea_dtype_name(x->dtype),
                        x->dtype == EA_BF16 ? "f32 or bf16" : ea_dtype_name(x->dtype),
                        ea_shape_text(w));
  if (bias && bias->dtype != w->dtype)
    return ea_call_fail(c, EA_ERR_DTYPE, "weight and bias must be of one type, got %s and %s",
                        ea_shape_text(w), ea_shape_text(bias));
  EA_TRY(ea_call_check_ndim(c, 1, 2));
  if (x->ndim < 1 || x->size[x->ndim - 1] != w->size[1])
    return ea_call_fail(c, EA_ERR_SHAPE,
                        "the weight %s takes %lld features in x's last dimension, "
                        "got %s",
                        ea_shape_text(w), (long long)w->size[1], ea_shape_text(x));
  if (bias && (bias->ndim != 1 || bias->size[0] != w->size[0]))
    return ea_call_fail(c, EA_ERR_SHAPE, "the bias must be {%lld}, got %s", (long long)w->size[0],
                        ea_shape_text(bias));
  memcpy(size, x->size, sizeof size);
  size[x->ndim - 1] = w->size[0];
  ea_call_output(c, 0, x->dtype, x->ndim, size);
  return EA_OK;
}

static int64_t rows_of(const ea_call *c) {
  int64_t rows = 1;
  for (int d = 0; d < c->in[0]->ndim - 1; d++) rows *= c->in[0]->size[d];
  return rows;
}

/* x and w, or in backward x or its gradient, w or its gradient; and y or its gradient. */
static float *room(ea_call *c, int backward) {
  int64_t floats = (1 + backward) * (ea_gemm_room(c->in[0]) + ea_gemm_room(c->in[1]));
  if (c->in[0]->dtype == EA_BF16) floats += rows_of(c) * c->in[1]->size[0];
  return ea_call_scratch(c, (size_t)floats * sizeof(float));
}

typedef struct biases {
  const ea_tensor *bias; /* or its gradient */
  void *y;               /* f32 or f64 {rows, out} */
  int dtype;
  int64_t rows, out;
} biases;

/* y's rows become the bias, onto which the product is then added. */
static void spread_range(void *arg, int64_t begin, int64_t end) {
  const biases *b = arg;
  for (int64_t r = begin; r < end; r++) {
    if (b->dtype == EA_F64)
      memcpy((double *)b->y + r * b->out, ea_f64(b->bias), (size_t)b->out * sizeof(double));
    else ea_load_f32((float *)b->y + r * b->out, ea_ptr(b->bias), b->bias->dtype, b->out);
  }
}

static int forward(ea_call *c) {
  const ea_tensor *w = c->in[1], *y = c->out[0];
  int64_t rows = rows_of(c), in = w->size[1], out = w->size[0];
  float *scratch = room(c, 0);
  if (!scratch) return EA_ERR_MEMORY;
  ea_gemm g = {.dtype = y->dtype == EA_F64 ? EA_F64 : EA_F32,
               .tb = 1,
               .batch = 1,
               .m = rows,
               .n = out,
               .k = in,
               .add = c->nin > 2};
  g.a = ea_gemm_widen(c->in[0], &scratch);
  g.b = ea_gemm_widen(w, &scratch);
  g.c = ea_gemm_target(y, &scratch);
  if (c->nin > 2) {
    biases b = {c->in[2], g.c, g.dtype, rows, out};
    ea_parallel_range(rows, EA_MAX(1, EA_CHUNK / EA_MAX(1, out)), spread_range, &b);
  }
  EA_TRY(ea_gemm_run(&g));
  ea_gemm_narrow(y, g.c);
  return EA_OK;
}

/* LANES columns a shard, each summed over the rows in order. */
static void bias_shard(void *arg, int64_t shard) {
  const biases *b = arg;
  int64_t first = shard * LANES, lanes = EA_MIN(LANES, b->out - first);
  double sum[LANES] = {0}, part[LANES];
  for (int64_t r = 0; r < b->rows; r++) {
    ea_load_f64(part, b->y, b->dtype, r * b->out + first, lanes);
    for (int64_t i = 0; i < lanes; i++) sum[i] += part[i];
  }
  ea_store_f64(ea_ptr(b->bias), b->bias->dtype, first, sum, lanes);
}

static int backward(ea_call *c) {
  const ea_tensor *gy = c->gout[0];
  int64_t rows = rows_of(c), in = c->in[1]->size[1], out = c->in[1]->size[0];
  float *scratch = room(c, 1);
  if (!scratch) return EA_ERR_MEMORY;
  ea_gemm g = {.dtype = gy->dtype == EA_F64 ? EA_F64 : EA_F32, .batch = 1};
  g.a = ea_gemm_widen(gy, &scratch);
  if (c->gin[0]) { /* {rows, out} {out, in} */
    g.m = rows, g.n = in, g.k = out;
    g.b = ea_gemm_widen(c->in[1], &scratch);
    g.c = ea_gemm_target(c->gin[0], &scratch);
    EA_TRY(ea_gemm_run(&g));
    ea_gemm_narrow(c->gin[0], g.c);
  }
  if (c->gin[1]) { /* {rows, out}' {rows, in} */
    g.ta = 1, g.m = out, g.n = in, g.k = rows;
    g.b = ea_gemm_widen(c->in[0], &scratch);
    g.c = ea_gemm_target(c->gin[1], &scratch);
    EA_TRY(ea_gemm_run(&g));
    ea_gemm_narrow(c->gin[1], g.c);
  }
  if (c->nin > 2 && c->gin[2]) {
    biases b = {c->gin[2], (void *)g.a, g.dtype, rows, out};
    ea_parallel((out + LANES - 1) / LANES, bias_shard, &b);
  }
  return EA_OK;
}

static double flops(const ea_call *c) {
  return 2.0 * (double)rows_of(c) * (double)c->in[1]->size[0] * (double)c->in[1]->size[1];
}

static int prepare(ea_call *c) { return room(c, c->needs_backward) ? EA_OK : EA_ERR_MEMORY; }

const ea_op ea_op_linear = {
    .name = "linear",
    .nin_least = 2,
    .nin_most = 3,
    .nout = 1,
    .attrs = "",
    .flags = EA_OP_BILINEAR,
    .need_in = 3,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .flops = flops,
    .prepare = prepare,
};
