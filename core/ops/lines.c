/* SPDX-License-Identifier: GPL-3.0-or-later
 * lines.c - see lines.h.
 */
#include "lines.h"

void ea_lines_of(ea_lines *l, const ea_tensor *t, int axis) {
  int64_t outer = 1;
  for (int d = 0; d < axis; d++) outer *= t->size[d];
  l->inner = 1;
  for (int d = axis + 1; d < t->ndim; d++) l->inner *= t->size[d];
  l->length = t->size[axis];
  l->lines = outer * l->inner;
}

#define EACH(type, pointer, ...)                                        \
  do {                                                                  \
    type *p = pointer + at;                                             \
    for (int64_t i = 0; i < l->length; i++, p += l->inner) __VA_ARGS__; \
  } while (0)

void ea_line_read(const ea_lines *l, const ea_tensor *t, int64_t k, double *v) {
  int64_t at = ea_line_at(l, k, 0);
  switch (t->dtype) {
    case EA_F32: EACH(const float, ea_f32(t), v[i] = *p); break;
    case EA_F64: EACH(const double, ea_f64(t), v[i] = *p); break;
    case EA_BF16: EACH(const uint16_t, ea_bf16(t), v[i] = ea_bf16_to_f32(*p)); break;
    case EA_I32: EACH(const int32_t, ea_i32(t), v[i] = *p); break;
    case EA_U8: EACH(const uint8_t, ea_u8(t), v[i] = *p); break;
    default: EACH(const int8_t, (const int8_t *)ea_u8(t), v[i] = *p);
  }
}

void ea_line_write(const ea_lines *l, const ea_tensor *t, int64_t k, const double *v, int add) {
  int64_t at = ea_line_at(l, k, 0);
  switch (t->dtype) {
    case EA_F32: EACH(float, ea_f32(t), *p = (float)(add ? *p + v[i] : v[i])); break;
    case EA_F64: EACH(double, ea_f64(t), *p = add ? *p + v[i] : v[i]); break;
    case EA_BF16:
      EACH(uint16_t, ea_bf16(t),
           *p = ea_f32_to_bf16((float)(add ? ea_bf16_to_f32(*p) + v[i] : v[i])));
      break;
    case EA_I32: EACH(int32_t, ea_i32(t), *p = (int32_t)v[i]); break; /* integers: as they came */
    case EA_U8: EACH(uint8_t, ea_u8(t), *p = (uint8_t)v[i]); break;
    default: EACH(int8_t, (int8_t *)ea_u8(t), *p = (int8_t)v[i]);
  }
}

void ea_lines_run(const ea_lines *l, ea_range_fn fn, void *arg) {
  ea_parallel_range(l->lines, EA_MAX(1, EA_CHUNK / EA_MAX(1, l->length)), fn, arg);
}
