/* SPDX-License-Identifier: GPL-3.0-or-later
 * image.h - what the readers of picture files share.
 */
#ifndef EA_IMAGE_H
#define EA_IMAGE_H

#include "../base/file.h"

static const int64_t EA_IMAGE_MOST_PIXELS = (int64_t)1 << 26;
enum { EA_IMAGE_MOST_SIDE = 1 << 16 };

/* EA_OK if `channels` is 0, 1, 3 or 4. */
int ea_image_check_channels(int channels);
/* Takes over a u8 {h,w,1|3|4} and hands out {h,w,channels} (0: as it is), or releases it on
 * failure. Grey is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), new alpha is 255, unwanted alpha is
 * dropped. */
int ea_image_channels(ea_tensor *taken, int channels, ea_tensor **out);

int ea_png_parse(ea_source *s, int channels, ea_tensor **out);
int ea_jpeg_parse(const void *data, size_t bytes, const char *name, int channels, ea_tensor **out);

#endif
