/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_amx.c - gradient of the images of a bf16 convolution by tiles (amx.h).
 *
 * A pixel of gx is, over the taps that reach it, a pixel of g times a matrix {o, c}: a convolution
 * of g with the kernel turned round. With stride 2 its pixels fall into four classes (even and odd
 * rows and columns), each with taps of its own; a class without taps is zeros.
 *
 * An image of g at a time is copied into a buffer with zeros around, in the second cache. 16
 * pixels by 32 channels of it are the first factor as they lie; 2x2 tiles of sums (4x1 where there
 * are only 16 channels) stay in registers over all taps. Rows whose length is no multiple of 16 are
 * copied once for each column of taps, without gaps, so that 16 pixels may go over a row's end. 16
 * channels of g are half a tile: two neighbours of a row share one, where both are taps.
 *
 * Against oneDNN 2.6.3 (least CPU time, on a busy machine): 64 channels of 32x32 about as fast, 128
 * of 16x16 1.3 times, 256 of 8x8 1.5, stride 2 from 1 (1x1, 16 channels) to 4.5. The same code run
 * forward is slower than oneDNN's up to 64 channels, so that is left to it.
 */
#include "amx.h"
#include "batch_norm.h"
#include "conv2d.h"

#ifdef __x86_64__

enum {
  MOST_TAPS = EA_CONV_MOST_TAPS,
  MOST_STRIDE = 2,
  MOST_CLASSES = MOST_STRIDE * MOST_STRIDE,
  MOST_SHARDS = 16,
  LEAST_PIXELS = 16,
  BUFFER_BYTES = 1 << 20 /* an image that takes more is oneDNN's */
};

/* One step of the kernel: pixel (dy, dx) of g, relative to that of the class. column: the kernel's;
 * where a tile's depth is of two pixels, one for each half, -1: none, weights of 0. */
typedef struct tap {
  int64_t row, column[2];
  int64_t dy, dx;
} tap;

/* Pixels of gx that share their taps: every stride-th from (row, column) on. */
typedef struct pixel_class {
  int64_t row, column, height;
  int64_t tiles; /* of 16 pixels */
  int taps;
  int64_t first_step, first_tile; /* among those of all classes */
  tap tap[MOST_TAPS];
} pixel_class;

typedef struct place {
  int64_t from;        /* bytes into the buffer */
  int64_t row, column; /* of the class */
} place;

typedef struct job {
  const ea_conv *v;
  char *g;
  const char *cut; /* NULL, or y: its zeros cut g */
  char *x;
  const float *w;
  int add;
  int64_t width;         /* of a class's rows */
  int gapless, pairs;    /* the two special ways to copy, above */
  int64_t pixel_bytes;   /* in the buffer */
  int64_t depth;         /* tiles of depth in a tap */
  int64_t top, left;     /* the buffer's first row and column, in g */
  int64_t rows, columns; /* of the buffer; gapless: the rows of a plane, and how many planes */
  int64_t plane_bytes, buffer_bytes;
  int classes;
  pixel_class class[MOST_CLASSES];
  int64_t steps, tiles; /* of depth, of pixels; all classes */
  place *place;         /* of the tiles */
  int64_t *offset;      /* where a step's pixels are, from a tile's first */
  char *weights;        /* {c / 16, steps, 16, 16, 2} */
  int64_t shards;
  char *thread;
} job;

/* ---- geometry ---- */

static size_t round64(int64_t n) { return (size_t)(n + 63) / 64 * 64; }

static int64_t steps_of(const job *j, const pixel_class *k) { return k->taps * j->depth; }

/* Adds the taps of one row of the kernel, as they lie from left to right in g. Where two share a
 * tile, an odd one out takes the one before along, with weights of 0: that pixel is a tap already,
 * so that a NaN goes nowhere it would not. */
static void add_row(const job *j, pixel_class *k, int64_t row, int64_t dy, const int64_t *column,
                    const int64_t *dx, int count) {
  for (int i = 0; i < count; i += j->pairs ? 2 : 1) {
    tap *t = &k->tap[k->taps++];
    *t = (tap){.row = row, .column = {column[i], -1}, .dy = dy, .dx = dx[i]};
    if (!j->pairs) continue;
    t->column[1] = i + 1 < count ? column[i + 1] : column[i];
    if (i + 1 < count) continue;
    t->column[0] = -1;
    t->dx = dx[i - 1];
  }
}

static void add_class(job *j, int64_t row, int64_t column) {
  const ea_conv *v = j->v;
  pixel_class *k = &j->class[j->classes++];
  *k = (pixel_class){.row = row, .column = column};
  k->height = (v->h - row + v->stride - 1) / v->stride;
  k->tiles = (k->height * j->width + EA_TILE - 1) / EA_TILE;
  for (int64_t a = v->kh - 1; a >= 0; a--) {
    if ((row + v->pad - a) % v->stride) continue;
    int64_t at[MOST_TAPS], dx[MOST_TAPS];
    int count = 0;
    for (int64_t b = v->kw - 1; b >= 0; b--) {
      if ((column + v->pad - b) % v->stride) continue;
      at[count] = b;
      dx[count++] = (column + v->pad - b) / v->stride;
    }
    add_row(j, k, a, (row + v->pad - a) / v->stride, at, dx, count);
  }
  k->first_step = j->steps;
  k->first_tile = j->tiles;
  j->steps += steps_of(j, k);
  j->tiles += k->tiles;
}

/* The buffer: what the taps of all classes reach. */
static void find_buffer(job *j) {
  int64_t bottom = INT64_MIN, right = INT64_MIN, height = 0;
  j->top = j->left = INT64_MAX;
  for (int i = 0; i < j->classes; i++) {
    const pixel_class *k = &j->class[i];
    height = EA_MAX(height, k->height);
    for (int t = 0; t < k->taps; t++) {
      j->top = EA_MIN(j->top, k->tap[t].dy);
      j->left = EA_MIN(j->left, k->tap[t].dx);
      bottom = EA_MAX(bottom, k->tap[t].dy);
      right = EA_MAX(right, k->tap[t].dx + j->pairs);
    }
  }
  j->rows = height + bottom - j->top;
  j->columns = right - j->left + (j->gapless ? 1 : j->width);
  int64_t pixels = j->rows * (j->gapless ? j->width : j->columns);
  j->plane_bytes = (pixels + EA_TILE) * j->pixel_bytes; /* the last tile may go beyond */
  j->buffer_bytes = (int64_t)round64(j->plane_bytes * (j->gapless ? j->columns : 1));
}

/* Bytes from a tile's first pixel, as the tap (0, 0) of the buffer has it. */
static int64_t tap_offset(const job *j, const tap *t) {
  int64_t y = t->dy - j->top, x = t->dx - j->left;
  if (j->gapless) return x * j->plane_bytes + y * j->width * j->pixel_bytes;
  return (y * j->columns + x) * j->pixel_bytes;
}

/* Where the tiles of a class start. */
static void find_places(const job *j, const pixel_class *k, place *to) {
  int64_t row = 0, column = 0;
  for (int64_t i = 0; i < k->tiles; i++) {
    int64_t from = j->gapless ? i * EA_TILE : row * j->columns + column;
    to[i] = (place){from * j->pixel_bytes, row, column};
    for (column += EA_TILE; column >= j->width; column -= j->width) row++;
  }
}

static void describe(job *j, const ea_conv *v) {
  *j = (job){.v = v};
  j->width = (v->w + v->stride - 1) / v->stride;
  j->gapless = j->width % EA_TILE != 0;
  j->pairs = v->o == 16 && !j->gapless && v->stride == 1 && v->kw > 1;
  j->depth = (v->o + EA_TILE_DEPTH - 1) / EA_TILE_DEPTH;
  j->pixel_bytes = j->pairs ? 32 : j->depth * 64;
  for (int64_t row = 0; row < v->stride; row++)
    for (int64_t column = 0; column < v->stride; column++) add_class(j, row, column);
  find_buffer(j);
  j->shards = EA_MIN(v->n, MOST_SHARDS);
}

/* ---- packing ---- */

/* `count` pixels of a row of g (NULL: outside), from column x on. */
static void copy_pixels(const job *j, char *to, const char *row, int64_t x, int64_t count) {
  int64_t bytes = j->v->o * 2, each = j->pixel_bytes;
  int64_t begin = row ? EA_MIN(count, EA_MAX(0, -x)) : count;
  int64_t end = row ? EA_MAX(begin, EA_MIN(count, j->v->ow - x)) : count;
  memset(to, 0, (size_t)(begin * each));
  memset(to + end * each, 0, (size_t)((count - end) * each));
  if (begin == end) return;
  row += x * bytes;
  if (bytes == each) {
    memcpy(to + begin * each, row + begin * bytes, (size_t)((end - begin) * bytes));
    return;
  }
  for (int64_t i = begin; i < end; i++) {
    memcpy(to + i * each, row + i * bytes, (size_t)bytes);
    memset(to + i * each + bytes, 0, (size_t)(each - bytes));
  }
}

static void copy_image(const job *j, const char *g, char *to) {
  int64_t line = j->v->ow * j->v->o * 2, count = j->gapless ? j->width : j->columns;
  int64_t planes = j->gapless ? j->columns : 1;
  for (int64_t p = 0; p < planes; p++, to += j->plane_bytes)
    for (int64_t i = 0; i < j->rows; i++) {
      int64_t y = j->top + i;
      copy_pixels(j, to + i * count * j->pixel_bytes, y >= 0 && y < j->v->oh ? g + y * line : NULL,
                  j->left + p, count);
    }
}

/* The weights of 16 channels of x for one tile of depth of a tap. */
EA_AMX_CODE static void pack_tile(const job *j, const tap *t, int64_t block, int64_t first,
                                  char *to) {
  const ea_conv *v = j->v;
  int64_t area = v->kh * v->kw;
  __mmask16 there = (__mmask16)(0xffff >> EA_MAX(0, first + EA_TILE - v->c));
  __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  __m512i at = _mm512_mullo_epi32(lanes, _mm512_set1_epi32((int)area));
  const float *w = j->w + first * area + t->row * v->kw;
  for (int k = 0; k < EA_TILE; k++, to += 64) {
    __m512i pair = _mm512_setzero_si512();
    for (int half = 0; half < 2; half++) {
      int64_t channel = 2 * k + half, column = t->column[0];
      if (j->pairs) column = t->column[channel / EA_TILE], channel %= EA_TILE;
      else channel += block * EA_TILE_DEPTH;
      if (column < 0 || channel >= v->o) continue;
      __m512 f = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), there, at,
                                          w + channel * v->c * area + column, 4);
      __m512i wide = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(f));
      pair = _mm512_or_si512(pair, half ? _mm512_slli_epi32(wide, 16) : wide);
    }
    _mm512_store_si512(to, pair);
  }
}

static void pack_weights(void *arg, int64_t shard) {
  const job *j = arg;
  char *to = j->weights + shard * j->steps * EA_TILE_BYTES;
  for (int i = 0; i < j->classes; i++)
    for (int t = 0; t < j->class[i].taps; t++)
      for (int64_t b = 0; b < j->depth; b++, to += EA_TILE_BYTES)
        pack_tile(j, &j->class[i].tap[t], b, shard * EA_TILE, to);
}

/* ---- products ---- */

/* 2x2 or 4x1 tiles of sums: into sum[tile of pixels][tile of channels]. */
EA_AMX_INLINE void multiply(int wide, const char *const *from, int64_t row_bytes,
                            const int64_t *offset, int64_t steps, const char *w, const char *w2,
                            char *sum) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t s = 0; s < steps; s++) {
    int64_t at = offset[s];
    _tile_loadd(4, w + s * EA_TILE_BYTES, 64);
    _tile_loadd(6, from[0] + at, row_bytes);
    _tile_dpbf16ps(0, 6, 4);
    if (wide) {
      _tile_loadd(5, w2 + s * EA_TILE_BYTES, 64);
      _tile_dpbf16ps(1, 6, 5);
      _tile_loadd(7, from[1] + at, row_bytes);
      _tile_dpbf16ps(2, 7, 4);
      _tile_dpbf16ps(3, 7, 5);
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

/* `count` pixels of sums, 16 or 32 channels each, into the image, `apart` bytes from each other.
 * add: what is there is added, both rounded first, as an add of its own would. */
EA_AMX_INLINE void give_pixels(int wide, int add, const char *sum, int64_t count, __mmask32 there,
                               char *to, int64_t apart) {
  for (int64_t r = 0; r < count; r++, sum += 64, to += apart) {
    __m512 one = _mm512_load_ps(sum), two = _mm512_setzero_ps();
    if (wide) two = _mm512_load_ps(sum + EA_TILE_BYTES);
    __m512i h = (__m512i)_mm512_cvtne2ps_pbh(two, one);
    if (add) {
      __m512i more = _mm512_maskz_loadu_epi16(there, to);
      one = widen(_mm512_castsi512_si256(h)) + widen(_mm512_castsi512_si256(more));
      if (wide)
        two = widen(_mm512_extracti64x4_epi64(h, 1)) + widen(_mm512_extracti64x4_epi64(more, 1));
      h = (__m512i)_mm512_cvtne2ps_pbh(two, one);
    }
    _mm512_mask_storeu_epi16(to, there, h);
  }
}

/* A tile of sums, or two side by side, into the image, a run of evenly lying pixels at a time. */
EA_AMX_CODE static void give_tile(const job *j, const pixel_class *k, int64_t tile, int64_t first,
                                  int wide, const char *sum, char *image) {
  const ea_conv *v = j->v;
  int64_t channels = EA_MIN(v->c - first, wide ? 2 * EA_TILE : EA_TILE);
  __mmask32 there = (__mmask32)(0xffffffffu >> (32 - channels));
  const place *p = &j->place[k->first_tile + tile];
  int64_t inside = (v->w - k->column + v->stride - 1) / v->stride;
  int64_t row = p->row, column = p->column, apart = v->stride * v->c * 2;
  for (int64_t r = 0; r < EA_TILE && row < k->height; row++, column = 0) {
    int64_t count = EA_MIN(EA_TILE - r, j->width - column), give = EA_MIN(count, inside - column);
    if (j->gapless && v->stride == 1) /* rows lie without a gap in the image, too */
      count = give = EA_MIN(EA_TILE, (k->height - row) * j->width - column);
    int64_t y = row * v->stride + k->row, x = column * v->stride + k->column;
    char *to = image + ((y * v->w + x) * v->c + first) * 2;
    if (wide) give_pixels(1, j->add, sum + r * 64, give, there, to, apart);
    else give_pixels(0, j->add, sum + r * 64, give, there, to, apart);
    r += count;
    if (j->gapless && v->stride == 1) break;
  }
}

EA_AMX_CODE static void run_class(const job *j, const pixel_class *k, const char *buffer,
                                  char *image) {
  char sum[4 * EA_TILE_BYTES] __attribute__((aligned(64)));
  int64_t steps = steps_of(j, k), blocks = (j->v->c + EA_TILE - 1) / EA_TILE;
  const int64_t *offset = j->offset + k->first_step;
  for (int64_t c = 0; c < blocks; c += 2) {
    int wide = c + 1 < blocks;
    const char *w = j->weights + (c * j->steps + k->first_step) * EA_TILE_BYTES;
    int count = wide ? 2 : 4;
    for (int64_t tile = 0; tile < k->tiles; tile += count) {
      const char *from[4];
      for (int i = 0; i < count; i++) /* beyond the last: once more, for nobody */
        from[i] = buffer + j->place[k->first_tile + EA_MIN(tile + i, k->tiles - 1)].from;
      if (wide)
        multiply(1, from, j->pixel_bytes, offset, steps, w, w + j->steps * EA_TILE_BYTES, sum);
      else multiply(0, from, j->pixel_bytes, offset, steps, w, NULL, sum);
      for (int i = 0; i < count && tile + i < k->tiles; i++)
        give_tile(j, k, tile + i, c * EA_TILE, wide, sum + i * (4 / count) * EA_TILE_BYTES, image);
    }
  }
}

EA_AMX_CODE static void run_shard(void *arg, int64_t shard) {
  const job *j = arg;
  const ea_conv *v = j->v;
  char *buffer = j->thread + ea_thread_index() * j->buffer_bytes;
  int64_t g_count = v->oh * v->ow * v->o, x_bytes = v->h * v->w * v->c * 2;
  ea_amx_begin();
  for (int64_t n = v->n * shard / j->shards; n < v->n * (shard + 1) / j->shards; n++) {
    char *g = j->g + n * g_count * 2;
    if (j->cut) ea_conv_cut(g, j->cut + n * g_count * 2, EA_BF16, g_count);
    copy_image(j, g, buffer);
    for (int i = 0; i < j->classes; i++)
      if (j->class[i].taps || !j->add) run_class(j, &j->class[i], buffer, j -> x + n * x_bytes);
  }
  ea_amx_end();
}

static int run_data(ea_call *c, const ea_conv *v, int dry) {
  if (v->stride > MOST_STRIDE || v->dilation != 1 || v->o < EA_TILE || v->h * v->w < LEAST_PIXELS)
    return 1;
  job j;
  describe(&j, v);
  if (j.buffer_bytes > BUFFER_BYTES) return 1;
  int64_t blocks = (v->c + EA_TILE - 1) / EA_TILE;
  size_t weights = (size_t)(blocks * j.steps * EA_TILE_BYTES), offsets = round64(j.steps * 8);
  size_t places = round64(j.tiles * (int64_t)sizeof(place));
  char *memory = ea_call_scratch(c, weights + offsets + places +
                                        (size_t)j.buffer_bytes * (size_t)ea_threads());
  if (!memory) return EA_ERR_MEMORY;
  if (dry) return EA_OK;
  j.weights = memory;
  j.offset = (int64_t *)(void *)(memory + weights);
  j.place = (place *)(void *)(memory + weights + offsets);
  j.thread = memory + weights + offsets + places;
  int64_t at = 0;
  for (int i = 0; i < j.classes; i++) {
    const pixel_class *k = &j.class[i];
    find_places(&j, k, j.place + k->first_tile);
    for (int t = 0; t < k->taps; t++)
      for (int64_t b = 0; b < j.depth; b++) j.offset[at++] = tap_offset(&j, &k->tap[t]) + b * 64;
  }
  j.g = ea_ptr(c->gout[0]);
  j.x = ea_ptr(c->gin[0]);
  j.w = ea_f32(c->in[1]);
  j.add = c->accumulate & 1;
  if (c->norm && ea_bn_relu(c->norm)) j.cut = ea_ptr(c->out[0]);
  ea_parallel(blocks, pack_weights, &j);
  ea_parallel(j.shards, run_shard, &j);
  return EA_OK;
}

int ea_conv_amx(ea_call *c, const ea_conv *v, int pass, int dry) {
  if (v->dtype != EA_BF16 || v->groups != 1 || v->kh * v->kw > MOST_TAPS || !ea_amx()) return 1;
  if (pass == EA_CONV_WEIGHTS) return ea_conv_amx_weights(c, v, dry);
  return pass == EA_CONV_DATA ? run_data(c, v, dry) : 1;
}

#else

int ea_conv_amx(ea_call *c, const ea_conv *v, int pass, int dry) {
  (void)c, (void)v, (void)pass, (void)dry;
  return 1;
}

#endif
