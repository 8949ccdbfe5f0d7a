/* SPDX-License-Identifier: GPL-3.0-or-later
 * test_core.c - errors, memory, the thread pool, copies and conversions, views, random numbers.
 */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "../../core/base/base.h"
#include "../../core/base/philox.h"
#include "../../core/tensor/tensor.h"

static ea_tensor *make(int dtype, int ndim, const int64_t *size) {
  ea_tensor *t = NULL;
  assert_int_equal(ea_tensor_new(dtype, ndim, size, &t), EA_OK);
  return t;
}

static ea_tensor *vector(int dtype, int64_t n) { return make(dtype, 1, &n); }

static double at(const ea_tensor *t, int64_t i, int64_t j) {
  double v = NAN;
  assert_int_equal(ea_tensor_get(t, (int64_t[EA_MAX_DIM]){i, j}, &v), EA_OK);
  return v;
}

/* ---- errors and memory ----------------------------------------------------------------------- */

static void errors_fit(void **state) {
  (void)state;
  char text[3000];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = 0;
  assert_int_equal(ea_fail(EA_ERR_IO, "%s", text), EA_ERR_IO);
  assert_true(strlen(ea_error()) < 1024);
  assert_int_equal(ea_fail(EA_ERR_ARG, "the %d", 7), EA_ERR_ARG);
  assert_int_equal(ea_fail_within(EA_ERR_SHAPE, "%s", "outer"), EA_ERR_SHAPE);
  assert_string_equal(ea_error(), "outer: the 7");
  assert_int_equal(ea_fail_within(EA_ERR_SHAPE, "%s", text), EA_ERR_SHAPE);
  assert_true(strlen(ea_error()) < 1024);
}

static void memory_is_counted(void **state) {
  (void)state;
  int64_t live = ea_memory_live(), count = ea_memory_count();
  ea_memory_reset_peak();
  size_t sizes[] = {0, 1, 63, 64, 65, (2 << 20) - 64, 2 << 20, (2 << 20) + 1};
  int64_t sum = 0;
  void *p[8];
  for (int i = 0; i < 8; i++) {
    p[i] = ea_alloc(sizes[i]);
    assert_non_null(p[i]);
    assert_int_equal((uintptr_t)p[i] % 64, 0);
    memset(p[i], 0xab, sizes[i]);
    sum += (int64_t)sizes[i];
  }
  assert_int_equal(ea_memory_live(), live + sum);
  assert_int_equal(ea_memory_count(), count + 8);
  for (int i = 0; i < 8; i++) ea_free(p[i]);
  ea_free(NULL);
  assert_int_equal(ea_memory_live(), live);
  assert_int_equal(ea_memory_peak(), live + sum);
  ea_memory_fail_at(2);
  void *first = ea_alloc(8), *second = ea_alloc(8), *third = ea_alloc(8);
  assert_non_null(first);
  assert_null(second);
  assert_non_null(strstr(ea_error(), "out of memory"));
  assert_non_null(third);
  assert_null(ea_alloc(SIZE_MAX - 3));
  ea_free(first);
  ea_free(third);
  char *s = ea_sprintf("%s %d", "abc", 42);
  assert_string_equal(s, "abc 42");
  ea_free(s);
  assert_int_equal(ea_memory_live(), live);
}

/* ---- the pool -------------------------------------------------------------------------------- */

/* Takes the C library's place: threads can be made to be unavailable. */
static _Atomic int threads_allowed = 1000;
int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg) {
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
  if (atomic_fetch_sub(&threads_allowed, 1) <= 0) return EAGAIN;
  return real(thread, attr, fn, arg);
}

enum { SHARDS = 37 };
typedef struct tally {
  _Atomic int runs[SHARDS], busy[64];
  _Atomic int wrong;
} tally;

static void count_shard(void *arg, int64_t shard) {
  tally *t = arg;
  int me = ea_thread_index();
  if (me < 0 || me >= ea_threads() || atomic_fetch_add(&t->busy[me], 1)) t->wrong = 1;
  for (volatile int i = 0; i < (int)(shard % 5) * 20; i++) continue;
  t->runs[shard]++;
  t->busy[me]--;
}

static void each_shard_once(int64_t shards) {
  tally t;
  memset(&t, 0, sizeof t);
  ea_parallel(shards, count_shard, &t);
  for (int s = 0; s < SHARDS; s++) assert_int_equal(t.runs[s], s < shards);
  assert_int_equal(t.wrong, 0);
}

static void pool_runs_each_shard_once(void **state) {
  (void)state;
  for (int round = 0; round < 3; round++)
    for (int n = 1; n <= 8; n++) {
      assert_int_equal(ea_set_threads(n), EA_OK);
      assert_int_equal(ea_threads(), n);
      for (int64_t shards = 0; shards <= SHARDS; shards++) each_shard_once(shards);
      for (int k = 0; k < 100; k++) each_shard_once(2);
    }
  assert_int_equal(ea_set_threads(0), EA_ERR_ARG);
  assert_int_equal(ea_set_threads(65), EA_ERR_ARG);
  assert_int_equal(ea_threads(), 8);
  assert_int_equal(ea_set_threads(1), EA_OK);
}

/* Workers that could not be started at first join later, for the job at hand and no older one. */
static void pool_gets_threads_late(void **state) {
  (void)state;
  for (int round = 0; round < 50; round++) {
    assert_int_equal(ea_set_threads(6), EA_OK);
    for (int allowed = 0; allowed <= 5; allowed++) {
      threads_allowed = allowed ? 1 : 0;
      each_shard_once(SHARDS);
      each_shard_once(3);
    }
    threads_allowed = 1000;
    each_shard_once(SHARDS);
    assert_int_equal(ea_set_threads(1), EA_OK);
  }
}

/* ---- conversions ----------------------------------------------------------------------------- */

/* The bf16 number nearest to v, ties to even, by trying: independent of how copy does it. */
static uint16_t nearest_bf16(double v) {
  if (isnan(v)) return 0x7fc0;
  uint16_t sign = signbit(v) ? 0x8000 : 0, best = 0;
  double size = fabs(v);
  int low = 0, high = 0x7f80; /* bf16 patterns of numbers >= 0 stand in their order */
  while (high - low > 1) {
    int middle = (low + high) / 2;
    if ((double)ea_bf16_to_f32((uint16_t)middle) <= size) low = middle;
    else high = middle;
  }
  double below = ea_bf16_to_f32((uint16_t)low);
  double above = high == 0x7f80 ? 0x1p128 : ea_bf16_to_f32((uint16_t)high);
  if (isinf(size)) best = 0x7f80;
  else if (size - below < above - size) best = (uint16_t)low;
  else if (size - below > above - size) best = (uint16_t)high;
  else best = (uint16_t)(low % 2 ? high : low);
  return sign | best;
}

static void to_bf16_rounds_once(void **state) {
  (void)state;
  enum { N = 4096 };
  ea_tensor *wide = vector(EA_F64, N), *mid = vector(EA_F32, N), *half = vector(EA_BF16, N);
  double *d = ea_f64(wide);
  for (int i = 0; i < N; i++) {
    uint32_t word[4];
    ea_philox(3, 1, 0, (uint64_t)i, word);
    double near = ea_bf16_to_f32((uint16_t)(word[0] & 0xff7f)), ulp = near * 0x1p-8;
    /* around the middle between two neighbours, by far less than f32 can tell */
    d[i] = near + ulp * (1 + (i % 3 - 1) * ldexp(1, -(int)(word[1] % 40)));
  }
  /* clang-format off */
  double corners[] = {0, -0.0, INFINITY, -INFINITY, NAN, 3.4e38, 1e300, -1e300, 0x1p-149, 1e-300,
                      0x1.fep127, 0x1.ffp127, 0x1.fefffffffp127, 1 + 0x1p-8, 1 + 0x1p-8 + 0x1p-40,
                      1 + 0x1p-8 - 0x1p-40, 1 + 3 * 0x1p-8, 0x1p-134, 0x1p-134 + 0x1p-170};
  /* clang-format on */
  memcpy(d, corners, sizeof corners);
  assert_int_equal(ea_tensor_copy(half, wide), EA_OK);
  for (int i = 0; i < N; i++) {
    uint16_t got = ea_bf16(half)[i];
    if (isnan(d[i])) assert_true(isnan(ea_bf16_to_f32(got)));
    else assert_int_equal(got, nearest_bf16(d[i]));
  }
  assert_int_equal(ea_tensor_copy(mid, wide), EA_OK);
  assert_int_equal(ea_tensor_copy(half, mid), EA_OK);
  for (int i = 0; i < N; i++)
    if (!isnan(d[i])) assert_int_equal(ea_bf16(half)[i], nearest_bf16(ea_f32(mid)[i]));
  for (int i = 0; i < 65536; i++) { /* there and back: the same pattern, NaN stays NaN */
    float f = ea_bf16_to_f32((uint16_t)i);
    uint16_t back = ea_f32_to_bf16(f);
    if (isnan(f)) assert_true(isnan(ea_bf16_to_f32(back)));
    else assert_int_equal(back, i);
  }
  ea_tensor_release(wide);
  ea_tensor_release(mid);
  ea_tensor_release(half);
}

static void to_integers_rounds_and_clamps(void **state) {
  (void)state;
  /* clang-format off */
  static const struct { double from, i32, u8, i8; } row[] = {
      {0.5, 0, 0, 0}, {1.5, 2, 2, 2}, {2.5, 2, 2, 2}, {-0.5, 0, 0, 0}, {-1.5, -2, 0, -2},
      {126.5, 126, 126, 126}, {127.5, 128, 128, 127}, {128, 128, 128, 127},
      {254.5, 254, 254, 127}, {255.5, 256, 255, 127}, {-128.5, -128, 0, -128},
      {-129, -129, 0, -128}, {2147483646.5, 2147483646, 255, 127}, {3e9, 2147483647, 255, 127},
      {-3e9, -2147483648.0, 0, -128}, {1e300, 2147483647, 255, 127},
      {INFINITY, 2147483647, 255, 127}, {-INFINITY, -2147483648.0, 0, -128}, {NAN, 0, 0, 0}};
  /* clang-format on */
  static const int to[] = {EA_I32, EA_U8, EA_I8};
  enum { N = sizeof row / sizeof *row };
  ea_tensor *from = vector(EA_F64, N);
  for (int i = 0; i < N; i++) ea_f64(from)[i] = row[i].from;
  for (int k = 0; k < 3; k++) {
    ea_tensor *t = vector(to[k], N), *one = vector(to[k], 1);
    assert_int_equal(ea_tensor_copy(t, from), EA_OK);
    for (int i = 0; i < N; i++) {
      double want = k == 0 ? row[i].i32 : k == 1 ? row[i].u8 : row[i].i8;
      assert_true(at(t, i, 0) == want);
      assert_int_equal(ea_tensor_fill(one, row[i].from), EA_OK);
      assert_true(at(one, 0, 0) == want);
    }
    ea_tensor_release(t);
    ea_tensor_release(one);
  }
  ea_tensor_release(from);
}

/* ---- views ----------------------------------------------------------------------------------- */

static void copies_follow_strides(void **state) {
  (void)state;
  for (int a = EA_F32; a <= EA_I8; a++)
    for (int b = EA_F32; b <= EA_I8; b++) {
      int64_t size[3] = {4, 5, 6};
      ea_tensor *x = make(a, 3, size), *y, *p, *n, *flat;
      for (int i = 0; i < 120; i++)
        assert_int_equal(ea_tensor_set(x, (int64_t[]){i / 30, i / 6 % 5, i % 6}, i), EA_OK);
      assert_int_equal(ea_tensor_permute(x, (int[]){2, 0, 1}, &p), EA_OK); /* {6,4,5} */
      assert_int_equal(ea_tensor_narrow(p, 0, 1, 3, 2, &n), EA_OK);        /* {3,4,5} */
      assert_false(ea_tensor_contiguous(n));
      assert_int_equal(ea_tensor_clone(n, b, &flat), EA_OK);
      assert_true(ea_tensor_contiguous(flat));
      for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++)
          for (int k = 0; k < 5; k++) {
            double v;
            assert_int_equal(ea_tensor_get(flat, (int64_t[]){i, j, k}, &v), EA_OK);
            assert_true(v == j * 30 + k * 6 + 1 + 2 * i);
          }
      if (a == b) assert_true(ea_tensor_hash(n) == ea_tensor_hash(flat));
      assert_int_equal(ea_tensor_fill(n, 7), EA_OK);
      for (int i = 0; i < 120; i++) {
        double v;
        assert_int_equal(ea_tensor_get(x, (int64_t[]){i / 30, i / 6 % 5, i % 6}, &v), EA_OK);
        assert_true(v == (i % 2 ? 7 : i));
      }
      assert_int_equal(ea_tensor_copy(n, flat), EA_OK); /* into strides */
      assert_int_equal(ea_tensor_clone(n, b, &y), EA_OK);
      assert_true(ea_tensor_hash(y) == ea_tensor_hash(flat));
      ea_tensor *all[] = {x, y, p, n, flat};
      for (int i = 0; i < 5; i++) ea_tensor_release(all[i]);
    }
}

static void views_refuse_what_does_not_fit(void **state) {
  (void)state;
  int64_t live = ea_memory_live();
  int64_t size[3] = {2, 3, 0}, huge[2] = {(int64_t)1 << 40, (int64_t)1 << 40};
  ea_tensor *x = make(EA_F32, 2, size), *empty = make(EA_F32, 3, size), *v = (void *)&live;
  assert_int_equal(ea_tensor_new(EA_F32, 2, huge, &v), EA_ERR_SHAPE);
  assert_int_equal(ea_tensor_new(EA_F32, 9, size, &v), EA_ERR_SHAPE);
  assert_int_equal(ea_tensor_new(17, 1, size, &v), EA_ERR_DTYPE);
  assert_int_equal(ea_tensor_new(EA_U8, 1, (int64_t[]){-1}, &v), EA_ERR_SHAPE);
  assert_true(ea_tensor_narrow(x, 1, 0, 4, 1, &v) < 0);
  assert_true(ea_tensor_narrow(x, 1, 1, 2, 2, &v) < 0);
  assert_true(ea_tensor_narrow(x, 1, 3, 1, 1, &v) < 0);
  assert_true(ea_tensor_narrow(x, 1, -1, 1, 1, &v) < 0);
  assert_true(ea_tensor_narrow(x, 1, 0, INT64_MAX, 1, &v) < 0);
  assert_true(ea_tensor_narrow(x, 1, 0, 1, 0, &v) < 0);
  assert_true(ea_tensor_narrow(x, 2, 0, 1, 1, &v) < 0);
  assert_true(ea_tensor_select(x, 0, 2, &v) < 0);
  assert_true(ea_tensor_permute(x, (int[]){0, 0}, &v) < 0);
  assert_true(ea_tensor_expand(x, 2, (int64_t[]){2, 4}, &v) < 0);
  assert_true(ea_tensor_reshape(x, 1, (int64_t[]){7}, &v) < 0);
  assert_true(ea_tensor_rebase(x, empty, 0) < 0);
  assert_true(ea_tensor_rebase(x, x, INT64_MAX) < 0);
  assert_true(ea_tensor_rebase(x, NULL, 0) < 0);
  assert_true(ea_tensor_copy(x, empty) < 0);
  assert_true(ea_tensor_copy(x, NULL) < 0);
  assert_ptr_equal(v, &live); /* outputs are untouched */
  assert_int_equal(ea_tensor_narrow(x, 1, 3, 0, 1, &v), EA_OK);
  assert_int_equal(ea_tensor_count(v), 0);
  ea_tensor_release(v);
  assert_int_equal(ea_tensor_narrow(x, 0, 1, 1, INT64_MAX, &v), EA_OK);
  ea_tensor_release(v);
  assert_int_equal(ea_tensor_fill(empty, 1), EA_OK);
  assert_int_equal(ea_tensor_clone(empty, EA_I8, &v), EA_OK);
  ea_tensor_release(v);
  ea_tensor_release(x);
  ea_tensor_release(empty);
  assert_int_equal(ea_memory_live(), live);
}

static void rebase_keeps_values(void **state) {
  (void)state;
  int64_t live = ea_memory_live();
  ea_tensor *flat = vector(EA_F32, 10), *x = make(EA_F32, 2, (int64_t[]){2, 3}), *view;
  for (int i = 0; i < 6; i++) ea_f32(x)[i] = (float)i;
  ea_tensor_fill(flat, -1);
  assert_int_equal(ea_tensor_narrow(x, 0, 0, 1, 1, &view), EA_OK);
  assert_int_equal(ea_tensor_rebase(x, flat, 4), EA_OK);
  assert_int_equal(ea_tensor_rebase(x, flat, 4), EA_OK); /* in place already */
  assert_int_equal(ea_tensor_rebase(x, flat, 2), EA_OK); /* over itself */
  for (int i = 0; i < 6; i++) assert_true(ea_f32(flat)[2 + i] == (float)i);
  assert_true(ea_f32(flat)[1] == -1 && ea_f32(view)[2] == 2);
  ea_tensor_release(flat);
  assert_true(at(x, 1, 2) == 5);
  ea_tensor_release(x);
  ea_tensor_release(view);
  assert_int_equal(ea_memory_live(), live);
}

/* ---- random numbers -------------------------------------------------------------------------- */

/* Philox4x32-10 as the paper has it. */
static void slow_philox(uint32_t key0, uint32_t key1, uint32_t c[4]) {
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
    uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ key0, (uint32_t)b,
                        (uint32_t)(a >> 32) ^ c[3] ^ key1, (uint32_t)a};
    memcpy(c, next, sizeof next);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

static uint64_t mixed_key(uint64_t seed, uint64_t stream) { /* splitmix64's finaliser */
  uint64_t k = seed + 0x9e3779b97f4a7c15u * (stream + 1);
  k = (k ^ (k >> 30)) * 0xbf58476d1ce4e5b9u;
  k = (k ^ (k >> 27)) * 0x94d049bb133111ebu;
  return k ^ k >> 31;
}

static void philox_is_philox(void **state) {
  (void)state;
  uint32_t zero[4] = {0}, got[4];
  slow_philox(0, 0, zero); /* the known answer of Random123 */
  assert_memory_equal(zero, ((uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}), 16);
  for (uint64_t i = 0; i < 50; i++) {
    uint64_t seed = i * i, stream = ea_stream_id("core") + i, index = i << 33 | i, n = i << 31;
    uint64_t k = mixed_key(seed, stream);
    uint32_t c[4] = {(uint32_t)n, (uint32_t)(n >> 32), (uint32_t)index, (uint32_t)(index >> 32)};
    slow_philox((uint32_t)k, (uint32_t)(k >> 32), c);
    ea_philox(seed, stream, index, n, got);
    assert_memory_equal(got, c, 16);
  }
}

static void elements_depend_on_their_place_alone(void **state) {
  (void)state;
  enum { LONG = 1003 };
  for (int dtype = EA_F32; dtype <= EA_F64; dtype++)
    for (int kind = 0; kind < 2; kind++) {
      ea_tensor *all = vector(dtype, LONG);
      int (*fill)(ea_tensor *, uint64_t, uint64_t, uint64_t, double, double) =
          kind ? ea_random_normal : ea_random_uniform;
      assert_int_equal(fill(all, 1, 2, 3, -1, 2), EA_OK);
      for (int64_t n = 0; n < 9; n++) {
        ea_tensor *some = vector(dtype, n);
        assert_int_equal(fill(some, 1, 2, 3, -1, 2), EA_OK);
        assert_memory_equal(ea_ptr(some), ea_ptr(all), (size_t)ea_tensor_bytes(some));
        ea_tensor_release(some);
      }
      double sum = 0, squares = 0;
      for (int i = 0; i < LONG; i++) {
        double v = at(all, i, 0);
        assert_true(isfinite(v) && (kind || (v >= -1 && v < 2)));
        sum += v;
        squares += v * v;
      }
      double mean = sum / LONG, std = sqrt(squares / LONG - mean * mean);
      assert_true(fabs(mean - (kind ? -1 : 0.5)) < 0.2);
      assert_true(fabs(std - (kind ? 2 : sqrt(0.75))) < 0.15);
      ea_tensor_release(all);
    }
  ea_tensor *narrow = vector(EA_F32, 99); /* few numbers between: rounding must not reach the end */
  assert_int_equal(ea_random_uniform(narrow, 1, 2, 3, 1, 1 + 0x1p-22), EA_OK);
  for (int i = 0; i < 99; i++) assert_true(at(narrow, i, 0) >= 1 && at(narrow, i, 0) < 1 + 0x1p-22);
  ea_tensor_release(narrow);
  ea_tensor *half = vector(EA_BF16, 4);
  assert_int_equal(ea_random_uniform(half, 1, 2, 3, 0, 1), EA_ERR_DTYPE);
  ea_tensor_release(half);
}

static void permutations_hold_everything_once(void **state) {
  (void)state;
  for (int64_t n = 0; n < 60; n += 7) {
    ea_tensor *p = vector(EA_I32, n);
    int seen[64] = {0};
    assert_int_equal(ea_random_permutation(p, 5, 6, (uint64_t)n, 1), EA_OK);
    for (int64_t i = 0; i < n; i++) seen[ea_i32(p)[i]]++;
    for (int64_t i = 0; i < 64; i++) assert_int_equal(seen[i], i >= 1 && i <= n);
    ea_tensor_release(p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(errors_fit),
      cmocka_unit_test(memory_is_counted),
      cmocka_unit_test(pool_runs_each_shard_once),
      cmocka_unit_test(pool_gets_threads_late),
      cmocka_unit_test(to_bf16_rounds_once),
      cmocka_unit_test(to_integers_rounds_and_clamps),
      cmocka_unit_test(copies_follow_strides),
      cmocka_unit_test(views_refuse_what_does_not_fit),
      cmocka_unit_test(rebase_keeps_values),
      cmocka_unit_test(philox_is_philox),
      cmocka_unit_test(elements_depend_on_their_place_alone),
      cmocka_unit_test(permutations_hold_everything_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
