/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d by im2col and BLAS: runs everywhere, in f32 and f64; bf16 is widened to f32 on the way in
 * and rounded on the way out. With P output pixels, group size cg -> og and K = kh*kw*cg:
 *   forward   y {P,og}    = col {P,K} W^T        W {og,K} is w with the channel moved last
 *   data      dcol {P,K}  = gy {P,og} W          then every element is added where it came from
 *   weights   dW {og,K}  += gy^T {og,P} col
 * An image's output rows are taken a few at a time, so that col stays in the cache. Depthwise
 * convolutions (one channel in and out per group) have nothing to multiply matrices for: they are
 * loops over the channels, with the weights as {kh*kw, c}.
 */
#include "../tensor/blas.h"
#include "batch_norm.h"
#include "conv2d.h"

enum { COL_BYTES = 512 * 1024 };

typedef struct job {
  ea_call *call;
  const ea_conv *v;
  int pass, f64, bf16;
  size_t e;          /* bytes of one number computed with */
  int64_t cg, og, k; /* channels per group, K */
  int64_t rows;      /* output rows at a time */
  int direct;        /* 1x1, stride 1, no pad: the image itself is col */
  int depthwise;
  int64_t x_count, y_count, col_count, w_count; /* numbers: an image, an output, col, all weights */
  char *w;                                      /* {groups, og, K} */
  char *partial;                                /* weights pass: {shards, w_count} */
  const ea_bn_line *line;                       /* NULL, or what x is read through */
  char *thread; /* per thread: col, then for bf16 an image and an output in f32, then
                               an image that was read through the line */
  size_t thread_bytes;
  int64_t shards;
} job;

static void gemm(const job *j, int ta, int tb, int64_t m, int64_t n, int64_t k, const void *a,
                 int64_t lda, const void *b, int64_t ldb, int add, void *c, int64_t ldc) {
  if (j->f64) ea_dgemm(ta, tb, m, n, k, 1, a, lda, b, ldb, add, c, ldc);
  else ea_sgemm(ta, tb, m, n, k, 1, a, lda, b, ldb, (float)add, c, ldc);
}

/* Moves between w {o, cg, kh, kw} and {o, kh, kw, cg}, or {kh, kw, o} for depthwise. */
static void pack_weights(const job *j, const void *from, void *to, int back, int add) {
  int64_t area = j->v->kh * j->v->kw;
  for (int64_t o = 0; o < j->v->o; o++)
    for (int64_t c = 0; c < j->cg; c++)
      for (int64_t p = 0; p < area; p++) {
        int64_t plain = (o * j->cg + c) * area + p, packed = (o * area + p) * j->cg + c;
        if (j->depthwise) packed = p * j->v->o + o;
        int64_t d = back ? plain : packed, s = back ? packed : plain;
        if (j->f64) ((double *)to)[d] = ((const double *)from)[s] + (add ? ((double *)to)[d] : 0);
        else ((float *)to)[d] = ((const float *)from)[s] + (add ? ((float *)to)[d] : 0);
      }
}

/* One group's col of output rows first..first+count-1 of image x, or (back) col added onto x. */
static void im2col(const job *j, char *x, int64_t group, int64_t first, int64_t count, char *col,
                   int back) {
  const ea_conv *v = j->v;
  size_t run = (size_t)j->cg * j->e;
  for (int64_t i = first; i < first + count; i++)
    for (int64_t jj = 0; jj < v->ow; jj++)
      for (int64_t a = 0; a < v->kh; a++)
        for (int64_t b = 0; b < v->kw; b++, col += run) {
          int64_t y = i * v->stride - v->pad + a * v->dilation;
          int64_t z = jj * v->stride - v->pad + b * v->dilation;
          int inside = y >= 0 && y < v->h && z >= 0 && z < v->w;
          char *at = inside ? x + (size_t)((y * v->w + z) * v->c + group * j->cg) * j->e : NULL;
          if (back) {
            if (!inside) continue;
            if (j->f64)
              for (int64_t k = 0; k < j->cg; k++) ((double *)at)[k] += ((double *)col)[k];
            else
              for (int64_t k = 0; k < j->cg; k++) ((float *)at)[k] += ((float *)col)[k];
          } else if (inside) memcpy(col, at, run);
          else memset(col, 0, run);
        }
}

static void run_rows(const job *j, char *x, char *y, char *dw, int64_t first, char *col) {
  const ea_conv *v = j->v;
  int64_t count = EA_MIN(j->rows, v->oh - first), pixels = count * v->ow;
  for (int64_t g = 0; g < v->groups; g++) {
    char *yg = y + (size_t)(first * v->ow * v->o + g * j->og) * j->e;
    char *wg = (j->pass == EA_CONV_WEIGHTS ? dw : j->w) + (size_t)(g * j->og * j->k) * j->e;
    char *a = j->direct ? x + (size_t)(first * v->w * v->c + g * j->cg) * j->e : col;
    int64_t lda = j->direct ? v->c : j->k;
    if (!j->direct && j->pass != EA_CONV_DATA) im2col(j, x, g, first, count, col, 0);
    if (j->pass == EA_CONV_FORWARD)
      gemm(j, 0, 1, pixels, j->og, j->k, a, lda, wg, j->k, 0, yg, v->o);
    else if (j->pass == EA_CONV_WEIGHTS)
      gemm(j, 1, 0, j->og, j->k, pixels, yg, v->o, a, lda, 1, wg, j->k);
    else {
      gemm(j, 0, 0, pixels, j->k, j->og, yg, v->o, wg, j->k, j->direct, a, lda);
      if (!j->direct) im2col(j, x, g, first, count, col, 1);
    }
  }
}

/* to += a * b over n channels. */
#define MULTIPLY_ADD(type)                                                   \
  static void multiply_add_##type(type *restrict to, const type *restrict a, \
                                  const type *restrict b, int64_t n) {       \
    for (int64_t i = 0; i < n; i++) to[i] += a[i] * b[i];                    \
  }
MULTIPLY_ADD(float)
MULTIPLY_ADD(double)

/* The three passes are one loop: x, y and w meet at every tap of every output pixel, and the pass
 * says which of them takes the product of the others. */
static void run_depthwise(const job *j, char *x, char *y, char *w) {
  const ea_conv *v = j->v;
  if (j->pass == EA_CONV_FORWARD) memset(y, 0, (size_t)j->y_count * j->e);
  for (int64_t i = 0; i < v->oh; i++)
    for (int64_t k = 0; k < v->ow; k++, y += (size_t)v->c * j->e)
      for (int64_t a = 0; a < v->kh; a++)
        for (int64_t b = 0; b < v->kw; b++) {
          int64_t row = i * v->stride - v->pad + a * v->dilation;
          int64_t column = k * v->stride - v->pad + b * v->dilation;
          if (row < 0 || row >= v->h || column < 0 || column >= v->w) continue;
          char *xp = x + (size_t)((row * v->w + column) * v->c) * j->e;
          char *wp = w + (size_t)((a * v->kw + b) * v->c) * j->e;
          void *to = j->pass == EA_CONV_FORWARD ? y : j->pass == EA_CONV_DATA ? xp : wp;
          void *one = j->pass == EA_CONV_FORWARD ? xp : y;
          void *two = j->pass == EA_CONV_WEIGHTS ? xp : wp;
          if (j->f64) multiply_add_double(to, one, two, v->c);
          else multiply_add_float(to, one, two, v->c);
        }
}

static void add_bias(const job *j, char *y) {
  const ea_tensor *bias = j->call->in[2];
  int64_t o = j->v->o;
  for (int64_t p = 0; p < j->y_count; p += o)
    for (int64_t k = 0; k < o; k++) {
      if (j->f64) ((double *)y)[p + k] += ea_f64(bias)[k];
      else ((float *)y)[p + k] += ea_f32(bias)[k];
    }
}

static void run_image(const job *j, int64_t n, char *dw) {
  ea_call *c = j->call;
  char *col = j->thread + (size_t)ea_thread_index() * j->thread_bytes;
  char *wide = col + (size_t)j->col_count * j->e;
  ea_tensor *tx = j->pass == EA_CONV_DATA ? c->gin[0] : c->in[0];
  ea_tensor *ty = j->pass == EA_CONV_FORWARD ? c->out[0] : c->gout[0];
  size_t stored = (size_t)ea_dtype_size((int)j->v->dtype);
  char *x0 = (char *)ea_ptr(tx) + (size_t)(n * j->x_count) * stored, *x = x0;
  char *y0 = (char *)ea_ptr(ty) + (size_t)(n * j->y_count) * stored, *y = y0;
  int add = j->pass == EA_CONV_DATA && (c->accumulate & 1);
  int relu = c->norm && ea_bn_relu(c->norm); /* not in f64 */
  if (relu && j->pass == EA_CONV_DATA)
    ea_conv_cut(y0, y0, (char *)ea_ptr(c->out[0]) + (size_t)(n * j->y_count) * stored, ty->dtype,
                j->y_count);
  if (j->line) {
    x = wide + (size_t)(j->bf16 ? j->x_count + j->y_count : 0) * j->e;
    ea_bn_apply(j->line, tx->dtype, 0, j->v->c, x, j->v->c, x0, j->v->c, j->v->h * j->v->w);
    x0 = x;
  }
  if (j->bf16) {
    x = wide;
    y = wide + (size_t)j->x_count * j->e;
    if (j->pass != EA_CONV_DATA || add) ea_load_f32((float *)x, x0, EA_BF16, j->x_count);
    if (j->pass != EA_CONV_FORWARD) ea_load_f32((float *)y, y0, EA_BF16, j->y_count);
  }
  if (j->pass == EA_CONV_DATA && !add) memset(x, 0, (size_t)j->x_count * j->e);
  if (j->depthwise) run_depthwise(j, x, y, dw ? dw : j->w);
  else
    for (int64_t first = 0; first < j->v->oh; first += j->rows) run_rows(j, x, y, dw, first, col);
  if (j->pass == EA_CONV_FORWARD && c->nin == 3) add_bias(j, y);
  if (j->pass == EA_CONV_FORWARD && relu) ea_conv_relu(y, EA_F32, j->y_count);
  if (!j->bf16) return;
  if (j->pass == EA_CONV_FORWARD) ea_store_f32(y0, EA_BF16, (float *)y, j->y_count);
  if (j->pass == EA_CONV_DATA) ea_store_f32(x0, EA_BF16, (float *)x, j->x_count);
}

static void image_shard(void *arg, int64_t shard) { run_image(arg, shard, NULL); }

static void weight_shard(void *arg, int64_t shard) {
  const job *j = arg;
  char *dw = j->partial + (size_t)(shard * j->w_count) * j->e;
  memset(dw, 0, (size_t)j->w_count * j->e);
  for (int64_t n = j->v->n * shard / j->shards; n < j->v->n * (shard + 1) / j->shards; n++)
    run_image(j, n, dw);
}

int ea_conv_portable(ea_call *c, const ea_conv *v, int pass, int dry) {
  job j = {.call = c, .v = v, .pass = pass, .f64 = v->dtype == EA_F64, .bf16 = v->dtype == EA_BF16};
  j.e = j.f64 ? 8 : 4;
  j.cg = v->c / v->groups;
  j.og = v->o / v->groups;
  j.k = v->kh * v->kw * j.cg;
  j.direct = v->kh == 1 && v->kw == 1 && v->stride == 1 && v->pad == 0;
  j.rows = EA_MAX(1, EA_MIN(v->oh, COL_BYTES / (int64_t)j.e / (v->ow * j.k)));
  j.depthwise = v->groups == v->c && v->groups == v->o;
  j.x_count = v->h * v->w * v->c;
  j.y_count = v->oh * v->ow * v->o;
  j.col_count = j.direct || j.depthwise ? 0 : j.rows * v->ow * j.k;
  j.w_count = v->o * j.k;
  j.shards = EA_MIN(v->n, EA_CONV_WEIGHT_SHARDS);
  int64_t wide = j.bf16 ? j.x_count + j.y_count : 0;
  if (pass != EA_CONV_DATA) j.line = ea_conv_line(c);
  if (j.line) wide += j.x_count;
  j.thread_bytes = ((size_t)(j.col_count + wide) * j.e + 63) / 64 * 64;
  size_t weights = (size_t)j.w_count * j.e * (size_t)(pass == EA_CONV_WEIGHTS ? j.shards : 1);
  weights = (weights + 63) / 64 * 64;
  j.w = j.partial = ea_call_scratch(c, weights + j.thread_bytes * (size_t)ea_threads());
  if (!j.w) return EA_ERR_MEMORY;
  if (dry) return EA_OK;
  EA_TRY(ea_blas_ready());
  j.thread = j.w + weights;
  if (pass != EA_CONV_WEIGHTS) {
    pack_weights(&j, ea_ptr(c->in[1]), j.w, 0, 0);
    if (j.bf16) { /* the rounding that bf16 hardware applies to the weights */
      float *w = (float *)j.w;
      for (int64_t i = 0; i < j.w_count; i++) w[i] = ea_bf16_to_f32(ea_f32_to_bf16(w[i]));
    }
    ea_parallel(v->n, image_shard, &j);
    return EA_OK;
  }
  ea_parallel(j.shards, weight_shard, &j);
  for (int64_t s = 1; s < j.shards; s++)
    for (int64_t i = 0; i < j.w_count; i++) {
      if (j.f64) ((double *)j.w)[i] += ((double *)j.partial)[s * j.w_count + i];
      else ((float *)j.w)[i] += ((float *)j.partial)[s * j.w_count + i];
    }
  pack_weights(&j, j.w, ea_ptr(c->gin[1]), 1, c->accumulate >> 1 & 1);
  return EA_OK;
}
