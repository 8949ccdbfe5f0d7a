/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_amx_tiles.c - the products of a bf16 convolution by tiles; see conv2d_amx.h.
 */
#include "conv2d_amx.h"

#ifdef __x86_64__

enum { FETCH = 4 }; /* lines ahead in a step */

/* 2x2 or 4x1 tiles of sums: into sum[tile of pixels][tile of channels]. uses: NULL, or for each
 * step whether the first tile of channels has weights there, uses2: the second. Meanwhile so many
 * lines are fetched from `ahead` on, some at each step: all at once, they would hold the tiles up.
 */
EA_AMX_INLINE void multiply(int wide, const char *const *from, int64_t row_bytes,
                            const int64_t *offset, int64_t steps, const char *w, const char *w2,
                            const uint8_t *uses, const uint8_t *uses2, char *sum, const char *ahead,
                            int64_t lines) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t s = 0; s < steps; s++) {
    int64_t at = offset[s];
    if (s * FETCH < lines)
      for (int i = 0; i < FETCH; i++) __builtin_prefetch(ahead + (s * FETCH + i) * 64, 0, 2);
    if (uses && !uses[s] && !uses2[s]) continue;
    if (!uses || uses[s]) _tile_loadd(4, w + s * EA_TILE_BYTES, 64);
    _tile_loadd(6, from[0] + at, row_bytes);
    if (!uses || uses[s]) _tile_dpbf16ps(0, 6, 4);
    if (wide) {
      if (!uses || uses2[s]) {
        _tile_loadd(5, w2 + s * EA_TILE_BYTES, 64);
        _tile_dpbf16ps(1, 6, 5);
      }
      _tile_loadd(7, from[1] + at, row_bytes);
      if (!uses || uses[s]) _tile_dpbf16ps(2, 7, 4);
      if (!uses || uses2[s]) _tile_dpbf16ps(3, 7, 5);
    } else {
      _tile_loadd(7, from[1] + at, row_bytes);
      _tile_dpbf16ps(1, 7, 4);
      _tile_loadd(5, from[2] + at, row_bytes);
      _tile_dpbf16ps(2, 5, 4);
      _tile_loadd(6, from[3] + at, row_bytes);
      _tile_dpbf16ps(3, 6, 4);
    }
  }
  _tile_stored(0, sum, 64);
  _tile_stored(1, sum + EA_TILE_BYTES, 64);
  _tile_stored(2, sum + 2 * EA_TILE_BYTES, 64);
  _tile_stored(3, sum + 3 * EA_TILE_BYTES, 64);
}

EA_AMX_INLINE __m512 widen(__m256i h) {
  return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
}

/* max(v, 0); NaN stays. */
EA_AMX_INLINE __m512 clip(__m512 v) {
  __mmask16 below = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LT_OQ);
  return _mm512_mask_mov_ps(v, below, _mm512_setzero_ps());
}

/* What is to be made of sums, for 16 or 32 channels. */
typedef struct finish {
  __m512 bias[2];
  int relu;
  __mmask32 there;
} finish;

/* `count` pixels of sums into the image, `apart` bytes from each other. second: 0, or how many
 * bytes behind the first 16 numbers of a pixel the other 16 are. more: NULL, or what is added; both
 * are rounded first, as an add of its own would. */
EA_AMX_INLINE void give_pixels(int64_t second, const finish *f, const char *sum, int64_t sum_apart,
                               int64_t count, const char *more, char *to, int64_t apart) {
  int wide = second != 0;
  for (int64_t r = 0; r < count; r++, sum += sum_apart, to += apart) {
    __m512 one = _mm512_load_ps(sum) + f->bias[0], two = _mm512_setzero_ps();
    if (wide) two = _mm512_load_ps(sum + second) + f->bias[1];
    if (f->relu) {
      one = clip(one);
      two = clip(two);
    }
    __m512i h = (__m512i)_mm512_cvtne2ps_pbh(two, one);
    if (more) {
      __m512i m = _mm512_maskz_loadu_epi16(f->there, more + r * apart);
      one = widen(_mm512_castsi512_si256(h)) + widen(_mm512_castsi512_si256(m));
      if (wide)
        two = widen(_mm512_extracti64x4_epi64(h, 1)) + widen(_mm512_extracti64x4_epi64(m, 1));
      h = (__m512i)_mm512_cvtne2ps_pbh(two, one);
    }
    _mm512_mask_storeu_epi16(to, f->there, h);
  }
}

/* Pixels of 16 channels that lie close together: two at a time. */
EA_AMX_INLINE void give_narrow(const finish *f, const char *sum, int64_t count, const char *more,
                               char *to) {
  finish two = {{f->bias[0], f->bias[0]}, f->relu, 0xffffffffu};
  int64_t done = count / 2 * 2, at = done * EA_TILE * 2;
  give_pixels(64, &two, sum, 128, count / 2, more, to, 64);
  if (done < count) give_pixels(0, f, sum + done * 64, 64, 1, more ? more + at : NULL, to + at, 32);
}

/* A tile of sums, or two side by side, into the image, a run of evenly lying pixels at a time. */
EA_AMX_CODE static void give_tile(const ea_amx_job *j, const ea_amx_class *k, int64_t tile,
                                  int64_t first, int wide, const finish *f, const char *sum,
                                  char *image) {
  const ea_amx_place *p = &j->place[k->first_tile + tile];
  int64_t stride = j->to_stride, pixel = j->to.channels * 2, apart = stride * pixel;
  int64_t inside = (j->to.width - k->column + stride - 1) / stride;
  int64_t row = p->row, column = p->column;
  int dense = j->gapless && stride == 1; /* rows lie without a gap in the image, too */
  int narrow = j->to.channels == EA_TILE && stride == 1;
  for (int64_t r = 0; r < EA_TILE && row < k->height; row++, column = 0) {
    int64_t count = EA_MIN(EA_TILE - r, j->width - column), give = EA_MIN(count, inside - column);
    if (dense) count = give = EA_MIN(EA_TILE, (k->height - row) * j->width - column);
    int64_t y = row * stride + k->row, x = column * stride + k->column;
    char *to = image + (y * j->to.width + x) * pixel + first * 2;
    const char *more = j->maps.add ? j->maps.add + (to - j->maps.to) : NULL;
    if (wide) give_pixels(EA_TILE_BYTES, f, sum + r * 64, 64, give, more, to, apart);
    else if (narrow) give_narrow(f, sum + r * 64, give, more, to);
    else give_pixels(0, f, sum + r * 64, 64, give, more, to, apart);
    r += count;
    if (dense) break;
  }
}

EA_AMX_CODE static finish find_finish(const ea_amx_job *j, int64_t first, int wide) {
  int64_t channels = EA_MIN(j->to.channels - first, wide ? 2 * EA_TILE : EA_TILE);
  finish f = {.relu = j->maps.relu, .there = (__mmask32)(0xffffffffu >> (32 - channels))};
  f.bias[0] = _mm512_maskz_loadu_ps((__mmask16)f.there, j->bias + first);
  f.bias[1] = _mm512_maskz_loadu_ps((__mmask16)(f.there >> 16), j->bias + first + EA_TILE);
  return f;
}

/* What will be added to a tile's sums, into the second cache: it is wanted when they are there. */
EA_AMX_INLINE void fetch_ahead(const ea_amx_job *j, const ea_amx_class *k, int64_t tile,
                               int64_t first, const char *image) {
  const ea_amx_place *p = &j->place[k->first_tile + tile];
  int64_t stride = j->to_stride, pixel = j->to.channels * 2;
  int64_t y = p->row * stride + k->row, x = p->column * stride + k->column;
  const char *more = j->maps.add + (image - j->maps.to) + (y * j->to.width + x) * pixel + first * 2;
  for (int r = 0; r < EA_TILE; r++, more += stride * pixel) __builtin_prefetch(more, 0, 2);
}

EA_AMX_CODE void ea_amx_run_class(const ea_amx_job *j, const ea_amx_class *k, const char *buffer,
                                  char *image, ea_ahead *ahead) {
  char sum[4 * EA_TILE_BYTES] __attribute__((aligned(64)));
  int64_t steps = ea_amx_steps(j, k);
  const int64_t *offset = j->offset + k->first_step;
  for (int64_t c = 0; c < j->blocks; c += 2) {
    int wide = c + 1 < j->blocks, count = wide ? 2 : 4;
    finish f = find_finish(j, c * EA_TILE, wide);
    const char *w = j->weights + (c * j->steps + k->first_step) * EA_TILE_BYTES;
    for (int64_t tile = 0; tile < k->tiles; tile += count) {
      const char *from[4];
      for (int i = 0; i < count; i++) /* beyond the last: once more, for nobody */
        from[i] = buffer + j->place[k->first_tile + EA_MIN(tile + i, k->tiles - 1)].from;
      for (int i = 0; i < count && j->maps.add; i++)
        fetch_ahead(j, k, EA_MIN(tile + i, k->tiles - 1), c * EA_TILE, image);
      const char *next = NULL;
      int64_t lines = ea_ahead_take(ahead, steps * FETCH, &next);
      const char *w2 = w + j->steps * EA_TILE_BYTES;
      const uint8_t *uses = j->uses + c * j->steps + k->first_step, *uses2 = uses + j->steps;
      if (!wide)
        multiply(0, from, j->pixel_bytes, offset, steps, w, NULL, NULL, NULL, sum, next, lines);
      else if (j->to_pixels == 1)
        multiply(1, from, j->pixel_bytes, offset, steps, w, w2, NULL, NULL, sum, next, lines);
      else multiply(1, from, j->pixel_bytes, offset, steps, w, w2, uses, uses2, sum, next, lines);
      for (int i = 0; i < count && tile + i < k->tiles; i++)
        give_tile(j, k, tile + i, c * EA_TILE, wide, &f, sum + i * (4 / count) * EA_TILE_BYTES,
                  image);
    }
  }
}

#endif
