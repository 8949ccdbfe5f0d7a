/* SPDX-License-Identifier: GPL-3.0-or-later
 * lanes.h - sixteen numbers at a time: f32 values out of and into f32 or bf16 memory. GCC's vector
 * extension maps them to whatever the CPU has. Everything is inlined, so that a constant dtype
 * costs nothing.
 */
#ifndef EA_LANES_H
#define EA_LANES_H

#ifdef __AVX512F__
#include <immintrin.h>
#endif

#include "../tensor/tensor.h"

#pragma GCC diagnostic ignored "-Wpsabi" /* all inlined: no such value crosses a call */

enum { EA_LANES = 16 };
typedef float ea_lanes __attribute__((vector_size(64)));
typedef uint32_t ea_lanes_bits __attribute__((vector_size(64)));
typedef uint16_t ea_lanes_half __attribute__((vector_size(32)));

#define EA_INLINE static inline __attribute__((always_inline))

/* Elements i..i+n-1 (n <= 16, the rest 0) of f32 or bf16 memory. */
EA_INLINE ea_lanes ea_lanes_load(const void *from, int dtype, int64_t i, int n) {
  if (dtype == EA_F32) {
    ea_lanes v = {0};
    memcpy(&v, (const float *)from + i, (size_t)n * 4);
    return v;
  }
  ea_lanes_half h = {0};
  memcpy(&h, (const uint16_t *)from + i, (size_t)n * 2);
#ifdef __AVX512BF16__ /* GCC makes four instructions of the conversion, and of a choice by masks */
  return (ea_lanes)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)h), 16);
#else
  return (ea_lanes)(__builtin_convertvector(h, ea_lanes_bits) << 16);
#endif
}

/* Rounds half to even, as ea_f32_to_bf16; the instruction also makes 0 of what is below 2^-126. */
EA_INLINE void ea_lanes_store(void *to, int dtype, int64_t i, int n, ea_lanes v) {
  if (dtype == EA_F32) {
    memcpy((float *)to + i, &v, (size_t)n * 4);
    return;
  }
#ifdef __AVX512BF16__
  ea_lanes_half h = (ea_lanes_half)_mm512_cvtneps_pbh((__m512)v);
#else
  ea_lanes_bits u = (ea_lanes_bits)v;
  ea_lanes_bits rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  ea_lanes_bits nan = (ea_lanes_bits)(v != v);
  rounded = (nan & ((u >> 16) | 0x40u)) | (~nan & rounded);
  ea_lanes_half h = __builtin_convertvector(rounded, ea_lanes_half);
#endif
  memcpy((uint16_t *)to + i, &h, (size_t)n * 2);
}

/* ---- 32 numbers as two lanes: bf16 splits more cheaply into even and odd ones than into halves,
 * so this is their order; whatever they are combined with is in that order, too. */

EA_INLINE void ea_lanes_load_pair(ea_lanes *to, const void *from, int dtype, int64_t i) {
#ifdef __AVX512BF16__
  if (dtype == EA_BF16) {
    __m512i h = _mm512_loadu_si512((const uint16_t *)from + i);
    to[0] = (ea_lanes)_mm512_slli_epi32(h, 16);
    to[1] = (ea_lanes)_mm512_and_si512(h, _mm512_set1_epi32((int)0xffff0000u));
    return;
  }
#endif
  to[0] = ea_lanes_load(from, dtype, i, EA_LANES);
  to[1] = ea_lanes_load(from, dtype, i + EA_LANES, EA_LANES);
}

EA_INLINE void ea_lanes_store_pair(void *to, int dtype, int64_t i, const ea_lanes *v) {
#ifdef __AVX512BF16__
  if (dtype == EA_BF16) {
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i h = (__m512i)_mm512_cvtne2ps_pbh((__m512)v[1], (__m512)v[0]);
    _mm512_storeu_si512((uint16_t *)to + i, _mm512_permutexvar_epi16(order, h));
    return;
  }
#endif
  ea_lanes_store(to, dtype, i, EA_LANES, v[0]);
  ea_lanes_store(to, dtype, i + EA_LANES, EA_LANES, v[1]);
}

#ifdef __AVX512BF16__
/* v[0]: the numbers of these places among the 32; v[1]: those so many places on. */
EA_INLINE void ea_lanes_pick_pair(ea_lanes *v, __m512i places, int on) {
  __m512 a = (__m512)v[0], b = (__m512)v[1];
  v[0] = (ea_lanes)_mm512_permutex2var_ps(a, places, b);
  v[1] = (ea_lanes)_mm512_permutex2var_ps(a, _mm512_add_epi32(places, _mm512_set1_epi32(on)), b);
}
#endif

/* Pairs of f32 numbers from their own order into that of the type's, and back. */
EA_INLINE void ea_lanes_order_pair(ea_lanes *v, int dtype) {
#ifdef __AVX512BF16__
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  if (dtype == EA_BF16) ea_lanes_pick_pair(v, even, 1);
#endif
  (void)v, (void)dtype;
}
EA_INLINE void ea_lanes_reorder_pair(ea_lanes *v, int dtype) {
#ifdef __AVX512BF16__
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  if (dtype == EA_BF16) ea_lanes_pick_pair(v, low, 8);
#endif
  (void)v, (void)dtype;
}

/* a * b + c, in one instruction where lanes are registers; the same wherever it is written, unlike
 * what the compiler would make of a sum. */
EA_INLINE ea_lanes ea_lanes_fma(ea_lanes a, ea_lanes b, ea_lanes c) {
#ifdef __AVX512F__
  return (ea_lanes)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#else
  return a * b + c;
#endif
}

/* g, 0 where y <= 0: a gradient behind a ReLU that made y, or of y. */
EA_INLINE ea_lanes ea_lanes_cut(ea_lanes g, ea_lanes y) {
#ifdef __AVX512BF16__
  return (ea_lanes)_mm512_maskz_mov_ps(
      _mm512_cmp_ps_mask((__m512)y, _mm512_setzero_ps(), _CMP_NLE_UQ), (__m512)g);
#else
  return (ea_lanes)((ea_lanes_bits)g & ~(ea_lanes_bits)(y <= 0));
#endif
}
/* max(v, 0); NaN stays. */
EA_INLINE ea_lanes ea_lanes_relu(ea_lanes v) {
#ifdef __AVX512BF16__
  return (ea_lanes)_mm512_max_ps(_mm512_setzero_ps(), (__m512)v); /* the second, if in doubt */
#else
  return (ea_lanes)((ea_lanes_bits)v & ~(ea_lanes_bits)(v < 0));
#endif
}
EA_INLINE ea_lanes ea_lanes_all(float f) { return (ea_lanes){0} + f; }

#endif
