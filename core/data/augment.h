/* SPDX-License-Identifier: GPL-3.0-or-later
 * augment.h - how one image of a batch is drawn: where it is moved, mirrored and cut, and how its
 * bytes become normalised numbers.
 *
 * The order is: random crop of the padded image, translation, mirroring, cutout. Everything that
 * lies outside an image is 0 after normalisation, which is the mean colour.
 */
#ifndef EA_AUGMENT_H
#define EA_AUGMENT_H

#include "../base/base.h"

/* The random part of one image. Out pixel (y,x) of an unmirrored image shows the source pixel
 * (y - shift_y + crop_y, x - shift_x + crop_x). */
typedef struct ea_pose {
  int crop_y, crop_x;   /* -crop_pad..crop_pad */
  int shift_y, shift_x; /* -translate..translate */
  int flip;             /* 1: mirrored left to right */
  int cut_y, cut_x;     /* top left corner of the cutout square; may lie outside the image */
} ea_pose;

/* Draws the pose of image `image` in epoch `epoch` from (seed, epoch, image) alone. */
void ea_pose_draw(const ea_augment *a, uint64_t seed, uint64_t epoch, int64_t image, int height,
                  int width, ea_pose *out);

/* Everything that turns u8 {h,w,c} into normalised f32 or bf16 {h,w,c}. Not shared by threads:
 * column is scratch. */
typedef struct ea_painter {
  int height, width, channels;
  ea_augment augment;
  float *table_f32;     /* {channels, 256}: (v/255 - mean) / std */
  uint16_t *table_bf16; /* the same, rounded to bf16 */
  int32_t *column;      /* {width}: source column of each column, -1: outside */
} ea_painter;

/* Checks the options (one sentence if they do not fit the image) and makes the tables. */
int ea_painter_init(ea_painter *p, int height, int width, int channels, const double *mean,
                    const double *std, const ea_augment *augment);
void ea_painter_clear(ea_painter *p);
void ea_paint_f32(ea_painter *p, const ea_pose *pose, const uint8_t *image, float *out);
void ea_paint_bf16(ea_painter *p, const ea_pose *pose, const uint8_t *image, uint16_t *out);

#endif
