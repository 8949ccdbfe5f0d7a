/* SPDX-License-Identifier: GPL-3.0-or-later
 * matmul "ta:b=0 tb:b=0" (a, b) - out = op(a) op(b), op = transposed where ta / tb is 1:
 * {m,k} x {k,n} -> {m,n}, or for each of a batch {b,m,k} x {b,k,n} -> {b,m,n}, or with one second
 * matrix for all of it {b,m,k} x {k,n} -> {b,m,n}. Products of a batch are made one by one: what
 * one gives does not depend on how many there are.
 * f32, f64; bf16 is multiplied and summed in f32 and rounded once. Both inputs of one type.
 * Gradients (g of out): a: g op(b)', b: op(a)' g, transposed back where ta / tb; of
 * one b for all, the sum over the batch in its order.
 */
#include "gemm.h"

typedef struct sides {
  int ta, tb, shared; /* shared: one b for the whole batch */
  int64_t batch, m, n, k;
} sides;

static sides sides_of(const ea_call *c) {
  const ea_tensor *a = c->in[0], *b = c->in[1];
  int d = a->ndim - 2, e = b->ndim - 2;
  sides s = {.ta = c->attr[0] != 0, .tb = c->attr[1] != 0, .batch = d ? a->size[0] : 1};
  s.shared = d > e;
  s.m = a->size[d + s.ta];
  s.k = a->size[d + !s.ta];
  s.n = b->size[e + !s.tb];
  return s;
}

static int shape(ea_call *c) {
  const ea_tensor *a = c->in[0], *b = c->in[1];
  EA_TRY(ea_call_check_float(c, 0));
  EA_TRY(ea_call_check_same_dtype(c));
  if (a->ndim < b->ndim || b->ndim < 2 || a->ndim > 3)
    return ea_call_fail(c, EA_ERR_SHAPE,
                        "expected two matrices, two batches of them with 3 "
                        "dimensions, or a batch and a matrix, got %s and %s",
                        ea_shape_text(a), ea_shape_text(b));
  sides s = sides_of(c);
  if (b->size[b->ndim - 2 + s.tb] != s.k || (b->ndim == 3 && a->size[0] != b->size[0]))
    return ea_call_fail(c, EA_ERR_SHAPE, "%s%s and %s%s do not fit: %s", ea_shape_text(a),
                        s.ta ? " transposed" : "", ea_shape_text(b), s.tb ? " transposed" : "",
                        b->ndim == 3 && a->size[0] != b->size[0]
                            ? "the batches differ"
                            : "the first's columns must be as many as the second's rows");
  int64_t size[3] = {s.batch, s.m, s.n};
  ea_call_output(c, 0, a->dtype, a->ndim, a->ndim == 3 ? size : size + 1);
  return EA_OK;
}

/* to = op(x) op(y) for operands already widened; shared as in gemm.h. */
static int product(int dtype, int ta, int tb, int shared, int64_t batch, int64_t m, int64_t n,
                   int64_t k, const void *x, const void *y, void *to) {
  ea_gemm g = {.dtype = dtype == EA_F64 ? EA_F64 : EA_F32,
               .ta = ta,
               .tb = tb,
               .batch = batch,
               .shared = shared,
               .m = m,
               .n = n,
               .k = k,
               .a = x,
               .b = y,
               .c = to};
  return ea_gemm_run(&g);
}

/* gb = op(a)' g, or its transposed where tb; of one b for all, summed over the batch. */
static int gradient_b(int dtype, const sides *s, const void *a, const void *g, void *gb) {
  int64_t each = s->shared ? 1 : s->batch, times = s->shared ? s->batch : 1;
  size_t e = dtype == EA_F64 ? sizeof(double) : sizeof(float);
  for (int64_t i = 0; i < times; i++) {
    const void *ai = (const char *)a + (size_t)(i * s->m * s->k) * e;
    const void *gi = (const char *)g + (size_t)(i * s->m * s->n) * e;
    ea_gemm p = {.dtype = dtype == EA_F64 ? EA_F64 : EA_F32,
                 .batch = each,
                 .c = gb,
                 .add = i > 0,
                 .k = s->m};
    p.ta = s->tb ? 1 : !s->ta, p.tb = s->tb ? s->ta : 0;
    p.m = s->tb ? s->n : s->k, p.n = s->tb ? s->k : s->n;
    p.a = s->tb ? gi : ai, p.b = s->tb ? ai : gi;
    EA_TRY(ea_gemm_run(&p));
  }
  return EA_OK;
}

/* bf16's room for all three operands, forward, or for g and both pairs, backward. */
static float *room(ea_call *c, int backward) {
  int64_t floats = ea_gemm_room(c->in[0]) + ea_gemm_room(c->in[1]);
  int64_t out = c->in[0]->dtype == EA_BF16 ? 1 : 0;
  for (int d = 0; d < c->shape[0].ndim; d++) out *= c->shape[0].size[d];
  return ea_call_scratch(c, (size_t)(backward ? out + 2 * floats : out + floats) * sizeof(float));
}

static int forward(ea_call *c) {
  sides s = sides_of(c);
  float *scratch = room(c, 0);
  if (!scratch) return EA_ERR_MEMORY;
  const float *a = ea_gemm_widen(c->in[0], &scratch), *b = ea_gemm_widen(c->in[1], &scratch);
  float *y = ea_gemm_target(c->out[0], &scratch);
  EA_TRY(product(c->out[0]->dtype, s.ta, s.tb, 2 * s.shared, s.batch, s.m, s.n, s.k, a, b, y));
  ea_gemm_narrow(c->out[0], y);
  return EA_OK;
}

static int backward(ea_call *c) {
  sides s = sides_of(c);
  float *scratch = room(c, 1);
  if (!scratch) return EA_ERR_MEMORY;
  int dtype = c->gout[0]->dtype;
  const float *g = ea_gemm_widen(c->gout[0], &scratch);
  if (c->gin[0]) {
    const float *b = ea_gemm_widen(c->in[1], &scratch);
    float *ga = ea_gemm_target(c->gin[0], &scratch);
    if (s.ta) EA_TRY(product(dtype, s.tb, 1, s.shared, s.batch, s.k, s.m, s.n, b, g, ga));
    else EA_TRY(product(dtype, 0, !s.tb, 2 * s.shared, s.batch, s.m, s.k, s.n, g, b, ga));
    ea_gemm_narrow(c->gin[0], ga);
  }
  if (c->gin[1]) {
    const float *a = ea_gemm_widen(c->in[0], &scratch);
    float *gb = ea_gemm_target(c->gin[1], &scratch);
    if (s.shared && s.batch == 0) memset(gb, 0, (size_t)ea_tensor_bytes(c->gin[1]));
    EA_TRY(gradient_b(dtype, &s, a, g, gb));
    ea_gemm_narrow(c->gin[1], gb);
  }
  return EA_OK;
}

static double flops(const ea_call *c) {
  sides s = sides_of(c);
  return 2.0 * (double)s.batch * (double)s.m * (double)s.n * (double)s.k;
}

static int prepare(ea_call *c) { return room(c, c->needs_backward) ? EA_OK : EA_ERR_MEMORY; }

const ea_op ea_op_matmul = {
    .name = "matmul",
    .nin_least = 2,
    .nin_most = 2,
    .nout = 1,
    .attrs = "ta:b=0 tb:b=0",
    .flags = EA_OP_BILINEAR,
    .need_in = 3,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .flops = flops,
    .prepare = prepare,
};
