/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_direct.c - an f32 convolution with stride 2 by direct sums: how it is laid out and
 * run; see conv2d_direct.h. An image at a time is copied into the buffer, in the second cache,
 * through a batch_norm's line if there is one; both gradients are made of it before the next.
 *
 * Against oneDNN 2.6.3 with AVX-512: the bare sums are as fast, within a tenth, of 16 to 256
 * channels. But oneDNN cannot read through a batch_norm nor add, which costs it passes more. In a
 * training step of WRN-16-1 (bench --profile, a busy machine, oneDNN's in brackets) 3x3 takes 2.5
 * ms forward and 5.7 backward of 16 to 32 channels (3.2 and 8.2), 2.3 and 4.7 of 32 to 64 (2.7 and
 * 6.0), the 1x1 beside them 1.0 and 2.1 (1.5 and 2.7), 0.7 and 1.1 (0.8 and 1.4). With AVX2 the
 * two are even.
 */
#include "conv2d_direct.h"

#include "batch_norm.h"
#include "conv2d.h"

enum {
  BLOCK = EA_DIRECT_BLOCK,
  STRIDE = EA_DIRECT_STRIDE,
  CLASSES = STRIDE * STRIDE,
  TAPS = EA_CONV_MOST_TAPS,
  MOST_SHARDS = 16,
  LEAST_WIDTH = 7, /* of results */
  MOST_CHANNELS = 256,
  BUFFER_NUMBERS = 1 << 18, /* an image that takes more is oneDNN's */
  SUM_NUMBERS = 1 << 12     /* of g in the first cache, for the sums of all taps */
};

/* Results that share their taps: every to_stride-th from (row, column) on. */
typedef struct class {
  int64_t row, column, height, width;
  int taps, tap[TAPS];        /* of the kernel */
  int64_t dy[TAPS], dx[TAPS]; /* the buffer's pixel that it reads, from a result's */
  int64_t offset[TAPS];       /* likewise, numbers */
  int64_t first_step;         /* among those of all classes; steps are taps by channels of from */
} class;

typedef struct side {
  int64_t height, width, channels;
} side;

typedef struct job {
  ea_conv_maps maps;
  int64_t images;
  side from, to;
  int64_t step;        /* from row to row, from column to column of what is copied */
  int64_t from_stride; /* the buffer's pixels, from result to result */
  int64_t to_stride;
  int64_t w_from, w_to;             /* of a weight's place: numbers from channel to channel */
  int64_t top, left, rows, columns; /* the buffer */
  int64_t block;                    /* numbers of the buffer */
  int classes, taps_lack;           /* 1: a class has none */
  class class[CLASSES];
  int64_t steps;
  float *weights; /* of each class, {to channels / WIDE, from channels / 16, taps, 16, WIDE} */
  float *thread;
  int64_t thread_numbers, shards;
  ea_conv_along along;
  const struct job *data; /* of the gradient of the weights: NULL, or that of the images */
} job;

static int64_t image_numbers(const side *s) { return s->height * s->width * s->channels; }

static int64_t class_steps(const job *j, const class *k) { return k->taps * j->from.channels; }

/* ---- the buffer ---- */

static void copy_pixels(const job *j, float *to, const float *from, int64_t channel,
                        int64_t pixels) {
  int64_t apart = j->step * j->from.channels;
  const ea_conv_maps *m = &j->maps;
  if (m->line) {
    ea_bn_apply(m->line, EA_F32, channel, BLOCK, to, BLOCK, from, apart, pixels);
    return;
  }
  const char *cut = m->cut ? m->cut + ((const char *)from - m->from) : NULL;
  for (int64_t i = 0; i < pixels; i++) {
    ea_lanes v = ea_lanes_load(from, EA_F32, i * apart, BLOCK);
    if (cut) v = ea_lanes_cut(v, ea_lanes_load(cut, EA_F32, i * apart, BLOCK));
    ea_lanes_store(to, EA_F32, i * BLOCK, BLOCK, v);
  }
}

static int64_t rounded_up(int64_t n, int64_t by) { return (n + by - 1) / by; }

static void copy_image(const job *j, int64_t n, float *to) {
  const float *image = (const float *)(const void *)j->maps.from + n * image_numbers(&j->from);
  int64_t height = rounded_up(j->from.height, j->step), width = rounded_up(j->from.width, j->step);
  int64_t before = EA_MAX(0, -j->left), first = j->left + before;
  int64_t inside = EA_MIN(j->columns - before, width - first);
  for (int64_t c = 0; c < j->from.channels; c += BLOCK)
    for (int64_t y = j->top; y < j->top + j->rows; y++) {
      if (y < 0 || y >= height) {
        to = ea_vec_zeros(to, j->columns * BLOCK);
        continue;
      }
      to = ea_vec_zeros(to, before * BLOCK);
      int64_t pixel = (y * j->from.width + first) * j->step;
      copy_pixels(j, to, image + pixel * j->from.channels + c, c, inside);
      to = ea_vec_zeros(to + inside * BLOCK, (j->columns - before - inside) * BLOCK);
    }
}

/* ---- an image ---- */

static float *memory_of_thread(const job *j) {
  return j->thread + ea_thread_index() * j->thread_numbers;
}

static int64_t first_image(const job *j, int64_t shard) {
  return ea_conv_first_image(j->images, j->shards, shard);
}

static void run_class(const job *j, const class *k, const float *buffer, int64_t n,
                      ea_ahead *ahead) {
  const ea_conv_maps *m = &j->maps;
  ea_direct_row r = {.blocks = j->from.channels / BLOCK,
                     .block = j->block,
                     .taps = k->taps,
                     .offset = k->offset,
                     .pixels = k->width,
                     .pixel = j->to_stride * j->to.channels,
                     .relu = m->relu};
  for (int64_t o = 0; o < j->to.channels; o += EA_DIRECT_WIDE) {
    r.wide = o + EA_DIRECT_WIDE <= j->to.channels;
    r.weights = j->weights + k->first_step * j->to.channels + o * class_steps(j, k);
    if (m->bias) r.bias = m->bias + o;
    for (int64_t y = 0; y < k->height; y++) {
      int64_t row = k->row + y * j->to_stride;
      int64_t at = n * image_numbers(&j->to) + (row * j->to.width + k->column) * j->to.channels + o;
      r.to = (float *)(void *)m->to + at;
      if (m->add) r.add = (const float *)(const void *)m->add + at;
      r.from = buffer + y * j->from_stride * j->columns * BLOCK;
      ea_direct_multiply(&r, j->from_stride, ahead);
    }
  }
}

/* What image n will need. */
static ea_ahead find_ahead(const job *j, int64_t n) {
  if (n == j->images) return (ea_ahead){.run = 0};
  return ea_conv_along_ahead(&j->along, &j->maps, n, 1, image_numbers(&j->from) * 4,
                             image_numbers(&j->to) * 4);
}

/* Forward, or the gradient of the images; *ahead: what of the next is not fetched yet. */
static void run_image(const job *j, int64_t n, ea_ahead *ahead) {
  float *buffer = memory_of_thread(j);
  ea_conv_along_before(&j->along, n, 1);
  copy_image(j, n, buffer);
  *ahead = find_ahead(j, n + 1);
  if (j->taps_lack && j->maps.add != j->maps.to) {
    size_t bytes = (size_t)image_numbers(&j->to) * 4;
    memset(j->maps.to + (size_t)n * bytes, 0, bytes);
  }
  for (int i = 0; i < j->classes; i++)
    if (j->class[i].taps) run_class(j, &j->class[i], buffer, n, ahead);
  ea_conv_along_image(&j->along, j->images, j->shards, n);
}

static void sum_image(const job *j, int64_t n, float *sum, int add, ea_ahead *ahead) {
  float *buffer = memory_of_thread(j);
  const class *k = &j->class[0];
  const float *g = (const float *)(const void *)j->maps.to + n * image_numbers(&j->to);
  int64_t row = j->to.width * j->to.channels,
          rows = EA_MAX(1, SUM_NUMBERS / (j->to.width * EA_DIRECT_WIDE));
  ea_direct_rows q = {.x_row = j->from_stride * j->columns * BLOCK,
                      .x_pixel = j->from_stride * BLOCK,
                      .g_row = row,
                      .g_pixel = j->to.channels,
                      .pixels = j->to.width};
  copy_image(j, n, buffer);
  for (int64_t y = 0; y < j->to.height; y += rows, add = 1) {
    q.rows = EA_MIN(rows, j->to.height - y);
    for (int64_t o = 0; o < j->to.channels; o += EA_DIRECT_WIDE) {
      q.wide = o + EA_DIRECT_WIDE <= j->to.channels;
      q.g = g + y * row + o;
      float *to = sum + o * j->steps;
      for (int64_t b = 0; b < j->from.channels / BLOCK; b++)
        for (int t = 0; t < k->taps; t++, to += BLOCK * (q.wide ? EA_DIRECT_WIDE : EA_VEC)) {
          q.x = buffer + b * j->block + y * q.x_row + k->offset[t];
          ea_direct_sum(to, &q, add, ahead);
        }
    }
  }
}

/* ---- shards: of images ---- */

static int64_t weight_numbers(const job *j) { return j->steps * j->to.channels; }

static void run_shard(void *arg, int64_t shard) {
  const job *j = arg;
  ea_ahead ahead;
  for (int64_t n = first_image(j, shard); n < first_image(j, shard + 1); n++)
    run_image(j, n, &ahead);
}

static void sum_shard(void *arg, int64_t shard) {
  const job *j = arg;
  float *sum = j->weights + shard * weight_numbers(j);
  for (int64_t first = first_image(j, shard), n = first; n < first_image(j, shard + 1); n++) {
    ea_ahead ahead = find_ahead(j, n + 1);
    if (j->data) run_image(j->data, n, &ahead);
    sum_image(j, n, sum, n > first, &ahead);
  }
}

/* ---- weights ---- */

typedef struct weights {
  const job *j;
  float *w; /* {o, c, kh, kw} */
  int give, add;
} weights;

/* Channels of the results, WIDE at a time: their weights as ea_direct_row has them, or, give: out
 * of so many partial sums. */
static void move_weights(void *arg, int64_t begin, int64_t end) {
  const weights *q = arg;
  const job *j = q->j;
  for (int64_t o = begin * EA_DIRECT_WIDE; o < EA_MIN(end * EA_DIRECT_WIDE, j->to.channels);
       o += EA_DIRECT_WIDE) {
    int64_t width = EA_MIN(EA_DIRECT_WIDE, j->to.channels - o);
    for (const class *k = j->class; k < j->class + j->classes; k++) {
      float *to = j->weights + k->first_step * j->to.channels + o * class_steps(j, k);
      for (int64_t c = 0; c < j->from.channels; c++)
        for (int t = 0; t < k->taps; t++) {
          int64_t step = ((c / BLOCK) * k->taps + t) * BLOCK + c % BLOCK;
          float *own = to + step * width;
          float *w = q->w + o * j->w_to + c * j->w_from + k->tap[t];
          for (int64_t i = 0; i < width; i++, own++, w += j->w_to) {
            if (!q->give) {
              *own = *w;
              continue;
            }
            float sum = *own;
            for (int64_t s = 1; s < j->shards; s++) sum += own[s * weight_numbers(j)];
            *w = sum + (q->add ? *w : 0);
          }
        }
    }
  }
}

static void move(const job *j, ea_tensor *w, int give, int add) {
  weights q = {j, ea_f32(w), give, add};
  ea_parallel_range(rounded_up(j->to.channels, EA_DIRECT_WIDE), 1, move_weights, &q);
}

/* ---- a pass ---- */

static void add_tap(class *k, int64_t tap, int64_t dy, int64_t dx) {
  k->dy[k->taps] = dy;
  k->dx[k->taps] = dx;
  k->tap[k->taps++] = (int)tap;
}

/* The results from (row, column) on, and their taps. */
static void add_class(job *j, const ea_conv *v, int64_t row, int64_t column) {
  class *k = &j->class[j->classes++];
  int forward = j->to_stride == 1;
  *k = (class){.row = row,
               .column = column,
               .height = rounded_up(j->to.height - row, j->to_stride),
               .width = rounded_up(j->to.width - column, j->to_stride),
               .first_step = j->steps};
  for (int64_t a = 0; a < v->kh; a++)
    for (int64_t b = 0; b < v->kw; b++) {
      int64_t y = row + v->pad - a, x = column + v->pad - b;
      if (forward) add_tap(k, a * v->kw + b, -y, -x);
      else if (y % STRIDE == 0 && x % STRIDE == 0)
        add_tap(k, a * v->kw + b, y / STRIDE, x / STRIDE);
    }
  j->steps += class_steps(j, k);
  if (!k->taps) j->taps_lack = 1;
}

/* What the taps of all classes reach. */
static void find_buffer(job *j) {
  int64_t bottom = INT64_MIN, right = INT64_MIN;
  j->top = j->left = INT64_MAX;
  for (const class *k = j->class; k < j->class + j->classes; k++)
    for (int t = 0; t < k->taps; t++) {
      j->top = EA_MIN(j->top, k->dy[t]);
      j->left = EA_MIN(j->left, k->dx[t]);
      bottom = EA_MAX(bottom, k->dy[t] + (k->height - 1) * j->from_stride);
      right = EA_MAX(right, k->dx[t] + (k->width - 1) * j->from_stride);
    }
  j->rows = bottom + 1 - j->top;
  j->columns = right + 1 - j->left;
  j->block = j->rows * j->columns * BLOCK;
  j->thread_numbers = j->block * (j->from.channels / BLOCK);
  for (class *k = j->class; k < j->class + j->classes; k++)
    for (int t = 0; t < k->taps; t++)
      k->offset[t] = ((k->dy[t] - j->top) * j->columns + k->dx[t] - j->left) * BLOCK;
}

/* A kernel of 1x1 reads some pixels alone: those are what is copied. */
static job describe(const ea_call *c, const ea_conv *v, int pass) {
  side x = {v->h, v->w, v->c}, y = {v->oh, v->ow, v->o};
  int64_t area = v->kh * v->kw;
  int data = pass == EA_CONV_DATA, samples = area == 1 && !data;
  int64_t most = pass == EA_CONV_WEIGHTS ? EA_CONV_WEIGHT_SHARDS : MOST_SHARDS;
  job j = {.images = v->n,
           .from = data ? y : x,
           .to = data ? x : y,
           .step = samples ? STRIDE : 1,
           .from_stride = data || samples ? 1 : STRIDE,
           .to_stride = data ? STRIDE : 1,
           .w_from = data ? v->c * area : area,
           .w_to = data ? area : v->c * area,
           .shards = EA_MIN(v->n, most),
           .along = ea_conv_find_along(c, v, pass)};
  for (int64_t row = 0; row < j.to_stride; row++)
    for (int64_t column = 0; column < j.to_stride; column++) add_class(&j, v, row, column);
  find_buffer(&j);
  return j;
}

/* Bytes of the weights or their sums, and of what is summed along. */
static int64_t weight_bytes(const job *j, int sums) {
  return ea_round64(weight_numbers(j) * (sums ? j->shards : 1) * 4);
}
static int64_t fixed_bytes(const job *j, int sums) {
  return weight_bytes(j, sums) + (int64_t)j->along.shard_bytes * j->shards;
}

static void place(job *j, const ea_call *c, int pass, char *memory, float *thread) {
  j->maps = ea_conv_find_maps(c, pass);
  j->weights = (float *)(void *)memory;
  j->along.partial = memory + weight_bytes(j, pass == EA_CONV_WEIGHTS);
  j->thread = thread;
  if (pass != EA_CONV_WEIGHTS) move(j, c->in[1], 0, 0);
}

static int run(ea_call *c, const ea_conv *v, int pass, int dry) {
  int both = pass == EA_CONV_BOTH, sums = both || pass == EA_CONV_WEIGHTS;
  if (both) pass = EA_CONV_WEIGHTS;
  job j = describe(c, v, pass), data;
  int64_t own = fixed_bytes(&j, sums), fixed = own;
  if (both) {
    data = describe(c, v, EA_CONV_DATA);
    fixed += fixed_bytes(&data, 0);
    data.thread_numbers = j.thread_numbers = EA_MAX(j.thread_numbers, data.thread_numbers);
  }
  char *memory = ea_call_scratch(c, (size_t)(fixed + j.thread_numbers * 4 * ea_threads()));
  if (!memory) return EA_ERR_MEMORY;
  if (dry) return EA_OK;
  float *thread = (float *)(void *)(memory + fixed);
  place(&j, c, pass, memory, thread);
  if (both) {
    place(&data, c, EA_CONV_DATA, memory + own, thread);
    j.data = &data;
  }
  ea_parallel(j.shards, sums ? sum_shard : run_shard, &j);
  if (sums) move(&j, c->gin[1], 1, c->accumulate >> 1 & 1);
  ea_conv_along_end(both ? &data.along : &j.along, both ? data.shards : j.shards);
  return EA_OK;
}

static int can(const ea_conv *v) {
  return v->stride == STRIDE && v->dilation == 1 && v->groups == 1 && v->kh * v->kw <= TAPS &&
         v->pad < EA_MIN(v->kh, v->kw) && v->c % BLOCK == 0 && v->o % BLOCK == 0 &&
         (v->h + 2 * v->kh) * (v->w + 2 * v->kw) * v->c <= BUFFER_NUMBERS;
}

/* Where it is faster than oneDNN's: shorter rows have too few sums, more channels weights that are
 * read from the second cache for each 8 pixels. */
static int prefers(const ea_conv *v) {
  return can(v) &&
         (!ea_conv_onednn_name() || (v->ow >= LEAST_WIDTH && EA_MAX(v->c, v->o) <= MOST_CHANNELS));
}

int ea_conv_direct(ea_call *c, const ea_conv *v, int pass, int dry) {
  if (!prefers(v)) return 1;
  if (pass == EA_CONV_BOTH && ea_threads() > EA_CONV_WEIGHT_SHARDS) return 1;
  return run(c, v, pass, dry);
}
