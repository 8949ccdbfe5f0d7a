/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_amx_pack.c - images and weights as the tiles want them; see conv2d_amx.h.
 *
 * Rows whose length is no multiple of 16 are copied once for each column of taps, without gaps, so
 * that 16 pixels may go over a row's end; so are those of which a stride takes some only.
 */
#include "conv2d_amx.h"

#ifdef __x86_64__

/* Pixels one by one; what fills them up is 0 already. */
static void copy_each(char *to, int64_t each, const char *from, int64_t apart, int64_t bytes,
                      int64_t pixels) {
  for (int64_t i = 0; i < pixels; i++, to += each, from += apart) {
    int64_t b = 0;
    for (; b + 32 <= bytes; b += 32) memcpy(to + b, from + b, 32); /* a constant: one move */
    if (b < bytes) memcpy(to + b, from + b, (size_t)(bytes - b));
  }
}

/* Pixels of the buffer from a row of the image: every from_stride-th. */
static void copy_row(const ea_amx_job *j, char *to, const char *from, int64_t pixels) {
  int64_t bytes = j->from.channels * 2, each = j->pixel_bytes, apart = j->from_stride * bytes;
  if (j->maps.line && !j->read_bytes)
    ea_bn_apply(j->maps.line, EA_BF16, 0, j->from.channels, to, each / 2, from, apart / 2, pixels);
  else if (j->maps.cut && ea_amx_cuts(j))
    ea_conv_cut(to, from, j->maps.cut + (from - j->maps.from), EA_BF16, pixels * j->from.channels);
  else copy_each(to, each, from, apart, bytes, pixels);
}

/* Of `count` places from `first` on, `step` apart: how many are within a size, from *begin on. */
static int64_t inside(int64_t first, int64_t step, int64_t count, int64_t size, int64_t *begin) {
  *begin = first < 0 ? (step - 1 - first) / step : 0;
  return EA_MIN(count, (size - first + step - 1) / step) - *begin;
}

/* Lines of so many pixels that lie side by side, a multiple of 64 bytes. */
EA_AMX_CODE static void copy_lines(char *to, int64_t to_line, const char *from, int64_t line,
                                   int64_t bytes, int64_t lines) {
  for (; lines > 0; lines--, to += to_line, from += line)
    for (int64_t b = 0; b < bytes; b += 64)
      _mm512_store_si512(to + b, _mm512_loadu_si512(from + b));
}

EA_AMX_CODE static void copy_plane(const ea_amx_job *j, const ea_amx_plane *p, const char *image,
                                   char *to) {
  int64_t bytes = j->from.channels * 2, line = j->from.width * bytes, row, column;
  int64_t first = j->top * j->row_stride + p->row, to_line = j->columns * j->pixel_bytes;
  int64_t rows = inside(first, j->row_stride, j->rows, j->from.height, &row);
  int64_t columns = inside(p->column, j->from_stride, j->columns, j->from.width, &column);
  if (rows <= 0 || columns <= 0) return;
  image += (first + row * j->row_stride) * line + (p->column + column * j->from_stride) * bytes;
  to += row * to_line + column * j->pixel_bytes;
  line *= j->row_stride;
  int dense = j->pixel_bytes == bytes && j->from_stride == 1,
      line_on = j->maps.line && !j->read_bytes;
  if (dense && line_on)
    ea_bn_apply_lines(j->maps.line, EA_BF16, j->from.channels, to, to_line / 2, image, line / 2,
                      columns, rows);
  else if (dense && !j->maps.cut) copy_lines(to, to_line, image, line, columns * bytes, rows);
  else
    for (int64_t i = 0; i < rows; i++) copy_row(j, to + i * to_line, image + i * line, columns);
}

void ea_amx_copy_image(const ea_amx_job *j, const char *image, char *buffer, char *read) {
  if (j->read_bytes) {
    ea_bn_apply(j->maps.line, EA_BF16, 0, j->from.channels, read, j->from.channels, image,
                j->from.channels, j->from.height * j->from.width);
    image = read;
  }
  for (int p = 0; p < j->planes; p++)
    copy_plane(j, &j->plane[p], image, buffer + p * j->plane_bytes);
}

/* Where the weights of 16 channels of the result are at a tap, from those of a channel of `from`
 * on, and which are there. half: of a pair that is read. */
typedef struct source {
  int32_t at[EA_TILE];
  __mmask16 there;
} source;

static source find_source(const ea_amx_job *j, const ea_amx_tap *t, int64_t first, int half) {
  source p = {.there = 0};
  int64_t channels = j->to.channels / j->to_pixels, pixel = first / channels, o = first % channels;
  for (int i = 0; i < EA_TILE && pixel < j->to_pixels; i++) {
    int64_t column = t->column[pixel][half];
    if (column >= 0) p.there |= (__mmask16)(1 << i);
    p.at[i] = (int32_t)(o * j->w_to + t->row * j->kw + column);
    if (++o == channels) o = 0, pixel++;
  }
  return p;
}

/* The weights of 16 channels of the result, from `first` on, for one tile of depth of a tap. */
EA_AMX_CODE static void pack_tile(const ea_amx_job *j, const ea_amx_tap *t, int64_t depth,
                                  int64_t first, char *to) {
  source half[2] = {find_source(j, t, first, 0)};
  int pairs = j->from_pixels == 2;
  if (pairs) half[1] = find_source(j, t, first, 1);
  for (int k = 0; k < EA_TILE; k++, to += 64) {
    __m512i pair = _mm512_setzero_si512();
    for (int odd = 0; odd < 2; odd++) {
      int64_t channel = depth * EA_TILE_DEPTH + 2 * k + odd;
      const source *p = &half[pairs && channel >= EA_TILE];
      if (channel >= j->from.channels) continue;
      if (pairs) channel %= EA_TILE;
      __m512 f = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), p->there, _mm512_loadu_si512(p->at),
                                          j->w + channel * j->w_from, 4);
      __m512i wide = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(f));
      pair = _mm512_or_si512(pair, odd ? _mm512_slli_epi32(wide, 16) : wide);
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
