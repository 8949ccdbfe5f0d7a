/* SPDX-License-Identifier: GPL-3.0-or-later
 * test_formats.c - safetensors, npy and npz: round trips, damage, hostile headers, failures.
 */
#include "files.h"
#include "tensor/formats.h"

/* ---- archives ---- */

static ea_archive *sample(void) {
  ea_archive *a;
  assert_int_equal(ea_archive_new(&a), EA_OK);
  static const struct {
    const char *name;
    int dtype, ndim;
    int64_t size[3];
  } list[] = {{"bytes", EA_U8, 1, {5}},
              {"w", EA_F32, 2, {2, 3}},
              {"empty", EA_F32, 2, {0, 7}},
              {"scalar", EA_F64, 0, {0}},
              {"half", EA_BF16, 1, {3}},
              {"i", EA_I32, 3, {1, 2, 2}},
              {"\"quoted\\\n\xc3\xa9", EA_I8, 1, {3}}};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    ea_tensor *t = tensor_of(list[i].dtype, list[i].ndim, list[i].size);
    assert_int_equal(ea_archive_add(a, list[i].name, t), EA_OK);
    ea_tensor_release(t);
  }
  assert_int_equal(ea_archive_set_meta(a, "format", "old"), EA_OK);
  assert_int_equal(ea_archive_set_meta(a, "note", "two\nlines \"and\" \\"), EA_OK);
  assert_int_equal(ea_archive_set_meta(a, "format", "pt"), EA_OK);
  return a;
}

static void assert_same_archive(const ea_archive *a, const ea_archive *b) {
  assert_int_equal(ea_archive_count(a), ea_archive_count(b));
  for (int i = 0; i < ea_archive_count(a); i++) {
    assert_string_equal(ea_archive_name(a, i), ea_archive_name(b, i));
    assert_same_tensor(ea_archive_tensor(a, i), ea_archive_tensor(b, i));
  }
  assert_int_equal(ea_archive_meta_count(a), ea_archive_meta_count(b));
  for (int i = 0; i < ea_archive_meta_count(a); i++) {
    assert_string_equal(ea_archive_meta_key(a, i), ea_archive_meta_key(b, i));
    assert_string_equal(ea_archive_meta_value(a, i), ea_archive_meta_value(b, i));
  }
}

static void archive_rules(void **state) {
  (void)state;
  int64_t live = ea_memory_live();
  ea_archive *a = sample();
  ea_tensor *t = tensor_of(EA_F32, 1, (const int64_t[]){2});
  assert_int_equal(ea_archive_add(a, "w", t), EA_ERR_ARG);
  assert_error_has("already");
  assert_int_equal(ea_archive_add(a, "__metadata__", t), EA_ERR_ARG);
  assert_int_equal(ea_archive_add(a, "\xff", t), EA_ERR_ARG);
  assert_int_equal(ea_archive_add(a, "x", NULL), EA_ERR_ARG);
  assert_int_equal(ea_archive_set_meta(a, "k", "\xc0\x80"), EA_ERR_ARG);
  for (int i = 0; i < 1000; i++) {
    char name[16];
    snprintf(name, sizeof name, "t%d", i);
    assert_int_equal(ea_archive_add(a, name, t), EA_OK);
  }
  assert_int_equal(ea_archive_find(a, "t999"), 1006);
  assert_int_equal(ea_archive_find(a, "t1000"), -1);
  assert_null(ea_archive_name(a, 1007));
  assert_null(ea_archive_tensor(a, -1));
  ea_tensor_release(t);
  ea_archive_free(a);
  assert_int_equal(ea_memory_live(), live);
}

/* ---- safetensors ---- */

static int parse_safetensors(const void *data, size_t bytes) {
  ea_source s;
  ea_archive *a = NULL;
  ea_source_memory(data, bytes, "test.safetensors", &s);
  int status = ea_safetensors_parse(&s, &a);
  ea_archive_free(a);
  return status;
}

static void safetensors_round_trip(void **state) {
  (void)state;
  ea_archive *a = sample(), *b;
  const char *path = scratch("a.safetensors");
  assert_int_equal(ea_safetensors_save(path, a), EA_OK);
  assert_int_equal(ea_safetensors_load(path, &b), EA_OK);
  assert_same_archive(a, b);
  ea_archive_free(b);
  char *data;
  size_t bytes;
  read_all(path, &data, &bytes);
  assert_int_equal(data[0] % 8, 0);
  for (size_t n = 0; n < bytes; n++) assert_true(parse_safetensors(data, n) < 0);
  data[bytes] = 0; /* one byte too many: the terminator */
  assert_int_equal(parse_safetensors(data, bytes + 1), EA_ERR_FORMAT);
  assert_error_has("belong to no tensor");
  ea_buffer_free(data);
  ea_archive_free(a);
}

static void safetensors_views(void **state) {
  (void)state;
  ea_tensor *t = tensor_of(EA_F32, 2, (const int64_t[]){3, 4}), *turned, *packed;
  assert_int_equal(ea_tensor_permute(t, (const int[]){1, 0}, &turned), EA_OK);
  assert_int_equal(ea_tensor_clone(turned, EA_F32, &packed), EA_OK);
  ea_archive *a, *b;
  assert_int_equal(ea_archive_new(&a), EA_OK);
  assert_int_equal(ea_archive_add(a, "v", turned), EA_OK);
  const char *path = scratch("v.safetensors");
  assert_int_equal(ea_safetensors_save(path, a), EA_OK);
  assert_int_equal(ea_safetensors_load(path, &b), EA_OK);
  assert_same_tensor(ea_archive_tensor(b, 0), packed);
  ea_archive_free(a);
  ea_archive_free(b);
  ea_tensor_release(t);
  ea_tensor_release(turned);
  ea_tensor_release(packed);
}

/* A file of this header and so many zero bytes. */
static int with_header(const char *header, size_t data) {
  uint64_t n = strlen(header);
  size_t bytes = 8 + n + data;
  unsigned char *file = calloc(1, bytes);
  memcpy(file, &n, 8);
  memcpy(file + 8, header, n);
  int status = parse_safetensors(file, bytes);
  free(file);
  return status;
}

#define T(name, dtype, shape, begin, end)                                                          \
  "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]" \
  "}"

static void safetensors_hostile(void **state) {
  (void)state;
  static const struct {
    const char *header;
    size_t data;
    const char *says;
  } bad[] = {
      {"{" T("a", "F32", "[1]", "0", "4") "," T("a", "F32", "[1]", "4", "8") "}", 8, "duplicate"},
      {"{" T("a", "F32", "[2]", "0", "8") "," T("b", "F32", "[1]", "4", "8") "}", 8, "overlaps"},
      {"{" T("a", "F32", "[1]", "0", "4") "," T("b", "F32", "[1]", "8", "12") "}", 12, "behind"},
      {"{" T("a", "F32", "[1]", "4", "8") "}", 8, "behind bytes"},
      {"{" T("a", "F32", "[1]", "0", "4") "}", 8, "belong to no tensor"},
      {"{" T("a", "F32", "[2]", "0", "4") "}", 4, "do not fit its shape"},
      {"{" T("a", "F32", "[4]", "0", "16") "}", 8, "outside"},
      {"{" T("a", "F32", "[1]", "4", "0") "}", 8, "outside"},
      {"{" T("a", "F32", "[-1]", "0", "4") "}", 4, "impossible shape"},
      {"{" T("a", "F32", "[1.5]", "0", "6") "}", 6, "impossible shape"},
      {"{" T("a", "F32", "[4294967296,4294967296]", "0", "0") "}", 0, "impossible shape"},
      {"{" T("a", "F32", "[4611686018427387905]", "0", "4") "}", 4, "impossible shape"},
      {"{" T("a", "F32", "[9223372036854775807,0]", "0", "0") "}", 0, "impossible shape"},
      {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, "8 dimensions"},
      {"{" T("a", "F8_E4M3", "[4]", "0", "4") "}", 4, "F8_E4M3"},
      {"{" T("a", "F32", "1", "0", "4") "}", 4, "no shape"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, "a key"},
      {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no dtype"},
      {"{\"a\":3}", 0, "JSON object"},
      {"{\"__metadata__\":{\"a\":1}}", 0, "not a text"},
      {"{\"__metadata__\":[]}", 0, "object of strings"},
      {"{\"__metadata__\":{\"a\":\"b\\u0000c\"}}", 0, "not a text"},
      {"[]", 0, "no JSON object"},
      {" {}", 0, "no JSON object"},
      {"{}x", 0, "not valid JSON"},
      {"{", 0, "only 9 bytes"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    int64_t live = ea_memory_live();
    if (with_header(bad[i].header, bad[i].data) >= 0) fail_msg("accepted: %s", bad[i].header);
    assert_error_has(bad[i].says);
    assert_error_has("test.safetensors");
    assert_int_equal(ea_memory_live(), live);
  }
  assert_int_equal(with_header("{}", 0), EA_OK);
  assert_int_equal(with_header("{}      ", 0), EA_OK);
  assert_int_equal(with_header("{" T("a", "F32", "[]", "0", "4") "}", 4), EA_OK);
  assert_int_equal(
      with_header("{" T("b", "U8", "[2]", "2", "4") "," T("e", "F32", "[0]", "2", "2") "," T(
                      "a", "U8", "[2]", "0", "2") "}",
                  4),
      EA_OK);
  static const unsigned char huge[16] = {255, 255, 255, 255, 255, 255, 255, 255, '{', '}'};
  assert_int_equal(parse_safetensors(huge, 16), EA_ERR_FORMAT);
  static const unsigned char cap[16] = {1, 0xE1, 0xF5, 5, 0, 0, 0, 0, '{', '}'}; /* 100 MB + 1 */
  assert_int_equal(parse_safetensors(cap, 16), EA_ERR_FORMAT);
  assert_error_has("100000001");
}

static void safetensors_converts(void **state) {
  (void)state;
  static const char header[] = "{" T("h", "F16", "[4]", "16", "24") "," T(
      "l", "I64", "[2]", "0", "16") "," T("b", "BOOL", "[2]", "24", "26") "}";
  static const uint16_t half[4] = {0x3C00, 0xC200, 0x0001, 0xFC00}; /* 1, -3, 2^-24, -inf */
  int64_t whole[2] = {-7, 2147483647};
  uint64_t n = sizeof header - 1;
  unsigned char file[512] = {0};
  memcpy(file, &n, 8);
  memcpy(file + 8, header, n);
  memcpy(file + 8 + n, whole, 16);
  memcpy(file + 24 + n, half, 8);
  file[32 + n] = 2;
  ea_source s;
  ea_archive *a;
  ea_source_memory(file, 8 + n + 26, "c", &s);
  assert_int_equal(ea_safetensors_parse(&s, &a), EA_OK);
  const float *f = ea_tensor_data(ea_archive_tensor(a, 0));
  assert_true(f[0] == 1 && f[1] == -3 && f[2] == 0x1p-24f && f[3] == -__builtin_inff());
  const int32_t *i = ea_tensor_data(ea_archive_tensor(a, 1));
  assert_true(i[0] == -7 && i[1] == 2147483647);
  const uint8_t *b = ea_tensor_data(ea_archive_tensor(a, 2));
  assert_true(b[0] == 1 && b[1] == 0);
  ea_archive_free(a);
  whole[1]++;
  memcpy(file + 8 + n, whole, 16);
  assert_int_equal(parse_safetensors(file, 8 + n + 26), EA_ERR_FORMAT);
  assert_error_has("2147483648");
}

/* ---- npy ---- */

static int parse_npy(const void *data, size_t bytes, ea_tensor **out) {
  ea_source s;
  ea_source_memory(data, bytes, "test.npy", &s);
  return ea_npy_parse(&s, out);
}

#define D(descr, order, shape) \
  "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"

static int with_dictionary(const char *dictionary, const void *elements, size_t n,
                           ea_tensor **out) {
  unsigned char file[1024] = "\x93NUMPY\x01";
  size_t length = strlen(dictionary);
  file[8] = (unsigned char)length;
  file[9] = (unsigned char)(length >> 8);
  memcpy(file + 10, dictionary, length);
  if (n) memcpy(file + 10 + length, elements, n);
  return parse_npy(file, 10 + length + n, out);
}

static void npy_round_trip(void **state) {
  (void)state;
  ea_archive *a = sample();
  for (int i = 0; i < ea_archive_count(a); i++) {
    ea_tensor *t = ea_archive_tensor(a, i), *want, *b = NULL;
    const char *path = scratch("a.npy");
    char *data;
    size_t bytes;
    int dtype = ea_tensor_dtype(t);
    assert_int_equal(ea_tensor_clone(t, dtype == EA_BF16 ? EA_F32 : dtype, &want), EA_OK);
    assert_int_equal(ea_npy_save(path, t), EA_OK);
    assert_int_equal(ea_npy_load(path, &b), EA_OK);
    assert_same_tensor(want, b);
    ea_tensor_release(b);
    ea_tensor_release(want);
    read_all(path, &data, &bytes);
    for (size_t n = 0; n < bytes; n++) assert_true(parse_npy(data, n, &b) < 0);
    assert_true(parse_npy(data, bytes + 1, &b) < 0);
    ea_buffer_free(data);
  }
  ea_archive_free(a);
}

static void npy_orders(void **state) {
  (void)state;
  static const unsigned char big[12] = {0, 0, 0, 1, 0, 0, 0, 2, 255, 255, 255, 253};
  static const int32_t columns[6] = {1, 4, 2, 5, 3, 6}, rows[6] = {1, 2, 3, 4, 5, 6};
  ea_tensor *t;
  assert_int_equal(with_dictionary(D("'>i4'", "False", "(3,)") "\n", big, 12, &t), EA_OK);
  const int32_t *p = ea_tensor_data(t);
  assert_true(p[0] == 1 && p[1] == 2 && p[2] == -3);
  ea_tensor_release(t);
  assert_int_equal(
      with_dictionary("{'shape': (2, 3), 'descr': '<i4', 'fortran_order': True}", columns, 24, &t),
      EA_OK);
  assert_int_equal(ea_tensor_size(t, 0), 2);
  assert_int_equal(ea_tensor_size(t, 1), 3);
  assert_memory_equal(ea_tensor_data(t), rows, 24);
  ea_tensor_release(t);
}

static void npy_hostile(void **state) {
  (void)state;
  static const struct {
    const char *dictionary;
    size_t data;
    const char *says;
  } bad[] = {
      {D("'|O'", "False", "(1,)"), 8, "pickled"},
      {D("'<U4'", "False", "(1,)"), 16, "<U4"},
      {D("'<c8'", "False", "(1,)"), 8, "<c8"},
      {D("[('a', '<f4')]", "False", "(1,)"), 4, "header"},
      {D("'<f4'", "False", "(2,)"), 4, "declares 8 bytes"},
      {D("'<f4'", "False", "(1,)"), 8, "declares 4 bytes"},
      {D("'<f4'", "False", "(4294967296, 4294967296)"), 0, "impossible shape"},
      {D("'<f4'", "False", "(9223372036854775808,)"), 0, "header"},
      {D("'<f4'", "False", "(-1,)"), 0, "header"},
      {D("'<f4'", "False", "(1,1,1,1,1,1,1,1,1)"), 4, "header"},
      {D("'<f4'", "Maybe", "(1,)"), 4, "header"},
      {D("'<f4'", "False", "(1,)") "x", 4, "header"},
      {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 4, "header"},
      {"{'descr': '<f4', 'shape': (1,)}", 4, "header"},
      {"{'descr': '<f4', 'shape': (1,), 'evil': 3}", 4, "header"},
      {"__import__('os')", 4, "header"},
      {"", 4, "header"},
  };
  static const char zeros[64];
  ea_tensor *t = NULL;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    int64_t live = ea_memory_live();
    if (with_dictionary(bad[i].dictionary, zeros, bad[i].data, &t) >= 0)
      fail_msg("accepted: %s", bad[i].dictionary);
    assert_error_has(bad[i].says);
    assert_int_equal(ea_memory_live(), live);
  }
  assert_int_equal(parse_npy("\x93NUMPY\x04\0\0\0\0\0", 12, &t), EA_ERR_UNSUPPORTED);
  assert_int_equal(parse_npy("PK\3\4aaaaaaaa", 12, &t), EA_ERR_FORMAT);
}

/* ---- npz ---- */

static int parse_npz(const void *data, size_t bytes) {
  ea_archive *a = NULL;
  int status = ea_npz_parse(data, bytes, "test.npz", &a);
  ea_archive_free(a);
  return status;
}

static void npz_round_trip(void **state) {
  (void)state;
  ea_archive *a, *b;
  assert_int_equal(ea_archive_new(&a), EA_OK);
  const char *path = scratch("a.npz");
  char *data, *again;
  size_t bytes, n;
  assert_int_equal(ea_npz_save(path, a), EA_OK); /* no arrays at all */
  assert_int_equal(ea_npz_load(path, &b), EA_OK);
  assert_same_archive(a, b);
  ea_archive_free(b);
  ea_tensor *t = tensor_of(EA_F32, 2, (const int64_t[]){2, 3});
  ea_tensor *u = tensor_of(EA_U8, 1, (const int64_t[]){0});
  assert_int_equal(ea_archive_add(a, "x/y", t), EA_OK);
  assert_int_equal(ea_archive_add(a, "\xc3\xa9", u), EA_OK);
  assert_int_equal(ea_npz_save(path, a), EA_OK);
  if (ea_npz_load(path, &b) != EA_OK) fail_msg("%s", ea_error());
  assert_same_archive(a, b);
  ea_archive_free(b);
  read_all(path, &data, &bytes);
  assert_int_equal(ea_npz_save(path, a), EA_OK);
  read_all(path, &again, &n);
  assert_int_equal(n, bytes);
  assert_memory_equal(again, data, n);
  int64_t live = ea_memory_live();
  for (n = 0; n < bytes; n++) assert_true(parse_npz(data, n) < 0);
  for (n = 0; n < bytes; n++) { /* any damage is noticed or harmless, never a crash or a leak */
    data[n] ^= 0x55;
    parse_npz(data, bytes);
    data[n] ^= 0x55;
  }
  assert_int_equal(ea_memory_live(), live);
  ea_buffer_free(data);
  ea_buffer_free(again);
  ea_tensor_release(t);
  ea_tensor_release(u);
  ea_archive_free(a);
}

/* ---- no memory, no disk ---- */

typedef struct io {
  ea_archive *archive;
  char path[256];
} io;

static int save_safetensors(void *c) {
  return ea_safetensors_save(((io *)c)->path, ((io *)c)->archive);
}
static int save_npz(void *c) { return ea_npz_save(((io *)c)->path, ((io *)c)->archive); }
static int save_npy(void *c) {
  return ea_npy_save(((io *)c)->path, ea_archive_tensor(((io *)c)->archive, 4));
}

static int load_archive(int status, ea_archive *a) {
  ea_archive_free(a);
  return status;
}

static int load_safetensors(void *c) {
  ea_archive *a = NULL;
  int status = ea_safetensors_load(((io *)c)->path, &a);
  return load_archive(status, a);
}

static int load_npz(void *c) {
  ea_archive *a = NULL;
  int status = ea_npz_load(((io *)c)->path, &a);
  return load_archive(status, a);
}

static int load_npy(void *c) {
  ea_tensor *t = NULL;
  int status = ea_npy_load(((io *)c)->path, &t);
  ea_tensor_release(t);
  return status;
}

static void failures(void **state) {
  (void)state;
  static const struct {
    const char *name;
    attempt save, load;
  } formats[] = {{"t.safetensors", save_safetensors, load_safetensors},
                 {"t.npz", save_npz, load_npz},
                 {"t.npy", save_npy, load_npy}};
  io c = {.archive = sample()};
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    strcpy(c.path, scratch(formats[i].name));
    torture_writing(formats[i].save, &c, c.path);
    torture_memory(formats[i].save, &c);
    torture_memory(formats[i].load, &c);
  }
  ea_archive_free(c.archive);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(archive_rules),        cmocka_unit_test(safetensors_round_trip),
      cmocka_unit_test(safetensors_views),    cmocka_unit_test(safetensors_hostile),
      cmocka_unit_test(safetensors_converts), cmocka_unit_test(npy_round_trip),
      cmocka_unit_test(npy_orders),           cmocka_unit_test(npy_hostile),
      cmocka_unit_test(npz_round_trip),       cmocka_unit_test(failures),
  };
  return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
