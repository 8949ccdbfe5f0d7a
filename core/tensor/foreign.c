/* SPDX-License-Identifier: GPL-3.0-or-later
 * foreign.c - the element types of other people's files, converted to ours while being read.
 */
#include "formats.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little endian, as is memory");

enum { CHUNK = 1 << 14 };                           /* elements converted at a time */
static const int64_t MOST_BYTES = (int64_t)1 << 44; /* ea_check_sizes has the same of elements */

int ea_foreign_size(int kind) {
  static const int size[] = {4, 8, 2, 4, 1, 1, 2, 2, 2, 4, 8, 8, 1};
  return size[kind];
}

int ea_foreign_dtype(int kind) {
  if (kind <= EA_FOREIGN_I8) return kind;
  if (kind == EA_FOREIGN_F16) return EA_F32;
  return kind == EA_FOREIGN_BOOL ? EA_U8 : EA_I32;
}

int64_t ea_foreign_bytes(int ndim, const int64_t *size, int element) {
  int64_t bytes = element;
  int empty = 0;
  for (int i = 0; i < ndim; i++) {
    if (size[i] < 0) return -1;
    if (size[i] == 0) empty = 1;
    else if (size[i] > MOST_BYTES / bytes) return -1;
    else bytes *= size[i];
  }
  return empty ? 0 : bytes;
}

/* IEEE 754 binary16, subnormals, infinities and NaN included. */
static float half_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 0x3FF;
  float f;
  if (exponent == 0) {
    f = (float)fraction * 0x1p-24f;
    return sign ? -f : f;
  }
  uint32_t u = sign | (exponent == 31 ? 255u << 23 : (exponent + 112) << 23) | fraction << 13;
  memcpy(&f, &u, 4);
  return f;
}

static void swap_bytes(unsigned char *p, int64_t n, int size) {
  for (int64_t i = 0; i < n; i++, p += size)
    for (int a = 0, b = size - 1; a < b; a++, b--) {
      unsigned char c = p[a];
      p[a] = p[b];
      p[b] = c;
    }
}

static int64_t integer_at(const unsigned char *p, int kind) {
  uint64_t u = 0;
  memcpy(&u, p, (size_t)ea_foreign_size(kind));
  switch (kind) {
    case EA_FOREIGN_I16: return (int16_t)u;
    case EA_FOREIGN_U64: return u > INT64_MAX ? INT64_MAX : (int64_t)u;
    default: return (int64_t)u; /* I64, and the unsigned ones that fit */
  }
}

static int convert(const unsigned char *from, int kind, int64_t n, int64_t at, const char *name,
                   const char *what, ea_tensor *t) {
  int size = ea_foreign_size(kind);
  for (int64_t i = 0; i < n; i++, from += size) {
    if (kind == EA_FOREIGN_F16) {
      uint16_t h;
      memcpy(&h, from, 2);
      ea_f32(t)[at + i] = half_to_float(h);
    } else if (kind == EA_FOREIGN_BOOL) {
      ea_u8(t)[at + i] = *from != 0;
    } else {
      int64_t v = integer_at(from, kind);
      if (v < INT32_MIN || v > INT32_MAX)
        return ea_fail(EA_ERR_FORMAT,
                       "%s: %s holds the integer %lld, which does not fit the 32 bits of i32", name,
                       what, (long long)v);
      ea_i32(t)[at + i] = (int32_t)v;
    }
  }
  return EA_OK;
}

int ea_foreign_read(ea_source *s, int kind, int swap, const char *what, ea_tensor *t) {
  int64_t count = ea_tensor_count(t);
  int size = ea_foreign_size(kind);
  if (count == 0) return EA_OK;
  if (kind <= EA_FOREIGN_I8) { /* our own type: straight into place */
    EA_TRY(ea_source_read(s, ea_ptr(t), (size_t)(count * size)));
    if (swap) swap_bytes(ea_ptr(t), count, size);
    return EA_OK;
  }
  unsigned char *chunk = ea_alloc((size_t)CHUNK * (size_t)size);
  if (!chunk) return EA_ERR_MEMORY;
  int status = EA_OK;
  for (int64_t at = 0; at < count && status == EA_OK; at += CHUNK) {
    int64_t n = EA_MIN((int64_t)CHUNK, count - at);
    status = ea_source_read(s, chunk, (size_t)(n * size));
    if (status == EA_OK && swap) swap_bytes(chunk, n, size);
    if (status == EA_OK) status = convert(chunk, kind, n, at, s->name, what, t);
  }
  ea_free(chunk);
  return status;
}

int ea_check_savable(const ea_tensor *t) {
  if (!t) return ea_fail(EA_ERR_ARG, "a tensor to save was expected, got NULL");
  if (ea_tensor_symbolic(t))
    return ea_fail(EA_ERR_ARG, "a tensor inside a capture has no values to save yet");
  return EA_OK;
}

int ea_tensor_packed(const ea_tensor *t, int dtype, ea_tensor **out) {
  if (ea_tensor_dtype(t) == dtype && ea_tensor_contiguous(t)) {
    *out = ea_tensor_retain((ea_tensor *)t);
    return EA_OK;
  }
  return ea_tensor_clone(t, dtype, out);
}
