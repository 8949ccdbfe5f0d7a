/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d by oneDNN (2.6, C interface); the only user of dnnl.h and omp.h.
 *
 * The batch is cut into shards by shape alone, and each shard is one single-threaded execution of a
 * primitive made for that many images. Plans (primitive, weight format, memory objects) are kept in
 * one cache for the whole process, so that eager calls of a known shape create nothing.
 */
#include "amx.h"
#include "batch_norm.h"
#include "conv2d_winograd.h"

#if EA_WITH_ONEDNN

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>

enum {
  PLANS = 512,
  THREADS = 64,
  SHARD_BYTES = 1 << 20,
  ROOM = 32 << 20, /* bytes that must be left: without memory for code oneDNN crashes */
};
enum { SRC, WEIGHTS, DST, SCRATCH, BIAS, SLOTS }; /* memory objects of a thread */

typedef struct plan {
  ea_conv shape; /* n: images of one execution */
  int pass, bias, winograd;
  int fast; /* 0: oneDNN has only its reference code for this */
  dnnl_primitive_t conv, reorder;
  dnnl_memory_desc_t md[SLOTS], reorder_scratch;
  size_t weight_bytes, scratch_bytes; /* multiples of 64 */
  dnnl_memory_t slot[THREADS][SLOTS];
  dnnl_memory_t plain, packed, reorder_memory; /* the reorder's: f32 OIHW, the primitive's own */
  uint64_t used;
} plan;

static struct {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  plan *plan[PLANS];
  int count;
  uint64_t clock;
  char name[32];
} lib;

static int lib_fail(const ea_call *c, const char *what, dnnl_status_t status) {
  return ea_call_fail(c, status == dnnl_out_of_memory ? EA_ERR_MEMORY : EA_ERR_UNSUPPORTED,
                      "oneDNN failed to %s (status %d); EDGEAI_CONV=portable avoids it", what,
                      (int)status);
}

#define DNNL_TRY(c, what, call)                                         \
  do {                                                                  \
    dnnl_status_t status_ = (call);                                     \
    if (status_ != dnnl_success) return lib_fail((c), (what), status_); \
  } while (0)

const char *ea_conv_onednn_name(void) {
  if (!lib.name[0]) {
    const dnnl_version_t *v = dnnl_version();
    snprintf(lib.name, sizeof lib.name, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
  }
  return lib.name;
}

int ea_conv_onednn_has_bf16(void) {
  int bf16 = dnnl_cpu_isa_avx512_core_bf16;
  return ((int)dnnl_get_effective_cpu_isa() & bf16) == bf16;
}

/* oneDNN divides the work over OpenMP's threads unless told, in each thread, that there is one. */
static void one_thread(void) {
  static __thread int told;
  if (!told) omp_set_num_threads(1);
  told = 1;
}

static size_t round64(size_t n) { return (n + 63) / 64 * 64; }

/* ---- plans ---- */

static void plan_free(plan *p) {
  if (!p) return;
  if (p->conv) dnnl_primitive_destroy(p->conv);
  if (p->reorder) dnnl_primitive_destroy(p->reorder);
  for (int t = 0; t < THREADS; t++)
    for (int s = 0; s < SLOTS; s++)
      if (p->slot[t][s]) dnnl_memory_destroy(p->slot[t][s]);
  if (p->plain) dnnl_memory_destroy(p->plain);
  if (p->packed) dnnl_memory_destroy(p->packed);
  if (p->reorder_memory) dnnl_memory_destroy(p->reorder_memory);
  ea_free(p);
}

/* Memory descriptor of w: OIHW or anything the primitive likes. */
static dnnl_status_t describe_weights(const ea_conv *v, dnnl_data_type_t type, int plain,
                                      dnnl_memory_desc_t *md) {
  if (v->groups == 1) {
    dnnl_dims_t d = {v->o, v->c, v->kh, v->kw};
    return dnnl_memory_desc_init_by_tag(md, 4, d, type, plain ? dnnl_oihw : dnnl_format_tag_any);
  }
  dnnl_dims_t d = {v->groups, v->o / v->groups, v->c / v->groups, v->kh, v->kw};
  return dnnl_memory_desc_init_by_tag(md, 5, d, type, plain ? dnnl_goihw : dnnl_format_tag_any);
}

static dnnl_status_t describe_pass(plan *p, int pass, const dnnl_memory_desc_t *w,
                                   dnnl_convolution_desc_t *d) {
  const ea_conv *v = &p->shape;
  dnnl_dims_t stride = {v->stride, v->stride}, pad = {v->pad, v->pad};
  dnnl_dims_t dilate = {v->dilation - 1, v->dilation - 1};
  const dnnl_memory_desc_t *x = &p->md[SRC], *y = &p->md[DST];
  dnnl_alg_kind_t how = p->winograd ? dnnl_convolution_winograd : dnnl_convolution_direct;
  if (pass == EA_CONV_FORWARD)
    return dnnl_dilated_convolution_forward_desc_init(d, dnnl_forward_training, how, x, w,
                                                      p->bias ? &p->md[BIAS] : NULL, y, stride,
                                                      dilate, pad, pad);
  if (pass == EA_CONV_DATA)
    return dnnl_dilated_convolution_backward_data_desc_init(d, how, x, w, y, stride, dilate, pad,
                                                            pad);
  return dnnl_dilated_convolution_backward_weights_desc_init(d, how, x, w, NULL, y, stride, dilate,
                                                             pad, pad);
}

static dnnl_status_t make_conv(plan *p, dnnl_primitive_attr_t attr) {
  const ea_conv *v = &p->shape;
  dnnl_data_type_t type = v->dtype == EA_BF16 ? dnnl_bf16 : dnnl_f32;
  dnnl_format_tag_t layout = p->winograd ? dnnl_nChw16c : dnnl_nhwc;
  dnnl_dims_t x = {v->n, v->c, v->h, v->w}, y = {v->n, v->o, v->oh, v->ow}, b = {v->o};
  dnnl_memory_desc_init_by_tag(&p->md[SRC], 4, x, type, layout);
  dnnl_memory_desc_init_by_tag(&p->md[DST], 4, y, type, layout);
  dnnl_memory_desc_init_by_tag(&p->md[BIAS], 1, b, dnnl_f32, dnnl_a);
  dnnl_memory_desc_t w;
  dnnl_convolution_desc_t d;
  dnnl_primitive_desc_t hint = NULL, pd = NULL;
  dnnl_status_t status;
  if (p->pass != EA_CONV_FORWARD) {
    describe_weights(v, type, 0, &w);
    status = describe_pass(p, EA_CONV_FORWARD, &w, &d);
    if (!status) status = dnnl_primitive_desc_create(&hint, &d, attr, lib.engine, NULL);
    if (status) return status;
  }
  describe_weights(v, p->pass == EA_CONV_WEIGHTS ? dnnl_f32 : type, 0, &w);
  status = describe_pass(p, p->pass, &w, &d);
  if (!status) status = dnnl_primitive_desc_create(&pd, &d, attr, lib.engine, hint);
  if (hint) dnnl_primitive_desc_destroy(hint);
  if (status) return status;
  const char *name = "";
  dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
  p->fast = strncmp(name, "ref", 3) != 0;
  if (p->fast) {
    p->md[WEIGHTS] = *dnnl_primitive_desc_query_md(
        pd, p->pass == EA_CONV_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    p->md[SCRATCH] = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    p->weight_bytes = round64(dnnl_memory_desc_get_size(&p->md[WEIGHTS]));
    p->scratch_bytes = round64(dnnl_memory_desc_get_size(&p->md[SCRATCH]));
    status = dnnl_primitive_create(&p->conv, pd);
  }
  dnnl_primitive_desc_destroy(pd);
  return status;
}

static dnnl_status_t make_reorder(plan *p, dnnl_primitive_attr_t attr) {
  dnnl_memory_desc_t plain;
  describe_weights(&p->shape, dnnl_f32, 1, &plain);
  int back = p->pass == EA_CONV_WEIGHTS;
  const dnnl_memory_desc_t *from = back ? &p->md[WEIGHTS] : &plain;
  const dnnl_memory_desc_t *to = back ? &plain : &p->md[WEIGHTS];
  dnnl_primitive_desc_t pd;
  dnnl_status_t status =
      dnnl_reorder_primitive_desc_create(&pd, from, lib.engine, to, lib.engine, attr);
  if (status) return status;
  p->reorder_scratch = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
  p->scratch_bytes =
      EA_MAX(p->scratch_bytes, round64(dnnl_memory_desc_get_size(&p->reorder_scratch)));
  status = dnnl_primitive_create(&p->reorder, pd);
  dnnl_primitive_desc_destroy(pd);
  if (!status) status = dnnl_memory_create(&p->plain, &plain, lib.engine, DNNL_MEMORY_NONE);
  if (!status)
    status = dnnl_memory_create(&p->packed, &p->md[WEIGHTS], lib.engine, DNNL_MEMORY_NONE);
  if (!status)
    status =
        dnnl_memory_create(&p->reorder_memory, &p->reorder_scratch, lib.engine, DNNL_MEMORY_NONE);
  return status;
}

static dnnl_status_t make_plan(plan *p) {
  dnnl_status_t status = dnnl_success;
  if (!lib.engine) status = dnnl_engine_create(&lib.engine, dnnl_cpu, 0);
  if (!status && !lib.stream)
    status = dnnl_stream_create(&lib.stream, lib.engine, dnnl_stream_default_flags);
  dnnl_primitive_attr_t attr = NULL;
  if (!status) status = dnnl_primitive_attr_create(&attr);
  if (status) return status;
  status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
  if (!status) status = make_conv(p, attr);
  if (!status && p->fast) status = make_reorder(p, attr);
  dnnl_primitive_attr_destroy(attr);
  if (status == dnnl_unimplemented || status == dnnl_invalid_arguments) {
    p->fast = 0; /* remembered: the portable path does it */
    return dnnl_success;
  }
  return status;
}

/* The plan for `n` images of v, from the cache or new; the least recently used one makes room. */
static int find_plan(ea_call *c, const ea_conv *v, int64_t n, int pass, int winograd, plan **out) {
  ea_conv key = *v;
  key.n = n;
  int bias = pass == EA_CONV_FORWARD && c->nin == 3, oldest = 0;
  for (int i = 0; i < lib.count; i++) {
    plan *p = lib.plan[i];
    if (p->pass == pass && p->bias == bias && p->winograd == winograd &&
        memcmp(&p->shape, &key, sizeof key) == 0) {
      p->used = ++lib.clock;
      *out = p;
      return EA_OK;
    }
    if (p->used < lib.plan[oldest]->used) oldest = i;
  }
  EA_TRY(ea_memory_room(ROOM, "oneDNN"));
  plan *p = ea_alloc_zero(sizeof *p);
  if (!p) return EA_ERR_MEMORY;
  p->shape = key;
  p->pass = pass;
  p->bias = bias;
  p->winograd = winograd;
  dnnl_status_t status = make_plan(p);
  if (status) {
    plan_free(p);
    return lib_fail(c, "make a convolution", status);
  }
  int at = lib.count < PLANS ? lib.count++ : oldest;
  plan_free(lib.plan[at]);
  lib.plan[at] = p;
  p->used = ++lib.clock;
  *out = p;
  return EA_OK;
}

/* ---- execution ---- */

typedef struct job {
  ea_call *call;
  plan *p;
  char *x, *y;                       /* first image */
  size_t x_bytes, y_bytes;           /* of one execution */
  char *weights;                     /* weights pass: one partial sum per shard */
  char *thread;                      /* per thread: the primitive's scratch, then its own x and y */
  size_t thread_bytes, own_x, own_y; /* 0: it works on the tensor's memory */
  int add;                           /* data pass: add to x */
  const char *residual;              /* NULL, or what forward adds to y */
  const char *cut; /* NULL, or y itself: its zeros cut the gradient; a ReLU wrote them */
  int relu;
  const ea_bn_line *line; /* NULL, or what x is read through */
  ea_conv_along along;
  int64_t first;        /* image */
  dnnl_status_t status; /* last failure of a shard */
} job;

static dnnl_status_t set(dnnl_memory_t m, void *at) {
  return dnnl_memory_set_data_handle_v2(m, at, lib.stream);
}

/* What a shard reads, into the thread's own memory; x is written in the data pass, y in forward. */
static void pack(const job *j, const char *x, const char *y, float *own_x, float *own_y) {
  const ea_conv *v = &j->p->shape;
  if (j->p->pass != EA_CONV_DATA) ea_pack_nchw16c(own_x, x, v->n, v->h * v->w, v->c, j->line);
  if (j->p->pass != EA_CONV_FORWARD) ea_pack_nchw16c(own_y, y, v->n, v->oh * v->ow, v->o, NULL);
}

static void unpack(const job *j, char *x, char *y, const char *residual, const float *own_x,
                   const float *own_y) {
  const ea_conv *v = &j->p->shape;
  if (j->p->pass == EA_CONV_FORWARD)
    ea_unpack_nchw16c(y, own_y, v->n, v->oh * v->ow, v->o, residual);
  if (j->p->pass == EA_CONV_DATA)
    ea_unpack_nchw16c(x, own_x, v->n, v->h * v->w, v->c, j->add ? x : NULL);
}

static void run_shard(void *arg, int64_t shard) {
  job *j = arg;
  plan *p = j->p;
  int t = ea_thread_index();
  one_thread();
  dnnl_memory_t *m = p->slot[t];
  char *own = j->thread + (size_t)t * j->thread_bytes + p->scratch_bytes;
  char *x = j->x + (size_t)shard * j->x_bytes, *y = j->y + (size_t)shard * j->y_bytes;
  const char *residual = j->residual ? j->residual + (size_t)shard * j->y_bytes : NULL;
  float *own_x = (float *)(void *)own, *own_y = (float *)(void *)(own + j->own_x);
  int64_t count = p->shape.n * p->shape.oh * p->shape.ow * p->shape.o;
  int64_t image = j->first + shard * p->shape.n;
  ea_conv_along_before(&j->along, image, p->shape.n);
  if (j->cut) ea_conv_cut(y, j->cut + (size_t)shard * j->y_bytes, (int)p->shape.dtype, count);
  if (p->winograd) pack(j, x, y, own_x, own_y);
  else if (j->line)
    ea_bn_apply(j->line, (int)p->shape.dtype, 0, p->shape.c, own, p->shape.c, x, p->shape.c,
                p->shape.n * p->shape.h * p->shape.w);
  dnnl_status_t status = set(m[SRC], j->own_x ? own : x);
  if (!status) status = set(m[DST], j->own_y ? own + j->own_x : y);
  if (!status && p->pass == EA_CONV_WEIGHTS)
    status = set(m[WEIGHTS], j->weights + (size_t)shard * p->weight_bytes);
  dnnl_exec_arg_t arg_list[] = {
      {p->pass == EA_CONV_DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, m[SRC]},
      {p->pass == EA_CONV_WEIGHTS ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, m[WEIGHTS]},
      {p->pass == EA_CONV_FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, m[DST]},
      {DNNL_ARG_SCRATCHPAD, m[SCRATCH]},
      {DNNL_ARG_BIAS, m[BIAS]}};
  if (!status) status = dnnl_primitive_execute(p->conv, lib.stream, p->bias ? 5 : 4, arg_list);
  if (status) j->status = status;
  else if (p->winograd) unpack(j, x, y, residual, own_x, own_y);
  else if (j->add)
    ea_conv_add(x, own, (int)p->shape.dtype, p->shape.n * p->shape.h * p->shape.w * p->shape.c);
  else if (residual) ea_conv_add(y, residual, (int)p->shape.dtype, count);
  if (j->relu) ea_conv_relu(y, (int)p->shape.dtype, count);
  ea_conv_along_behind(&j->along, shard, 1, image, p->shape.n);
}

/* Gives every thread its memory objects; all but images and partial sums stay set for the run. */
static dnnl_status_t prepare(job *j) {
  plan *p = j->p;
  for (int t = 0; t < ea_threads(); t++) {
    for (int s = 0; s < (p->bias ? SLOTS : BIAS); s++)
      if (!p->slot[t][s]) {
        dnnl_status_t status =
            dnnl_memory_create(&p->slot[t][s], &p->md[s], lib.engine, DNNL_MEMORY_NONE);
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
  plan *p = j->p;
  int back = p->pass == EA_CONV_WEIGHTS;
  dnnl_status_t status = set(p->plain, plain);
  if (!status) status = set(p->packed, packed);
  if (!status) status = set(p->reorder_memory, j->thread);
  if (status) return status;
  dnnl_exec_arg_t arg[] = {{DNNL_ARG_FROM, back ? p->packed : p->plain},
                           {DNNL_ARG_TO, back ? p->plain : p->packed},
                           {DNNL_ARG_SCRATCHPAD, p->reorder_memory}};
  return dnnl_primitive_execute(p->reorder, lib.stream, 3, arg);
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
static int run_plan(ea_call *c, const ea_conv *v, plan *p, int64_t first, int64_t shards, int dry) {
  int weights_pass = p->pass == EA_CONV_WEIGHTS;
  size_t e = (size_t)ea_dtype_size((int)v->dtype);
  size_t x_image = (size_t)(v->h * v->w * v->c) * e, y_image = (size_t)(v->oh * v->ow * v->o) * e;
  ea_tensor *x = p->pass == EA_CONV_DATA ? c->gin[0] : c->in[0];
  ea_tensor *y = p->pass == EA_CONV_FORWARD ? c->out[0] : c->gout[0];
  job j = {.call = c, .p = p, .first = first, .along = ea_conv_find_along(c, v, p->pass)};
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
  if (p->winograd || j.add || j.line) j.own_x = round64(j.x_bytes);
  if (p->winograd) j.own_y = round64(j.y_bytes);
  j.thread_bytes = p->scratch_bytes + j.own_x + j.own_y;
  int64_t count = v->o * (v->c / v->groups) * v->kh * v->kw;
  int add = weights_pass && (first > 0 || (c->accumulate >> 1 & 1));
  size_t packed = p->weight_bytes * (size_t)(weights_pass ? shards : 1);
  size_t plain = add ? round64((size_t)count * 4) : 0;
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
static int64_t shard_size(const ea_conv *v, int pass, int winograd) {
  int64_t quarter = (v->n + EA_CONV_WEIGHT_SHARDS - 1) / EA_CONV_WEIGHT_SHARDS;
  if (winograd) return EA_MIN(quarter, EA_MAX(8, 8192 / (v->h * v->w)));
  if (pass == EA_CONV_WEIGHTS) return quarter;
  int64_t image = (v->h * v->w * v->c + v->oh * v->ow * v->o) * ea_dtype_size((int)v->dtype);
  return EA_MIN(v->n, EA_MAX(1, SHARD_BYTES / EA_MAX(1, image)));
}

/* Runs the pass if oneDNN has a fast kernel for it, else returns 1. */
static int run_pass(ea_call *c, const ea_conv *v, int pass, int winograd, int dry) {
  int64_t n = shard_size(v, pass, winograd), whole = v->n / n, rest = v->n % n;
  plan *p = NULL, *last = NULL;
  EA_TRY(find_plan(c, v, n, pass, winograd, &p));
  if (rest) EA_TRY(find_plan(c, v, rest, pass, winograd, &last));
  if (!p->fast || (last && !last->fast)) return 1;
  EA_TRY(run_plan(c, v, p, 0, whole, dry));
  return last ? run_plan(c, v, last, whole * n, 1, dry) : EA_OK;
}

int ea_conv_onednn(ea_call *c, const ea_conv *v, int pass, int dry) {
  if (v->dtype == EA_BF16 && !ea_conv_onednn_has_bf16()) return 1;
  /* 2.6.3 writes where it must not: seen from rows of 400 pixels on, not with 360. */
  if (v->dtype == EA_BF16 && pass == EA_CONV_WEIGHTS && v->ow > 256 && ea_amx()) return 1;
  one_thread();
  int status = ea_conv_prefers_winograd(c, v) ? run_pass(c, v, pass, 1, dry) : 1;
  return status == 1 ? run_pass(c, v, pass, 0, dry) : status;
}

#else

const char *ea_conv_onednn_name(void) { return NULL; }
int ea_conv_onednn_has_bf16(void) { return 0; }
int ea_conv_onednn(ea_call *c, const ea_conv *v, int pass, int dry) {
  (void)c, (void)v, (void)pass, (void)dry;
  return 1;
}

#endif
