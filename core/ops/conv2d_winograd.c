/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_winograd.c - an f32 convolution of 3x3 by Winograd's F(4x4, 3x3): how it is laid out and
 * run; see conv2d_winograd.h.
 *
 * A block is some whole images, or, of large ones, some rows of tiles of one. It is copied into a
 * buffer with zeros around, through a batch_norm's line if there is one; its tiles' values at each
 * point are multiplied by the weights' there, and the results' tiles written.
 */
#include "conv2d_winograd.h"

enum {
  MOST_SHARDS = 16,
  LEAST_PIXELS = 64,
  MOST_CHANNELS = 256,   /* more are slower than direct sums */
  BLOCK_BYTES = 1 << 19, /* of a block's values, or as many as the weights' if these are more */
  MOST_BLOCK_BYTES = 3 << 20
};

typedef struct job {
  int64_t images, height, width, rows, columns; /* rows and columns of tiles */
  int64_t from_channels, to_channels;
  ea_conv_maps maps;
  int turned;
  int64_t block_images, block_rows;               /* of a block */
  int64_t from_apart, to_apart, weights_apart;    /* numbers from point to point */
  int64_t buffer_numbers, thread_numbers, shards; /* of a thread's memory: the buffer, values */
  float *weights;                                 /* {36, from_channels, to_channels} */
  float *thread;
  ea_conv_along along;
  struct job *data; /* of the gradient of the weights: NULL, or that of the images, made along */
} job;

typedef struct block {
  int64_t image, images, row, rows;
} block;

/* Where it is faster than oneDNN's direct sums: the weights' values cost as much as 64 pixels, so
 * that one image of 8x8 comes out even and two are faster. A choice by the batch would make an
 * image's result another in another one. */
static int prefers(const ea_conv *v) {
  return v->kh == 3 && v->kw == 3 && v->stride == 1 && v->pad == 1 && v->dilation == 1 &&
         v->groups == 1 && v->c % EA_WINO_CHANNELS == 0 && v->o % EA_WINO_CHANNELS == 0 &&
         EA_MAX(v->c, v->o) <= MOST_CHANNELS && v->h * v->w >= LEAST_PIXELS;
}

static int64_t image_numbers(const job *j, int64_t channels) {
  return j->height * j->width * channels;
}

/* ---- a block ---- */

/* Rows of an image into the buffer, `apart` numbers from each other. */
static void copy_rows(const job *j, float *to, int64_t apart, const float *from, int64_t rows) {
  int64_t channels = j->from_channels, row = j->width * channels;
  if (j->maps.line) {
    ea_bn_apply_lines(j->maps.line, EA_F32, channels, to, apart, from, row, j->width, rows);
    return;
  }
  for (int64_t y = 0; y < rows; y++, to += apart, from += row)
    if (j->maps.cut)
      ea_conv_cut(to, from, j->maps.cut + ((const char *)from - j->maps.from), EA_F32, row);
    else memcpy(to, from, (size_t)row * sizeof *to);
}

/* A pixel of zeros before a row, and as many behind as the tiles reach beyond the image. */
static void copy_block(const job *j, const block *b, float *to) {
  int64_t channels = j->from_channels, apart = (j->columns * EA_WINO_OUT + 2) * channels;
  int64_t around = apart - j->width * channels;
  int64_t first = b->row * EA_WINO_OUT - 1, end = first + b->rows * EA_WINO_OUT + 2;
  int64_t top = EA_MAX(0, first), bottom = EA_MIN(j->height, end);
  for (int64_t i = 0; i < b->images; i++) {
    const float *image = (const float *)(const void *)j->maps.from +
                         (b->image + i) * image_numbers(j, j->from_channels);
    to = ea_vec_zeros(to, (top - first) * apart + channels);
    copy_rows(j, to, apart, image + top * j->width * channels, bottom - top);
    for (int64_t y = top; y + 1 < bottom; y++, to += apart)
      ea_vec_zeros(to + apart - around, around);
    to = ea_vec_zeros(to + apart - around, around - channels + (end - bottom) * apart);
  }
}

/* The tile's place in an image of so many channels. */
static ea_wino_place find_place(const job *j, char *data, int64_t channels, int64_t image,
                                int64_t row, int64_t column) {
  int64_t y = row * EA_WINO_OUT, x = column * EA_WINO_OUT;
  int64_t at = image * image_numbers(j, channels) + (y * j->width + x) * channels;
  return (ea_wino_place){.to = (float *)(void *)data + at,
                         .row = j->width * channels,
                         .pixel = channels,
                         .height = (int)EA_MIN(EA_WINO_OUT, j->height - y),
                         .width = (int)EA_MIN(EA_WINO_OUT, j->width - x)};
}

static void values_of_images(const job *j, const block *b, const float *buffer, float *to) {
  int64_t channels = j->from_channels, row = (j->columns * EA_WINO_OUT + 2) * channels;
  for (int64_t i = 0; i < b->images; i++, buffer += 2 * row)
    for (int64_t r = 0; r < b->rows; r++, buffer += EA_WINO_OUT * row)
      for (int64_t c = 0; c < j->columns; c++)
        for (int64_t k = 0; k < channels; k += EA_VEC, to += EA_VEC)
          ea_wino_of_image(to, j->from_apart, buffer + c * EA_WINO_OUT * channels + k, row,
                           channels);
}

static void values_of_results(const job *j, const block *b, float *to) {
  int64_t channels = j->to_channels;
  for (int64_t i = 0; i < b->images; i++)
    for (int64_t r = 0; r < b->rows; r++)
      for (int64_t c = 0; c < j->columns; c++) {
        ea_wino_place p = find_place(j, j->maps.to, channels, b->image + i, b->row + r, c);
        for (int64_t k = 0; k < channels; k += EA_VEC, to += EA_VEC, p.to += EA_VEC)
          ea_wino_of_result(to, j->to_apart, &p);
      }
}

static void give_results(const job *j, const block *b, const float *from) {
  int64_t channels = j->to_channels;
  for (int64_t i = 0; i < b->images; i++)
    for (int64_t r = 0; r < b->rows; r++)
      for (int64_t c = 0; c < j->columns; c++) {
        ea_wino_place p = find_place(j, j->maps.to, channels, b->image + i, b->row + r, c);
        p.relu = j->maps.relu;
        if (j->maps.add)
          p.add = (const float *)(const void *)j->maps.add + (p.to - (float *)(void *)j->maps.to);
        for (int64_t k = 0; k < channels; k += EA_VEC, from += EA_VEC, p.to += EA_VEC) {
          p.bias = j->maps.bias ? j->maps.bias + k : NULL;
          ea_wino_give_result(&p, from, j->to_apart);
          if (p.add) p.add += EA_VEC;
        }
      }
}

static float *memory_of_thread(const job *j) {
  return j->thread + ea_thread_index() * j->thread_numbers;
}

static int64_t tiles_of(const job *j, const block *b) { return b->images * b->rows * j->columns; }

static int64_t first_image(const job *j, int64_t shard) {
  return ea_conv_first_image(j->images, j->shards, shard);
}

/* What the block behind this one will need, if it is of other images. */
static ea_ahead find_ahead(const job *j, const block *b) {
  int64_t n = b->image + b->images, images = EA_MIN(b->images, j->images - n);
  if (images <= 0 || b->row + b->rows < j->rows) return (ea_ahead){.run = 0};
  return ea_conv_along_ahead(&j->along, &j->maps, n, images, image_numbers(j, j->from_channels) * 4,
                             image_numbers(j, j->to_channels) * 4);
}

/* Forward, or the gradient of the images; *ahead: what of the next is not fetched yet. */
static void run_block(const job *j, const block *b, ea_ahead *ahead) {
  float *buffer = memory_of_thread(j), *from = buffer + j->buffer_numbers;
  float *to = from + EA_WINO_POINTS * j->from_apart;
  int64_t last = b->image + b->images;
  for (int64_t n = b->image; n < last && b->row == 0; n++) ea_conv_along_before(&j->along, n, 1);
  copy_block(j, b, buffer);
  values_of_images(j, b, buffer, from);
  *ahead = find_ahead(j, b);
  for (int64_t k = 0; k < EA_WINO_POINTS; k++)
    ea_wino_multiply(to + k * j->to_apart, from + k * j->from_apart, j->from_channels, 1,
                     j->weights + k * j->weights_apart, tiles_of(j, b), j->from_channels,
                     j->to_channels, 0, ahead);
  give_results(j, b, to);
  for (int64_t n = b->image; n < last && b->row + b->rows == j->rows; n++)
    ea_conv_along_image(&j->along, j->images, j->shards, n);
}

static void sum_block(const job *j, const block *b, float *sum, int add, ea_ahead *ahead) {
  float *buffer = memory_of_thread(j), *from = buffer + j->buffer_numbers;
  float *to = from + EA_WINO_POINTS * j->from_apart;
  copy_block(j, b, buffer);
  values_of_images(j, b, buffer, from);
  values_of_results(j, b, to);
  for (int64_t k = 0; k < EA_WINO_POINTS; k++)
    ea_wino_multiply(sum + k * j->weights_apart, from + k * j->from_apart, 1, j->from_channels,
                     to + k * j->to_apart, j->from_channels, tiles_of(j, b), j->to_channels, add,
                     ahead);
}

/* ---- shards: of images ---- */

static int64_t weight_numbers(const job *j) { return EA_WINO_POINTS * j->weights_apart; }

/* The block behind b, which is { .image = the first } to begin with; 0: none before image `end`. */
static int next_block(const job *j, int64_t end, block *b) {
  b->row += b->rows;
  if (b->row == j->rows) {
    b->row = 0;
    b->image += b->images;
  }
  b->images = EA_MIN(j->block_images, end - b->image);
  b->rows = EA_MIN(j->block_rows, j->rows - b->row);
  return b->images > 0;
}

static void run_images(const job *j, int64_t image, int64_t end, ea_ahead *ahead) {
  for (block b = {.image = image}; next_block(j, end, &b);) run_block(j, &b, ahead);
}

static void run_shard(void *arg, int64_t shard) {
  const job *j = arg;
  ea_ahead ahead;
  run_images(j, first_image(j, shard), first_image(j, shard + 1), &ahead);
}

static void sum_shard(void *arg, int64_t shard) {
  const job *j = arg;
  float *sum = j->weights + shard * weight_numbers(j);
  block b = {.image = first_image(j, shard)};
  for (int add = 0; next_block(j, first_image(j, shard + 1), &b); add = 1) {
    ea_ahead ahead = find_ahead(j, &b);
    if (j->data && b.row == 0) run_images(j->data, b.image, b.image + b.images, &ahead);
    sum_block(j, &b, sum, add, &ahead);
  }
}

/* ---- weights ---- */

typedef struct weights {
  const job *j;
  float *w; /* {o, c, 3, 3} */
  int add;
} weights;

/* A vector of channels of the result at a time, by all of the input: those weights lie side by
 * side. */
static void pack_weights(void *arg, int64_t begin, int64_t end) {
  const weights *q = arg;
  const job *j = q->j;
  int64_t to = EA_WINO_TAPS * j->from_channels;
  for (int64_t o = begin * EA_VEC; o < end * EA_VEC; o += EA_VEC)
    for (int64_t c = 0; c < j->from_channels; c++)
      ea_wino_of_weights(j->weights + c * j->to_channels + o, j->weights_apart,
                         q->w + o * to + c * EA_WINO_TAPS, to, 0);
}

/* The other way round, for the gradient of the images. */
static void pack_turned(void *arg, int64_t begin, int64_t end) {
  const weights *q = arg;
  const job *j = q->j;
  int64_t from = EA_WINO_TAPS * j->to_channels;
  for (int64_t c = begin; c < end; c++)
    for (int64_t o = 0; o < j->to_channels; o += EA_VEC)
      ea_wino_of_weights(j->weights + c * j->to_channels + o, j->weights_apart,
                         q->w + c * from + o * EA_WINO_TAPS, EA_WINO_TAPS, 1);
}

static void give_weights(void *arg, int64_t begin, int64_t end) {
  const weights *q = arg;
  const job *j = q->j;
  int64_t to = EA_WINO_TAPS * j->from_channels;
  for (int64_t o = begin * EA_VEC; o < end * EA_VEC; o += EA_VEC)
    for (int64_t c = 0; c < j->from_channels; c++)
      ea_wino_give_weights(q->w + o * to + c * EA_WINO_TAPS, to, q->add,
                           j->weights + c * j->to_channels + o, j->weights_apart, j->shards,
                           weight_numbers(j));
}

static void pack(const job *j, ea_tensor *w) {
  weights q = {j, ea_f32(w), 0};
  if (j->turned) ea_parallel_range(j->from_channels, EA_VEC, pack_turned, &q);
  else ea_parallel_range(j->to_channels / EA_VEC, 1, pack_weights, &q);
}

/* ---- a pass ---- */

static void find_blocks(job *j) {
  j->weights_apart = j->from_channels * j->to_channels + EA_VEC;
  int64_t tile_bytes = EA_WINO_POINTS * (j->from_channels + j->to_channels) * 4;
  int64_t bytes = EA_MIN(MOST_BLOCK_BYTES, EA_MAX(BLOCK_BYTES, weight_numbers(j) * 4));
  int64_t most = EA_MAX(1, bytes / tile_bytes), image = j->rows * j->columns;
  j->block_images = EA_MAX(1, most / image);
  j->block_rows = EA_MIN(j->rows, EA_MAX(1, most / j->columns));
  int64_t tiles = j->block_images * j->block_rows * j->columns;
  j->from_apart = tiles * j->from_channels + EA_VEC; /* not all in one line of the cache */
  j->to_apart = tiles * j->to_channels + EA_VEC;
  int64_t height = j->block_rows * EA_WINO_OUT + 2, width = j->columns * EA_WINO_OUT + 2;
  j->buffer_numbers = j->block_images * height * width * j->from_channels;
  j->thread_numbers = j->buffer_numbers + EA_WINO_POINTS * (j->from_apart + j->to_apart);
}

static job describe(const ea_call *c, const ea_conv *v, int pass) {
  int data = pass == EA_CONV_DATA,
      most = pass == EA_CONV_WEIGHTS ? EA_CONV_WEIGHT_SHARDS : MOST_SHARDS;
  job j = {.images = v->n,
           .height = v->h,
           .width = v->w,
           .rows = (v->h + EA_WINO_OUT - 1) / EA_WINO_OUT,
           .columns = (v->w + EA_WINO_OUT - 1) / EA_WINO_OUT,
           .from_channels = data ? v->o : v->c,
           .to_channels = data ? v->c : v->o,
           .turned = data,
           .shards = EA_MIN(v->n, most),
           .along = ea_conv_find_along(c, v, pass)};
  find_blocks(&j);
  return j;
}

/* Bytes of the weights or their sums. */
static int64_t weight_bytes(const job *j, int sums) {
  return ea_round64(weight_numbers(j) * (sums ? j->shards : 1) * 4);
}

/* And of what is summed along. */
static int64_t fixed_bytes(const job *j, int sums) {
  return weight_bytes(j, sums) + (int64_t)j->along.shard_bytes * j->shards;
}

static void place(job *j, char *memory, int sums) {
  j->weights = (float *)(void *)memory;
  j->along.partial = memory + weight_bytes(j, sums);
}

static int run(ea_call *c, const ea_conv *v, int pass, int dry) {
  int sums = pass != EA_CONV_FORWARD && pass != EA_CONV_DATA;
  job j = describe(c, v, sums ? EA_CONV_WEIGHTS : pass), data;
  int64_t own = fixed_bytes(&j, sums), fixed = own;
  if (pass == EA_CONV_BOTH) {
    data = describe(c, v, EA_CONV_DATA);
    fixed += fixed_bytes(&data, 0);
    data.thread_numbers = j.thread_numbers = EA_MAX(j.thread_numbers, data.thread_numbers);
  }
  int64_t thread = ea_round64(j.thread_numbers * 4) * ea_threads();
  char *memory = ea_call_scratch(c, (size_t)(fixed + thread));
  if (!memory) return EA_ERR_MEMORY;
  if (dry) return EA_OK;
  place(&j, memory, sums);
  j.maps = ea_conv_find_maps(c, sums ? EA_CONV_WEIGHTS : pass);
  j.thread = (float *)(void *)(memory + fixed);
  if (!sums) pack(&j, c->in[1]);
  if (pass == EA_CONV_BOTH) {
    place(&data, memory + own, 0);
    data.maps = ea_conv_find_maps(c, EA_CONV_DATA);
    data.thread = j.thread;
    j.data = &data;
    pack(&data, c->in[1]);
  }
  ea_parallel(j.shards, sums ? sum_shard : run_shard, &j);
  if (sums) {
    weights q = {&j, ea_f32(c->gin[1]), c->accumulate >> 1 & 1};
    ea_parallel_range(j.to_channels / EA_VEC, 1, give_weights, &q);
  }
  ea_conv_along_end(j.data ? &data.along : &j.along, j.data ? data.shards : j.shards);
  return EA_OK;
}

int ea_conv_winograd(ea_call *c, const ea_conv *v, int pass, int dry) {
  if (!prefers(v)) return 1;
  if (pass == EA_CONV_BOTH && ea_threads() > EA_CONV_WEIGHT_SHARDS) return 1;
  return run(c, v, pass, dry);
}
