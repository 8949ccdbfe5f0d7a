/* SPDX-License-Identifier: GPL-3.0-or-later
 * copy.c - copying with strides and conversion, filling, hashing.
 */
#include <math.h>

#include "tensor.h"

/* ---- one row of n elements, strides in elements ---- */

static double read_at(const void *p, int dtype, int64_t i) {
  switch (dtype) {
    case EA_F32: return ((const float *)p)[i];
    case EA_F64: return ((const double *)p)[i];
    case EA_BF16: return ea_bf16_to_f32(((const uint16_t *)p)[i]);
    case EA_I32: return ((const int32_t *)p)[i];
    case EA_U8: return ((const uint8_t *)p)[i];
    default: return ((const int8_t *)p)[i];
  }
}

static double to_integer(double v, double low, double high) {
  return isnan(v) ? 0 : v <= low ? low : v >= high ? high : nearbyint(v);
}

/* f64 to bf16 in one rounding: the detour over f32 rounds to odd, so the second step is exact. */
static uint16_t double_to_bf16(double v) {
  float f = (float)v;
  if (!isnan(v) && !isinf(f) && (double)f != v) {
    uint32_t u;
    memcpy(&u, &f, 4);
    if (!(u & 1)) u += fabs((double)f) < fabs(v) ? 1u : -1u;
    memcpy(&f, &u, 4);
  }
  return ea_f32_to_bf16(f);
}

static void write_at(void *p, int dtype, int64_t i, double v) {
  switch (dtype) {
    case EA_F32: ((float *)p)[i] = (float)v; break;
    case EA_F64: ((double *)p)[i] = v; break;
    case EA_BF16: ((uint16_t *)p)[i] = double_to_bf16(v); break;
    case EA_I32: ((int32_t *)p)[i] = (int32_t)to_integer(v, INT32_MIN, INT32_MAX); break;
    case EA_U8: ((uint8_t *)p)[i] = (uint8_t)to_integer(v, 0, 255); break;
    default: ((int8_t *)p)[i] = (int8_t)to_integer(v, -128, 127); break;
  }
}

static void copy_row(void *to, int to_type, int64_t to_stride, const void *from, int from_type,
                     int64_t from_stride, int64_t n) {
  if (to_stride == 1 && from_stride == 1) {
    if (to_type == from_type) {
      memmove(to, from, (size_t)(n * ea_dtype_size(to_type)));
      return;
    }
    if (to_type == EA_BF16 && from_type == EA_F32) {
      for (int64_t i = 0; i < n; i++)
        ((uint16_t *)to)[i] = ea_f32_to_bf16(((const float *)from)[i]);
      return;
    }
    if (to_type == EA_F32 && from_type == EA_BF16) {
      for (int64_t i = 0; i < n; i++)
        ((float *)to)[i] = ea_bf16_to_f32(((const uint16_t *)from)[i]);
      return;
    }
    if (to_type == EA_F32 && from_type == EA_U8) {
      for (int64_t i = 0; i < n; i++) ((float *)to)[i] = ((const uint8_t *)from)[i];
      return;
    }
  }
  for (int64_t i = 0; i < n; i++)
    write_at(to, to_type, i * to_stride, read_at(from, from_type, i * from_stride));
}

/* ---- whole tensors ---- */

static int need_data(const ea_tensor *t, const char *what) {
  if (!t) return ea_fail(EA_ERR_ARG, "%s: the tensor is missing", what);
  if (t->storage) return EA_OK;
  return ea_fail(EA_ERR_ARG, "%s: a tensor that is being captured into a graph has no values yet",
                 what);
}

int ea_tensor_copy(ea_tensor *dst, const ea_tensor *src) {
  EA_TRY(need_data(dst, "copy"));
  EA_TRY(need_data(src, "copy"));
  if (!ea_tensor_same_shape(dst, src))
    return ea_fail(EA_ERR_SHAPE, "copy: cannot copy %s into %s", ea_shape_text(src),
                   ea_shape_text(dst));
  int64_t n = ea_tensor_count(dst);
  if (n == 0) return EA_OK;
  ea_changed(dst);
  int dw = ea_dtype_size(dst->dtype), sw = ea_dtype_size(src->dtype);
  if (ea_tensor_contiguous(dst) && ea_tensor_contiguous(src)) {
    copy_row(ea_ptr(dst), dst->dtype, 1, ea_ptr(src), src->dtype, 1, n);
    return EA_OK;
  }
  /* Walk all but the last dimension like an odometer. */
  int last = dst->ndim - 1;
  int64_t at[EA_MAX_DIM] = {0}, to = 0, from = 0;
  for (;;) {
    copy_row((char *)ea_ptr(dst) + to * dw, dst->dtype, dst->stride[last],
             (const char *)ea_ptr(src) + from * sw, src->dtype, src->stride[last], dst->size[last]);
    int d = last - 1;
    for (; d >= 0; d--) {
      to += dst->stride[d];
      from += src->stride[d];
      if (++at[d] < dst->size[d]) break;
      to -= dst->stride[d] * dst->size[d];
      from -= src->stride[d] * src->size[d];
      at[d] = 0;
    }
    if (d < 0) return EA_OK;
  }
}

int ea_tensor_clone(const ea_tensor *t, int dtype, ea_tensor **out) {
  EA_TRY(need_data(t, "clone"));
  ea_tensor *copy;
  EA_TRY(ea_tensor_new(dtype, t->ndim, t->size, &copy));
  int status = ea_tensor_copy(copy, t);
  if (status) {
    ea_tensor_release(copy);
    return status;
  }
  *out = copy;
  return EA_OK;
}

int ea_tensor_fill(ea_tensor *t, double value) {
  EA_TRY(need_data(t, "fill"));
  int64_t n = ea_tensor_count(t);
  if (n == 0) return EA_OK;
  double one_value[1];
  write_at(one_value, t->dtype, 0, value);
  if (ea_tensor_contiguous(t)) {
    ea_changed(t);
    int w = ea_dtype_size(t->dtype);
    char *p = ea_ptr(t);
    memcpy(p, one_value, (size_t)w);
    for (int64_t done = 1; done < n;) { /* doubling copies */
      int64_t more = EA_MIN(done, n - done);
      memcpy(p + done * w, p, (size_t)(more * w));
      done += more;
    }
    return EA_OK;
  }
  ea_tensor constant = *t;
  ea_storage s = {.refs = 1, .bytes = 8, .data = one_value};
  constant.storage = &s;
  constant.offset = 0;
  memset(constant.stride, 0, sizeof constant.stride);
  return ea_tensor_copy(t, &constant);
}

uint64_t ea_tensor_hash(const ea_tensor *t) {
  uint64_t h = 0xcbf29ce484222325u;
  if (!t->storage) return 0;
  for (int i = 0; i < t->ndim; i++) h = (h ^ (uint64_t)t->size[i]) * 0x100000001b3u;
  h = (h ^ (uint64_t)t->dtype) * 0x100000001b3u;
  ea_tensor *whole = NULL;
  if (!ea_tensor_contiguous(t)) {
    if (ea_tensor_clone(t, t->dtype, &whole)) return 0;
    t = whole;
  }
  const uint8_t *p = ea_ptr(t);
  int64_t n = ea_tensor_bytes(t);
  for (int64_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001b3u;
  ea_tensor_release(whole);
  return h;
}

int ea_tensor_count_nonfinite(const ea_tensor *t, int64_t *out) {
  EA_TRY(need_data(t, "count_nonfinite"));
  if (!ea_tensor_contiguous(t))
    return ea_fail(EA_ERR_SHAPE, "count_nonfinite: expected a contiguous tensor");
  int64_t n = ea_tensor_count(t), bad = 0;
  if (t->dtype == EA_F32)
    for (int64_t i = 0; i < n; i++) bad += !isfinite(ea_f32(t)[i]);
  else if (t->dtype == EA_F64)
    for (int64_t i = 0; i < n; i++) bad += !isfinite(ea_f64(t)[i]);
  else if (t->dtype == EA_BF16)
    for (int64_t i = 0; i < n; i++) bad += (ea_bf16(t)[i] & 0x7f80) == 0x7f80;
  *out = bad;
  return EA_OK;
}
