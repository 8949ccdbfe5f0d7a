/* SPDX-License-Identifier: Apache-2.0
 * philox.h - four random 32-bit words from (seed, stream, index, counter); the only user of
 * Random123. Philox4x32-10, Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 */
#ifndef EA_PHILOX_H
#define EA_PHILOX_H

#include <stdint.h>

/* counter: position within the sequence (seed, stream, index). */
void ea_philox(uint64_t seed, uint64_t stream, uint64_t index, uint64_t counter, uint32_t out[4]);
/* [0,1) with 24 bits. */
static inline float ea_unit_float(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }
/* A number in 0..n-1 without bias beyond 2^-32. */
static inline uint32_t ea_below(uint32_t word, uint32_t n) {
  return (uint32_t)(((uint64_t)word * n) >> 32);
}

#endif
