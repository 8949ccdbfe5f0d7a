/* SPDX-License-Identifier: GPL-3.0-or-later
 * test_pictures.c - PNG, JPEG, IDX and CIFAR: values, damage, limits, failures.
 * Reads the small JPEG files of tests/fuzz/seeds.
 */
#include "data/formats.h"
#include "files.h"
#include "image/image.h"

/* Runs a reader over every proper beginning of some bytes: all must be refused, none may leak. */
typedef int (*reader)(const void *data, size_t bytes);

static void refuse_beginnings(reader f, const char *data, size_t bytes) {
  int64_t live = ea_memory_live();
  for (size_t n = 0; n < bytes; n++) {
    char *copy = malloc(n + 1); /* of just that size, for the address sanitizer */
    memcpy(copy, data, n);
    if (f(copy, n) >= 0) fail_msg("accepted %zu of %zu bytes", n, bytes);
    free(copy);
  }
  assert_int_equal(ea_memory_live(), live);
}

/* Damages every byte in turn: refused or read, but no crash and no leak. */
static void survive_damage(reader f, char *data, size_t bytes) {
  int64_t live = ea_memory_live();
  for (size_t n = 0; n < bytes; n++)
    for (int bit = 1; bit < 256; bit *= 5) {
      data[n] = (char)(data[n] ^ bit);
      f(data, bytes);
      data[n] = (char)(data[n] ^ bit);
    }
  assert_int_equal(ea_memory_live(), live);
}

/* ---- PNG ---- */

static int parse_png(const void *data, size_t bytes) {
  ea_source s;
  ea_tensor *t = NULL;
  ea_source_memory(data, bytes, "test.png", &s);
  int status = ea_png_parse(&s, 3, &t);
  ea_tensor_release(t);
  return status;
}

static void png_round_trip(void **state) {
  (void)state;
  static const int channels[] = {1, 3, 4};
  for (int i = 0; i < 3; i++) {
    const char *path = scratch("a.png");
    ea_tensor *t = tensor_of(EA_U8, 3, (const int64_t[]){5, 7, channels[i]}), *b;
    char *data;
    size_t bytes;
    assert_int_equal(ea_png_save(path, t), EA_OK);
    assert_int_equal(ea_png_load(path, 0, &b), EA_OK);
    assert_same_tensor(t, b);
    ea_tensor_release(b);
    assert_int_equal(ea_png_load(path, 4, &b), EA_OK);
    const uint8_t *p = ea_tensor_data(t), *q = ea_tensor_data(b);
    assert_int_equal(ea_tensor_size(b, 2), 4);
    assert_int_equal(q[0], p[0]);
    assert_int_equal(q[2], p[channels[i] == 1 ? 0 : 2]);
    assert_int_equal(q[3], channels[i] == 4 ? p[3] : 255);
    ea_tensor_release(b);
    assert_int_equal(ea_png_load(path, 1, &b), EA_OK);
    int grey = channels[i] == 1 ? p[0] : (299 * p[0] + 587 * p[1] + 114 * p[2] + 500) / 1000;
    assert_int_equal(*(uint8_t *)ea_tensor_data(b), grey);
    ea_tensor_release(b);
    ea_tensor_release(t);
    read_all(path, &data, &bytes);
    refuse_beginnings(parse_png, data, bytes);
    survive_damage(parse_png, data, bytes);
    ea_buffer_free(data);
  }
  ea_tensor *b;
  assert_int_equal(ea_png_load(scratch("a.png"), 2, &b), EA_ERR_ARG);
}

static void png_refuses_tensors(void **state) {
  (void)state;
  static const struct {
    int dtype, ndim;
    int64_t size[4];
  } bad[] = {{EA_F32, 3, {2, 2, 3}},
             {EA_U8, 2, {2, 2}},
             {EA_U8, 3, {2, 2, 2}},
             {EA_U8, 3, {0, 2, 3}},
             {EA_U8, 4, {1, 2, 2, 3}}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ea_tensor *t = tensor_of(bad[i].dtype, bad[i].ndim, bad[i].size);
    assert_int_equal(ea_png_save(scratch("never.png"), t), EA_ERR_SHAPE);
    ea_tensor_release(t);
  }
  assert_int_equal(ea_png_save(scratch("never.png"), NULL), EA_ERR_ARG);
  assert_int_equal(ea_file_exists(scratch("never.png")), 0);
}

static uint32_t crc_of(const unsigned char *p, size_t n) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < n; i++) {
    crc ^= p[i];
    for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

static void put32(unsigned char *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* Far more pixels than 100 bytes can hold: refused before the memory for them is taken. */
static void png_bombs(void **state) {
  (void)state;
  static const uint32_t side[] = {8192, 65500, 65537, 1u << 30};
  for (int i = 0; i < 4; i++) {
    unsigned char file[100] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    put32(file + 16, side[i]);
    put32(file + 20, side[i]);
    file[24] = 8, file[25] = 2;
    put32(file + 29, crc_of(file + 12, 17));
    memcpy(file + 33, "\0\0\0\7IDAT", 8);
    put32(file + 48, crc_of(file + 37, 11));
    ea_memory_reset_peak();
    int64_t live = ea_memory_live();
    assert_true(parse_png(file, sizeof file) < 0);
    assert_error_has(i < 2 ? "claims to unpack" : "not a whole PNG");
    assert_true(ea_memory_peak() - live < 1 << 20);
  }
}

/* ---- JPEG ---- */

static int parse_jpeg(const void *data, size_t bytes) {
  ea_tensor *t = NULL;
  int status = ea_jpeg_parse(data, bytes, "test.jpg", 3, &t);
  ea_tensor_release(t);
  return status;
}

static void jpeg_values(void **state) {
  (void)state;
  static const char *const names[] = {"rgb", "grey", "progressive", "cmyk"};
  for (int i = 0; i < 4; i++) {
    char path[64], *data;
    size_t bytes;
    snprintf(path, sizeof path, "tests/fuzz/seeds/jpeg/%s.jpg", names[i]);
    if (!ea_file_exists(path)) {
      print_message("skipped: run from the top of the repository, where %s is\n", path);
      skip();
    }
    ea_tensor *t;
    if (ea_jpeg_load(path, 0, &t) != EA_OK) fail_msg("%s", ea_error());
    assert_int_equal(ea_tensor_size(t, 0), 12);
    assert_int_equal(ea_tensor_size(t, 1), 20);
    assert_int_equal(ea_tensor_size(t, 2), i == 1 ? 1 : 3);
    const uint8_t *p = ea_tensor_data(t);
    for (int y = 0; y < 12; y++)
      for (int x = 0; x < 20; x++) /* the pictures' red (or grey) is 12 x, within the losses */
        assert_in_range(p[(y * 20 + x) * (int)ea_tensor_size(t, 2)] + 12, 12 * x, 12 * x + 24);
    ea_tensor_release(t);
    read_all(path, &data, &bytes);
    refuse_beginnings(parse_jpeg, data, bytes);
    survive_damage(parse_jpeg, data, bytes);
    ea_buffer_free(data);
  }
}

/* ---- IDX ---- */

static int parse_idx(const void *data, size_t bytes) {
  ea_source s;
  ea_tensor *t = NULL;
  ea_source_memory(data, bytes, "test-idx", &s);
  int status = ea_idx_parse(&s, &t);
  ea_tensor_release(t);
  return status;
}

static void idx_files(void **state) {
  (void)state;
  static const char plain[] = "\0\0\x08\x03\0\0\0\2\0\0\0\1\0\0\0\3"
                              "abcdef";
  char command[600], *data;
  size_t bytes;
  ea_tensor *t, *u;
  char path[256];
  strcpy(path, scratch("idx"));
  assert_int_equal(ea_file_write(path, plain, sizeof plain - 1), EA_OK);
  assert_int_equal(ea_idx_load(path, &t), EA_OK);
  assert_int_equal(ea_tensor_ndim(t), 3);
  assert_memory_equal(ea_tensor_data(t), "abcdef", 6);
  refuse_beginnings(parse_idx, plain, sizeof plain - 1);
  assert_true(parse_idx(plain, sizeof plain) < 0); /* one byte too many */
  snprintf(command, sizeof command, "gzip -k '%s'", path);
  assert_int_equal(system(command), 0);
  strcat(path, ".gz");
  assert_int_equal(ea_idx_load(path, &u), EA_OK);
  assert_same_tensor(t, u);
  ea_tensor_release(t);
  ea_tensor_release(u);
  read_all(path, &data, &bytes);
  refuse_beginnings(parse_idx, data, bytes);
  survive_damage(parse_idx, data, bytes);
  ea_buffer_free(data);
  assert_int_equal(parse_idx("\0\0\x0d\1\0\0\0\1abcd", 12), EA_ERR_FORMAT);
  assert_error_has("another type");
  assert_int_equal(parse_idx("\0\0\x08\5\0\0\0\1abcd", 12), EA_ERR_FORMAT);
  char huge[20] = "\0\0\x08\4";
  memset(huge + 4, 255, 16);
  assert_int_equal(parse_idx(huge, 20), EA_ERR_FORMAT);
  assert_error_has("impossible");
}

/* ---- CIFAR ---- */

static int parse_cifar(const void *data, size_t bytes) {
  ea_source s;
  ea_tensor *x = NULL, *y = NULL;
  ea_source_memory(data, bytes, "test.bin", &s);
  int status = ea_cifar_parse(&s, 1, &x, &y);
  ea_tensor_release(x);
  ea_tensor_release(y);
  return status;
}

static void cifar_files(void **state) {
  (void)state;
  static char file[2 * 3074];
  ea_tensor *x, *y;
  for (int label_bytes = 1; label_bytes <= 2; label_bytes++) {
    size_t record = (size_t)label_bytes + 3072;
    memset(file, 0, sizeof file);
    file[record + (size_t)label_bytes - 1] = 7;          /* label of the second */
    file[record + (size_t)label_bytes + 1024 + 33] = 99; /* its green at row 1, column 1 */
    assert_int_equal(ea_file_write(scratch("c.bin"), file, 2 * record), EA_OK);
    assert_int_equal(ea_cifar_load(scratch("c.bin"), label_bytes, &x, &y), EA_OK);
    assert_int_equal(((int32_t *)ea_tensor_data(y))[1], 7);
    assert_int_equal(((uint8_t *)ea_tensor_data(x))[3072 + 33 * 3 + 1], 99);
    ea_tensor_release(x);
    ea_tensor_release(y);
    assert_int_equal(ea_cifar_load(scratch("c.bin"), 3 - label_bytes, &x, &y), EA_ERR_FORMAT);
  }
  refuse_beginnings(parse_cifar, file, 3073);
  file[0] = 10;
  assert_int_equal(parse_cifar(file, 3073), EA_ERR_FORMAT);
  assert_error_has("label 10");
  assert_int_equal(ea_cifar_load(scratch("c.bin"), 3, &x, &y), EA_ERR_ARG);
}

/* ---- no memory, no disk ---- */

static int save_png(void *image) { return ea_png_save(scratch("torture.png"), image); }

static int load_png(void *unused) {
  (void)unused;
  ea_tensor *t = NULL;
  int status = ea_png_load(scratch("torture.png"), 4, &t);
  ea_tensor_release(t);
  return status;
}

static int load_jpeg(void *unused) {
  (void)unused;
  ea_tensor *t = NULL;
  int status = ea_jpeg_load("tests/fuzz/seeds/jpeg/rgb.jpg", 1, &t);
  ea_tensor_release(t);
  return status;
}

static int load_idx(void *unused) {
  (void)unused;
  ea_tensor *t = NULL;
  int status = ea_idx_load(scratch("idx.gz"), &t);
  ea_tensor_release(t);
  return status;
}

static int load_cifar(void *unused) {
  (void)unused;
  ea_tensor *x = NULL, *y = NULL;
  int status = ea_cifar_load(scratch("c.bin"), 2, &x, &y);
  ea_tensor_release(x);
  ea_tensor_release(y);
  return status;
}

static void failures(void **state) {
  (void)state;
  ea_tensor *t = tensor_of(EA_U8, 3, (const int64_t[]){20, 30, 3});
  char path[256];
  strcpy(path, scratch("torture.png"));
  torture_writing(save_png, t, path);
  torture_memory(save_png, t);
  torture_memory(load_png, NULL);
  torture_memory(load_idx, NULL);
  torture_memory(load_cifar, NULL);
  if (ea_file_exists("tests/fuzz/seeds/jpeg/rgb.jpg")) torture_memory(load_jpeg, NULL);
  ea_tensor_release(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(png_round_trip), cmocka_unit_test(png_refuses_tensors),
      cmocka_unit_test(png_bombs),      cmocka_unit_test(jpeg_values),
      cmocka_unit_test(idx_files),      cmocka_unit_test(cifar_files),
      cmocka_unit_test(failures),
  };
  return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
