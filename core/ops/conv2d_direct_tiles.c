/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_direct_tiles.c - the products of a convolution by direct sums, see conv2d_direct.h. Sums
 * stay in registers: over all taps and channels, or, of the weights, over some rows of an image.
 */
#include "conv2d_direct.h"

enum { BLOCK = EA_DIRECT_BLOCK, LANES = EA_VEC };
/* Pixels, or channels of x, by one vector or two: what has room in the registers. One vector there
 * is where 16 channels are one. */
#ifdef __AVX512F__
enum { MOST = 16, MOST_WIDE = 8, NARROW = 1 };
#else
enum { MOST = 16, MOST_WIDE = 6, NARROW = 0 };
#endif

EA_INLINE void give(const ea_direct_row *r, int64_t at, int64_t channel, ea_vec v) {
  if (r->bias) v += ea_vec_get(r->bias + channel);
  if (r->relu) v = ea_vec_relu(v);
  if (r->add) v += ea_vec_get(r->add + at);
  ea_vec_put(r->to + at, v);
}

EA_INLINE void multiply(int pixels, int wide, int apart, const ea_direct_row *r, int64_t first,
                        ea_ahead *ahead) {
  ea_vec sum[MOST][2] = {{{0}}};
  const float *w = r->weights, *block = r->from + first * apart;
  for (int64_t b = 0; b < r->blocks; b++, block += r->block)
    for (int64_t t = 0; t < r->taps; t++) {
      const float *x = block + r->offset[t];
      const char *next = NULL;
      int64_t lines = ea_ahead_take(ahead, BLOCK, &next);
#pragma GCC unroll 4
      for (int64_t s = 0; s < BLOCK; s++, w += wide ? 2 * LANES : LANES) {
        ea_vec one = ea_vec_get(w), two = wide ? ea_vec_get(w + LANES) : one;
        if (s < lines) __builtin_prefetch(next + s * 64, 0, 2);
#pragma GCC unroll 16
        for (int p = 0; p < pixels; p++) {
          float v = x[p * apart + s];
          sum[p][0] += v * one;
          if (wide) sum[p][1] += v * two;
        }
      }
    }
#pragma GCC unroll 16
  for (int p = 0; p < pixels; p++) {
    int64_t at = (first + p) * r->pixel;
    give(r, at, 0, sum[p][0]);
    if (wide) give(r, at + LANES, LANES, sum[p][1]);
  }
}

/* What the compiler knows becomes part of the addresses. */
EA_INLINE void multiply_any(int pixels, const ea_direct_row *r, int64_t stride, int64_t first,
                            ea_ahead *ahead) {
  if (r->wide && pixels > MOST_WIDE) return;
  if (r->wide && stride == 1) multiply(pixels, 1, BLOCK, r, first, ahead);
  else if (r->wide) multiply(pixels, 1, EA_DIRECT_STRIDE * BLOCK, r, first, ahead);
  else if (!NARROW) return;
  else if (stride == 1) multiply(pixels, 0, BLOCK, r, first, ahead);
  else multiply(pixels, 0, EA_DIRECT_STRIDE * BLOCK, r, first, ahead);
}

/* Each is a function: with all in one, GCC runs out of registers. */
typedef void tile(const ea_direct_row *r, int64_t stride, int64_t first, ea_ahead *ahead);
#define TILE(pixels)                                                                              \
  static void tile_##pixels(const ea_direct_row *r, int64_t stride, int64_t first, ea_ahead *h) { \
    multiply_any(pixels, r, stride, first, h);                                                    \
  }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)
TILE(16)

static tile *const tiles[] = {NULL,   tile_1, tile_2, tile_3, tile_4,
                              tile_5, tile_6, tile_7, tile_8, [16] = tile_16};

/* In parts as equal as can be: of one or two pixels there are too few sums to keep the CPU busy. */
void ea_direct_multiply(const ea_direct_row *r, int64_t stride, ea_ahead *ahead) {
  int64_t most = !r->wide && r->pixels % MOST == 0 ? MOST : MOST_WIDE;
  int64_t parts = (r->pixels + most - 1) / most;
  for (int64_t i = 0; i < parts; i++) {
    int64_t first = r->pixels * i / parts, end = r->pixels * (i + 1) / parts;
    tiles[end - first](r, stride, first, ahead);
  }
}

/* ---- of the weights ---- */

EA_INLINE void sum_channels(int channels, int wide, float *to, const ea_direct_rows *q, int first,
                            int add, ea_ahead *ahead) {
  ea_vec sum[MOST][2];
  int64_t row = wide ? 2 * LANES : LANES;
  const float *x_row = q->x + first, *g_row = q->g;
  to += first * row;
#pragma GCC unroll 16
  for (int c = 0; c < channels; c++) {
    sum[c][0] = add ? ea_vec_get(to + c * row) : (ea_vec){0};
    if (wide) sum[c][1] = add ? ea_vec_get(to + c * row + LANES) : (ea_vec){0};
  }
  for (int64_t y = 0; y < q->rows; y++, x_row += q->x_row, g_row += q->g_row) {
    const float *x = x_row, *g = g_row;
    const char *next = NULL;
    int64_t lines = ea_ahead_take(ahead, q->pixels, &next);
    for (int64_t p = 0; p < q->pixels; p++, x += q->x_pixel, g += q->g_pixel) {
      ea_vec one = ea_vec_get(g), two = wide ? ea_vec_get(g + LANES) : one;
      if (p < lines) __builtin_prefetch(next + p * 64, 0, 2);
#pragma GCC unroll 16
      for (int c = 0; c < channels; c++) {
        float v = x[c];
        sum[c][0] += v * one;
        if (wide) sum[c][1] += v * two;
      }
    }
  }
#pragma GCC unroll 16
  for (int c = 0; c < channels; c++) {
    ea_vec_put(to + c * row, sum[c][0]);
    if (wide) ea_vec_put(to + c * row + LANES, sum[c][1]);
  }
}

EA_INLINE void sum_block(int most, int wide, float *sum, const ea_direct_rows *q, int add,
                         ea_ahead *h) {
  int c = 0;
  for (; c + most <= BLOCK; c += most) sum_channels(most, wide, sum, q, c, add, h);
  for (; c < BLOCK; c += 4) sum_channels(4, wide, sum, q, c, add, h);
}

void ea_direct_sum(float *sum, const ea_direct_rows *q, int add, ea_ahead *ahead) {
  if (q->wide) sum_block(MOST_WIDE, 1, sum, q, add, ahead);
  else if (NARROW) sum_block(MOST, 0, sum, q, add, ahead);
}
