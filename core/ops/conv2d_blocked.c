/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_blocked.c - see conv2d_blocked.h.
 */
#include "conv2d_blocked.h"
#include "lanes.h"

void ea_pack_nchw16c(float *to, const void *from, int64_t images, int64_t pixels,
                     int64_t channels) {
  int64_t at = 0;
  for (int64_t n = 0; n < images; n++, to += pixels * channels)
    for (int64_t p = 0; p < pixels; p++)
      for (int64_t k = 0; k < channels; k += EA_LANES, at += EA_LANES)
        ea_lanes_store(to, EA_F32, k * pixels + p * EA_LANES, EA_LANES,
                       ea_lanes_load(from, EA_F32, at, EA_LANES));
}

void ea_unpack_nchw16c(void *to, const float *from, int64_t images, int64_t pixels,
                       int64_t channels, const void *add) {
  int64_t at = 0;
  for (int64_t n = 0; n < images; n++, from += pixels * channels)
    for (int64_t p = 0; p < pixels; p++)
      for (int64_t k = 0; k < channels; k += EA_LANES, at += EA_LANES) {
        ea_lanes v = ea_lanes_load(from, EA_F32, k * pixels + p * EA_LANES, EA_LANES);
        if (add) v += ea_lanes_load(add, EA_F32, at, EA_LANES);
        ea_lanes_store(to, EA_F32, at, EA_LANES, v);
      }
}
