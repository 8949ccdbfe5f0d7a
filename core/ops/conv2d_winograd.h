/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_winograd.h - Winograd's F(4x4, 3x3) (Lavin & Gray 2016) does a quarter of a 3x3
 * convolution's multiplications. oneDNN has it for f32 and its own layout nChw16c only (blocks of
 * 16 channels, each an image of its own), so shards are copied there and back while in the cache.
 * Errors against f64, root mean square, relative to the result's, 64 to 256 channels: 0.8e-6 to
 * 1.5e-6 where a direct sum has 0.4e-6 to 0.8e-6; of the weights' gradient 0.6e-6 to 1.0e-6 where
 * it has 0.1e-6 to 0.2e-6.
 */
#ifndef EA_CONV2D_WINOGRAD_H
#define EA_CONV2D_WINOGRAD_H

#include "batch_norm.h"
#include "conv2d.h"

/* Is it the faster way? */
int ea_conv_prefers_winograd(const ea_call *c, const ea_conv *v);
/* From NHWC, through the line if there is one. Channels: a multiple of 16. */
void ea_pack_nchw16c(float *to, const void *from, int64_t images, int64_t pixels, int64_t channels,
                     const ea_bn_line *line);
/* To NHWC. add: NULL, or what is added, NHWC too (it may be `to` itself). */
void ea_unpack_nchw16c(void *to, const float *from, int64_t images, int64_t pixels,
                       int64_t channels, const void *add);

#endif
