/* SPDX-License-Identifier: GPL-3.0-or-later
 * test_loader.c - every augmentation against a slow reference, order, seek, errors, no memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../core/base/philox.h"
#include "../../core/edgeai.h"

enum { COUNT = 23, HEIGHT = 9, WIDTH = 7, BATCH = 5 };

static const double MEAN[4] = {0.49, 0.48, 0.45, 0.5}, STD[4] = {0.25, 0.24, 0.26, 0.3};

typedef struct data {
  int channels;
  ea_tensor *images, *labels, *x, *y, *id;
} data;

static ea_tensor *make(int dtype, int ndim, const int64_t *size) {
  ea_tensor *t = NULL;
  assert_int_equal(ea_tensor_new(dtype, ndim, size, &t), EA_OK);
  return t;
}

static data make_data(int channels, int dtype) {
  data d = {.channels = channels};
  int64_t size[4] = {COUNT, HEIGHT, WIDTH, channels}, batch[4] = {BATCH, HEIGHT, WIDTH, channels};
  d.images = make(EA_U8, 4, size);
  d.labels = make(EA_I32, 1, size);
  d.x = make(dtype, 4, batch);
  d.y = make(EA_I32, 1, batch);
  d.id = make(EA_I32, 1, batch);
  uint8_t *pixel = ea_tensor_data(d.images);
  for (int64_t i = 0; i < ea_tensor_count(d.images); i++) {
    uint32_t word[4];
    ea_philox(99, 1, 0, (uint64_t)i, word);
    pixel[i] = (uint8_t)word[0];
  }
  for (int i = 0; i < COUNT; i++) ((int32_t *)ea_tensor_data(d.labels))[i] = i % 4;
  return d;
}

static void free_data(data *d) {
  ea_tensor_release(d->images);
  ea_tensor_release(d->labels);
  ea_tensor_release(d->x);
  ea_tensor_release(d->y);
  ea_tensor_release(d->id);
}

static ea_loader *open_loader(const data *d, const ea_augment *a, int shuffle, int drop_last) {
  ea_loader *l = NULL;
  assert_int_equal(
      ea_loader_new(d->images, d->labels, NULL, BATCH, MEAN, STD, a, shuffle, drop_last, 7, &l),
      EA_OK);
  return l;
}

static float bf16_value(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

/* ---- the slow reference: one pixel at a time ------------------------------------------------- */

static double source_pixel(const data *d, const ea_augment *a, uint64_t epoch, int image, int y,
                           int x, int k) {
  uint32_t first[4], second[4], side[4];
  uint64_t stream = ea_stream_id("augment");
  ea_philox(7, stream, epoch, 2 * (uint64_t)image, first);
  ea_philox(7, stream, epoch, 2 * (uint64_t)image + 1, second);
  ea_philox(7, ea_stream_id("flip"), 0, (uint64_t)image, side);
  if (a->cutout) {
    int top = (int)ea_below(second[2], HEIGHT) - a->cutout / 2;
    int left = (int)ea_below(second[3], WIDTH) - a->cutout / 2;
    if (y >= top && y < top + a->cutout && x >= left && x < left + a->cutout) return 0;
  }
  int flip = a->flip == 1   ? (int)(first[2] >> 31)
             : a->flip == 2 ? (int)((side[0] >> 31) ^ (epoch & 1))
                            : 0;
  if (flip) x = WIDTH - 1 - x;
  if (a->translate) {
    y -= (int)ea_below(second[0], 2 * (uint32_t)a->translate + 1) - a->translate;
    x -= (int)ea_below(second[1], 2 * (uint32_t)a->translate + 1) - a->translate;
    if (y < 0 || y >= HEIGHT || x < 0 || x >= WIDTH) return 0;
  }
  if (a->crop_pad) {
    y += (int)ea_below(first[0], 2 * (uint32_t)a->crop_pad + 1) - a->crop_pad;
    x += (int)ea_below(first[1], 2 * (uint32_t)a->crop_pad + 1) - a->crop_pad;
    if (a->reflect) {
      y = y < 0 ? -y : y >= HEIGHT ? 2 * HEIGHT - 2 - y : y;
      x = x < 0 ? -x : x >= WIDTH ? 2 * WIDTH - 2 - x : x;
    } else if (y < 0 || y >= HEIGHT || x < 0 || x >= WIDTH) {
      return 0;
    }
  }
  const uint8_t *pixel = ea_tensor_data(d->images);
  return (pixel[((image * HEIGHT + y) * WIDTH + x) * d->channels + k] / 255.0 - MEAN[k]) / STD[k];
}

/* Two epochs of a loader against the reference, exact to the last bit. */
static void check_against_reference(int channels, int dtype, const ea_augment *a) {
  data d = make_data(channels, dtype);
  ea_loader *l = open_loader(&d, a, 1, 0);
  for (uint64_t epoch = 0; epoch < 2; epoch++) {
    int valid, status;
    assert_int_equal(ea_loader_seek(l, epoch, 0), EA_OK);
    while ((status = ea_loader_next(l, d.x, d.y, d.id, 0, &valid)) == 0) {
      const int32_t *id = ea_tensor_data(d.id), *y = ea_tensor_data(d.y);
      int at = 0;
      for (int i = 0; i < BATCH; i++) {
        assert_int_equal(y[i], id[i] % 4);
        for (int r = 0; r < HEIGHT; r++)
          for (int s = 0; s < WIDTH; s++)
            for (int k = 0; k < channels; k++, at++) {
              float want = (float)source_pixel(&d, a, epoch, id[i], r, s, k);
              if (dtype == EA_F32) {
                assert_true(((float *)ea_tensor_data(d.x))[at] == want);
              } else {
                float got = bf16_value(((uint16_t *)ea_tensor_data(d.x))[at]);
                float off = got > want ? got - want : want - got;
                assert_true(off <= (want < 0 ? -want : want) * 0x1p-8f);
              }
            }
      }
    }
    assert_int_equal(status, 1);
  }
  ea_loader_free(l);
  free_data(&d);
}

static void test_augmentations(void **state) {
  (void)state;
  const ea_augment cases[] = {
      {0, 0, 0, 0, 0}, {2, 0, 0, 0, 0}, {3, 1, 0, 0, 0}, {0, 0, 1, 0, 0},
      {0, 0, 2, 0, 0}, {0, 0, 0, 4, 0}, {0, 0, 0, 0, 3}, {2, 0, 1, 3, 2},
      {6, 1, 2, 5, 6}, {6, 0, 1, 0, 6}, {6, 1, 1, 9, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int channels = 1; channels <= 4; channels++) {
      check_against_reference(channels, EA_F32, &cases[i]);
      check_against_reference(channels, EA_BF16, &cases[i]);
    }
}

static void test_alternating_flip_shows_both_sides(void **state) {
  (void)state;
  data d = make_data(1, EA_F32);
  const ea_augment a = {.flip = 2};
  ea_loader *l = open_loader(&d, &a, 0, 0);
  float even[BATCH * HEIGHT * WIDTH];
  ea_loader_next(l, d.x, d.y, NULL, 0, NULL);
  memcpy(even, ea_tensor_data(d.x), sizeof even);
  ea_loader_seek(l, 1, 0);
  ea_loader_next(l, d.x, d.y, NULL, 0, NULL);
  const float *odd = ea_tensor_data(d.x);
  for (int i = 0; i < BATCH * HEIGHT; i++)
    for (int x = 0; x < WIDTH; x++)
      assert_true(even[i * WIDTH + x] == odd[i * WIDTH + WIDTH - 1 - x]);
  ea_loader_free(l);
  free_data(&d);
}

static void test_an_epoch_covers_every_image_once(void **state) {
  (void)state;
  data d = make_data(3, EA_F32);
  ea_loader *l = open_loader(&d, NULL, 1, 0);
  assert_int_equal(ea_loader_batches(l), 5);
  int32_t orders[2][COUNT];
  for (uint64_t epoch = 0; epoch < 2; epoch++) {
    int seen[COUNT] = {0}, n = 0, valid = 0;
    ea_loader_seek(l, epoch, 0);
    while (ea_loader_next(l, d.x, d.y, d.id, 1, &valid) == 0) {
      const int32_t *id = ea_tensor_data(d.id), *y = ea_tensor_data(d.y);
      for (int i = 0; i < valid; i++) {
        assert_in_range(id[i], 1, COUNT);
        assert_int_equal(y[i], (id[i] - 1) % 4 + 1);
        seen[id[i] - 1]++;
        orders[epoch][n++] = id[i];
      }
    }
    assert_int_equal(valid, COUNT % BATCH);
    const int32_t *id = ea_tensor_data(d.id); /* filled up with its first images */
    assert_int_equal(id[3], id[0]);
    assert_int_equal(id[4], id[1]);
    for (int i = 0; i < COUNT; i++) assert_int_equal(seen[i], 1);
  }
  assert_memory_not_equal(orders[0], orders[1], sizeof orders[0]);
  ea_loader_free(l);

  l = open_loader(&d, NULL, 0, 1);
  assert_int_equal(ea_loader_batches(l), 4);
  int n = 0, valid;
  while (ea_loader_next(l, d.x, d.y, d.id, 0, &valid) == 0) {
    assert_int_equal(valid, BATCH);
    for (int i = 0; i < BATCH; i++) assert_int_equal(((int32_t *)ea_tensor_data(d.id))[i], n++);
  }
  assert_int_equal(n, 20);
  assert_int_equal(ea_loader_next(l, d.x, d.y, d.id, 0, &valid), 1); /* stays at the end */
  ea_loader_free(l);
  free_data(&d);
}

static void test_seek_gives_the_same_bytes(void **state) {
  (void)state;
  data d = make_data(3, EA_BF16);
  const ea_augment a = {.crop_pad = 2, .flip = 1, .cutout = 3, .translate = 1};
  uint64_t hash[4][5];
  ea_loader *l = open_loader(&d, &a, 1, 0);
  for (uint64_t epoch = 0; epoch < 4; epoch++) {
    ea_loader_seek(l, epoch, 0);
    for (int b = 0; b < 5; b++) {
      assert_int_equal(ea_loader_next(l, d.x, d.y, d.id, 0, NULL), 0);
      hash[epoch][b] = ea_tensor_hash(d.x) ^ ea_tensor_hash(d.id);
    }
  }
  ea_loader_free(l);
  for (int round = 0; round < 60; round++) { /* jumps while the thread is ahead */
    if (round % 20 == 0) l = open_loader(&d, &a, 1, 0);
    int epoch = round * 7 % 4, b = round * 3 % 5;
    assert_int_equal(ea_loader_seek(l, (uint64_t)epoch, b), EA_OK);
    for (int step = 0; step < 2 && b < 5; step++, b++) {
      assert_int_equal(ea_loader_next(l, d.x, d.y, d.id, 0, NULL), 0);
      assert_true(hash[epoch][b] == (ea_tensor_hash(d.x) ^ ea_tensor_hash(d.id)));
    }
    if (round % 20 == 19) ea_loader_free(l);
  }
  free_data(&d);
}

static void test_an_image_does_not_depend_on_its_batch(void **state) {
  (void)state;
  data d = make_data(1, EA_F32);
  const ea_augment a = {.crop_pad = 2, .flip = 1};
  float alone[COUNT][HEIGHT * WIDTH];
  ea_loader *l = open_loader(&d, &a, 1, 0);
  while (ea_loader_next(l, d.x, d.y, d.id, 0, NULL) == 0)
    for (int i = 0; i < BATCH; i++)
      memcpy(alone[((int32_t *)ea_tensor_data(d.id))[i]],
             (float *)ea_tensor_data(d.x) + i * HEIGHT * WIDTH, sizeof alone[0]);
  ea_loader_free(l);

  int64_t m = 11;
  ea_tensor *index = make(EA_I32, 1, &m);
  for (int i = 0; i < m; i++) ((int32_t *)ea_tensor_data(index))[i] = 2 * i;
  assert_int_equal(ea_loader_new(d.images, d.labels, index, BATCH, MEAN, STD, &a, 0, 0, 7, &l), 0);
  int n = 0, valid;
  while (ea_loader_next(l, d.x, d.y, d.id, 0, &valid) == 0)
    for (int i = 0; i < valid; i++, n++) {
      assert_int_equal(((int32_t *)ea_tensor_data(d.id))[i], 2 * n);
      assert_memory_equal((float *)ea_tensor_data(d.x) + i * HEIGHT * WIDTH, alone[2 * n],
                          sizeof alone[0]);
    }
  assert_int_equal(n, 11);
  ea_loader_free(l);
  ea_tensor_release(index);
  free_data(&d);
}

static void test_element_type_may_change(void **state) {
  (void)state;
  data d = make_data(3, EA_F32);
  ea_loader *l = open_loader(&d, NULL, 0, 1);
  const int64_t batch[4] = {BATCH, HEIGHT, WIDTH, 3};
  ea_tensor *half = make(EA_BF16, 4, batch);
  for (int b = 0; b < 4; b++) {
    assert_int_equal(ea_loader_next(l, b % 2 ? half : d.x, d.y, d.id, 0, NULL), 0);
    assert_int_equal(((int32_t *)ea_tensor_data(d.id))[0], b * BATCH);
  }
  ea_tensor_release(half);
  ea_loader_free(l);
  free_data(&d);
}

#define ASSERT_FAILS(call, code, text)                                   \
  do {                                                                   \
    assert_int_equal(call, code);                                        \
    if (!strstr(ea_error(), text)) print_error("got: %s\n", ea_error()); \
    assert_non_null(strstr(ea_error(), text));                           \
  } while (0)

static void test_errors(void **state) {
  (void)state;
  data d = make_data(3, EA_F32);
  ea_loader *l = NULL;
  const double bad_std[3] = {0.2, 0, 0.2};
  ea_augment a = {.crop_pad = 7};
#define NEW(images, labels, index, batch, std, augment) \
  ea_loader_new(images, labels, index, batch, MEAN, std, augment, 1, 1, 1, &l)
  ASSERT_FAILS(NEW(NULL, d.labels, NULL, 5, STD, NULL), EA_ERR_ARG, "must be given");
  ASSERT_FAILS(NEW(d.x, d.labels, NULL, 5, STD, NULL), EA_ERR_SHAPE, "u8 {n,h,w,c}");
  ASSERT_FAILS(NEW(d.images, d.y, NULL, 5, STD, NULL), EA_ERR_SHAPE, "i32 {23}");
  ASSERT_FAILS(NEW(d.images, d.labels, d.x, 5, STD, NULL), EA_ERR_SHAPE, "index must be i32");
  ASSERT_FAILS(NEW(d.images, d.labels, NULL, 0, STD, NULL), EA_ERR_ARG, "at least 1");
  ASSERT_FAILS(NEW(d.images, d.labels, NULL, 24, STD, NULL), EA_ERR_ARG, "no batch of 24");
  ASSERT_FAILS(NEW(d.images, d.labels, NULL, 5, bad_std, NULL), EA_ERR_ARG, "channel 1");
  ASSERT_FAILS(NEW(d.images, d.labels, NULL, 5, STD, &a), EA_ERR_ARG, "crop_pad must be 0..6");
  a = (ea_augment){.translate = -1};
  ASSERT_FAILS(NEW(d.images, d.labels, NULL, 5, STD, &a), EA_ERR_ARG, "translate");
  a = (ea_augment){.cutout = 10};
  ASSERT_FAILS(NEW(d.images, d.labels, NULL, 5, STD, &a), EA_ERR_ARG, "cutout");
  a = (ea_augment){.flip = 3};
  ASSERT_FAILS(NEW(d.images, d.labels, NULL, 5, STD, &a), EA_ERR_ARG, "flip");
  a = (ea_augment){.reflect = 2};
  ASSERT_FAILS(NEW(d.images, d.labels, NULL, 5, STD, &a), EA_ERR_ARG, "reflect");
  ea_tensor_fill(d.id, COUNT);
  ASSERT_FAILS(NEW(d.images, d.labels, d.id, 5, STD, NULL), EA_ERR_ARG, "index[0] is 23");
  assert_null(l);

  l = open_loader(&d, NULL, 1, 1);
  ASSERT_FAILS(ea_loader_seek(l, 0, 5), EA_ERR_ARG, "batches 0..3");
  ASSERT_FAILS(ea_loader_seek(l, 0, -1), EA_ERR_ARG, "batch -1");
  ASSERT_FAILS(ea_loader_next(l, d.images, d.y, NULL, 0, NULL), EA_ERR_SHAPE, "x must be");
  ASSERT_FAILS(ea_loader_next(l, d.x, d.labels, NULL, 0, NULL), EA_ERR_SHAPE, "y must be");
  ASSERT_FAILS(ea_loader_next(l, d.x, d.y, d.labels, 0, NULL), EA_ERR_SHAPE, "id must be");
  assert_int_equal(ea_loader_seek(l, 3, 4), EA_OK); /* the end of an epoch is a position */
  assert_int_equal(ea_loader_next(l, d.x, d.y, NULL, 0, NULL), 1);
  ea_loader_free(l);
  ea_loader_free(NULL);
  free_data(&d);
}

static void test_no_memory(void **state) {
  (void)state;
  data d = make_data(3, EA_F32);
  int64_t live = ea_memory_live();
  ea_loader *l = NULL;
  int status = EA_ERR_MEMORY, n = 0;
  while (status == EA_ERR_MEMORY) {
    assert_true(n < 100);
    ea_memory_fail_at(++n);
    status = ea_loader_new(d.images, d.labels, NULL, BATCH, MEAN, STD, NULL, 1, 1, 1, &l);
    if (status == EA_ERR_MEMORY) assert_true(ea_memory_live() == live);
  }
  ea_memory_fail_at(0);
  assert_int_equal(status, EA_OK);
  assert_true(n > 10);
  int64_t count = ea_memory_count();
  while (ea_loader_next(l, d.x, d.y, d.id, 0, NULL) == 0) continue;
  assert_true(ea_memory_count() == count); /* batches allocate nothing */
  ea_loader_free(l);
  assert_true(ea_memory_live() == live);
  free_data(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_augmentations),
      cmocka_unit_test(test_alternating_flip_shows_both_sides),
      cmocka_unit_test(test_an_epoch_covers_every_image_once),
      cmocka_unit_test(test_seek_gives_the_same_bytes),
      cmocka_unit_test(test_an_image_does_not_depend_on_its_batch),
      cmocka_unit_test(test_element_type_may_change),
      cmocka_unit_test(test_errors),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
