/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_winograd_tiles.c - the arithmetic of Winograd's F(4x4, 3x3), see conv2d_winograd.h: from
 * pixels to values at points and back, a vector of channels at a time, and the products.
 */
#include "conv2d_winograd.h"

/* Points 0, A, -A, B, -B, infinity. A2 is the square of A. */
#define A 0.625f
#define A2 0.390625f
#define A3 0.244140625f
#define B 1.5f
#define B2 2.25f
#define B3 3.375f
#define SCALE_0 (1 / (A2 * B2))
#define SCALE_A (1 / (2 * A2 * (A2 - B2)))
#define SCALE_B (1 / (2 * B2 * (B2 - A2)))

enum { IN = EA_WINO_IN, OUT = EA_WINO_OUT, KERNEL = 3 };

/* ---- one dimension; each its own, `step` vectors apart ---- */

/* At A, -A, B and -B, of the even and the odd powers there. */
EA_INLINE void at_pairs(ea_vec *to, int step, ea_vec even_a, ea_vec odd_a, ea_vec even_b,
                        ea_vec odd_b) {
  to[0] = even_a + odd_a;
  to[step] = even_a - odd_a;
  to[2 * step] = even_b + odd_b;
  to[3 * step] = even_b - odd_b;
}

EA_INLINE void of_image(ea_vec *to, int step, const ea_vec *d) {
  ea_vec even_a = d[4] - B2 * d[2], odd_a = A * (d[3] - B2 * d[1]);
  ea_vec even_b = d[4] - A2 * d[2], odd_b = B * (d[3] - A2 * d[1]);
  to[0] = (d[4] - (A2 + B2) * d[2]) + (A2 * B2) * d[0];
  at_pairs(to + step, step, even_a, odd_a, even_b, odd_b);
  to[5 * step] = (d[5] - (A2 + B2) * d[3]) + (A2 * B2) * d[1];
}

EA_INLINE void of_result(ea_vec *to, int step, const ea_vec *y) {
  ea_vec even_a = y[0] + A2 * y[2], odd_a = A * y[1] + A3 * y[3];
  ea_vec even_b = y[0] + B2 * y[2], odd_b = B * y[1] + B3 * y[3];
  to[0] = y[0];
  at_pairs(to + step, step, even_a, odd_a, even_b, odd_b);
  to[5 * step] = y[3];
}

EA_INLINE void of_weights(ea_vec *to, int step, const ea_vec *w) {
  ea_vec even_a = SCALE_A * (w[0] + A2 * w[2]), odd_a = (SCALE_A * A) * w[1];
  ea_vec even_b = SCALE_B * (w[0] + B2 * w[2]), odd_b = (SCALE_B * B) * w[1];
  to[0] = SCALE_0 * w[0];
  at_pairs(to + step, step, even_a, odd_a, even_b, odd_b);
  to[5 * step] = w[2];
}

EA_INLINE void give_result(ea_vec *y, int step, const ea_vec *m) {
  ea_vec even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
  y[0] = m[0] + even_a + even_b;
  y[step] = A * odd_a + B * odd_b;
  y[2 * step] = A2 * even_a + B2 * even_b;
  y[3 * step] = (m[5] + A3 * odd_a) + B3 * odd_b;
}

EA_INLINE void give_weights(ea_vec *w, int step, const ea_vec *u) {
  ea_vec even_a = SCALE_A * (u[1] + u[2]), odd_a = SCALE_A * (u[1] - u[2]);
  ea_vec even_b = SCALE_B * (u[3] + u[4]), odd_b = SCALE_B * (u[3] - u[4]);
  w[0] = SCALE_0 * u[0] + even_a + even_b;
  w[step] = A * odd_a + B * odd_b;
  w[2 * step] = (u[5] + A2 * even_a) + B2 * even_b;
}

/* ---- two dimensions: columns, then rows ---- */

void ea_wino_of_image(float *to, int64_t apart, const float *from, int64_t row, int64_t pixel) {
  ea_vec half[IN][IN], v[IN];
  for (int x = 0; x < IN; x++) {
    for (int y = 0; y < IN; y++) v[y] = ea_vec_get(from + y * row + x * pixel);
    of_image(&half[0][x], IN, v);
  }
  for (int y = 0; y < IN; y++, to += IN * apart) {
    of_image(v, 1, half[y]);
    for (int x = 0; x < IN; x++) ea_vec_put(to + x * apart, v[x]);
  }
}

void ea_wino_of_result(float *to, int64_t apart, const ea_wino_place *from) {
  ea_vec half[IN][OUT], v[IN];
  for (int x = 0; x < OUT; x++) {
    for (int y = 0; y < OUT; y++) {
      v[y] = (ea_vec){0};
      if (y < from->height && x < from->width)
        v[y] = ea_vec_get(from->to + y * from->row + x * from->pixel);
    }
    of_result(&half[0][x], OUT, v);
  }
  for (int y = 0; y < IN; y++, to += IN * apart) {
    of_result(v, 1, half[y]);
    for (int x = 0; x < IN; x++) ea_vec_put(to + x * apart, v[x]);
  }
}

void ea_wino_give_result(const ea_wino_place *to, const float *from, int64_t apart) {
  ea_vec half[OUT][IN], v[IN], bias = {0};
  if (to->bias) bias = ea_vec_get(to->bias);
  for (int x = 0; x < IN; x++) {
    for (int y = 0; y < IN; y++) v[y] = ea_vec_get(from + (y * IN + x) * apart);
    give_result(&half[0][x], IN, v);
  }
  for (int y = 0; y < to->height; y++) {
    give_result(v, 1, half[y]);
    for (int x = 0; x < to->width; x++) {
      int64_t at = y * to->row + x * to->pixel;
      ea_vec r = v[x] + bias;
      if (to->relu) r = ea_vec_relu(r);
      if (to->add) r += ea_vec_get(to->add + at);
      ea_vec_put(to->to + at, r);
    }
  }
}

/* A vector of channels of weights, `channel` numbers apart. turned: the kernel turned round. */
void ea_wino_of_weights(float *to, int64_t apart, const float *w, int64_t channel, int turned) {
  ea_vec half[IN][KERNEL], v[IN] = {0};
  for (int b = 0; b < KERNEL; b++) {
    for (int a = 0; a < KERNEL; a++) {
      int tap = a * KERNEL + b;
      if (turned) tap = EA_WINO_TAPS - 1 - tap;
      for (int i = 0; i < EA_VEC; i++) v[a][i] = w[i * channel + tap];
    }
    of_weights(&half[0][b], KERNEL, v);
  }
  for (int y = 0; y < IN; y++, to += IN * apart) {
    of_weights(v, 1, half[y]);
    for (int x = 0; x < IN; x++) ea_vec_put(to + x * apart, v[x]);
  }
}

void ea_wino_give_weights(float *w, int64_t channel, int add, const float *from, int64_t apart,
                          int64_t shards, int64_t shard) {
  ea_vec half[KERNEL][IN], v[IN];
  for (int x = 0; x < IN; x++) {
    for (int y = 0; y < IN; y++) {
      const float *at = from + (y * IN + x) * apart;
      v[y] = ea_vec_get(at);
      for (int64_t s = 1; s < shards; s++) v[y] += ea_vec_get(at + s * shard);
    }
    give_weights(&half[0][x], IN, v);
  }
  for (int a = 0; a < KERNEL; a++) {
    give_weights(v, 1, half[a]);
    for (int b = 0; b < KERNEL; b++)
      for (int i = 0; i < EA_VEC; i++) {
        float *to = w + i * channel + a * KERNEL + b;
        *to = v[b][i] + (add ? *to : 0);
      }
  }
}

/* ---- products ---- */

/* Sums in registers: so many rows of one or two vectors. */
#ifdef __AVX512F__
enum { ROWS = 16, WIDE_ROWS = 8 };
#else
enum { ROWS = 6, WIDE_ROWS = 6 };
#endif

EA_INLINE void multiply(int rows, int wide, float *to, int64_t to_row, const float *a,
                        int64_t a_row, int64_t a_step, const float *b, int64_t steps, int add,
                        ea_ahead *ahead) {
  ea_vec sum[ROWS][2];
  const char *next = NULL;
  int64_t lines = ea_ahead_take(ahead, steps, &next);
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++) {
    sum[r][0] = add ? ea_vec_get(to + r * to_row) : (ea_vec){0};
    if (wide) sum[r][1] = add ? ea_vec_get(to + r * to_row + EA_VEC) : (ea_vec){0};
  }
  for (int64_t s = 0; s < steps; s++, a += a_step, b += to_row) {
    ea_vec one = ea_vec_get(b), two = wide ? ea_vec_get(b + EA_VEC) : one;
    if (s < lines) __builtin_prefetch(next + s * 64, 0, 2);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
      float v = a[r * a_row];
      sum[r][0] += v * one;
      if (wide) sum[r][1] += v * two;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++) {
    ea_vec_put(to + r * to_row, sum[r][0]);
    if (wide) ea_vec_put(to + r * to_row + EA_VEC, sum[r][1]);
  }
}

EA_INLINE void multiply_rows(int most, int wide, float *to, int64_t to_row, const float *a,
                             int64_t a_row, int64_t a_step, const float *b, int64_t rows,
                             int64_t steps, int add, ea_ahead *h) {
  int64_t r = 0;
  for (; r + most <= rows; r += most)
    multiply(most, wide, to + r * to_row, to_row, a + r * a_row, a_row, a_step, b, steps, add, h);
  for (; r + 4 <= rows && most > 4; r += 4)
    multiply(4, wide, to + r * to_row, to_row, a + r * a_row, a_row, a_step, b, steps, add, h);
  for (; r < rows; r++)
    multiply(1, wide, to + r * to_row, to_row, a + r * a_row, a_row, a_step, b, steps, add, h);
}

EA_INLINE void multiply_all(int64_t a_row, int64_t a_step, float *to, const float *a,
                            const float *b, int64_t rows, int64_t steps, int64_t channels, int add,
                            ea_ahead *h) {
  int64_t o = 0;
  for (; o + 2 * EA_VEC <= channels; o += 2 * EA_VEC)
    multiply_rows(WIDE_ROWS, 1, to + o, channels, a, a_row, a_step, b + o, rows, steps, add, h);
  if (o < channels)
    multiply_rows(ROWS, 0, to + o, channels, a, a_row, a_step, b + o, rows, steps, add, h);
}

/* Distances that the compiler knows become part of the addresses. */
void ea_wino_multiply(float *to, const float *a, int64_t a_row, int64_t a_step, const float *b,
                      int64_t rows, int64_t steps, int64_t channels, int add, ea_ahead *ahead) {
  if (a_row == 1) multiply_all(1, a_step, to, a, b, rows, steps, channels, add, ahead);
  else if (a_row == 16) multiply_all(16, 1, to, a, b, rows, steps, channels, add, ahead);
  else if (a_row == 32) multiply_all(32, 1, to, a, b, rows, steps, channels, add, ahead);
  else if (a_row == 64) multiply_all(64, 1, to, a, b, rows, steps, channels, add, ahead);
  else if (a_row == 128) multiply_all(128, 1, to, a, b, rows, steps, channels, add, ahead);
  else if (a_row == 256) multiply_all(256, 1, to, a, b, rows, steps, channels, add, ahead);
  else multiply_all(a_row, a_step, to, a, b, rows, steps, channels, add, ahead);
}
