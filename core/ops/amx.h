/* SPDX-License-Identifier: GPL-3.0-or-later
 * amx.h - the matrix unit of Intel's server CPUs since 2023 (Sapphire Rapids): eight tile registers
 * of 16 rows of 64 bytes. One instruction multiplies 16x32 by 32x16 numbers of bf16 into 16x16 sums
 * of f32, in 16 clocks. The second factor holds pairs of rows: {16 pairs, 16 columns, 2}.
 *
 * The code is compiled for every x86-64 and runs where ea_amx() says so; whoever uses the tiles
 * calls ea_amx_begin before and ea_amx_end behind, in each thread: oneDNN sets its own shapes.
 */
#ifndef EA_AMX_H
#define EA_AMX_H

/* 1 where CPU and system let us use it. */
int ea_amx(void);

#ifdef __x86_64__

#include <immintrin.h>
#include <stdint.h>

#define EA_AMX_CODE \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,amx-tile,amx-bf16")))
#define EA_AMX_INLINE EA_AMX_CODE __attribute__((always_inline)) static inline

enum { EA_TILE = 16, EA_TILE_DEPTH = 32, EA_TILE_BYTES = 1024 };

/* All eight tiles 16 rows of 64 bytes. */
EA_AMX_INLINE void ea_amx_begin(void) {
  struct {
    uint8_t palette, start, unused[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } shape = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    shape.row_bytes[i] = 64;
    shape.rows[i] = EA_TILE;
  }
  _tile_loadconfig(&shape);
}
EA_AMX_INLINE void ea_amx_end(void) { _tile_release(); }

#endif
#endif
