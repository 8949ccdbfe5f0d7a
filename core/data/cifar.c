/* SPDX-License-Identifier: GPL-3.0-or-later
 * cifar.c - the binary version of CIFAR-10 and CIFAR-100.
 *
 * Records of label_bytes labels (CIFAR-10: the class; CIFAR-100: coarse, fine), then 1024 red, 1024
 * green and 1024 blue bytes, row by row. https://www.cs.toronto.edu/~kriz/cifar.html
 */
#include "../tensor/tensor.h"
#include "formats.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, PIXELS = 3 * PLANE };

static int read_records(ea_source *s, int label_bytes, int64_t n, uint8_t *image, int32_t *label) {
  static const unsigned classes[2][2] = {{10, 0}, {20, 100}};
  unsigned char record[2 + PIXELS];
  for (int64_t i = 0; i < n; i++, image += PIXELS) {
    EA_TRY(ea_source_read(s, record, (size_t)label_bytes + PIXELS));
    for (int k = 0; k < label_bytes; k++)
      if (record[k] >= classes[label_bytes - 1][k])
        return ea_fail(EA_ERR_FORMAT,
                       "%s is not a CIFAR-%s file: record %lld has the label %d, expected 0..%u",
                       s->name, label_bytes == 1 ? "10" : "100", (long long)i, record[k],
                       classes[label_bytes - 1][k] - 1);
    label[i] = record[label_bytes - 1];
    const unsigned char *red = record + label_bytes;
    for (int p = 0; p < PLANE; p++) {
      image[3 * p] = red[p];
      image[3 * p + 1] = red[p + PLANE];
      image[3 * p + 2] = red[p + 2 * PLANE];
    }
  }
  return EA_OK;
}

int ea_cifar_parse(ea_source *s, int label_bytes, ea_tensor **images, ea_tensor **labels) {
  if (label_bytes != 1 && label_bytes != 2)
    return ea_fail(EA_ERR_ARG, "label_bytes must be 1 (CIFAR-10) or 2 (CIFAR-100), got %d",
                   label_bytes);
  int64_t record = label_bytes + PIXELS, n = s->bytes / record;
  if (n == 0 || s->bytes % record)
    return ea_fail(EA_ERR_FORMAT,
                   "%s has %lld bytes, not a multiple of CIFAR-%s's %lld per image: it is cut off "
                   "or another kind of file",
                   s->name, (long long)s->bytes, label_bytes == 1 ? "10" : "100",
                   (long long)record);
  ea_tensor *x = NULL, *y = NULL;
  int status = ea_tensor_new(EA_U8, 4, (const int64_t[]){n, SIDE, SIDE, 3}, &x);
  if (status == EA_OK) status = ea_tensor_new(EA_I32, 1, &n, &y);
  if (status == EA_OK) status = read_records(s, label_bytes, n, ea_u8(x), ea_i32(y));
  if (status != EA_OK) {
    ea_tensor_release(x);
    ea_tensor_release(y);
    return status;
  }
  *images = x;
  *labels = y;
  return EA_OK;
}

int ea_cifar_load(const char *path, int label_bytes, ea_tensor **images, ea_tensor **labels) {
  ea_source s;
  EA_TRY(ea_source_open(path, &s));
  int status = ea_cifar_parse(&s, label_bytes, images, labels);
  ea_source_close(&s);
  return status;
}
