/* SPDX-License-Identifier: Apache-2.0
 * philox.c - Philox4x32-10 keyed by (seed, stream), counting (index, counter).
 */
#include <Random123/philox.h>

#include "base.h"
#include "philox.h"

void ea_philox(uint64_t seed, uint64_t stream, uint64_t index, uint64_t counter, uint32_t out[4]) {
  /* 64 key bits hold seed and stream mixed (splitmix64's finaliser): distinct pairs give unrelated
   * keys. */
  uint64_t k = seed + 0x9e3779b97f4a7c15u * (stream + 1);
  k = (k ^ (k >> 30)) * 0xbf58476d1ce4e5b9u;
  k = (k ^ (k >> 27)) * 0x94d049bb133111ebu;
  k ^= k >> 31;
  philox4x32_ctr_t c = {
      {(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)index, (uint32_t)(index >> 32)}};
  philox4x32_key_t key = {{(uint32_t)k, (uint32_t)(k >> 32)}};
  philox4x32_ctr_t r = philox4x32(c, key);
  for (int i = 0; i < 4; i++) out[i] = r.v[i];
}

uint64_t ea_stream_id(const char *name) {
  uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
  for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001b3u;
  return h & 0xfffffffffffffu; /* 52 bits: exact as a Lua number */
}
