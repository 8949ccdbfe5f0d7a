/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_amx_weights.c - gradient of the weights of a bf16 convolution by tiles (amx.h).
 *
 *   dw[o,c,a,b] = sum over pixels p of g[p,o] * x[at(p,a,b),c]
 *
 * is for each tap (a, b) a product of matrices whose long side is the pixels: gT {o, pixels} times
 * x {pixels, c}. Images are taken a band of rows at a time, CHUNK pixels in all:
 *
 *   g  is transposed once, into {o/16, pixels/32, 16, 32}: the tiles of the first factor.
 *   x  becomes pairs of pixels {c/16, pixels/2, 16, 2}, once for each column b (and each row
 *      modulo the stride): a plane. Zeros are where the padding was. A plane's pixels are those
 *      that dense output pixels see, so another row a is the same plane some pairs further on:
 *      loads are aligned lines, and rows share them.
 *
 * Three taps at a time, for one 16 of o and one 16 of c: three sums, whose latencies overlap, read
 * the same g and, a row apart, the same x, in the first cache. 512 pixels: 2.8 TFLOP/s of tiles on
 * a 2.6 GHz Sapphire Rapids core; 256 lose 10 % in loading and storing sums, 2048 leave that cache
 * and lose 20 %; blocks of 2x2 tiles, the usual choice, 2.3. oneDNN 2.6.3 has 0.4 to 0.8 in all.
 *
 * Odd widths, heights and channels are padded with zeros in what is packed.
 */
#include "conv2d_amx.h"

#ifdef __x86_64__

enum {
  CHUNK = 512,
  MOST_TAPS = EA_AMX_TAPS,
  MOST_SUMS = 3,
  LEAST_PIXELS = 16,
  MOST_SUM_BYTES = 1 << 20 /* above, the second cache does not hold a shard's sums */
};

typedef struct job {
  const ea_conv *v;
  const uint16_t *x, *g;
  int64_t width;        /* of a row of output pixels, made even */
  int64_t rows, bands;  /* a unit is `rows` rows of an image, which has `bands` */
  int64_t steps, units; /* tiles along a unit's pixels; units of a chunk */
  int64_t o_blocks, c_blocks, taps;
  int64_t image_shards, c_shards;
  float *sum; /* {image_shards, o_blocks, c_blocks, taps, 16, 16} */
  float *to;  /* {o, c, kh, kw} */
  int add;
  const ea_bn_line *line; /* NULL, or what x is read through: a block of a chunk at a time */
  ea_amx_job *data;       /* NULL, or what is run on each image before */
  int64_t view;           /* rows of the image that a unit sees */
  char *thread; /* per thread: g's tiles, a plane, a pixel of zeros, what the line was applied to */
  size_t g_bytes, plane_bytes, zero_bytes, thread_bytes;
} job;

/* The taps of column b whose row is `residue` modulo the stride; tap a sees plane row i + row[a]
 * for output row i. */
typedef struct plane {
  int64_t b, residue;
  int64_t first, span; /* least row[], and its distance to the greatest */
  int taps;
  int64_t a[MOST_TAPS], row[MOST_TAPS];
} plane;

static void find_plane(const ea_conv *v, int64_t b, int64_t residue, plane *p) {
  *p = (plane){.b = b, .residue = residue};
  for (int64_t a = 0; a < v->kh; a++) {
    int64_t at = a * v->dilation - v->pad, rest = (at % v->stride + v->stride) % v->stride;
    if (rest != residue) continue;
    p->a[p->taps] = a;
    p->row[p->taps++] = (at - rest) / v->stride;
  }
  p->first = p->row[0]; /* a rises, and the rows with it */
  p->span = p->taps ? p->row[p->taps - 1] - p->first : 0;
}

static int64_t plane_pairs(const job *j, const plane *p) { /* of a unit */
  return j->steps * (EA_TILE_DEPTH / 2) + p->span * j->width / 2;
}

/* ---- packing ---- */

/* 16 channels of two pixels side by side, in pairs. Masks: which channels are there. */
EA_AMX_INLINE void pack_pair(char *to, const uint16_t *one, __mmask16 use_one, const uint16_t *two,
                             __mmask16 use_two) {
  __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                   7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  __m512i low = _mm512_castsi256_si512(_mm256_maskz_loadu_epi16(use_one, one));
  __m512i both = _mm512_inserti64x4(low, _mm256_maskz_loadu_epi16(use_two, two), 1);
  _mm512_store_si512(to, _mm512_permutexvar_epi16(order, both));
}

/* A row of output pixels' view of the image row x, which starts with the block's channels; its
 * pixels lie `apart` numbers from each other. */
EA_AMX_CODE static void pack_row(const job *j, const plane *p, const uint16_t *x, int64_t apart,
                                 __mmask16 mask, char *to) {
  const ea_conv *v = j->v;
  int64_t start = p->b * v->dilation - v->pad, step = v->stride * apart, i = 0;
  int64_t begin = start < 0 ? (v->stride - 1 - start) / v->stride : 0; /* first inside */
  int64_t end = EA_MIN(v->ow, (v->w - start + v->stride - 1) / v->stride);
  x += start * apart;
  for (; i < j->width; i += 2) { /* at most one turn or two, but for the middle */
    int both = i >= begin && i + 1 < end;
    if (both && mask == 0xffff) {
      for (; i + 1 < end; i += 2)
        pack_pair(to + i * 32, x + i * step, 0xffff, x + (i + 1) * step, 0xffff);
      i -= 2;
      continue;
    }
    pack_pair(to + i * 32, x + i * step, i >= begin && i < end ? mask : 0, x + (i + 1) * step,
              i + 1 >= begin && i + 1 < end ? mask : 0);
  }
}

/* The first row of the image, perhaps above it, that a unit sees. */
static int64_t first_row(const job *j, int64_t unit) {
  return unit % j->bands * j->rows * j->v->stride - j->v->pad;
}

/* One block of 16 channels of what a chunk's units see, through the line. */
static void read_block(const job *j, int64_t unit, int64_t units, int64_t block, uint16_t *to) {
  const ea_conv *v = j->v;
  int64_t row = v->w * EA_TILE, channel = block * EA_TILE;
  for (int64_t u = unit; u < unit + units; u++, to += j->view * row) {
    int64_t top = first_row(j, u), begin = EA_MAX(0, top), end = EA_MIN(v->h, top + j->view);
    const uint16_t *x = j->x + (u / j->bands * v->h + begin) * v->w * v->c + channel;
    int64_t apart = v->stride; /* of a kernel of 1x1, that takes no others */
    if (v->kh * v->kw == 1 && v->pad == 0)
      for (int64_t y = begin; y < end; y += apart, x += apart * v->w * v->c)
        ea_bn_apply(j->line, EA_BF16, channel, EA_MIN(EA_TILE, v->c - channel),
                    to + (y - top) * row, EA_TILE * apart, x, v->c * apart, v->ow);
    else if (begin < end)
      ea_bn_apply(j->line, EA_BF16, channel, EA_MIN(EA_TILE, v->c - channel),
                  to + (begin - top) * row, EA_TILE, x, v->c, (end - begin) * v->w);
  }
}

/* One block of 16 channels of a chunk; read: what read_block wrote, if there is a line. */
static void pack_plane(const job *j, const plane *p, int64_t unit, int64_t units, int64_t block,
                       const uint16_t *read, char *to) {
  const ea_conv *v = j->v;
  int64_t apart = j->line ? EA_TILE : v->c;
  int64_t line = j->width / 2 * 64, unit_bytes = plane_pairs(j, p) * 64;
  int64_t used = (j->rows + p->span) * line, missing = (block + 1) * EA_TILE - v->c;
  __mmask16 mask = (__mmask16)(0xffff >> EA_MAX(0, missing));
  for (int64_t u = 0; u < units; u++, to += unit_bytes) {
    int64_t image = (unit + u) / j->bands, top = (unit + u) % j->bands * j->rows + p->first;
    const uint16_t *x = j->x + image * v->h * v->w * v->c + block * EA_TILE;
    if (j->line) x = read + (u * j->view - first_row(j, unit + u)) * v->w * EA_TILE;
    for (int64_t i = 0; i < j->rows + p->span; i++) {
      int64_t y = (top + i) * v->stride + p->residue;
      if (y >= 0 && y < v->h) pack_row(j, p, x + y * v->w * apart, apart, mask, to + i * line);
      else memset(to + i * line, 0, (size_t)line);
    }
    if (unit_bytes > used) memset(to + used, 0, (size_t)(unit_bytes - used));
  }
}

/* 8 channels of 32 pixels, transposed: rows of 64 bytes. */
EA_AMX_INLINE void transpose(char *to, const uint16_t *const *pixel, int64_t at) {
  __m512i r[8], s[8];
  for (int k = 0; k < 8; k++) {
    r[k] = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(pixel[k] + at)));
    r[k] = _mm512_inserti32x4(r[k], _mm_loadu_si128((const void *)(pixel[k + 8] + at)), 1);
    r[k] = _mm512_inserti32x4(r[k], _mm_loadu_si128((const void *)(pixel[k + 16] + at)), 2);
    r[k] = _mm512_inserti32x4(r[k], _mm_loadu_si128((const void *)(pixel[k + 24] + at)), 3);
  }
  for (int k = 0; k < 4; k++) {
    s[k] = _mm512_unpacklo_epi16(r[2 * k], r[2 * k + 1]);
    s[k + 4] = _mm512_unpackhi_epi16(r[2 * k], r[2 * k + 1]);
  }
  for (int k = 0; k < 4; k++) { /* r: channels 2k and 2k+1 of pixels 0..3, then of 4..7 */
    int from = k / 2 * 4;
    r[k] = k % 2 ? _mm512_unpackhi_epi32(s[from], s[from + 1])
                 : _mm512_unpacklo_epi32(s[from], s[from + 1]);
    r[k + 4] = k % 2 ? _mm512_unpackhi_epi32(s[from + 2], s[from + 3])
                     : _mm512_unpacklo_epi32(s[from + 2], s[from + 3]);
  }
  for (int k = 0; k < 4; k++) {
    _mm512_store_si512(to + 2 * k * 64, _mm512_unpacklo_epi64(r[k], r[k + 4]));
    _mm512_store_si512(to + (2 * k + 1) * 64, _mm512_unpackhi_epi64(r[k], r[k + 4]));
  }
}

/* The tiles of one step of pixels, o's blocks `block_bytes` apart. */
EA_AMX_CODE static void pack_step(const job *j, const uint16_t **pixel, const uint16_t *zeros,
                                  char *to, int64_t block_bytes) {
  int64_t tail = j->v->o % EA_TILE;
  uint16_t copy[EA_TILE_DEPTH][EA_TILE];
  const uint16_t *copied[EA_TILE_DEPTH];
  for (int64_t k = 0; k < j->o_blocks; k++, to += block_bytes) {
    const uint16_t *const *from = pixel;
    int64_t at = k * EA_TILE;
    if (tail && k == j->o_blocks - 1) {
      memset(copy, 0, sizeof copy);
      for (int i = 0; i < EA_TILE_DEPTH; i++) {
        if (pixel[i] != zeros) memcpy(copy[i], pixel[i] + at, (size_t)tail * 2);
        copied[i] = copy[i];
      }
      from = copied;
      at = 0;
    }
    transpose(to, from, at);
    transpose(to + 8 * 64, from, at + 8);
  }
}

/* Where the 32 pixels of a step start; zeros: nowhere. */
static void find_pixels(const job *j, int64_t unit, int64_t step, const uint16_t *zeros,
                        const uint16_t **pixel) {
  const ea_conv *v = j->v;
  int64_t top = unit % j->bands * j->rows, rows = EA_MIN(j->rows, v->oh - top);
  int64_t at = step * EA_TILE_DEPTH;
  const uint16_t *g = j->g + ((unit / j->bands * v->oh + top) * v->ow) * v->o;
  if (j->width == v->ow && at + EA_TILE_DEPTH <= rows * v->ow) {
    for (int i = 0; i < EA_TILE_DEPTH; i++) pixel[i] = g + (at + i) * v->o;
    return;
  }
  int64_t row = at / j->width, column = at % j->width;
  for (int i = 0; i < EA_TILE_DEPTH; i++) {
    int inside = row < rows && column < v->ow;
    pixel[i] = inside ? g + (row * v->ow + column) * v->o : zeros;
    if (++column == j->width) row++, column = 0;
  }
}

static void pack_g(const job *j, int64_t unit, int64_t units, const uint16_t *zeros, char *to) {
  int64_t block_bytes = units * j->steps * EA_TILE_BYTES;
  for (int64_t u = 0; u < units; u++)
    for (int64_t s = 0; s < j->steps; s++, to += EA_TILE_BYTES) {
      const uint16_t *pixel[EA_TILE_DEPTH];
      find_pixels(j, unit + u, s, zeros, pixel);
      pack_step(j, pixel, zeros, to, block_bytes);
    }
}

/* ---- products ---- */

/* sum[k] += g times x[k] for `count` taps; `steps` tiles of each unit, x's units `unit_bytes`
 * apart. */
EA_AMX_INLINE void multiply(int count, float *const *sum, int fresh, const char *g,
                            const char *const *x, int64_t units, int64_t unit_bytes,
                            int64_t steps) {
  if (fresh) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
  } else {
    _tile_loadd(0, sum[0], 64);
    if (count > 1) _tile_loadd(1, sum[1], 64);
    if (count > 2) _tile_loadd(2, sum[2], 64);
  }
  for (int64_t u = 0; u < units; u++)
    for (int64_t s = 0; s < steps; s++, g += EA_TILE_BYTES) {
      int64_t at = u * unit_bytes + s * EA_TILE_BYTES;
      _tile_loadd(3, g, 64);
      _tile_loadd(4, x[0] + at, 64);
      _tile_dpbf16ps(0, 3, 4);
      if (count > 1) {
        _tile_loadd(5, x[1] + at, 64);
        _tile_dpbf16ps(1, 3, 5);
      }
      if (count > 2) {
        _tile_loadd(6, x[2] + at, 64);
        _tile_dpbf16ps(2, 3, 6);
      }
    }
  _tile_stored(0, sum[0], 64);
  if (count > 1) _tile_stored(1, sum[1], 64);
  if (count > 2) _tile_stored(2, sum[2], 64);
}

/* All products of a packed block of a plane. */
EA_AMX_CODE static void multiply_plane(const job *j, const plane *p, int64_t units, int64_t block,
                                       float *sum, int fresh, const char *g, const char *x) {
  int64_t unit_bytes = plane_pairs(j, p) * 64, g_bytes = units * j->steps * EA_TILE_BYTES;
  for (int64_t k = 0; k < j->o_blocks; k++, g += g_bytes)
    for (int tap = 0; tap < p->taps; tap += MOST_SUMS) {
      int count = EA_MIN(MOST_SUMS, p->taps - tap);
      const char *from[MOST_SUMS];
      float *to[MOST_SUMS];
      for (int i = 0; i < count; i++) {
        int64_t at = (k * j->c_blocks + block) * j->taps + p->a[tap + i] * j->v->kw + p->b;
        from[i] = x + (p->row[tap + i] - p->first) * j->width / 2 * 64;
        to[i] = sum + at * EA_TILE * EA_TILE;
      }
      if (count == 3) multiply(3, to, fresh, g, from, units, unit_bytes, j->steps);
      else if (count == 2) multiply(2, to, fresh, g, from, units, unit_bytes, j->steps);
      else multiply(1, to, fresh, g, from, units, unit_bytes, j->steps);
    }
}

EA_AMX_CODE static void run_shard(void *arg, int64_t shard) {
  const job *j = arg;
  const ea_conv *v = j->v;
  int64_t image = shard / j->c_shards, part = shard % j->c_shards;
  int64_t unit = v->n * image / j->image_shards * j->bands;
  int64_t end = v->n * (image + 1) / j->image_shards * j->bands;
  int64_t first = j->c_blocks * part / j->c_shards, last = j->c_blocks * (part + 1) / j->c_shards;
  float *sum = j->sum + image * j->o_blocks * j->c_blocks * j->taps * EA_TILE * EA_TILE;
  char *g = j->thread + (size_t)ea_thread_index() * j->thread_bytes, *x = g + j->g_bytes;
  uint16_t *zeros = (uint16_t *)(void *)(x + j->plane_bytes);
  uint16_t *read = (uint16_t *)(void *)(x + j->plane_bytes + j->zero_bytes);
  memset(zeros, 0, (size_t)v->o * 2);
  ea_amx_begin();
  for (int fresh = 1; unit < end; fresh = 0) {
    int64_t units = EA_MIN(j->units, end - unit);
    if (j->data)
      for (int64_t u = unit; u < unit + units; u++)
        if (u % j->bands == 0) ea_amx_run_image(j->data, u / j->bands);
    pack_g(j, unit, units, zeros, g);
    for (int64_t block = first; block < last; block++) {
      if (j->line) read_block(j, unit, units, block, read);
      for (int64_t b = 0; b < v->kw; b++)
        for (int64_t residue = 0; residue < v->stride; residue++) {
          plane p;
          find_plane(v, b, residue, &p);
          if (!p.taps) continue;
          pack_plane(j, &p, unit, units, block, read, x);
          multiply_plane(j, &p, units, block, sum, fresh, g, x);
        }
    }
    unit += units;
  }
  ea_amx_end();
}

/* Rows of o: the shards' sums in order, from tiles to {c, kh, kw}. */
static void give_rows(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  int64_t c = j->v->c, row = j->c_blocks * j->taps * EA_TILE * EA_TILE;
  for (int64_t o = begin; o < end; o++)
    for (int64_t k = 0; k < j->c_blocks; k++) {
      float line[MOST_TAPS][EA_TILE];
      const float *from =
          j->sum + o / EA_TILE * row + k * j->taps * EA_TILE * EA_TILE + o % EA_TILE * EA_TILE;
      for (int64_t t = 0; t < j->taps; t++)
        for (int i = 0; i < EA_TILE; i++) {
          float v = from[t * EA_TILE * EA_TILE + i];
          for (int64_t s = 1; s < j->image_shards; s++)
            v += from[s * j->o_blocks * row + t * EA_TILE * EA_TILE + i];
          line[t][i] = v;
        }
      float *to = j->to + (o * c + k * EA_TILE) * j->taps;
      for (int64_t i = 0; i < EA_MIN(EA_TILE, c - k * EA_TILE); i++)
        for (int64_t t = 0; t < j->taps; t++, to++) *to = line[t][i] + (j->add ? *to : 0);
    }
}

/* How the work is cut, all by shape. */
static void describe(job *j) {
  const ea_conv *v = j->v;
  j->width = (v->ow + 1) / 2 * 2;
  j->rows = EA_MAX(1, EA_MIN(v->oh, CHUNK / j->width));
  j->bands = (v->oh + j->rows - 1) / j->rows;
  j->steps = (j->rows * j->width + EA_TILE_DEPTH - 1) / EA_TILE_DEPTH;
  j->units = EA_MAX(1, CHUNK / EA_TILE_DEPTH / j->steps);
  j->o_blocks = (v->o + EA_TILE - 1) / EA_TILE;
  j->c_blocks = (v->c + EA_TILE - 1) / EA_TILE;
  j->taps = v->kh * v->kw;
  int64_t sum_bytes = j->o_blocks * j->c_blocks * j->taps * EA_TILE_BYTES;
  int64_t g_bytes = v->n * v->oh * v->ow * v->o * 2;
  int split = j->c_blocks >= EA_CONV_WEIGHT_SHARDS && sum_bytes > EA_MIN(MOST_SUM_BYTES, g_bytes);
  j->c_shards = split ? EA_CONV_WEIGHT_SHARDS : 1;
  j->image_shards = split ? 1 : EA_MIN(EA_CONV_WEIGHT_SHARDS, v->n);
  int64_t pairs = 0;
  for (int64_t residue = 0; residue < v->stride; residue++) {
    plane p;
    find_plane(v, 0, residue, &p);
    if (p.taps) pairs = EA_MAX(pairs, plane_pairs(j, &p));
  }
  j->g_bytes = (size_t)(j->o_blocks * j->units * j->steps * EA_TILE_BYTES);
  j->plane_bytes = (size_t)(j->units * pairs * 64);
  j->zero_bytes = ea_round64(v->o * 2);
  j->thread_bytes = j->g_bytes + j->plane_bytes + j->zero_bytes;
  j->view = (j->rows - 1) * v->stride + (v->kh - 1) * v->dilation + 1;
  if (j->line) j->thread_bytes += ea_round64(j->units * j->view * v->w * EA_TILE * 2);
}

int ea_amx_weights(ea_call *c, const ea_conv *v, ea_amx_job *data, int dry) {
  if (v->oh * v->ow < LEAST_PIXELS) return 1;
  job j = {.v = v,
           .x = ea_ptr(c->in[0]),
           .g = ea_ptr(c->gout[0]),
           .to = ea_f32(c->gin[1]),
           .line = ea_conv_line(c),
           .data = data,
           .add = c->accumulate >> 1 & 1};
  describe(&j);
  if (data && j.c_shards > 1) return 1;
  size_t sums = (size_t)(j.image_shards * j.o_blocks * j.c_blocks * j.taps * EA_TILE_BYTES);
  size_t own = sums + j.thread_bytes * (size_t)ea_threads();
  char *memory = ea_call_scratch(c, own + (data ? ea_amx_bytes(data) : 0));
  if (!memory) return EA_ERR_MEMORY;
  if (dry) return EA_OK;
  j.sum = (float *)(void *)memory;
  j.thread = memory + sums;
  if (data) ea_amx_start(data, memory + own);
  ea_parallel(j.image_shards * j.c_shards, run_shard, &j);
  if (data) ea_conv_along_end(&data->along, data->shards);
  ea_parallel_range(v->o, EA_MAX(1, EA_CHUNK / (v->c * j.taps)), give_rows, &j);
  return EA_OK;
}

#endif
