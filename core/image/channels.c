/* SPDX-License-Identifier: GPL-3.0-or-later
 * channels.c - grey, RGB and RGBA into each other.
 */
#include "../tensor/tensor.h"
#include "image.h"

int ea_image_check_channels(int channels) {
  if (channels == 0 || channels == 1 || channels == 3 || channels == 4) return EA_OK;
  return ea_fail(EA_ERR_ARG, "an image has 1, 3 or 4 channels (0: as in the file), not %d",
                 channels);
}

static void convert(const uint8_t *from, int have, uint8_t *to, int want, int64_t n) {
  for (int64_t i = 0; i < n; i++, from += have, to += want) {
    uint8_t r = from[0], g = have > 1 ? from[1] : r, b = have > 1 ? from[2] : r;
    if (want == 1) {
      to[0] = (uint8_t)((299 * r + 587 * g + 114 * b + 500) / 1000);
    } else {
      to[0] = r;
      to[1] = g;
      to[2] = b;
    }
    if (want == 4) to[3] = have == 4 ? from[3] : 255;
  }
}

int ea_image_channels(ea_tensor *taken, int channels, ea_tensor **out) {
  int have = (int)taken->size[2];
  if (channels == 0 || channels == have) {
    *out = taken;
    return EA_OK;
  }
  ea_tensor *t = NULL;
  int64_t size[3] = {taken->size[0], taken->size[1], channels};
  int status = ea_tensor_new(EA_U8, 3, size, &t);
  if (status == EA_OK) {
    convert(ea_u8(taken), have, ea_u8(t), channels, size[0] * size[1]);
    *out = t;
  }
  ea_tensor_release(taken);
  return status;
}
