/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_winograd.h - what the files of an f32 convolution of 3x3 by Winograd's F(4x4, 3x3) share
 * (Lavin & Gray 2016, arXiv 1509.09308): conv2d_winograd.c says where everything lies and runs it,
 * conv2d_winograd_tiles.c computes.
 *
 * A tile of 4x4 results comes of 6x6 pixels. Both and the kernel are polynomials' coefficients; at
 * 6x6 points the values of the result's are products of the others'. Forward and the gradient of
 * the images (the kernel turned round) are one computation, per point k:
 *
 *   to[k] {tiles, to_channels} = from[k] {tiles, from_channels} * weights[k] {from.., to_channels}
 *
 * and the gradient of the weights is its adjoint: the values of x transposed times those that the
 * adjoint of the last step makes of g. A quarter of the multiplications of a direct sum, so that
 * what is around them counts: tiles are taken a block at a time that stays in the second cache,
 * x is read through a batch_norm on its way into it, and results are added to and summed there.
 *
 * Points are 0, +-5/8, +-3/2 and infinity. Errors against f64, root mean square, relative to the
 * result's, 16, 64 and 256 channels: 0.5e-6, 0.8e-6, 1.5e-6 where a direct sum has 0.2e-6, 0.4e-6,
 * 0.8e-6; of the weights' gradient 0.5e-6 to 0.8e-6 where it has 0.1e-6 to 0.2e-6. A NaN or an
 * infinity spoils the tiles that see it.
 */
#ifndef EA_CONV2D_WINOGRAD_H
#define EA_CONV2D_WINOGRAD_H

#include "ahead.h"
#include "batch_norm.h"
#include "conv2d.h"
#include "vec.h"

enum { EA_WINO_CHANNELS = 16 }; /* what there are are a multiple of this, on any CPU */
enum { EA_WINO_OUT = 4, EA_WINO_IN = 6, EA_WINO_POINTS = 36, EA_WINO_TAPS = 9 };

/* A tile's result: 4x4 pixels of a vector of channels, or as many as are inside the image. */
typedef struct ea_wino_place {
  float *to;
  const float *add, *bias; /* or NULL; add lies as to */
  int64_t row, pixel;      /* numbers from row to row, from pixel to pixel */
  int height, width, relu;
} ea_wino_place;

/* Values at all points, `apart` numbers from each other, of a vector of channels. */
void ea_wino_of_image(float *to, int64_t apart, const float *from, int64_t row, int64_t pixel);
void ea_wino_of_result(float *to, int64_t apart, const ea_wino_place *from);
void ea_wino_of_weights(float *to, int64_t apart, const float *w, int64_t channel, int turned);
/* And back: to a tile; to the weights, so many partial sums in order. */
void ea_wino_give_result(const ea_wino_place *to, const float *from, int64_t apart);
void ea_wino_give_weights(float *w, int64_t channel, int add, const float *from, int64_t apart,
                          int64_t shards, int64_t shard);

/* to[r][o] = sum over steps s of a[r * a_row + s * a_step] * b[s][o], of `rows` rows and `channels`
 * o. add: to what is there. Meanwhile, some of what is ahead is fetched. */
void ea_wino_multiply(float *to, const float *a, int64_t a_row, int64_t a_step, const float *b,
                      int64_t rows, int64_t steps, int64_t channels, int add, ea_ahead *ahead);

#endif
