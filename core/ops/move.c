/* SPDX-License-Identifier: GPL-3.0-or-later
 * move.c - strided copies: dimensions are merged and reordered so that both sides are walked in
 * pieces that stay in the cache, then pieces of at most EA_CHUNK elements are dealt out.
 */
#include "move.h"

enum { TILE = 32 };

typedef struct move {
  int esize, ndim;
  int64_t size[EA_MAX_DIM + 2], to_stride[EA_MAX_DIM + 2], from_stride[EA_MAX_DIM + 2];
  char *to;
  const char *from;
  int64_t row_step, col_step, row_pieces, col_pieces; /* pieces of the last two dimensions */
  int64_t pieces, per_shard;
} move;

#define TILE_COPY(T)                                           \
  for (int64_t c0 = 0; c0 < cols; c0 += TILE) {                \
    int64_t c1 = EA_MIN(cols, c0 + TILE);                      \
    for (int64_t r = 0; r < rows; r++) {                       \
      T *t = (T *)to + r * tr;                                 \
      const T *f = (const T *)from + r * fr;                   \
      for (int64_t c = c0; c < c1; c++) t[c * tc] = f[c * fc]; \
    }                                                          \
  }

static void copy_piece(int esize, int64_t rows, int64_t cols, char *to, int64_t tr, int64_t tc,
                       const char *from, int64_t fr, int64_t fc) {
  if (tc == 1 && fc == 1) {
    for (int64_t r = 0; r < rows; r++)
      memcpy(to + r * tr * esize, from + r * fr * esize, (size_t)(cols * esize));
    return;
  }
  switch (esize) {
    case 1: TILE_COPY(uint8_t) break;
    case 2: TILE_COPY(uint16_t) break;
    case 4: TILE_COPY(uint32_t) break;
    default: TILE_COPY(uint64_t) break;
  }
}

static void run_shard(void *arg, int64_t shard) {
  const move *m = arg;
  int64_t last = EA_MIN(m->pieces, (shard + 1) * m->per_shard);
  int r = m->ndim - 2, c = m->ndim - 1;
  for (int64_t piece = shard * m->per_shard; piece < last; piece++) {
    int64_t rest = piece;
    int64_t col = rest % m->col_pieces * m->col_step;
    rest /= m->col_pieces;
    int64_t row = rest % m->row_pieces * m->row_step;
    rest /= m->row_pieces;
    int64_t to = row * m->to_stride[r] + col * m->to_stride[c];
    int64_t from = row * m->from_stride[r] + col * m->from_stride[c];
    for (int d = r - 1; d >= 0; d--) {
      int64_t i = rest % m->size[d];
      rest /= m->size[d];
      to += i * m->to_stride[d];
      from += i * m->from_stride[d];
    }
    copy_piece(m->esize, EA_MIN(m->row_step, m->size[r] - row),
               EA_MIN(m->col_step, m->size[c] - col), m->to + to * m->esize, m->to_stride[r],
               m->to_stride[c], m->from + from * m->esize, m->from_stride[r], m->from_stride[c]);
  }
}

/* Takes dimensions of size 1 out and makes one of two neighbours that both sides walk as one. */
static void merge(move *m, int ndim, const int64_t *size, const int64_t *ts, const int64_t *fs) {
  int n = 0;
  for (int d = 0; d < ndim; d++) {
    if (size[d] == 1) continue;
    if (n > 0 && m->to_stride[n - 1] == ts[d] * size[d] &&
        m->from_stride[n - 1] == fs[d] * size[d]) {
      m->size[n - 1] *= size[d];
      m->to_stride[n - 1] = ts[d];
      m->from_stride[n - 1] = fs[d];
      continue;
    }
    m->size[n] = size[d];
    m->to_stride[n] = ts[d];
    m->from_stride[n++] = fs[d];
  }
  while (n < 2) { /* the pieces need rows and columns: put rows of 1 in front */
    for (int d = n; d > 0; d--) {
      m->size[d] = m->size[d - 1];
      m->to_stride[d] = m->to_stride[d - 1];
      m->from_stride[d] = m->from_stride[d - 1];
    }
    m->size[0] = 1;
    m->to_stride[0] = m->from_stride[0] = 0;
    n++;
  }
  m->ndim = n;
}

/* Where the reading side runs fastest along another dimension than the last (a transposition), that
 * dimension becomes the rows, so that tiles of TILE x TILE use whole cache lines on both sides. */
static void pair_rows(move *m) {
  int rows = m->ndim - 2;
  if (m->from_stride[m->ndim - 1] == 1) return;
  for (int d = 0; d < m->ndim - 1; d++) {
    if (m->from_stride[d] != 1) continue;
    int64_t size = m->size[d], ts = m->to_stride[d], fs = m->from_stride[d];
    for (int e = d; e < rows; e++) {
      m->size[e] = m->size[e + 1];
      m->to_stride[e] = m->to_stride[e + 1];
      m->from_stride[e] = m->from_stride[e + 1];
    }
    m->size[rows] = size;
    m->to_stride[rows] = ts;
    m->from_stride[rows] = fs;
    return;
  }
}

void ea_move(int esize, int ndim, const int64_t *size, void *to, const int64_t *to_stride,
             const void *from, const int64_t *from_stride) {
  move m = {.esize = esize, .to = to, .from = from};
  for (int d = 0; d < ndim; d++)
    if (size[d] == 0) return;
  merge(&m, ndim, size, to_stride, from_stride);
  pair_rows(&m);
  int64_t rows = m.size[m.ndim - 2], cols = m.size[m.ndim - 1], outer = 1;
  for (int d = 0; d < m.ndim - 2; d++) outer *= m.size[d];
  m.row_step = EA_MIN(rows, TILE);
  m.col_step = EA_MIN(cols, EA_CHUNK / m.row_step);
  m.row_pieces = (rows + m.row_step - 1) / m.row_step;
  m.col_pieces = (cols + m.col_step - 1) / m.col_step;
  m.pieces = outer * m.row_pieces * m.col_pieces;
  m.per_shard = EA_CHUNK / (m.row_step * m.col_step);
  ea_parallel((m.pieces + m.per_shard - 1) / m.per_shard, run_shard, &m);
}

void ea_move_rows(int esize, int64_t rows, int64_t run, void *to, int64_t to_stride,
                  const void *from, int64_t from_stride) {
  int64_t size[2] = {rows, run}, ts[2] = {to_stride, 1}, fs[2] = {from_stride, 1};
  ea_move(esize, 2, size, to, ts, from, fs);
}
