/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_direct.h - what the files of an f32 convolution by direct sums share: conv2d_direct.c says
 * where everything lies and runs it, conv2d_direct_tiles.c computes.
 *
 * Forward and the gradient of the images are one computation: a pixel of the result is, over the
 * taps, a pixel of `from` times a matrix. Forward, from is x and to y. Backward, from is g and to
 * gx, whose pixels fall into classes (even and odd rows and columns), each with taps of its own; a
 * class without taps is zeros. The gradient of the weights is, for each tap, x transposed times g.
 *
 * `from` is read out of a buffer with zeros around, {blocks of 16 channels, rows, columns, 16}: a
 * pixel of a block is a line of the cache, and the distances between pixels are constants.
 */
#ifndef EA_CONV2D_DIRECT_H
#define EA_CONV2D_DIRECT_H

#include "ahead.h"
#include "vec.h"

enum {
  EA_DIRECT_BLOCK = 16,        /* channels */
  EA_DIRECT_WIDE = 2 * EA_VEC, /* channels of results that are computed at a time, or one vector */
  EA_DIRECT_STRIDE = 2
};

/* Results of a row, of EA_DIRECT_WIDE channels or (wide: 0) a vector. */
typedef struct ea_direct_row {
  const float *from;     /* the first pixel's place in the buffer */
  int64_t blocks, block; /* of channels; numbers from one to the next */
  int64_t taps;
  const int64_t *offset; /* where a tap is, from the result's place */
  const float *weights;  /* {blocks, taps, 16, channels} */
  int64_t pixels;
  float *to;
  const float *add, *bias; /* or NULL; add lies as to */
  int64_t pixel;           /* numbers of `to` from one to the next */
  int relu, wide;
} ea_direct_row;
/* stride: pixels of the buffer from result to result, 1 or 2. Meanwhile, some of what is ahead is
 * fetched. */
void ea_direct_multiply(const ea_direct_row *r, int64_t stride, ea_ahead *ahead);

/* Rows of x, in the buffer, and of g, for the weights of a tap. */
typedef struct ea_direct_rows {
  const float *x, *g;
  int64_t x_row, x_pixel, g_row, g_pixel; /* numbers from one to the next */
  int64_t rows, pixels;
  int wide;
} ea_direct_rows;
/* sum {16, channels} += x^T g; add: 0: it is set. */
void ea_direct_sum(float *sum, const ea_direct_rows *q, int add, ea_ahead *ahead);

#endif
