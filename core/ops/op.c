/* SPDX-License-Identifier: GPL-3.0-or-later
 * op.c - attributes, and what all kernels share.
 */
#include "op.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- attributes ---- */

const char *ea_schema_next(const char *s, ea_schema_item *item) {
  while (*s == ' ') s++;
  if (!*s) return NULL;
  const char *colon = strchr(s, ':'); /* is there: table.c has checked */
  item->name = s;
  item->name_length = (int)(colon - s);
  item->kind = colon[1];
  item->is_list = item->kind == 'L' || item->kind == 'X';
  item->has_default = colon[2] == '=';
  item->value = item->has_default ? strtod(colon + 3, NULL) : 0;
  s = colon + 2;
  while (*s && *s != ' ') s++;
  return s;
}

/* Whole, and small enough that a double holds it exactly. */
static int is_whole(double v) { return v >= -0x1p53 && v <= 0x1p53 && v == (double)(int64_t)v; }

int ea_call_set_attrs(ea_call *c, int nattr, const double *given) {
  const char *s = c->op->attrs ? c->op->attrs : "";
  ea_schema_item item;
  int k = 0, list = 0;
  if (nattr < 0 || nattr > EA_MAX_ATTR)
    return ea_call_fail(c, EA_ERR_ARG, "expected at most %d attributes, got %d", EA_MAX_ATTR,
                        nattr);
  while ((s = ea_schema_next(s, &item))) {
    if (item.is_list) {
      list = 1;
      break;
    }
    if (k < nattr) c->attr[k] = given[k];
    else if (item.has_default) c->attr[k] = item.value;
    else
      return ea_call_fail(c, EA_ERR_ARG, "the attribute '%.*s' must be given", item.name_length,
                          item.name);
    if (item.kind != 'f' && !is_whole(c->attr[k]))
      return ea_call_fail(c, EA_ERR_ARG, "the attribute '%.*s' must be a whole number, got %g",
                          item.name_length, item.name, c->attr[k]);
    if (item.kind == 'o' && c->attr[k] != 0 && c->attr[k] != 1)
      return ea_call_fail(c, EA_ERR_ARG, "indices count from 0 or 1, not from %g", c->attr[k]);
    k++;
  }
  if (nattr > k && !list)
    return ea_call_fail(c, EA_ERR_ARG, "expected at most %d attributes, got %d", k, nattr);
  for (; k < nattr; k++) {
    c->attr[k] = given[k];
    if (!is_whole(c->attr[k]))
      return ea_call_fail(c, EA_ERR_ARG, "a list of integers holds %g", c->attr[k]);
  }
  c->nattr = k;
  return EA_OK;
}

/* ---- calls ---- */

int ea_call_output(ea_call *c, int j, int dtype, int ndim, const int64_t *size) {
  c->shape[j].dtype = dtype;
  c->shape[j].ndim = ndim;
  for (int i = 0; i < ndim; i++) c->shape[j].size[i] = size[i];
  return EA_OK;
}

int ea_call_output_like(ea_call *c, int j, const ea_tensor *like) {
  return ea_call_output(c, j, like->dtype, like->ndim, like->size);
}

int ea_call_inputs(const ea_call *c) { return c->nin; }
ea_tensor *ea_call_in(const ea_call *c, int i) { return c->in[i]; }
ea_tensor *ea_call_out(const ea_call *c, int j) { return c->out[j]; }
ea_tensor *ea_call_gout(const ea_call *c, int j) { return c->gout[j]; }
ea_tensor *ea_call_gin(const ea_call *c, int i) { return c->gin[i]; }
int ea_call_attrs(const ea_call *c) { return c->nattr; }
double ea_call_attr(const ea_call *c, int k) { return c->attr[k]; }
int ea_call_accumulates(const ea_call *c, int i) { return c->accumulate >> i & 1; }
int ea_call_needs_backward(const ea_call *c) { return c->needs_backward; }
uint64_t ea_call_step(const ea_call *c) { return c->step; }

void *ea_call_scratch(ea_call *c, size_t bytes) {
  ea_scratch *s = c->scratch ? c->scratch : &c->own_scratch;
  if (s->bytes >= bytes && s->data) return s->data;
  ea_free(s->data);
  s->bytes = 0;
  s->data = ea_alloc(bytes);
  if (s->data) s->bytes = bytes;
  return s->data;
}

void ea_call_clear(ea_call *c) {
  ea_free(c->own_scratch.data);
  c->own_scratch = (ea_scratch){0};
  if (c->free_state) c->free_state(c->state);
  c->state = NULL;
  c->free_state = NULL;
}

int ea_call_run(ea_call *c, int (*pass)(ea_call *c)) {
  ea_interrupt_watch(1);
  int status = pass(c);
  ea_interrupt_watch(0);
  return status < 0 ? status : ea_interrupt_check();
}

int ea_call_fail(const ea_call *c, int code, const char *format, ...) {
  char sentence[800];
  va_list args;
  va_start(args, format);
  vsnprintf(sentence, sizeof sentence, format, args);
  va_end(args);
  return ea_fail(code, "%s: %s", c->op->name, sentence);
}

/* "input 2" with a name for the usual single input. */
static const char *which(const ea_call *c, int i) {
  static _Thread_local char text[24];
  snprintf(text, sizeof text, c->nin == 1 ? "the input" : "input %d", i + 1);
  return text;
}

int ea_call_check_float(const ea_call *c, int i) {
  int t = c->in[i]->dtype;
  if (t == EA_F32 || t == EA_F64 || t == EA_BF16) return EA_OK;
  return ea_call_fail(c, EA_ERR_DTYPE,
                      "%s must be f32, bf16 or f64, got %s; convert it with :to(\"f32\")",
                      which(c, i), ea_shape_text(c->in[i]));
}

int ea_call_check_ndim(const ea_call *c, int i, int ndim) {
  if (c->in[i]->ndim == ndim) return EA_OK;
  return ea_call_fail(c, EA_ERR_SHAPE, "%s must have %d dimensions, got %s", which(c, i), ndim,
                      ea_shape_text(c->in[i]));
}

int ea_call_check_dtype(const ea_call *c, int i, int dtype) {
  if (c->in[i]->dtype == dtype) return EA_OK;
  return ea_call_fail(c, EA_ERR_DTYPE, "%s must be %s, got %s", which(c, i), ea_dtype_name(dtype),
                      ea_shape_text(c->in[i]));
}

int ea_call_check_same_dtype(const ea_call *c) {
  for (int i = 1; i < c->nin; i++)
    if (c->in[i]->dtype != c->in[0]->dtype)
      return ea_call_fail(c, EA_ERR_DTYPE,
                          "the inputs must be of one type, got %s and %s; convert one with :to()",
                          ea_shape_text(c->in[0]), ea_shape_text(c->in[i]));
  return EA_OK;
}

/* ---- ranges ---- */

typedef struct {
  int64_t n, chunk;
  ea_range_fn fn;
  void *arg;
} range_job;

static void run_range(void *arg, int64_t shard) {
  range_job *job = arg;
  int64_t begin = shard * job->chunk;
  job->fn(job->arg, begin, EA_MIN(begin + job->chunk, job->n));
}

void ea_parallel_range(int64_t n, int64_t chunk, ea_range_fn fn, void *arg) {
  range_job job = {n, chunk, fn, arg};
  ea_parallel((n + chunk - 1) / chunk, run_range, &job);
}

void ea_load_f32(float *restrict to, const void *from, int dtype, int64_t n) {
  if (dtype == EA_F32) {
    memcpy(to, from, (size_t)n * sizeof *to);
    return;
  }
  const uint16_t *h = from;
  for (int64_t i = 0; i < n; i++) to[i] = ea_bf16_to_f32(h[i]);
}

void ea_store_f32(void *to, int dtype, const float *restrict from, int64_t n) {
  if (dtype == EA_F32) {
    memcpy(to, from, (size_t)n * sizeof *from);
    return;
  }
  uint16_t *h = to;
  for (int64_t i = 0; i < n; i++) h[i] = ea_f32_to_bf16(from[i]);
}

typedef struct {
  ea_tensor *dst;
  const ea_tensor *src;
} accumulate_job;

static void accumulate_range(void *arg, int64_t begin, int64_t end) {
  accumulate_job *job = arg;
  if (job->dst->dtype == EA_F32) {
    float *d = ea_f32(job->dst);
    const float *s = ea_f32(job->src);
    for (int64_t i = begin; i < end; i++) d[i] += s[i];
  } else if (job->dst->dtype == EA_F64) {
    double *d = ea_f64(job->dst);
    const double *s = ea_f64(job->src);
    for (int64_t i = begin; i < end; i++) d[i] += s[i];
  } else {
    uint16_t *d = ea_bf16(job->dst);
    const uint16_t *s = ea_bf16(job->src);
    for (int64_t i = begin; i < end; i++)
      d[i] = ea_f32_to_bf16(ea_bf16_to_f32(d[i]) + ea_bf16_to_f32(s[i]));
  }
}

unsigned ea_op_needed_inputs(const ea_op *op, int first, int second) {
  if (!(op->flags & EA_OP_BILINEAR)) return op->need_in;
  return op->need_in & ~((second ? 0u : 1u) | (first ? 0u : 2u));
}

void ea_accumulate(ea_tensor *dst, const ea_tensor *src) {
  accumulate_job job = {dst, src};
  ea_parallel_range(ea_tensor_count(dst), EA_CHUNK, accumulate_range, &job);
}
