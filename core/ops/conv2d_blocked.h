/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_blocked.h - f32 images between NHWC and nChw16c (blocks of 16 channels, each an image of
 * its own), the layout of oneDNN's Winograd kernels. Channels: a multiple of 16.
 */
#ifndef EA_CONV2D_BLOCKED_H
#define EA_CONV2D_BLOCKED_H

#include <stdint.h>

void ea_pack_nchw16c(float *to, const void *from, int64_t images, int64_t pixels,
                     int64_t channels);
/* add: NULL, or what is added, in the layout of `to` (it may be `to` itself). */
void ea_unpack_nchw16c(void *to, const float *from, int64_t images, int64_t pixels,
                       int64_t channels, const void *add);

#endif
