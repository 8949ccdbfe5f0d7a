/* SPDX-License-Identifier: GPL-3.0-or-later
 * expr.c - see expr.h.
 */
#include "expr.h"

#include <math.h>

/* ---- element types in and out of the computing type ------------------------------------------ */

#define LOAD(T)                                                                     \
  static void load_##T(T *to, const void *data, int dtype, int64_t at, int64_t n) { \
    switch (dtype) {                                                                \
      case EA_F32: {                                                                \
        const float *v = (const float *)data + at;                                  \
        for (int64_t i = 0; i < n; i++) to[i] = (T)v[i];                            \
      } break;                                                                      \
      case EA_F64: {                                                                \
        const double *v = (const double *)data + at;                                \
        for (int64_t i = 0; i < n; i++) to[i] = (T)v[i];                            \
      } break;                                                                      \
      case EA_BF16: {                                                               \
        const uint16_t *v = (const uint16_t *)data + at;                            \
        for (int64_t i = 0; i < n; i++) to[i] = ea_bf16_to_f32(v[i]);               \
      } break;                                                                      \
      case EA_I32: {                                                                \
        const int32_t *v = (const int32_t *)data + at;                              \
        for (int64_t i = 0; i < n; i++) to[i] = (T)v[i];                            \
      } break;                                                                      \
      case EA_U8: {                                                                 \
        const uint8_t *v = (const uint8_t *)data + at;                              \
        for (int64_t i = 0; i < n; i++) to[i] = v[i];                               \
      } break;                                                                      \
      default: {                                                                    \
        const int8_t *v = (const int8_t *)data + at;                                \
        for (int64_t i = 0; i < n; i++) to[i] = v[i];                               \
      }                                                                             \
    }                                                                               \
  }
LOAD(float)
LOAD(double)

static inline double to_integer(double v, double low, double high) {
  return v != v ? 0 : v <= low ? low : v >= high ? high : rint(v);
}

#define STORE(T)                                                                                   \
  static void store_##T(void *data, int dtype, int64_t at, const T *from, int64_t n) {             \
    switch (dtype) {                                                                               \
      case EA_F32: {                                                                               \
        float *v = (float *)data + at;                                                             \
        for (int64_t i = 0; i < n; i++) v[i] = (float)from[i];                                     \
      } break;                                                                                     \
      case EA_F64: {                                                                               \
        double *v = (double *)data + at;                                                           \
        for (int64_t i = 0; i < n; i++) v[i] = from[i];                                            \
      } break;                                                                                     \
      case EA_BF16: {                                                                              \
        uint16_t *v = (uint16_t *)data + at;                                                       \
        for (int64_t i = 0; i < n; i++) v[i] = ea_f32_to_bf16((float)from[i]);                     \
      } break;                                                                                     \
      case EA_I32: {                                                                               \
        int32_t *v = (int32_t *)data + at;                                                         \
        for (int64_t i = 0; i < n; i++) v[i] = (int32_t)to_integer(from[i], INT32_MIN, INT32_MAX); \
      } break;                                                                                     \
      case EA_U8: {                                                                                \
        uint8_t *v = (uint8_t *)data + at;                                                         \
        for (int64_t i = 0; i < n; i++) v[i] = (uint8_t)to_integer(from[i], 0, UINT8_MAX);         \
      } break;                                                                                     \
      default: {                                                                                   \
        int8_t *v = (int8_t *)data + at;                                                           \
        for (int64_t i = 0; i < n; i++) v[i] = (int8_t)to_integer(from[i], INT8_MIN, INT8_MAX);    \
      }                                                                                            \
    }                                                                                              \
  }
STORE(float)
STORE(double)

/* The computing type is float (wide 0) or double (wide 1). */
static void load(int wide, void *to, const void *data, int dtype, int64_t at, int64_t n) {
  if (wide) load_double(to, data, dtype, at, n);
  else load_float(to, data, dtype, at, n);
}

static void store(int wide, void *data, int dtype, int64_t at, const void *from, int64_t n) {
  if (wide) store_double(data, dtype, at, from, n);
  else store_float(data, dtype, at, from, n);
}

void ea_tensor_read(const ea_tensor *t, int64_t begin, int64_t n, double *to) {
  load_double(to, t->storage->data, t->dtype, t->offset + begin, n);
}

void ea_tensor_write(ea_tensor *t, int64_t begin, int64_t n, const double *from) {
  store_double(t->storage->data, t->dtype, t->offset + begin, from, n);
}

static void fill(int wide, void *to, int64_t n) { /* with to[0] */
  if (wide) {
    double *v = to, first = v[0];
    for (int64_t i = 1; i < n; i++) v[i] = first;
  } else {
    float *v = to, first = v[0];
    for (int64_t i = 1; i < n; i++) v[i] = first;
  }
}

/* ---- operands -------------------------------------------------------------------------------- */

static void operand_set(ea_expr *e, int slot, const void *data, int dtype, const int64_t *stride) {
  ea_operand *o = &e->in[slot];
  o->data = data;
  o->dtype = dtype;
  o->ndim = 0;
  for (int d = 0; d < e->ndim; d++) {
    if (e->size[d] == 1) continue;
    int last = o->ndim - 1;
    if (last >= 0 && o->stride[last] == stride[d] * e->size[d]) {
      o->size[last] *= e->size[d];
      o->stride[last] = stride[d];
    } else {
      o->size[o->ndim] = e->size[d];
      o->stride[o->ndim++] = stride[d];
    }
  }
  if (o->ndim == 0) {
    o->size[0] = 1;
    o->stride[0] = 1;
    o->ndim = 1;
  }
}

void ea_expr_init(ea_expr *e, int ndim, const int64_t *size, ea_kernel f32, ea_kernel f64) {
  memset(e, 0, sizeof *e);
  e->ndim = ndim;
  e->count = 1;
  for (int d = 0; d < ndim; d++) e->count *= e->size[d] = size[d];
  e->f32 = f32;
  e->f64 = f64;
}

void ea_expr_array(ea_expr *e, int slot, const void *data, int dtype, int ndim,
                   const int64_t *size) {
  int64_t stride[EA_MAX_DIM] = {0}, step = 1;
  for (int d = e->ndim - 1, k = ndim - 1; k >= 0; d--, k--) {
    stride[d] = size[k] == 1 ? 0 : step;
    step *= size[k];
  }
  operand_set(e, slot, data, dtype, stride);
}

void ea_expr_tensor(ea_expr *e, int slot, const ea_tensor *t) {
  ea_expr_array(e, slot, ea_ptr(t), t->dtype, t->ndim, t->size);
}

void ea_expr_reduced(ea_expr *e, int slot, const void *data, int dtype, unsigned mask) {
  int64_t size[EA_MAX_DIM];
  for (int d = 0; d < e->ndim; d++) size[d] = mask >> d & 1 ? 1 : e->size[d];
  ea_expr_array(e, slot, data, dtype, e->ndim, size);
}

/* A vector repeated over all rows: lay down one period, then double it in place. */
static void gather_periodic(const ea_operand *o, int wide, int64_t begin, int64_t n, char *to) {
  int64_t width = wide ? sizeof(double) : sizeof(float);
  int64_t period = o->size[1], at = begin % period;
  int64_t done = EA_MIN(n, period - at);
  load(wide, to, o->data, o->dtype, at, done);
  if (done < n && done < period) {
    int64_t more = EA_MIN(n, period) - done;
    load(wide, to + done * width, o->data, o->dtype, 0, more);
    done += more;
  }
  while (done < n) {
    int64_t more = EA_MIN(done, n - done);
    memcpy(to + done * width, to, (size_t)(more * width));
    done += more;
  }
}

static void gather(const ea_operand *o, int wide, int64_t begin, int64_t n, char *to) {
  int64_t width = wide ? sizeof(double) : sizeof(float);
  int inner = o->ndim - 1;
  if (o->ndim == 2 && o->stride[0] == 0 && o->stride[1] == 1) {
    gather_periodic(o, wide, begin, n, to);
    return;
  }
  int64_t index[EA_MAX_DIM], at = 0, rest = begin;
  for (int d = inner; d >= 0; d--) {
    index[d] = rest % o->size[d];
    rest /= o->size[d];
    at += index[d] * o->stride[d];
  }
  while (n > 0) {
    int64_t run = EA_MIN(n, o->size[inner] - index[inner]);
    if (o->stride[inner] == 0) {
      load(wide, to, o->data, o->dtype, at, 1);
      fill(wide, to, run);
    } else {
      load(wide, to, o->data, o->dtype, at, run);
    }
    to += run * width;
    n -= run;
    at -= index[inner] * o->stride[inner];
    index[inner] = 0;
    for (int d = inner - 1; d >= 0; d--) {
      at += o->stride[d];
      if (++index[d] < o->size[d]) break;
      at -= index[d] * o->stride[d];
      index[d] = 0;
    }
  }
}

/* n values of the computing type: in place where they are that already, or else in `buffer`. */
static const void *fetch(const ea_operand *o, int wide, int64_t begin, int64_t n, void *buffer) {
  if (o->ndim == 1 && o->stride[0] == 1) {
    if (o->dtype == EA_F32 && !wide) return (const float *)o->data + begin;
    if (o->dtype == EA_F64 && wide) return (const double *)o->data + begin;
    load(wide, buffer, o->data, o->dtype, begin, n);
  } else {
    gather(o, wide, begin, n, buffer);
  }
  return buffer;
}

/* ---- evaluation ------------------------------------------------------------------------------ */

typedef double block_buffer[EA_BLOCK] __attribute__((aligned(64)));

static const void *block(const ea_expr *e, int wide, int64_t begin, int64_t n, void *to) {
  if (!e->f64) return fetch(&e->in[0], wide, begin, n, to);
  block_buffer buffer[EA_EXPR_IN];
  const void *in[EA_EXPR_IN] = {NULL};
  for (int k = 0; k < EA_EXPR_IN; k++)
    if (e->in[k].data) in[k] = fetch(&e->in[k], wide, begin, n, buffer[k]);
  (wide ? e->f64 : e->f32)(in, to, n, e->attr);
  return to;
}

const double *ea_expr_f64(const ea_expr *e, int64_t begin, int64_t n, double *to) {
  return block(e, 1, begin, n, to);
}

typedef struct job {
  const ea_expr *e;
  void *out;
  int dtype, accumulate, wide;
} job;

static void add_to(int wide, const job *j, int64_t begin, int64_t n, const void *value) {
  block_buffer sum;
  load(wide, sum, j->out, j->dtype, begin, n);
  if (wide) {
    double *s = sum;
    for (int64_t i = 0; i < n; i++) s[i] += ((const double *)value)[i];
  } else {
    float *s = (float *)sum;
    for (int64_t i = 0; i < n; i++) s[i] += ((const float *)value)[i];
  }
  store(wide, j->out, j->dtype, begin, sum, n);
}

static void evaluate(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  block_buffer result;
  int own = j->dtype == (j->wide ? EA_F64 : EA_F32) && !j->accumulate; /* write in place */
  for (int64_t n; begin < end; begin += n) {
    n = EA_MIN(end - begin, EA_BLOCK);
    void *to = own ? (char *)j->out + begin * ea_dtype_size(j->dtype) : (char *)result;
    const void *value = block(j->e, j->wide, begin, n, to);
    if (j->accumulate) add_to(j->wide, j, begin, n, value);
    else if (!own || value != to) store(j->wide, j->out, j->dtype, begin, value, n);
  }
}

void ea_expr_store(const ea_expr *e, void *out, int dtype, int accumulate) {
  job j = {e, out, dtype, accumulate, e->wide || dtype == EA_F64};
  ea_parallel_range(e->count, EA_CHUNK, evaluate, &j);
}

/* ---- axes ------------------------------------------------------------------------------------ */

int ea_call_axis(const ea_call *c, double attr, int ndim, int *axis) {
  int d = attr >= -EA_MAX_DIM && attr < EA_MAX_DIM ? (int)attr : EA_MAX_DIM;
  if (d < 0) d += ndim;
  if (d < 0 || d >= ndim)
    return ea_call_fail(c, EA_ERR_ARG, "axis %g (counted from 0) of a tensor of %d axes: %s", attr,
                        ndim,
                        ndim ? "give one of its axes" : "a scalar has none, give it an axis first");
  *axis = d;
  return EA_OK;
}
