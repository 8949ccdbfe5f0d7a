/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_amx.c - a bf16 convolution by tiles: how it is laid out; see conv2d_amx.h.
 *
 * An image at a time is copied into a buffer with zeros around, in the second cache. 16 pixels by
 * 32 channels of it are the first factor as they lie; 2x2 tiles of sums (4x1 where there are only
 * 16 channels) stay in registers over all taps.
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
  int64_t row = y - divide_down(y, j->from_stride) * j->from_stride;
  if (!j->gapless) return 0;
  for (int p = 0; p < j->planes; p++)
    if (j->plane[p].row == row && j->plane[p].column == x) return p;
  j->plane[j->planes] = (ea_amx_plane){row, x};
  return j->planes++;
}

/* Adds the taps of one row of the kernel, as they lie from left to right in the image. Where two
 * share a tile, an odd one out takes the one before along, with weights of 0: that pixel is a tap
 * already, so that a NaN goes nowhere it would not. */
static void add_row(ea_amx_job *j, ea_amx_class *k, int64_t row, int64_t y, const int64_t *column,
                    const int64_t *x, int count) {
  for (int i = 0; i < count; i += j->pairs ? 2 : 1) {
    ea_amx_tap *t = &k->tap[k->taps++];
    *t = (ea_amx_tap){.row = row, .column = {column[i], -1}, .dx = x[i]};
    t->dy = divide_down(y, j->from_stride);
    t->plane = find_plane(j, y, x[i]);
    if (!j->pairs) continue;
    t->column[1] = i + 1 < count ? column[i + 1] : column[i];
    if (i + 1 < count) continue;
    t->column[0] = -1;
    t->dx = x[i - 1];
  }
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

static void add_forward(ea_amx_job *j, int64_t pad) {
  ea_amx_class *k = open_class(j, 0, 0);
  int64_t column[EA_AMX_TAPS], x[EA_AMX_TAPS];
  for (int64_t b = 0; b < j->kw; b++) {
    column[b] = b;
    x[b] = b - pad;
  }
  for (int64_t a = 0; a < j->kh; a++) add_row(j, k, a, a - pad, column, x, (int)j->kw);
  close_class(j, k);
}

static void add_backward(ea_amx_job *j, int64_t pad, int64_t row, int64_t column) {
  ea_amx_class *k = open_class(j, row, column);
  for (int64_t a = j->kh - 1; a >= 0; a--) {
    if ((row + pad - a) % j->to_stride) continue;
    int64_t at[EA_AMX_TAPS], x[EA_AMX_TAPS];
    int count = 0;
    for (int64_t b = j->kw - 1; b >= 0; b--) {
      if ((column + pad - b) % j->to_stride) continue;
      at[count] = b;
      x[count++] = (column + pad - b) / j->to_stride;
    }
    add_row(j, k, a, (row + pad - a) / j->to_stride, at, x, count);
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
      right = EA_MAX(right, k->tap[t].dx + j->pairs);
    }
  }
  j->rows = height + bottom - j->top;
  j->columns = j->width + (j->gapless ? 0 : right - left);
  if (!j->gapless) {
    j->plane[0] = (ea_amx_plane){0, left};
    j->planes = 1;
  }
  j->plane_bytes = (j->rows * j->columns + EA_TILE) * j->pixel_bytes; /* a last tile goes beyond */
  j->buffer_bytes = (int64_t)ea_round64(j->plane_bytes * j->planes);
  if (j->line && j->planes > 1) j->read_bytes = (int64_t)ea_round64(j->from.image_bytes);
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

static void describe(ea_amx_job *j, const ea_call *c, const ea_conv *v, int pass) {
  ea_amx_side x = {NULL, v->h, v->w, v->c, v->h * v->w * v->c * 2};
  ea_amx_side y = {NULL, v->oh, v->ow, v->o, v->oh * v->ow * v->o * 2};
  int64_t area = v->kh * v->kw;
  int forward = pass == EA_CONV_FORWARD;
  *j = (ea_amx_job){.pass = pass,
                    .from = forward ? x : y,
                    .to = forward ? y : x,
                    .images = v->n,
                    .from_stride = forward ? v->stride : 1,
                    .to_stride = forward ? 1 : v->stride,
                    .kh = v->kh,
                    .kw = v->kw,
                    .w = ea_f32(c->in[1]),
                    .w_from = forward ? area : v->c * area,
                    .w_to = forward ? v->c * area : area};
  if (forward) j->line = ea_conv_line(c);
  j->width = (j->to.width + j->to_stride - 1) / j->to_stride;
  j->gapless = j->width % EA_TILE != 0 || j->from_stride > 1;
  j->pairs = j->from.channels == 16 && !j->gapless && v->stride == 1 && v->kw > 1;
  j->depth = (j->from.channels + EA_TILE_DEPTH - 1) / EA_TILE_DEPTH;
  j->pixel_bytes = j->pairs ? 32 : j->depth * 64;
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
  return ea_conv_along_ahead(&j->along, n, 1, j->from.data, j->from.image_bytes, j->also, j->add,
                             j->to.data, j->to.image_bytes);
}

void ea_amx_run_image(const ea_amx_job *j, int64_t n) {
  char *buffer = j->thread + ea_thread_index() * (j->buffer_bytes + j->read_bytes);
  char *from = j->from.data + n * j->from.image_bytes, *to = j->to.data + n * j->to.image_bytes;
  ea_conv_along_before(&j->along, n, 1);
  if (j->cut && !ea_amx_cuts(j))
    ea_conv_cut(from, from, j->cut + n * j->from.image_bytes, EA_BF16, j->from.image_bytes / 2);
  ea_amx_copy_image(j, from, buffer, buffer + j->buffer_bytes);
  ea_ahead ahead = find_ahead(j, n + 1);
  for (int i = 0; i < j->classes; i++)
    if (j->class[i].taps || j->add != j->to.data)
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

/* Parts of the memory: the weights, the steps' offsets, the tiles' places, partial sums, and for
 * each thread a buffer. */
static size_t weight_bytes(const ea_amx_job *j) {
  return (size_t)(j->blocks * j->steps * EA_TILE_BYTES);
}
static size_t offset_bytes(const ea_amx_job *j) { return ea_round64(j->steps * 8); }
static size_t place_bytes(const ea_amx_job *j) {
  return ea_round64(j->tiles * (int64_t)sizeof(ea_amx_place));
}
static size_t along_bytes(const ea_amx_job *j) { return j->along.shard_bytes * (size_t)j->shards; }

size_t ea_amx_bytes(const ea_amx_job *j) {
  return weight_bytes(j) + offset_bytes(j) + place_bytes(j) + along_bytes(j) +
         (size_t)(j->buffer_bytes + j->read_bytes) * (size_t)ea_threads();
}

/* What is in the memory for all images. */
static void fill(ea_amx_job *j, char *memory) {
  j->weights = memory;
  j->offset = (int64_t *)(void *)(memory += weight_bytes(j));
  j->place = (ea_amx_place *)(void *)(memory += offset_bytes(j));
  j->along.partial = memory += place_bytes(j);
  j->thread = memory + along_bytes(j);
  int64_t at = 0;
  for (int i = 0; i < j->classes; i++) {
    const ea_amx_class *k = &j->class[i];
    find_places(j, k, j->place + k->first_tile);
    for (int t = 0; t < k->taps; t++)
      for (int64_t b = 0; b < j->depth; b++) j->offset[at++] = tap_offset(j, &k->tap[t]) + b * 64;
  }
}

static void point(ea_amx_job *j, const ea_call *c) {
  if (j->pass == EA_CONV_FORWARD) {
    j->from.data = ea_ptr(c->in[0]);
    j->to.data = ea_ptr(c->out[0]);
    if (c->residual) j->add = ea_ptr(c->residual);
    if (c->nin == 3) j->bias = ea_f32(c->in[2]);
    j->relu = c->norm && ea_bn_relu(c->norm);
  } else {
    j->from.data = ea_ptr(c->gout[0]);
    j->to.data = ea_ptr(c->gin[0]);
    if (c->accumulate & 1) j->add = j->to.data;
    if (c->gin[1] || c->along[EA_ALONG_SUMS]) j->also = ea_ptr(c->in[0]);
    if (c->norm && ea_bn_relu(c->norm)) j->cut = ea_ptr(c->out[0]);
  }
}

void ea_amx_start(ea_amx_job *j, const ea_call *c, char *memory) {
  fill(j, memory);
  point(j, c);
  ea_parallel(j->blocks, pack_shard, j);
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
  ea_amx_start(&j, c, memory);
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
