/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_amx_pack.c - images and weights as the tiles want them; see conv2d_amx.h.
 *
 * Rows whose length is no multiple of 16 are copied once for each column of taps, without gaps, so
 * that 16 pixels may go over a row's end; so are those of which a stride takes some only. 16
 * channels are half a tile: two neighbours of a row share one, where both are taps.
 */
#include "conv2d_amx.h"

#ifdef __x86_64__

/* Pixels one by one, each filled up with zeros. */
static void copy_each(char *to, int64_t each, const char *from, int64_t apart, int64_t bytes,
                      int64_t pixels) {
  for (int64_t i = 0; i < pixels; i++, to += each, from += apart) {
    int64_t b = 0;
    for (; b + 32 <= bytes; b += 32) memcpy(to + b, from + b, 32); /* a constant: one move */
    if (b < bytes) memcpy(to + b, from + b, (size_t)(bytes - b));
    if (each - bytes == 32) memset(to + bytes, 0, 32);
    else if (each > bytes) memset(to + bytes, 0, (size_t)(each - bytes));
  }
}

/* `count` pixels of the buffer from a row of the image (NULL: outside): column x, and every
 * stride-th after it. */
static void copy_pixels(const ea_amx_job *j, char *to, const char *row, int64_t x, int64_t count) {
  int64_t bytes = j->from.channels * 2, each = j->pixel_bytes, stride = j->from_stride;
  int64_t begin = row ? EA_MIN(count, x < 0 ? (stride - 1 - x) / stride : 0) : count, end = begin;
  if (row) end = EA_MAX(begin, EA_MIN(count, (j->from.width - x + stride - 1) / stride));
  memset(to, 0, (size_t)(begin * each));
  memset(to + end * each, 0, (size_t)((count - end) * each));
  if (begin == end) return;
  row += (x + begin * stride) * bytes;
  to += begin * each;
  int64_t pixels = end - begin;
  if (j->line && !j->read_bytes) {
    ea_bn_apply(j->line, EA_BF16, 0, j->from.channels, to, each / 2, row, stride * j->from.channels,
                pixels);
    if (bytes != each)
      for (int64_t i = 0; i < pixels; i++) memset(to + i * each + bytes, 0, (size_t)(each - bytes));
  } else if (j->cut && ea_amx_cuts(j)) {
    ea_conv_cut(to, row, j->cut + (row - j->from.data), EA_BF16, pixels * j->from.channels);
  } else if (bytes == each && stride == 1) {
    memcpy(to, row, (size_t)(pixels * bytes));
  } else {
    copy_each(to, each, row, stride * bytes, bytes, pixels);
  }
}

void ea_amx_copy_image(const ea_amx_job *j, const char *image, char *buffer, char *read) {
  int64_t line = j->from.width * j->from.channels * 2, row_bytes = j->columns * j->pixel_bytes;
  if (j->read_bytes) {
    ea_bn_apply(j->line, EA_BF16, 0, j->from.channels, read, j->from.channels, image,
                j->from.channels, j->from.height * j->from.width);
    image = read;
  }
  for (int p = 0; p < j->planes; p++, buffer += j->plane_bytes)
    for (int64_t i = 0; i < j->rows; i++) {
      int64_t y = (j->top + i) * j->from_stride + j->plane[p].row;
      copy_pixels(j, buffer + i * row_bytes, y >= 0 && y < j->from.height ? image + y * line : NULL,
                  j->plane[p].column, j->columns);
    }
}

/* The weights of 16 channels of the result, from `first` on, for one tile of depth of a tap. */
EA_AMX_CODE static void pack_tile(const ea_amx_job *j, const ea_amx_tap *t, int64_t depth,
                                  int64_t first, char *to) {
  __mmask16 there = (__mmask16)(0xffff >> EA_MAX(0, first + EA_TILE - j->to.channels));
  __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  __m512i at = _mm512_mullo_epi32(lanes, _mm512_set1_epi32((int)j->w_to));
  const float *w = j->w + first * j->w_to + t->row * j->kw;
  for (int k = 0; k < EA_TILE; k++, to += 64) {
    __m512i pair = _mm512_setzero_si512();
    for (int half = 0; half < 2; half++) {
      int64_t channel = 2 * k + half, column = t->column[0];
      if (j->pairs) column = t->column[channel / EA_TILE], channel %= EA_TILE;
      else channel += depth * EA_TILE_DEPTH;
      if (column < 0 || channel >= j->from.channels) continue;
      __m512 f = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), there, at,
                                          w + channel * j->w_from + column, 4);
      __m512i wide = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(f));
      pair = _mm512_or_si512(pair, half ? _mm512_slli_epi32(wide, 16) : wide);
    }
    _mm512_store_si512(to, pair);
  }
}

void ea_amx_pack_weights(const ea_amx_job *j, int64_t block) {
  char *to = j->weights + block * j->steps * EA_TILE_BYTES;
  for (int i = 0; i < j->classes; i++) {
    const ea_amx_class *k = &j->class[i];
    for (int64_t depth = 0; depth < j->depth; depth++) /* all taps of these lie close together */
      for (int t = 0; t < k->taps; t++)
        pack_tile(j, &k->tap[t], depth, block * EA_TILE,
                  to + (k->first_step + t * j->depth + depth) * EA_TILE_BYTES);
  }
}

#endif
