/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_amx.c - a bf16 convolution by tiles: how it is laid out; see conv2d_amx.h.
 *
 * An image at a time is copied into a buffer with zeros around, in the second cache. 16 pixels by
 * 32 channels of it are the first factor as they lie; 2x2 tiles of sums (4x1 where there are only
 * 16 channels of results) stay in registers over all taps. Two pixels of 16 channels side by side
 * are taken for one of 32 (with step 1, of the results, too): where one of the two is no tap its
 * weights are 0, so that a NaN or an infinity may spoil a result a pixel further than it should.
 *
 * Against oneDNN 2.6.3 (least CPU time of a call, on a busy machine): forward 64 channels of 32x32
 * 1.2 times as fast, 128 of 16x16 as fast, 256 of 8x8 1.2; backward about as fast, 1.3, 1.5, and
 * with stride 2 up to 3. oneDNN cannot read through a batch norm, which costs it a pass more.
 */
#include "conv2d_amx.h"

#ifdef __x86_64__

enum {
  MOST_SHARDS = 16,
  LEAST_PIXELS = 16,
  BUFFER_BYTES = 1 << 20 /* an image that takes more is oneDNN's */
};

static int64_t divide_down(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

/* ---- taps ---- */

/* The plane that a tap at (y, x) of the image reads. */
static int find_plane(ea_amx_job *j, int64_t y, int64_t x) {
  int64_t row = y - divide_down(y, j->row_stride) * j->row_stride, column = j->gapless ? x : 0;
  for (int p = 0; p < j->planes; p++)
    if (j->plane[p].row == row && j->plane[p].column == column) return p;
  j->plane[j->planes] = (ea_amx_plane){row, column};
  return j->planes++;
}

/* The tap of row `row` of the kernel, that lies at (y, x) of the image. */
static ea_amx_tap *add_tap(ea_amx_job *j, ea_amx_class *k, int64_t row, int64_t y, int64_t x) {
  ea_amx_tap *t = &k->tap[k->taps++];
  *t = (ea_amx_tap){.row = row, .dx = x, .dy = divide_down(y, j->row_stride)};
  t->plane = find_plane(j, y, x);
  memset(t->column, -1, sizeof t->column);
  return t;
}

static ea_amx_class *open_class(ea_amx_job *j, int64_t row, int64_t column) {
  ea_amx_class *k = &j->class[j->classes++];
  *k = (ea_amx_class){.row = row, .column = column, .first_step = j->steps, .first_tile = j->tiles};
  k->height = (j->to.height - row + j->to_stride - 1) / j->to_stride;
  k->tiles = (k->height * j->width + EA_TILE - 1) / EA_TILE;
  return k;
}

static void close_class(ea_amx_job *j, const ea_amx_class *k) {
  j->steps += ea_amx_steps(j, k);
  j->tiles += k->tiles;
}

/* Row `row` of the kernel where pixels are pairs: column b lies at x = sign * (b - pad), pixel
 * 2 d + i of the image at half i of the pair that is d further. */
static void add_pairs(ea_amx_job *j, ea_amx_class *k, int64_t row, int64_t y, int64_t pad,
                      int64_t sign) {
  int64_t least = sign > 0 ? -pad : pad - j->kw + 1;
  int64_t last = least + j->kw - 1 + j->to_pixels - 1;
  for (int64_t d = divide_down(least, 2); d <= divide_down(last, 2); d++) {
    ea_amx_tap *t = add_tap(j, k, row, y, d);
    for (int to = 0; to < j->to_pixels; to++)
      for (int half = 0; half < 2; half++) {
        int64_t b = sign * (2 * d + half - to) + pad;
        if (b >= 0 && b < j->kw) t->column[to][half] = b;
      }
  }
}

static void add_forward(ea_amx_job *j, int64_t pad) {
  ea_amx_class *k = open_class(j, 0, 0);
  for (int64_t a = 0; a < j->kh; a++)
    if (j->from_pixels == 2) add_pairs(j, k, a, a - pad, pad, 1);
    else
      for (int64_t b = 0; b < j->kw; b++) add_tap(j, k, a, a - pad, b - pad)->column[0][0] = b;
  close_class(j, k);
}

static void add_backward(ea_amx_job *j, int64_t pad, int64_t row, int64_t column) {
  ea_amx_class *k = open_class(j, row, column);
  for (int64_t a = j->kh - 1; a >= 0; a--) {
    if ((row + pad - a) % j->to_stride) continue;
    int64_t y = (row + pad - a) / j->to_stride;
    if (j->from_pixels == 2) add_pairs(j, k, a, y, pad, -1);
    else
      for (int64_t b = j->kw - 1; b >= 0; b--)
        if ((column + pad - b) % j->to_stride == 0)
          add_tap(j, k, a, y, (column + pad - b) / j->to_stride)->column[0][0] = b;
  }
  close_class(j, k);
}

/* ---- the buffer ---- */

/* What the taps of all classes reach. */
static void find_buffer(ea_amx_job *j) {
  int64_t bottom = INT64_MIN, left = INT64_MAX, right = INT64_MIN, height = 0;
  j->top = INT64_MAX;
  for (int i = 0; i < j->classes; i++) {
    const ea_amx_class *k = &j->class[i];
    height = EA_MAX(height, k->height);
    for (int t = 0; t < k->taps; t++) {
      j->top = EA_MIN(j->top, k->tap[t].dy);
      bottom = EA_MAX(bottom, k->tap[t].dy);
      left = EA_MIN(left, k->tap[t].dx);
      right = EA_MAX(right, k->tap[t].dx);
    }
  }
  j->rows = height + bottom - j->top;
  j->columns = j->width + (j->gapless ? 0 : right - left);
  for (int p = 0; p < j->planes && !j->gapless; p++) j->plane[p].column = left;
  j->plane_bytes = (j->rows * j->columns + EA_TILE) * j->pixel_bytes; /* a last tile goes beyond */
  j->buffer_bytes = (int64_t)ea_round64(j->plane_bytes * j->planes);
  if (j->maps.line && j->gapless && j->planes > 1)
    j->read_bytes = (int64_t)ea_round64(j->from.image_bytes);
}

/* Bytes from a tile's first pixel. */
static int64_t tap_offset(const ea_amx_job *j, const ea_amx_tap *t) {
  int64_t x = t->dx - j->plane[t->plane].column, y = t->dy - j->top;
  return t->plane * j->plane_bytes + (y * j->columns + x) * j->pixel_bytes;
}

/* Where the tiles of a class start. */
static void find_places(const ea_amx_job *j, const ea_amx_class *k, ea_amx_place *to) {
  int64_t row = 0, column = 0;
  for (int64_t i = 0; i < k->tiles; i++) {
    to[i] = (ea_amx_place){(row * j->columns + column) * j->pixel_bytes, row, column};
    for (column += EA_TILE; column >= j->width; column -= j->width) row++;
  }
}

/* 16 channels are half of a tile's depth: where rows and the step allow it, two pixels side by side
 * are taken for one of 32, and so are, with step 1, two of the result. */
static void pair_pixels(ea_amx_job *j) {
  int64_t width = j->from.width;
  if (j->from.channels != EA_TILE || width % 2 || j->to_stride > 1) return;
  if (j->from_stride == 1 && j->to.width % 2) return;
  if (j->kw == 1 && j->from_stride == 1) return;
  j->from_pixels = 2;
  j->from.channels *= 2;
  j->from.width /= 2;
  if (j->from_stride > 1) {
    j->from_stride = 1;
    return;
  }
  j->to_pixels = 2;
  j->to.channels *= 2;
  j->to.width /= 2;
}

static void describe(ea_amx_job *j, const ea_call *c, const ea_conv *v, int pass) {
  ea_amx_side x = {v->h, v->w, v->c, v->h * v->w * v->c * 2};
  ea_amx_side y = {v->oh, v->ow, v->o, v->oh * v->ow * v->o * 2};
  int64_t area = v->kh * v->kw;
  int forward = pass == EA_CONV_FORWARD;
  *j = (ea_amx_job){.maps = ea_conv_find_maps(c, pass),
                    .from = forward ? x : y,
                    .to = forward ? y : x,
                    .from_pixels = 1,
                    .to_pixels = 1,
                    .images = v->n,
                    .from_stride = forward ? v->stride : 1,
                    .row_stride = forward ? v->stride : 1,
                    .to_stride = forward ? 1 : v->stride,
                    .kh = v->kh,
                    .kw = v->kw,
                    .w = ea_f32(c->in[1]),
                    .w_from = forward ? area : v->c * area,
                    .w_to = forward ? v->c * area : area};
  pair_pixels(j);
  j->width = (j->to.width + j->to_stride - 1) / j->to_stride;
  j->gapless = j->width % EA_TILE != 0 || j->from_stride > 1;
  j->depth = (j->from.channels + EA_TILE_DEPTH - 1) / EA_TILE_DEPTH;
  j->pixel_bytes = j->depth * 64;
  j->blocks = (j->to.channels + EA_TILE - 1) / EA_TILE;
  if (forward) add_forward(j, v->pad);
  else
    for (int64_t row = 0; row < v->stride; row++)
      for (int64_t column = 0; column < v->stride; column++) add_backward(j, v->pad, row, column);
  find_buffer(j);
  j->shards = EA_MIN(v->n, MOST_SHARDS);
  j->along = ea_conv_find_along(c, v, pass);
}

/* ---- running ---- */

static void pack_shard(void *arg, int64_t shard) { ea_amx_pack_weights(arg, shard); }

static int64_t first_image(const ea_amx_job *j, int64_t shard) {
  return ea_conv_first_image(j->images, j->shards, shard);
}

/* What image n will need. */
static ea_ahead find_ahead(const ea_amx_job *j, int64_t n) {
  if (n == j->images) return (ea_ahead){.run = 0};
  return ea_conv_along_ahead(&j->along, &j->maps, n, 1, j->from.image_bytes, j->to.image_bytes);
}

enum { MARK_BYTES = 64 };

static int64_t thread_bytes(const ea_amx_job *j) {
  return MARK_BYTES + j->buffer_bytes + j->read_bytes;
}

/* This thread's buffer. Zeros around an image stay from one to the next: a thread's first clears
 * it, and marks it so. */
static char *find_thread_buffer(const ea_amx_job *j) {
  char *mark = j->thread + ea_thread_index() * thread_bytes(j), *buffer = mark + MARK_BYTES;
  if (!*mark) memset(buffer, 0, (size_t)j->buffer_bytes);
  *mark = 1;
  return buffer;
}

static void unmark_buffers(const ea_amx_job *j) {
  for (int i = 0; i < ea_threads(); i++) j->thread[i * thread_bytes(j)] = 0;
}

void ea_amx_run_image(const ea_amx_job *j, int64_t n) {
  char *buffer = find_thread_buffer(j);
  char *from = j->maps.from + n * j->from.image_bytes, *to = j->maps.to + n * j->to.image_bytes;
  ea_conv_along_before(&j->along, n, 1);
  if (j->maps.cut && !ea_amx_cuts(j))
    ea_conv_cut(from, from, j->maps.cut + n * j->from.image_bytes, EA_BF16,
                j->from.image_bytes / 2);
  ea_amx_copy_image(j, from, buffer, buffer + j->buffer_bytes);
  ea_ahead ahead = find_ahead(j, n + 1);
  for (int i = 0; i < j->classes; i++)
    if (j->class[i].taps || j->maps.add != j->maps.to)
      ea_amx_run_class(j, &j->class[i], buffer, to, &ahead);
  ea_conv_along_image(&j->along, j->images, j->shards, n);
}

EA_AMX_CODE static void run_shard(void *arg, int64_t shard) {
  const ea_amx_job *j = arg;
  ea_amx_begin();
  for (int64_t n = first_image(j, shard); n < first_image(j, shard + 1); n++)
    ea_amx_run_image(j, n);
  ea_amx_end();
}

/* Parts of the memory: the weights, the steps' offsets and what uses them, the tiles' places,
 * partial sums, and for each thread a mark and its buffer. */
static size_t weight_bytes(const ea_amx_job *j) {
  return (size_t)(j->blocks * j->steps * EA_TILE_BYTES);
}
static size_t offset_bytes(const ea_amx_job *j) { return ea_round64(j->steps * 8); }
static size_t use_bytes(const ea_amx_job *j) { return ea_round64(j->blocks * j->steps); }
static size_t place_bytes(const ea_amx_job *j) {
  return ea_round64(j->tiles * (int64_t)sizeof(ea_amx_place));
}
static size_t bias_bytes(const ea_amx_job *j) { return ea_round64(j->to.channels * 4); }
static size_t along_bytes(const ea_amx_job *j) { return j->along.shard_bytes * (size_t)j->shards; }

size_t ea_amx_bytes(const ea_amx_job *j) {
  return weight_bytes(j) + offset_bytes(j) + use_bytes(j) + place_bytes(j) + bias_bytes(j) +
         along_bytes(j) + (size_t)(thread_bytes(j) * ea_threads());
}

/* Does a block of 16 channels of the result have weights at this tap? */
static int uses_tap(const ea_amx_job *j, const ea_amx_tap *t, int64_t block) {
  int64_t channels = j->to.channels / j->to_pixels, last = block * EA_TILE + EA_TILE - 1;
  int use = 0;
  for (int64_t to = block * EA_TILE / channels; to <= last / channels && to < j->to_pixels; to++)
    use |= t->column[to][0] >= 0 || t->column[to][1] >= 0;
  return use;
}

/* What is in the memory for all images. */
static void fill(ea_amx_job *j, char *memory) {
  j->weights = memory;
  j->offset = (int64_t *)(void *)(memory += weight_bytes(j));
  j->uses = (uint8_t *)(memory += offset_bytes(j));
  j->place = (ea_amx_place *)(void *)(memory += use_bytes(j));
  j->bias = (float *)(void *)(memory += place_bytes(j));
  j->along.partial = memory += bias_bytes(j);
  j->thread = memory + along_bytes(j);
  int64_t at = 0;
  for (int i = 0; i < j->classes; i++) {
    const ea_amx_class *k = &j->class[i];
    find_places(j, k, j->place + k->first_tile);
    for (int t = 0; t < k->taps; t++)
      for (int64_t b = 0; b < j->depth; b++, at++) {
        j->offset[at] = tap_offset(j, &k->tap[t]) + b * 64;
        for (int64_t o = 0; o < j->blocks && j->to_pixels == 2; o++)
          j->uses[o * j->steps + at] = (uint8_t)uses_tap(j, &k->tap[t], o);
      }
  }
}

static void repeat_bias(ea_amx_job *j) {
  int64_t channels = j->to.channels / j->to_pixels;
  for (int pixel = 0; pixel < j->to_pixels; pixel++)
    for (int64_t o = 0; o < channels; o++)
      j->bias[pixel * channels + o] = j->maps.bias ? j->maps.bias[o] : 0;
}

void ea_amx_start(ea_amx_job *j, char *memory) {
  fill(j, memory);
  repeat_bias(j);
  ea_parallel(j->blocks, pack_shard, j);
  unmark_buffers(j);
}

/* Lays out forward or the gradient of the images; 1: the tiles do not do it. */
static int plan(ea_amx_job *j, const ea_call *c, const ea_conv *v, int pass) {
  int64_t from = pass == EA_CONV_FORWARD ? v->c : v->o;
  int64_t pixels = pass == EA_CONV_FORWARD ? v->oh * v->ow : v->h * v->w;
  if (v->stride > EA_AMX_STRIDE || v->dilation != 1 || from < EA_TILE || pixels < LEAST_PIXELS)
    return 1;
  describe(j, c, v, pass);
  return j->buffer_bytes > BUFFER_BYTES;
}

static int run(ea_call *c, const ea_conv *v, int pass, int dry) {
  ea_amx_job j;
  if (plan(&j, c, v, pass)) return 1;
  char *memory = ea_call_scratch(c, ea_amx_bytes(&j));
  if (!memory) return EA_ERR_MEMORY;
  if (dry) return EA_OK;
  ea_amx_start(&j, memory);
  ea_parallel(j.shards, run_shard, &j);
  ea_conv_along_end(&j.along, j.shards);
  return EA_OK;
}

/* More threads than shards of weights would have nothing to do. */
static int run_both(ea_call *c, const ea_conv *v, int dry) {
  ea_amx_job data;
  if (ea_threads() > EA_CONV_WEIGHT_SHARDS || plan(&data, c, v, EA_CONV_DATA)) return 1;
  return ea_amx_weights(c, v, &data, dry);
}

int ea_conv_amx(ea_call *c, const ea_conv *v, int pass, int dry) {
  if (v->dtype != EA_BF16 || v->groups != 1 || v->kh * v->kw > EA_AMX_TAPS || !ea_amx()) return 1;
  if (pass == EA_CONV_BOTH) return run_both(c, v, dry);
  return pass == EA_CONV_WEIGHTS ? ea_amx_weights(c, v, NULL, dry) : run(c, v, pass, dry);
}

#else

int ea_conv_amx(ea_call *c, const ea_conv *v, int pass, int dry) {
  (void)c, (void)v, (void)pass, (void)dry;
  return 1;
}

#endif
