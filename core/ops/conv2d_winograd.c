/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_winograd.c - see conv2d_winograd.h.
 */
#include "conv2d_winograd.h"

/* Where Winograd is faster: from 16x16 pixels on always; from 8x8 on, whole batches in training.
 * The choice must not depend on the batch: an image's result is the same in any other. */
int ea_conv_prefers_winograd(const ea_call *c, const ea_conv *v) {
  int64_t pixels = c->needs_backward && c->in[1]->requires_grad ? 64 : 256;
  return v->dtype == EA_F32 && v->kh == 3 && v->kw == 3 && v->stride == 1 && v->pad == 1 &&
         v->dilation == 1 && v->groups == 1 && v->c >= 32 && v->o >= 32 && v->c % 16 == 0 &&
         v->o % 16 == 0 && v->h * v->w >= pixels;
}

EA_INLINE void pack(float *to, const void *from, int64_t images, int64_t pixels, int64_t channels,
                    const ea_bn_line *line) {
  int64_t at = 0;
  for (int64_t n = 0; n < images; n++, to += pixels * channels)
    for (int64_t p = 0; p < pixels; p++)
      for (int64_t k = 0; k < channels; k += EA_LANES, at += EA_LANES) {
        ea_lanes v = ea_lanes_load(from, EA_F32, at, EA_LANES);
        if (line)
          v = ea_bn_through(v, ea_lanes_load(line->scale, EA_F32, k, EA_LANES),
                            ea_lanes_load(line->shift, EA_F32, k, EA_LANES), line->relu);
        ea_lanes_store(to, EA_F32, k * pixels + p * EA_LANES, EA_LANES, v);
      }
}

void ea_pack_nchw16c(float *to, const void *from, int64_t images, int64_t pixels, int64_t channels,
                     const ea_bn_line *line) {
  if (line) pack(to, from, images, pixels, channels, line);
  else pack(to, from, images, pixels, channels, NULL);
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
