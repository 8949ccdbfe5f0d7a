/* SPDX-License-Identifier: GPL-3.0-or-later
 * test_files.c - atomic writing, reading, folders, JSON.
 */
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "files.h"

static void write_then_read(void **state) {
  (void)state;
  static const char text[] = "one\0two";
  const char *path = scratch("a.txt");
  char *data;
  size_t bytes;
  assert_int_equal(ea_file_write(path, text, sizeof text), EA_OK);
  assert_int_equal(ea_file_read(path, 100, &data, &bytes), EA_OK);
  assert_int_equal(bytes, sizeof text);
  assert_memory_equal(data, text, sizeof text);
  assert_int_equal(data[bytes], 0);
  ea_buffer_free(data);
  assert_int_equal(ea_file_read(path, 7, &data, &bytes), EA_ERR_FORMAT);
  assert_error_has("larger than the 7 bytes");
  assert_int_equal(ea_file_write(path, NULL, 0), EA_OK);
  assert_int_equal(ea_file_read(path, 7, &data, NULL), EA_OK);
  assert_string_equal(data, "");
  ea_buffer_free(data);
  assert_int_equal(ea_file_read(scratch("none"), 7, &data, &bytes), EA_ERR_IO);
  assert_error_has("No such file");
  assert_int_equal(ea_file_read(folder, 7, &data, &bytes), EA_ERR_IO);
  assert_error_has("folder");
  assert_int_equal(ea_file_read("", 7, &data, &bytes), EA_ERR_ARG);
  assert_int_equal(ea_file_read("/proc/self/status", 1 << 20, &data, &bytes), EA_OK);
  assert_true(bytes > 100); /* though its size is said to be 0 */
  ea_buffer_free(data);
}

static void refuses_odd_targets(void **state) {
  (void)state;
  struct stat st;
  assert_int_equal(ea_file_write("/dev/null", "x", 1), EA_ERR_IO);
  assert_int_equal(stat("/dev/null", &st), 0);
  assert_true(S_ISCHR(st.st_mode));
  assert_int_equal(ea_file_write(folder, "x", 1), EA_ERR_IO);
  assert_error_has("folder");
  assert_int_equal(ea_file_write(scratch("no/such/folder.txt"), "x", 1), EA_ERR_IO);
  assert_error_has("No such file");
  assert_int_equal(ea_file_write("", "x", 1), EA_ERR_ARG);
  const char *fifo = scratch("pipe");
  char *data;
  assert_int_equal(mkfifo(fifo, 0600), 0);
  assert_int_equal(ea_file_read(fifo, 9, &data, NULL), EA_ERR_IO); /* and does not wait */
  assert_int_equal(unlink(fifo), 0);
}

static void keeps_mode_and_links(void **state) {
  (void)state;
  struct stat st;
  const char *path = scratch("mode.txt"), *link = scratch("link.txt");
  char *data;
  assert_int_equal(ea_file_write(path, "1", 1), EA_OK);
  assert_int_equal(chmod(path, 0640), 0);
  assert_int_equal(symlink(path, link), 0);
  assert_int_equal(ea_file_write(link, "2", 1), EA_OK);
  assert_int_equal(lstat(link, &st), 0);
  assert_true(S_ISLNK(st.st_mode));
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0640);
  read_all(path, &data, NULL);
  assert_string_equal(data, "2");
  ea_buffer_free(data);
}

static int write_large(void *path) {
  static char big[200000];
  memset(big, 'x', sizeof big);
  return ea_file_write(path, big, sizeof big);
}

static void survives_failing_calls(void **state) {
  (void)state;
  char path[256];
  strcpy(path, scratch("torture.bin"));
  torture_writing(write_large, path, path);
  torture_memory(write_large, path);
}

/* A real refusal by the kernel, not an injected one. */
static void survives_a_size_limit(void **state) {
  (void)state;
  char path[256], *data;
  strcpy(path, scratch("limit.bin"));
  assert_int_equal(ea_file_write(path, "old", 3), EA_OK);
  struct rlimit old, small;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  small = old;
  small.rlim_cur = 100000;
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  int status = write_large(path);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  assert_int_equal(status, EA_ERR_IO);
  read_all(path, &data, NULL);
  assert_string_equal(data, "old");
  ea_buffer_free(data);
}

static void owners(void **state) {
  (void)state;
  char *real, link[300];
  const char *path = scratch("owned");
  assert_int_equal(ea_file_write(path, "x", 1), EA_OK);
  assert_int_equal(chmod(path, 0644), 0);
  assert_int_equal(ea_file_foreign(path), 0);
  assert_int_equal(chmod(path, 0646), 0);
  assert_int_equal(ea_file_foreign(path), 2);
  strcpy(link, scratch("link"));
  assert_int_equal(symlink("owned", link), 0);
  assert_int_equal(ea_file_foreign(link), 2); /* it is the file that counts */
  assert_int_equal(ea_real_path(link, &real), EA_OK);
  assert_string_equal(real, path);
  ea_buffer_free(real);
  assert_int_equal(ea_file_foreign("/etc/passwd"), 0); /* root's */
  assert_int_equal(ea_file_foreign(scratch("none")), EA_ERR_IO);
  assert_int_equal(ea_real_path(scratch("none"), &real), EA_ERR_IO);
  assert_error_has("cannot find");
  assert_int_equal(ea_real_path(NULL, &real), EA_ERR_ARG);
  assert_int_equal(ea_file_foreign(NULL), EA_ERR_ARG);
  ea_memory_fail_at(1);
  assert_int_equal(ea_real_path(link, &real), EA_ERR_MEMORY);
  ea_memory_fail_at(0);
}

static void folders(void **state) {
  (void)state;
  char deep[256], *names;
  strcpy(deep, scratch("f/one/two/"));
  assert_int_equal(ea_make_folder(deep), EA_OK);
  assert_int_equal(ea_make_folder(deep), EA_OK);
  assert_int_equal(ea_file_exists(deep), 2);
  assert_int_equal(ea_file_write(scratch("f/B.txt"), "x", 1), EA_OK);
  assert_int_equal(ea_file_write(scratch("f/a.txt"), "x", 1), EA_OK);
  assert_int_equal(ea_file_exists(scratch("f/a.txt")), 1);
  assert_int_equal(ea_file_exists(scratch("f/zzz")), 0);
  assert_int_equal(ea_list_folder(scratch("f"), &names), EA_OK);
  assert_string_equal(names, "B.txt\na.txt\none/");
  ea_buffer_free(names);
  assert_int_equal(ea_list_folder(deep, &names), EA_OK);
  assert_string_equal(names, "");
  ea_buffer_free(names);
  assert_int_equal(ea_list_folder(scratch("f/zzz"), &names), EA_ERR_IO);
  assert_int_equal(ea_make_folder(scratch("f/a.txt/x")), EA_ERR_IO);
  assert_error_has("is a file");
}

/* ---- JSON ---- */

static int parse(const char *text) {
  ea_json *v = NULL;
  int status = ea_json_parse(text, strlen(text), &v);
  if (status == EA_OK) ea_json_free(v);
  return status;
}

static void json_values(void **state) {
  (void)state;
  static const char text[] = "{\"b\": [1, -2.5e3, true, null, \"h\\u00e9\\u0000\\n\"], \"a\": {}}";
  ea_json *v;
  size_t bytes;
  assert_int_equal(ea_json_parse(text, strlen(text), &v), EA_OK);
  assert_int_equal(ea_json_type(v), 5);
  assert_int_equal(ea_json_count(v), 2);
  assert_string_equal(ea_json_key(v, 0), "b"); /* order is kept */
  assert_string_equal(ea_json_key(v, 1), "a");
  assert_null(ea_json_key(v, 2));
  const ea_json *list = ea_json_item(v, 0);
  assert_int_equal(ea_json_type(list), 4);
  assert_true(ea_json_number(ea_json_item(list, 0)) == 1);
  assert_true(ea_json_number(ea_json_item(list, 1)) == -2500);
  assert_int_equal(ea_json_type(ea_json_item(list, 2)), 1);
  assert_true(ea_json_number(ea_json_item(list, 2)) == 1);
  assert_int_equal(ea_json_type(ea_json_item(list, 3)), 0);
  assert_memory_equal(ea_json_string(ea_json_item(list, 4), &bytes), "h\xc3\xa9\0\n", 5);
  assert_int_equal(bytes, 5);
  assert_null(ea_json_item(list, 5));
  assert_null(ea_json_item(list, -1));
  assert_int_equal(ea_json_count(ea_json_item(v, 1)), 0);
  ea_json_free(v);
  ea_json_free(NULL);
}

static void json_refusals(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",        "{",   "[1,]",     "{\"a\":1,\"a\":2}", "nul",
      "01",      "1 2", "\"\xff\"", "\"\\ud800\"",       "NaN",
      "[1e999]", "'a'", "\"a\nb\"", "\xef\xbb\xbf{}",    "{\"a\\u0000b\":1}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(parse(bad[i]), EA_ERR_FORMAT);
    assert_error_has("not valid JSON: line 1");
  }
  assert_int_equal(parse("{\"a\":1,\"\x1b[2Ja\":2}"), EA_ERR_FORMAT);
  assert_null(strchr(ea_error(), '\x1b')); /* nothing that could steer a terminal */
}

static void json_depth_and_size(void **state) {
  (void)state;
  char deep[6000] = "";
  for (int depth = 256; depth <= 257; depth++) {
    memset(deep, '[', (size_t)depth);
    memset(deep + depth, ']', (size_t)depth);
    deep[2 * depth] = 0;
    assert_int_equal(parse(deep), depth == 256 ? EA_OK : EA_ERR_FORMAT);
  }
  assert_error_has("256 deep");
  memset(deep, '[', sizeof deep - 1);
  deep[sizeof deep - 1] = 0;
  assert_int_equal(parse(deep), EA_ERR_FORMAT);
  size_t n = 24 << 20; /* 24 MB of "[],[],..." would need about a gigabyte */
  char *wide = malloc(n + 1);
  for (size_t i = 0; i < n; i += 3) memcpy(wide + i, "[],", 3);
  wide[0] = '[', wide[1] = '0', wide[n - 1] = ']', wide[n] = 0;
  int64_t live = ea_memory_live();
  ea_memory_reset_peak();
  assert_int_equal(parse(wide), EA_ERR_FORMAT);
  assert_error_has("192 MiB");
  assert_int_equal(ea_memory_live(), live);
  assert_true(ea_memory_peak() - live < (int64_t)300 << 20);
  free(wide);
}

static int parse_some(void *text) { return parse(text); }

static void json_torture(void **state) {
  (void)state;
  char text[] = "{\"a\":[1,2,{\"b\":\"c\"}]}";
  torture_memory(parse_some, text);
  size_t n = 300000;
  char *wide = malloc(n + 1);
  for (size_t i = 0; i < n; i += 2) memcpy(wide + i, "1,", 2);
  wide[0] = '[', wide[n - 1] = ']', wide[n] = 0, wide[1] = ' ';
  torture_memory(parse_some, wide);
  free(wide);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(write_then_read),
      cmocka_unit_test(refuses_odd_targets),
      cmocka_unit_test(keeps_mode_and_links),
      cmocka_unit_test(survives_failing_calls),
      cmocka_unit_test(survives_a_size_limit),
      cmocka_unit_test(owners),
      cmocka_unit_test(folders),
      cmocka_unit_test(json_values),
      cmocka_unit_test(json_refusals),
      cmocka_unit_test(json_depth_and_size),
      cmocka_unit_test(json_torture),
  };
  return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
