/* SPDX-License-Identifier: GPL-3.0-or-later
 * files.h - what the tests of readers and writers share: a scratch folder, bytes, torture.
 */
#ifndef EA_TEST_FILES_H
#define EA_TEST_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

static char folder[64];

/* A path in the scratch folder; four static buffers in turn. */
static inline const char *scratch(const char *name) {
  static char path[4][256];
  static int turn;
  char *p = path[turn++ % 4];
  snprintf(p, sizeof path[0], "%s/%s", folder, name);
  return p;
}

static inline int make_scratch(void **state) {
  (void)state;
  strcpy(folder, "/tmp/edgeai-test-XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_scratch(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  return system(command);
}

/* Number of entries in the scratch folder: a writer must not leave temporary files. */
static inline int scratch_entries(void) {
  char *names = NULL;
  int n = 0;
  assert_int_equal(ea_list_folder(folder, &names), EA_OK);
  if (*names) n = 1;
  for (char *p = names; *p; p++) n += *p == '\n';
  ea_buffer_free(names);
  return n;
}

static inline void assert_error_has(const char *part) {
  if (!strstr(ea_error(), part)) fail_msg("\"%s\" lacks \"%s\"", ea_error(), part);
}

static inline ea_tensor *tensor_of(int dtype, int ndim, const int64_t *size) {
  ea_tensor *t = NULL;
  assert_int_equal(ea_tensor_new(dtype, ndim, size, &t), EA_OK);
  unsigned char *p = ea_tensor_data(t);
  for (int64_t i = 0; i < ea_tensor_bytes(t); i++) p[i] = (unsigned char)(i * 7 + 3);
  if (dtype == EA_F32)
    for (int64_t i = 0; i < ea_tensor_count(t); i++) ((float *)p)[i] = (float)i * 0.5f - 3;
  if (dtype == EA_F64)
    for (int64_t i = 0; i < ea_tensor_count(t); i++) ((double *)p)[i] = (double)i / 3 - 3;
  return t;
}

static inline void assert_same_tensor(const ea_tensor *a, const ea_tensor *b) {
  assert_int_equal(ea_tensor_dtype(a), ea_tensor_dtype(b));
  assert_int_equal(ea_tensor_ndim(a), ea_tensor_ndim(b));
  for (int d = 0; d < ea_tensor_ndim(a); d++)
    assert_int_equal(ea_tensor_size(a, d), ea_tensor_size(b, d));
  if (ea_tensor_bytes(a))
    assert_memory_equal(ea_tensor_data(a), ea_tensor_data(b), (size_t)ea_tensor_bytes(a));
}

static inline void read_all(const char *path, char **data, size_t *bytes) {
  if (ea_file_read(path, 1 << 24, data, bytes) != EA_OK) fail_msg("%s", ea_error());
}

typedef int (*attempt)(void *context);

/* Fails every single allocation of f in turn: it must say so, leak nothing and not crash. */
static inline void torture_memory(attempt f, void *context) {
  assert_int_equal(f(context), EA_OK); /* the first run may fill caches */
  int64_t before = ea_memory_count(), live = ea_memory_live();
  if (f(context) != EA_OK) fail_msg("%s", ea_error());
  int64_t n = ea_memory_count() - before;
  assert_int_equal(ea_memory_live(), live);
  assert_true(n > 0);
  for (int64_t k = 1; k <= n; k++) {
    ea_memory_fail_at(k);
    int status = f(context);
    ea_memory_fail_at(0);
    if (status == EA_OK) fail_msg("allocation %d of %d failed unnoticed", (int)k, (int)n);
    assert_int_equal(status, EA_ERR_MEMORY);
    assert_int_equal(ea_memory_live(), live);
  }
}

/* Fails every single system call of writing `path` in turn: afterwards the file holds the old bytes
 * or (if only the last syncs failed) the new ones, and nothing is left beside it. */
static inline void torture_writing(attempt f, void *context, const char *path) {
  char *want, *old;
  size_t bytes;
  static const char before[] = "what was there before";
  assert_int_equal(f(context), EA_OK);
  read_all(path, &want, &bytes);
  int entries = scratch_entries(), failures = 0;
  int64_t live = ea_memory_live();
  for (int k = 1;; k++) {
    assert_int_equal(ea_file_write(path, before, sizeof before), EA_OK);
    ea_file_fail_at(k, 28 /* ENOSPC */);
    int status = f(context);
    int reached = status != EA_OK;
    ea_file_fail_at(0, 0);
    if (!reached) break;
    failures++;
    assert_int_equal(status, EA_ERR_IO);
    assert_error_has("No space left on device");
    size_t n;
    read_all(path, &old, &n);
    assert_true((n == sizeof before && memcmp(old, before, n) == 0) ||
                (n == bytes && memcmp(old, want, n) == 0));
    ea_buffer_free(old);
    assert_int_equal(scratch_entries(), entries);
    assert_int_equal(ea_memory_live(), live);
  }
  assert_true(failures >= 4);
  for (int k = 1; k <= failures; k++) { /* short writes lose nothing */
    ea_file_fail_at(k, 0);
    assert_int_equal(f(context), EA_OK);
    ea_file_fail_at(0, 0);
    size_t n;
    read_all(path, &old, &n);
    assert_int_equal(n, bytes);
    assert_memory_equal(old, want, n);
    ea_buffer_free(old);
  }
  ea_buffer_free(want);
}

#endif
