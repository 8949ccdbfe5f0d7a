/* SPDX-License-Identifier: GPL-3.0-or-later
 * batch_norm_rows.c - batch_norm's arithmetic on some rows, for itself and for whoever has them in
 * the cache: the same arithmetic, the same bits. See batch_norm.h.
 *
 * Channels run in up to four lanes of 16 side by side, rows in tiles that stay in the first cache;
 * sums are f32 within a tile and f64 beyond.
 */
#include "batch_norm.h"

enum { TILE = 8192, TILE_ROWS = 128, SIDE = EA_BN_SIDE, WIDE = EA_BN_WIDE }; /* numbers, rows */
enum { AHEAD = 4096 };
#define ONE_LINE ((int64_t)1 << 62)
enum { APPLY, MOMENTS, GRAD_SUMS, GRAD };
enum { SCALE, SHIFT, MEAN, SLOPE, LEVEL, VECTORS };

typedef struct job {
  const float *v[VECTORS]; /* per channel; NULL: the kernel has none */
  const void *x, *g;
  void *to;
  int64_t x_apart, to_apart; /* numbers from row to row; g lies as x */
  int64_t channels, rows;
  int64_t line, x_gap, to_gap; /* APPLY: behind so many rows, numbers are left out */
  double *sum;                 /* {2, channels} */
} job;

/* 16 channels, or fewer (n), or 32 as a pair of lanes: `side` 1 or 2. What comes AHEAD bytes later
 * is fetched meanwhile: rows are read once, from the second cache or further off. */
EA_INLINE void load(ea_lanes *to, int side, const void *from, int dtype, int64_t at, int n) {
  __builtin_prefetch((const char *)from + at * (dtype == EA_F32 ? 4 : 2) + AHEAD, 0, 3);
  if (side == 2) ea_lanes_load_pair(to, from, dtype, at);
  else to[0] = ea_lanes_load(from, dtype, at, n);
}

EA_INLINE void store(void *to, int side, int dtype, int64_t at, int n, const ea_lanes *v) {
  if (side == 2) ea_lanes_store_pair(to, dtype, at, v);
  else ea_lanes_store(to, dtype, at, n, v[0]);
}

/* The numbers of channels, as `load` orders those of the type. */
EA_INLINE void load_vector(ea_lanes *to, int side, const float *from, int dtype, int n) {
  to[0] = ea_lanes_load(from, EA_F32, 0, n);
  if (side == 1) return;
  to[1] = ea_lanes_load(from, EA_F32, EA_LANES, n);
  ea_lanes_order_pair(to, dtype);
}

EA_INLINE void add_sums(double *sum, int side, ea_lanes *s, int dtype, int n) {
  if (side == 2) ea_lanes_reorder_pair(s, dtype);
  for (int b = 0; b < side; b++)
    for (int i = 0; i < n; i++) sum[b * EA_LANES + i] += s[b][i];
}

/* Where the line of this row ends, and what was left out before it. */
EA_INLINE int64_t next_line(const job *j, int64_t row, int64_t *x_gap, int64_t *to_gap) {
  int64_t line = row / j->line;
  *x_gap = line * j->x_gap;
  *to_gap = line * j->to_gap;
  return (line + 1) * j->line;
}

#define EACH(i) for (int i = 0; i < side; i++)

/* A tile of rows; from channel k on, `lanes` (<= SIDE) of n (<= 16) channels. option: whether there
 * is a ReLU, in bit 0; whether to add, in bit 1. */
EA_INLINE void run_tile(const job *j, int kernel, int dtype, int option, int64_t row, int64_t end,
                        int64_t k, int lanes, int n) {
  int side = lanes > 1 ? 2 : 1;
  ea_lanes v[VECTORS][SIDE], s[SIDE] = {0}, p[SIDE] = {0};
  for (int i = 0; i < VECTORS; i++) {
    int used = kernel == APPLY       ? i <= SHIFT
               : kernel == MOMENTS   ? i == MEAN
               : kernel == GRAD_SUMS ? i <= MEAN
                                     : 1;
    for (int b = 0; used && b < lanes; b += side)
      load_vector(v[i] + b, side, j->v[i] + k + b * EA_LANES, dtype, n);
  }
  int64_t x_gap = 0, to_gap = 0, stop = kernel == APPLY ? next_line(j, row, &x_gap, &to_gap) : end;
  for (; row < end; row++) {
    if (kernel == APPLY && row == stop) {
      stop += j->line;
      x_gap += j->x_gap;
      to_gap += j->to_gap;
    }
    for (int b = 0; b < lanes; b += side) {
      int64_t at = k + b * EA_LANES;
      int64_t from = row * j->x_apart + x_gap + at, to = row * j->to_apart + to_gap + at;
      const ea_lanes *scale = v[SCALE] + b, *shift = v[SHIFT] + b, *mean = v[MEAN] + b;
      const ea_lanes *slope = v[SLOPE] + b, *level = v[LEVEL] + b;
      ea_lanes x[2], g[2], old[2];
      load(x, side, j->x, dtype, from, n);
      if (kernel == APPLY) EACH(i) x[i] = ea_bn_through(x[i], scale[i], shift[i], option & 1);
      if (kernel == GRAD_SUMS || kernel == GRAD) {
        load(g, side, j->g, dtype, from, n);
        if (option & 1)
          EACH(i) g[i] = ea_lanes_cut(g[i], ea_bn_through(x[i], scale[i], shift[i], 0));
      }
      if (kernel != APPLY) EACH(i) x[i] -= mean[i];
      if (kernel == MOMENTS || kernel == GRAD_SUMS) EACH(i) {
          ea_lanes y = kernel == MOMENTS ? x[i] : g[i];
          s[b + i] += y;
          p[b + i] = ea_lanes_fma(x[i], y, p[b + i]);
        }
      if (kernel == GRAD) {
        EACH(i) x[i] = ea_lanes_fma(g[i], scale[i], ea_lanes_fma(x[i], slope[i], level[i]));
        if (option & 2) load(old, side, j->to, dtype, to, n);
        if (option & 2) EACH(i) x[i] += old[i];
      }
      if (kernel == APPLY || kernel == GRAD) store(j->to, side, dtype, to, n, x);
    }
  }
  if (kernel != MOMENTS && kernel != GRAD_SUMS) return;
  for (int b = 0; b < lanes; b += side) {
    add_sums(j->sum + k + b * EA_LANES, side, s + b, dtype, n);
    add_sums(j->sum + j->channels + k + b * EA_LANES, side, p + b, dtype, n);
  }
}

EA_INLINE void run_tiles(const job *j, int kernel, int dtype, int option) {
  int64_t tile = EA_MIN(TILE_ROWS, EA_MAX(1, TILE / j->channels));
  for (int64_t row = 0; row < j->rows; row += tile) {
    int64_t last = EA_MIN(row + tile, j->rows), k = 0;
    for (; k + WIDE <= j->channels; k += WIDE)
      run_tile(j, kernel, dtype, option, row, last, k, SIDE, EA_LANES);
    for (; k + 2 * EA_LANES <= j->channels; k += 2 * EA_LANES)
      run_tile(j, kernel, dtype, option, row, last, k, 2, EA_LANES);
    for (; k + EA_LANES <= j->channels; k += EA_LANES)
      run_tile(j, kernel, dtype, option, row, last, k, 1, EA_LANES);
    if (k + EA_LANES / 2 <= j->channels) { /* a constant, too: 24 channels are not rare */
      run_tile(j, kernel, dtype, option, row, last, k, 1, EA_LANES / 2);
      k += EA_LANES / 2;
    }
    if (k < j->channels)
      run_tile(j, kernel, dtype, option, row, last, k, 1, (int)(j->channels - k));
  }
}

EA_INLINE void choose(const job *j, int kernel, int dtype, int option) {
  if (option == 0) run_tiles(j, kernel, dtype, 0);
  else if (option == 1) run_tiles(j, kernel, dtype, kernel != MOMENTS);
  else if (option == 2) run_tiles(j, kernel, dtype, 2 * (kernel == GRAD));
  else run_tiles(j, kernel, dtype, 1 + 2 * (kernel == GRAD));
}

EA_INLINE void run(job *j, int kernel, int dtype, int option) {
  int64_t c = j->channels, together = ea_bn_together(c);
  int64_t wide = j->x_apart == c && j->to_apart == c ? j->rows / together : 0;
  if (j->line % together) wide = 0;
  if (together > 1 && wide > 0) {
    double sum[2 * WIDE] = {0};
    job w = *j;
    w.x_apart = w.to_apart = w.channels = WIDE;
    w.rows = wide;
    w.line /= together;
    w.sum = sum;
    choose(&w, kernel, dtype, option);
    for (int64_t t = 0; j->sum && t < together; t++)
      for (int64_t k = 0; k < c; k++) {
        j->sum[k] += sum[t * c + k];
        j->sum[c + k] += sum[WIDE + t * c + k];
      }
    int64_t done = wide * WIDE * ea_dtype_size(dtype);
    j->rows -= wide * together;
    j->x = (const char *)j->x + done;
    if (j->g) j->g = (const char *)j->g + done;
    if (j->to) j->to = (char *)j->to + done;
  }
  if (j->rows) choose(j, kernel, dtype, option);
}

EA_INLINE void run_typed(job *j, int kernel, int dtype, int option) {
  if (dtype == EA_F32) run(j, kernel, EA_F32, option);
  else run(j, kernel, EA_BF16, option);
}

/* Rows that lie one after the other. */
static job of_rows(const void *x, int64_t channels, int64_t rows) {
  return (job){.x = x,
               .x_apart = channels,
               .to_apart = channels,
               .channels = channels,
               .rows = rows,
               .line = ONE_LINE};
}

static void apply(job *j, const ea_bn_line *line, int dtype, int64_t first, void *to) {
  j->v[SCALE] = line->scale + first;
  j->v[SHIFT] = line->shift + first;
  j->to = to;
  run_typed(j, APPLY, dtype, line->relu != 0);
}

void ea_bn_apply(const ea_bn_line *line, int dtype, int64_t first, int64_t channels, void *to,
                 int64_t to_apart, const void *from, int64_t from_apart, int64_t rows) {
  job j = of_rows(from, channels, rows);
  j.x_apart = from_apart;
  j.to_apart = to_apart;
  apply(&j, line, dtype, first, to);
}

void ea_bn_apply_lines(const ea_bn_line *line, int dtype, int64_t channels, void *to,
                       int64_t to_apart, const void *from, int64_t from_apart, int64_t columns,
                       int64_t lines) {
  job j = of_rows(from, channels, columns * lines);
  j.line = columns;
  j.x_gap = from_apart - columns * channels;
  j.to_gap = to_apart - columns * channels;
  apply(&j, line, dtype, 0, to);
}

void ea_bn_moments(const float *origin, int dtype, int64_t channels, const void *x, int64_t rows,
                   double *sum) {
  job j = of_rows(x, channels, rows);
  j.v[MEAN] = origin;
  j.sum = sum;
  run_typed(&j, MOMENTS, dtype, 0);
}

static job of_gradient(const ea_bn_grad *b, const void *g, const void *x, int64_t channels,
                       int64_t rows) {
  job j = of_rows(x, channels, rows);
  const float *const v[VECTORS] = {b->line.scale, b->line.shift, b->mean, b->slope, b->level};
  memcpy(j.v, v, sizeof v);
  j.g = g;
  return j;
}

void ea_bn_grad_sums(const ea_bn_grad *b, int dtype, int64_t channels, const void *g, const void *x,
                     int64_t rows, double *sum) {
  job j = of_gradient(b, g, x, channels, rows);
  j.sum = sum;
  run_typed(&j, GRAD_SUMS, dtype, b->line.relu != 0);
}

void ea_bn_grad_rows(const ea_bn_grad *b, int dtype, int64_t channels, const void *g, const void *x,
                     void *to, int add, int64_t rows) {
  job j = of_gradient(b, g, x, channels, rows);
  j.to = to;
  run_typed(&j, GRAD, dtype, (b->line.relu != 0) + 2 * (add != 0));
}

void ea_bn_repeat(float *v, int64_t channels) {
  for (int64_t k = channels; k < ea_bn_vector(channels); k++) v[k] = v[k - channels];
}

void ea_bn_first_row(float *to, const void *x, int dtype, int64_t channels) {
  ea_load_f32(to, x, dtype, channels);
  ea_bn_repeat(to, channels);
}
