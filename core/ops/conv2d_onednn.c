/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d by oneDNN. The batch is cut into shards by shape alone, and each shard is one
 * single-threaded execution of a primitive made for that many images (conv2d_onednn_plan.c).
 */
#include "conv2d_onednn.h"

#include "amx.h"
#include "batch_norm.h"

#if EA_WITH_ONEDNN

#include <omp.h>

enum { SHARD_BYTES = 1 << 20 };

/* oneDNN divides the work over OpenMP's threads unless told, in each thread, that there is one. */
static void one_thread(void) {
  static __thread int told;
  if (!told) omp_set_num_threads(1);
  told = 1;
}

/* ---- execution ---- */

typedef struct job {
  ea_call *call;
  ea_dnnl_plan *p;
  char *x, *y;                /* first image */
  size_t x_bytes, y_bytes;    /* of one execution */
  char *weights;              /* weights pass: one partial sum per shard */
  char *thread;               /* per thread: the primitive's scratch, then its own x */
  size_t thread_bytes, own_x; /* 0: it works on the tensor's memory */
  const ea_conv *whole;       /* of the call; the images of p may be of some pixels */
  int add;                    /* data pass: add to x */
  const char *residual;       /* NULL, or what forward adds to y */
  const char *cut;            /* NULL, or y itself: its zeros cut the gradient; a ReLU wrote them */
  int relu;
  const ea_bn_line *line; /* NULL, or what x is read through */
  ea_conv_along along;
  int64_t first;        /* image */
  dnnl_status_t status; /* last failure of a shard */
} job;

static dnnl_status_t set(dnnl_memory_t m, void *at) {
  return dnnl_memory_set_data_handle_v2(m, at, ea_dnnl_stream());
}

/* A kernel of 1x1 with a stride reads some pixels alone: it runs on images of those. */
static int samples(const ea_conv *v) {
  return v->kh == 1 && v->kw == 1 && v->pad == 0 && v->stride > 1;
}

static int64_t pixel_bytes(const ea_conv *v) { return v->c * ea_dtype_size((int)v->dtype); }

/* Row `row` of the pixels that are read of so many images of x. */
static char *sampled_row(const job *j, char *x, int64_t row) {
  const ea_conv *v = j->whole;
  int64_t line = v->w * pixel_bytes(v);
  return x + (row / v->oh * v->h + row % v->oh * v->stride) * line;
}

/* What the primitive reads, where that is not x itself. */
static void read_images(const job *j, char *x, char *own) {
  const ea_conv *v = j->whole, *p = &j->p->shape;
  int dtype = (int)v->dtype;
  if (!samples(v)) {
    ea_bn_apply(j->line, dtype, 0, v->c, own, v->c, x, v->c, p->n * v->h * v->w);
    return;
  }
  int64_t bytes = pixel_bytes(v);
  for (int64_t row = 0; row < p->n * v->oh; row++, own += v->ow * bytes) {
    const char *from = sampled_row(j, x, row);
    if (j->line) ea_bn_apply(j->line, dtype, 0, v->c, own, v->c, from, v->stride * v->c, v->ow);
    else
      for (int64_t i = 0; i < v->ow; i++)
        memcpy(own + i * bytes, from + i * v->stride * bytes, (size_t)bytes);
  }
}

/* The gradient that the primitive made, to where it belongs. */
static void give_gradient(const job *j, char *x, const char *own) {
  const ea_conv *v = j->whole, *p = &j->p->shape;
  if (!samples(v)) {
    ea_conv_add(x, own, (int)v->dtype, p->n * v->h * v->w * v->c);
    return;
  }
  int64_t bytes = pixel_bytes(v);
  if (!j->add) memset(x, 0, j->x_bytes);
  for (int64_t row = 0; row < p->n * v->oh; row++) {
    char *to = sampled_row(j, x, row);
    for (int64_t i = 0; i < v->ow; i++, to += v->stride * bytes, own += bytes)
      if (j->add) ea_conv_add(to, own, (int)v->dtype, v->c);
      else memcpy(to, own, (size_t)bytes);
  }
}

static void run_shard(void *arg, int64_t shard) {
  job *j = arg;
  ea_dnnl_plan *p = j->p;
  int t = ea_thread_index();
  one_thread();
  dnnl_memory_t *m = p->slot[t];
  char *own = j->thread + (size_t)t * j->thread_bytes + p->scratch_bytes;
  char *x = j->x + (size_t)shard * j->x_bytes, *y = j->y + (size_t)shard * j->y_bytes;
  const char *residual = j->residual ? j->residual + (size_t)shard * j->y_bytes : NULL;
  int64_t count = p->shape.n * p->shape.oh * p->shape.ow * p->shape.o;
  int64_t image = j->first + shard * p->shape.n;
  ea_conv_along_before(&j->along, image, p->shape.n);
  if (j->cut) ea_conv_cut(y, y, j->cut + (size_t)shard * j->y_bytes, (int)p->shape.dtype, count);
  if (j->own_x && p->pass != EA_CONV_DATA) read_images(j, x, own);
  dnnl_status_t status = set(m[SRC], j->own_x ? own : x);
  if (!status) status = set(m[DST], y);
  if (!status && p->pass == EA_CONV_WEIGHTS)
    status = set(m[WEIGHTS], j->weights + (size_t)shard * p->weight_bytes);
  dnnl_exec_arg_t arg_list[] = {
      {p->pass == EA_CONV_DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, m[SRC]},
      {p->pass == EA_CONV_WEIGHTS ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, m[WEIGHTS]},
      {p->pass == EA_CONV_FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, m[DST]},
      {DNNL_ARG_SCRATCHPAD, m[SCRATCH]},
      {DNNL_ARG_BIAS, m[BIAS]}};
  if (!status)
    status = dnnl_primitive_execute(p->conv, ea_dnnl_stream(), p->bias ? 5 : 4, arg_list);
  if (status) j->status = status;
  else if (j->own_x && p->pass == EA_CONV_DATA) give_gradient(j, x, own);
  else if (residual) ea_conv_add(y, residual, (int)p->shape.dtype, count);
  if (j->relu) ea_conv_relu(y, (int)p->shape.dtype, count);
  ea_conv_along_behind(&j->along, shard, 1, image, p->shape.n);
}

/* Gives every thread its memory objects; all but images and partial sums stay set for the run. */
static dnnl_status_t prepare(job *j) {
  ea_dnnl_plan *p = j->p;
  for (int t = 0; t < ea_threads(); t++) {
    for (int s = 0; s < (p->bias ? SLOTS : BIAS); s++)
      if (!p->slot[t][s]) {
        dnnl_status_t status =
            dnnl_memory_create(&p->slot[t][s], &p->md[s], ea_dnnl_engine(), DNNL_MEMORY_NONE);
        if (status) return status;
      }
    dnnl_status_t status = set(p->slot[t][SCRATCH], j->thread + (size_t)t * j->thread_bytes);
    if (!status && p->pass != EA_CONV_WEIGHTS) status = set(p->slot[t][WEIGHTS], j->weights);
    if (!status && p->bias) status = set(p->slot[t][BIAS], ea_ptr(j->call->in[2]));
    if (status) return status;
  }
  return dnnl_success;
}

/* Between OIHW at `plain` and the primitive's format at `packed`. */
static dnnl_status_t reorder(job *j, void *plain, void *packed) {
  ea_dnnl_plan *p = j->p;
  int back = p->pass == EA_CONV_WEIGHTS;
  dnnl_status_t status = set(p->plain, plain);
  if (!status) status = set(p->packed, packed);
  if (!status) status = set(p->reorder_memory, j->thread);
  if (status) return status;
  dnnl_exec_arg_t arg[] = {{DNNL_ARG_FROM, back ? p->packed : p->plain},
                           {DNNL_ARG_TO, back ? p->plain : p->packed},
                           {DNNL_ARG_SCRATCHPAD, p->reorder_memory}};
  return dnnl_primitive_execute(p->reorder, ea_dnnl_stream(), 3, arg);
}

typedef struct partials {
  float *sum;
  int64_t stride, shards; /* sum[i] += sum[i + s * stride], s = 1.. in order */
} partials;

static void add_partials(void *arg, int64_t begin, int64_t end) {
  const partials *q = arg;
  for (int64_t s = 1; s < q->shards; s++) {
    const float *from = q->sum + s * q->stride;
    for (int64_t i = begin; i < end; i++) q->sum[i] += from[i];
  }
}

/* Runs `shards` executions of p from image `first` on; dry: only gets the memory for it. */
static int run_plan(ea_call *c, const ea_conv *v, ea_dnnl_plan *p, int64_t first, int64_t shards,
                    int dry) {
  int weights_pass = p->pass == EA_CONV_WEIGHTS;
  size_t e = (size_t)ea_dtype_size((int)v->dtype);
  size_t x_image = (size_t)(v->h * v->w * v->c) * e, y_image = (size_t)(v->oh * v->ow * v->o) * e;
  ea_tensor *x = p->pass == EA_CONV_DATA ? c->gin[0] : c->in[0];
  ea_tensor *y = p->pass == EA_CONV_FORWARD ? c->out[0] : c->gout[0];
  job j = {
      .call = c, .p = p, .whole = v, .first = first, .along = ea_conv_find_along(c, v, p->pass)};
  j.x = (char *)ea_ptr(x) + (size_t)first * x_image;
  j.y = (char *)ea_ptr(y) + (size_t)first * y_image;
  if (p->pass == EA_CONV_FORWARD && c->residual)
    j.residual = (char *)ea_ptr(c->residual) + (size_t)first * y_image;
  j.x_bytes = x_image * (size_t)p->shape.n;
  j.y_bytes = y_image * (size_t)p->shape.n;
  j.add = p->pass == EA_CONV_DATA && (c->accumulate & 1);
  int relu = c->norm && ea_bn_relu(c->norm);
  j.relu = relu && p->pass == EA_CONV_FORWARD;
  if (relu && p->pass == EA_CONV_DATA) j.cut = (char *)ea_ptr(c->out[0]) + (size_t)first * y_image;
  if (p->pass != EA_CONV_DATA) j.line = ea_conv_line(c);
  if (j.add || j.line || samples(v))
    j.own_x = ea_round64((size_t)(p->shape.n * p->shape.h * p->shape.w * v->c) * e);
  j.thread_bytes = p->scratch_bytes + j.own_x;
  int64_t count = v->o * (v->c / v->groups) * v->kh * v->kw;
  int add = weights_pass && (first > 0 || (c->accumulate >> 1 & 1));
  size_t packed = p->weight_bytes * (size_t)(weights_pass ? shards : 1);
  size_t plain = add ? ea_round64((size_t)count * 4) : 0;
  size_t along = j.along.shard_bytes * (size_t)shards, fixed = packed + plain + along;
  char *memory = ea_call_scratch(c, fixed + j.thread_bytes * (size_t)ea_threads());
  if (!memory) return EA_ERR_MEMORY;
  j.weights = memory;
  j.along.partial = memory + packed + plain;
  j.thread = memory + fixed;
  DNNL_TRY(c, "make memory objects", prepare(&j));
  if (dry) return EA_OK;
  if (!weights_pass) DNNL_TRY(c, "reorder the weights", reorder(&j, ea_ptr(c->in[1]), j.weights));
  ea_parallel(shards, run_shard, &j);
  DNNL_TRY(c, "run a convolution", j.status);
  ea_conv_along_end(&j.along, shards);
  if (weights_pass) {
    float *w = ea_f32(c->gin[1]), *sum = add ? (float *)(void *)(memory + packed) : w;
    partials q = {(float *)(void *)j.weights, (int64_t)(p->weight_bytes / 4), shards};
    ea_parallel_range(q.stride, EA_CHUNK, add_partials, &q);
    DNNL_TRY(c, "reorder the gradient", reorder(&j, sum, j.weights));
    if (add) ea_conv_add(w, sum, EA_F32, count);
  }
  return EA_OK;
}

/* Images of one execution. */
static int64_t shard_size(const ea_conv *v, int pass) {
  int64_t quarter = (v->n + EA_CONV_WEIGHT_SHARDS - 1) / EA_CONV_WEIGHT_SHARDS;
  if (pass == EA_CONV_WEIGHTS) return quarter;
  int64_t image = (v->h * v->w * v->c + v->oh * v->ow * v->o) * ea_dtype_size((int)v->dtype);
  return EA_MIN(v->n, EA_MAX(1, SHARD_BYTES / EA_MAX(1, image)));
}

int ea_conv_onednn(ea_call *c, const ea_conv *v, int pass, int dry) {
  if (v->dtype == EA_BF16 && !ea_conv_onednn_has_bf16()) return 1;
  /* 2.6.3 writes where it must not: seen from rows of 400 pixels on, not with 360. */
  if (v->dtype == EA_BF16 && pass == EA_CONV_WEIGHTS && v->ow > 256 && ea_amx()) return 1;
  one_thread();
  ea_conv read = *v;
  if (samples(v)) {
    read.h = v->oh;
    read.w = v->ow;
    read.stride = 1;
  }
  int64_t n = shard_size(v, pass), whole = v->n / n, rest = v->n % n;
  ea_dnnl_plan *p = NULL, *last = NULL;
  EA_TRY(ea_dnnl_find_plan(c, &read, n, pass, &p));
  if (rest) EA_TRY(ea_dnnl_find_plan(c, &read, rest, pass, &last));
  if (!p->fast || (last && !last->fast)) return 1;
  EA_TRY(run_plan(c, v, p, 0, whole, dry));
  return last ? run_plan(c, v, last, whole * n, 1, dry) : EA_OK;
}

#else

int ea_conv_onednn(ea_call *c, const ea_conv *v, int pass, int dry) {
  (void)c, (void)v, (void)pass, (void)dry;
  return 1;
}

#endif
