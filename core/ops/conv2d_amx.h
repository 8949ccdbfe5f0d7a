/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_amx.h - what the files of a bf16 convolution by tiles (amx.h) share: conv2d_amx.c
 * says where everything lies, conv2d_amx_pack.c copies it there, conv2d_amx_tiles.c multiplies.
 *
 * Forward and the gradient of the images are one computation: a pixel of the result is, over the
 * taps, a pixel of `from` times a matrix. Forward, from is x and to y. Backward, from is g and to
 * gx, the kernel turned round; with stride 2 the pixels of gx fall into four classes (even and odd
 * rows and columns), each with taps of its own; a class without taps is zeros.
 */
#ifndef EA_CONV2D_AMX_H
#define EA_CONV2D_AMX_H

#include "ahead.h"
#include "amx.h"
#include "batch_norm.h"
#include "conv2d.h"

#ifdef __x86_64__

enum {
  EA_AMX_TAPS = EA_CONV_MOST_TAPS,
  EA_AMX_STRIDE = 2,
  EA_AMX_CLASSES = EA_AMX_STRIDE * EA_AMX_STRIDE
};

/* One step of the kernel: the pixel `dy` rows below a result's in its plane. column: the kernel's,
 * for each pixel of a pair of results and each half of a pair that is read; -1: none, weights of
 * 0. Where there are no pairs, column[0][0]. */
typedef struct ea_amx_tap {
  int64_t row, column[2][2];
  int64_t dy, dx;
  int plane;
} ea_amx_tap;

/* Results that share their taps: every to_stride-th from (row, column) on. */
typedef struct ea_amx_class {
  int64_t row, column, height;
  int64_t tiles; /* of 16 pixels */
  int taps;
  int64_t first_step, first_tile; /* among those of all classes */
  ea_amx_tap tap[EA_AMX_TAPS];
} ea_amx_class;

typedef struct ea_amx_place {
  int64_t from;        /* bytes into the buffer */
  int64_t row, column; /* of the class */
} ea_amx_place;

/* A copy of the image in the buffer: every from_stride-th row and column from these on. */
typedef struct ea_amx_plane {
  int64_t row, column;
} ea_amx_plane;

typedef struct ea_amx_side {
  int64_t height, width, channels, image_bytes;
} ea_amx_side;

typedef struct ea_amx_job {
  ea_amx_side from, to;
  int from_pixels, to_pixels; /* 2: a pixel of that side stands for two, with their channels */
  int64_t images, from_stride, row_stride, to_stride, kh, kw; /* from's steps along x and y */
  ea_conv_maps maps;
  float *bias;    /* of the channels of to */
  const float *w; /* w[f * w_from + t * w_to + tap]: of channels f and t */
  int64_t w_from, w_to;
  int64_t width;              /* of a class's rows */
  int gapless;                /* see conv2d_amx_pack.c */
  int64_t pixel_bytes;        /* in the buffer */
  int64_t depth;              /* tiles of depth in a tap */
  int64_t blocks;             /* of 16 channels of the results */
  int64_t top, rows, columns; /* of a plane */
  int64_t plane_bytes, buffer_bytes, read_bytes;
  int planes;
  ea_amx_plane plane[EA_AMX_TAPS];
  int classes;
  ea_amx_class class[EA_AMX_CLASSES];
  int64_t steps, tiles; /* of depth, of pixels; all classes */
  ea_amx_place *place;  /* of the tiles */
  int64_t *offset;      /* where a step's pixels are, from a tile's first */
  uint8_t *uses;        /* of pairs of results, {blocks, steps}: 0: weights of 0 */
  char *weights;        /* {blocks, steps, 16, 16, 2} */
  int64_t shards;
  ea_conv_along along;
  char *thread; /* per thread: a mark, the buffer, an image that was read through the line */
} ea_amx_job;

size_t ea_amx_bytes(const ea_amx_job *j);
/* Puts everything in so many bytes of memory, and the weights of the call there. */
void ea_amx_start(ea_amx_job *j, char *memory);
/* Image n, and what is done along. The tiles are set up. */
void ea_amx_run_image(const ea_amx_job *j, int64_t n);
/* The gradient of the weights; data: NULL, or that of the images, which is made along, each image
 * while it is in the cache. Returns 1, having done nothing, where that cannot be. */
int ea_amx_weights(ea_call *c, const ea_conv *v, ea_amx_job *data, int dry);

/* Is the gradient cut on its way into the buffer? */
static inline int ea_amx_cuts(const ea_amx_job *j) {
  return j->pixel_bytes == j->from.channels * 2;
}
/* An image, `from.image_bytes` of it, into the buffer. */
void ea_amx_copy_image(const ea_amx_job *j, const char *image, char *buffer, char *read);
/* The weights of 16 channels of the result, number `block`. */
void ea_amx_pack_weights(const ea_amx_job *j, int64_t block);
/* The results of a class of an image. The tiles are set up. */
void ea_amx_run_class(const ea_amx_job *j, const ea_amx_class *k, const char *buffer, char *image,
                      ea_ahead *ahead);

static inline int64_t ea_amx_steps(const ea_amx_job *j, const ea_amx_class *k) {
  return k->taps * j->depth;
}

#endif
#endif
