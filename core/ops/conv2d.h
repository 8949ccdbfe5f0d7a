/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d.h - what conv2d.c (the op), conv_transpose2d.c and their engines tell each other.
 */
#ifndef EA_CONV2D_H
#define EA_CONV2D_H

#include "ahead.h"
#include "op.h"

typedef struct ea_conv {
  int64_t dtype;      /* of x and y */
  int64_t n, h, w, c; /* x NHWC */
  int64_t o, kh, kw;  /* w {o, c/groups, kh, kw} */
  int64_t oh, ow;     /* y {n, oh, ow, o} */
  int64_t stride, pad, groups, dilation;
} ea_conv;

enum {
  EA_CONV_FORWARD,
  EA_CONV_DATA,
  EA_CONV_WEIGHTS,
  EA_CONV_BOTH /* gradients; not all engines */
};
/* Partial sums of the weight gradient; a property of the result, so it is the same everywhere. */
enum { EA_CONV_WEIGHT_SHARDS = 4 };

/* For both ops: in[0] are images, in[1] weights {.., .., kh, kw}, in[2] may be a bias; the first
 * attributes are stride, pad, groups, dilation. of: all but the sizes of images and channels, which
 * are 0. check: types, dimensions and those attributes. backward_nothing: of no images. */
ea_conv ea_conv_of(const ea_call *c);
int ea_conv_check(ea_call *c);
int ea_conv_check_attr(ea_call *c, int k, const char *name, int least);
int ea_conv_check_bias(ea_call *c, int64_t channels);
int ea_conv_backward_nothing(ea_call *c);
double ea_conv_flops(const ea_conv *v);

/* One pass, by the engine that is fastest at it: see those below. */
int ea_conv_run(ea_call *c, const ea_conv *v, int pass, int dry);
/* gin[2] from gout[0] {rows, channels}. */
int ea_conv_backward_bias(ea_call *c, int64_t rows, int64_t channels);

/* Each runs one pass of a call: y from x, w and bias; gin[0] from gout[0] and w; gin[1] from
 * gout[0] and x. `accumulate` of the call holds. n > 0. The gradient of the bias is conv2d.c's.
 * dry: makes what the pass needs, primitives and scratch, and computes nothing. */
int ea_conv_portable(ea_call *c, const ea_conv *v, int pass, int dry);
/* Returns 1, having done nothing, where oneDNN has no fast kernel for this pass. */
int ea_conv_onednn(ea_call *c, const ea_conv *v, int pass, int dry);
/* Likewise where the CPU has no tiles (amx.h), or they do not do this pass. */
int ea_conv_amx(ea_call *c, const ea_conv *v, int pass, int dry);
enum { EA_CONV_MOST_TAPS = 49 };
/* Likewise where it is not f32 of 3x3, with stride and pad 1, of multiples of 16 channels, or no
 * faster so. */
int ea_conv_winograd(ea_call *c, const ea_conv *v, int pass, int dry);
/* Likewise where it is not f32 with stride 2, of multiples of 16 channels, or no faster so. */
int ea_conv_direct(ea_call *c, const ea_conv *v, int pass, int dry);

/* The line of the batch_norm that the input goes through, or NULL: then in[0] is what is read. */
const struct ea_bn_line *ea_conv_line(const ea_call *c);

/* What a pass reads and writes: forward from x to y; of the images' gradient from g to gx; of the
 * weights' from x, with g as `to`. */
typedef struct ea_conv_maps {
  char *from, *to;
  const char *add, *cut;         /* or NULL: added to the results; y, whose zeros cut g */
  const char *also;              /* or NULL: what else of to's shape is read behind it: x */
  const struct ea_bn_line *line; /* or NULL: what x is read through */
  const float *bias;             /* or NULL */
  int relu;
} ea_conv_maps;
ea_conv_maps ea_conv_find_maps(const ea_call *c, int pass);

/* What a pass does along for the batch_norms beside it: see conv2d_along.c. An engine that does so
 * gives `partial` shard_bytes for each of its shards; calls `before` and `behind` for every run of
 * images, by the thread that computes them (first: the first of the shard); `end` after all. */
enum { EA_ALONG_MOMENTS, EA_ALONG_GRAD, EA_ALONG_SUMS };
typedef struct ea_conv_along {
  struct ea_bn_state *gathers, *grad; /* NULL: nothing */
  int what;
  int64_t pixels_x, pixels_y, x_bytes, y_bytes; /* of an image */
  const char *x, *y, *gx;
  char *partial;
  size_t shard_bytes;
} ea_conv_along;
ea_conv_along ea_conv_find_along(const ea_call *c, const ea_conv *v, int pass);
void ea_conv_along_before(const ea_conv_along *a, int64_t image, int64_t images);
void ea_conv_along_behind(const ea_conv_along *a, int64_t shard, int first, int64_t image,
                          int64_t images);
/* What so many images from n on will need: of what the pass reads, and `before`; of `to`, whose
 * lines a write would wait for. Bytes: of an image. */
ea_ahead ea_conv_along_ahead(const ea_conv_along *a, const ea_conv_maps *m, int64_t n,
                             int64_t images, int64_t from_bytes, int64_t to_bytes);
/* `behind` of one image, of `images` that are cut into so many shards. */
void ea_conv_along_image(const ea_conv_along *a, int64_t images, int64_t shards, int64_t image);
static inline int64_t ea_conv_first_image(int64_t images, int64_t shards, int64_t shard) {
  return images * shard / shards;
}
void ea_conv_along_end(const ea_conv_along *a, int64_t shards);
/* conv2d.c's: nothing is gathered yet; the gradient of y, where no engine made it along. */
void ea_conv_along_begin(const ea_call *c, int pass);
void ea_conv_along_grad(const ea_call *c);

/* to += from; n elements of f32 or bf16. */
void ea_conv_add(void *to, const void *from, int dtype, int64_t n);
/* For a call with a norm that ends in a ReLU.
 * relu: y = max(y, 0), NaN stays. cut: to = g, 0 where that y is 0; it may be g itself. */
void ea_conv_relu(void *y, int dtype, int64_t n);
void ea_conv_cut(void *to, const void *g, const void *y, int dtype, int64_t n);

/* "oneDNN 2.6.3", or NULL if this build has none. */
const char *ea_conv_onednn_name(void);
int ea_conv_onednn_has_bf16(void);

#endif
