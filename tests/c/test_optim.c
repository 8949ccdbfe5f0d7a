/* SPDX-License-Identifier: GPL-3.0-or-later
 * test_optim.c - the optimisers against numbers worked out by hand and scalar f64 loops, their
 * independence of the number of threads, and their refusals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <math.h>

#include <cmocka.h>

#include "../../core/edgeai.h"

enum { LONG = 3 * 16384 + 77 }; /* several chunks and a ragged end */

static ea_tensor *vector(int dtype, int64_t n) {
  ea_tensor *t = NULL;
  assert_int_equal(ea_tensor_new(dtype, 1, &n, &t), EA_OK);
  return t;
}

static ea_tensor *vector_of(int64_t n, const float *x) {
  ea_tensor *t = vector(EA_F32, n);
  memcpy(ea_tensor_data(t), x, (size_t)n * sizeof *x);
  return t;
}

/* Deterministic numbers around 0. */
static ea_tensor *wave(int64_t n, double phase) {
  ea_tensor *t = vector(EA_F32, n);
  float *x = ea_tensor_data(t);
  for (int64_t i = 0; i < n; i++) x[i] = (float)sin(0.37 * (double)i + phase);
  return t;
}

static const float *values(const ea_tensor *t) { return ea_tensor_data(t); }

static void release(ea_tensor **list, size_t n) {
  for (size_t i = 0; i < n; i++) ea_tensor_release(list[i]);
}

/* p = 1, g = 0.5, wd 0.1, momentum 0.5, lr 0.1:
 * step 1: d = 0.6, m = 0.6, p = 1 - 0.06 = 0.94
 * step 2: d = 0.5 + 0.094 = 0.594, m = 0.3 + 0.594 = 0.894, p = 0.94 - 0.0894 = 0.8506 */
static void sgd_by_hand(void **state) {
  (void)state;
  ea_tensor *p = vector_of(1, (float[]){1}), *g = vector_of(1, (float[]){0.5f});
  ea_tensor *m = vector_of(1, (float[]){NAN}); /* the first step must not read it */
  assert_int_equal(ea_sgd(p, g, m, NULL, 0.1, 0.5, 0, 0.1, 1, 1), EA_OK);
  assert_float_equal(values(m)[0], 0.6f, 1e-6);
  assert_float_equal(values(p)[0], 0.94f, 1e-6);
  assert_int_equal(ea_sgd(p, g, m, NULL, 0.1, 0.5, 0, 0.1, 1, 0), EA_OK);
  assert_float_equal(values(m)[0], 0.894f, 1e-6);
  assert_float_equal(values(p)[0], 0.8506f, 1e-6);
  release((ea_tensor *[]){p, g, m}, 3);
}

/* Nesterov, step 1: d = m = 0.6, p = 1 - 0.1*(0.6 + 0.5*0.6) = 0.91. Without momentum m may be
 * missing: p = 1 - 0.1*2*0.5 = 0.9. */
static void sgd_nesterov_and_plain(void **state) {
  (void)state;
  ea_tensor *p = vector_of(1, (float[]){1}), *g = vector_of(1, (float[]){0.5f});
  ea_tensor *m = vector_of(1, (float[]){0});
  assert_int_equal(ea_sgd(p, g, m, NULL, 0.1, 0.5, 1, 0.1, 1, 1), EA_OK);
  assert_float_equal(values(p)[0], 0.91f, 1e-6);
  assert_int_equal(ea_tensor_fill(p, 1), EA_OK);
  assert_int_equal(ea_sgd(p, g, NULL, NULL, 0.1, 0, 0, 0, 2, 0), EA_OK);
  assert_float_equal(values(p)[0], 0.9f, 1e-6);
  release((ea_tensor *[]){p, g, m}, 3);
}

static void sgd_against_scalar(void **state) {
  (void)state;
  const double lr = 0.05, mu = 0.9, wd = 5e-4, scale = 0.7;
  ea_tensor *p = wave(LONG, 0), *g = wave(LONG, 1), *m = wave(LONG, 2), *mask = vector(EA_U8, LONG);
  ea_tensor *p0 = wave(LONG, 0), *m0 = wave(LONG, 2);
  uint8_t *on = ea_tensor_data(mask);
  for (int64_t i = 0; i < LONG; i++) on[i] = (uint8_t)(i % 3 != 0);
  assert_int_equal(ea_sgd(p, g, m, mask, lr, mu, 1, wd, scale, 0), EA_OK);
  for (int64_t i = 0; i < LONG; i++) {
    const double d = scale * values(g)[i] + (i % 3 ? wd * values(p0)[i] : 0);
    const double v = mu * values(m0)[i] + d;
    assert_float_equal(values(m)[i], v, 1e-6);
    assert_float_equal(values(p)[i], (float)(values(p0)[i] - lr * (d + mu * v)), 1e-6);
  }
  release((ea_tensor *[]){p, g, m, mask, p0, m0}, 6);
}

/* Step 1 moves every parameter by lr in the gradient's direction (eps aside), whatever its size;
 * AdamW shrinks by lr*wd first. */
static void adam_by_hand(void **state) {
  (void)state;
  ea_tensor *p = vector_of(2, (float[]){1, 1}), *g = vector_of(2, (float[]){1e-3f, -5});
  ea_tensor *m = vector_of(2, (float[]){NAN, NAN}), *v = vector_of(2, (float[]){NAN, NAN});
  assert_int_equal(ea_adam(p, g, m, v, NULL, 0.1, 0.9, 0.999, 0, 0, 0, 1, 1), EA_OK);
  assert_float_equal(values(p)[0], 0.9f, 1e-5);
  assert_float_equal(values(p)[1], 1.1f, 1e-5);
  assert_float_equal(values(m)[1], -0.5f, 1e-6);
  assert_float_equal(values(v)[1], 0.025f, 1e-6);
  assert_int_equal(ea_tensor_fill(p, 1), EA_OK);
  assert_int_equal(ea_adam(p, g, m, v, NULL, 0.1, 0.9, 0.999, 0, 0.5, 1, 1, 1), EA_OK);
  assert_float_equal(values(p)[0], 0.85f, 1e-5);
  release((ea_tensor *[]){p, g, m, v}, 4);
}

static void adam_against_scalar(void **state) {
  (void)state;
  const double lr = 0.01, b1 = 0.9, b2 = 0.99, eps = 1e-8, wd = 0.1;
  for (int decoupled = 0; decoupled < 2; decoupled++) {
    ea_tensor *p = wave(LONG, 0), *g = wave(LONG, 1), *m = vector(EA_F32, LONG);
    ea_tensor *v = vector(EA_F32, LONG), *mask = vector(EA_U8, LONG), *p0 = wave(LONG, 0);
    uint8_t *on = ea_tensor_data(mask);
    for (int64_t i = 0; i < LONG; i++) on[i] = (uint8_t)(i % 2);
    for (int step = 1; step <= 3; step++)
      assert_int_equal(ea_adam(p, g, m, v, mask, lr, b1, b2, eps, wd, decoupled, 1, step), EA_OK);
    for (int64_t i = 0; i < LONG; i += 17) {
      double x = values(p0)[i], mi = 0, vi = 0;
      for (int step = 1; step <= 3; step++) {
        const double on_i = (double)(i % 2);
        const double d = values(g)[i] + (decoupled ? 0 : on_i * wd * x);
        if (decoupled) x *= 1 - on_i * lr * wd;
        mi = b1 * mi + (1 - b1) * d;
        vi = b2 * vi + (1 - b2) * d * d;
        x -= lr * (mi / (1 - pow(b1, step))) / (sqrt(vi / (1 - pow(b2, step))) + eps);
      }
      assert_float_equal(values(p)[i], x, 2e-5);
    }
    release((ea_tensor *[]){p, g, m, v, mask, p0}, 6);
  }
}

static void ema_by_hand(void **state) {
  (void)state;
  ea_tensor *a = vector_of(2, (float[]){1, -2}), *p = vector_of(2, (float[]){3, 2});
  assert_int_equal(ea_ema(a, p, 0.75), EA_OK);
  assert_float_equal(values(a)[0], 1.5f, 1e-6);
  assert_float_equal(values(a)[1], -1.0f, 1e-6);
  assert_int_equal(ea_ema(a, p, 1), EA_OK);
  assert_float_equal(values(a)[0], 1.5f, 0);
  release((ea_tensor *[]){a, p}, 2);
}

static void norm_by_hand(void **state) {
  (void)state;
  double out = -1;
  ea_tensor *t = vector_of(2, (float[]){3, -4}), *none = vector(EA_F32, 0), *many = wave(LONG, 0);
  assert_int_equal(ea_norm(t, &out), EA_OK);
  assert_float_equal(out, 5, 1e-12);
  assert_int_equal(ea_norm(none, &out), EA_OK);
  assert_float_equal(out, 0, 0);
  double sum = 0;
  for (int64_t i = 0; i < LONG; i++) sum += (double)values(many)[i] * values(many)[i];
  assert_int_equal(ea_norm(many, &out), EA_OK);
  assert_true(fabs(out - sqrt(sum)) < 1e-10 * out);
  release((ea_tensor *[]){t, none, many}, 3);
}

static void same_bytes_for_any_threads(void **state) {
  (void)state;
  uint64_t hash[3];
  double norm[3];
  const int threads[3] = {1, 2, 4};
  for (int k = 0; k < 3; k++) {
    assert_int_equal(ea_set_threads(threads[k]), EA_OK);
    ea_tensor *p = wave(LONG, 0), *g = wave(LONG, 1), *m = wave(LONG, 2);
    assert_int_equal(ea_sgd(p, g, m, NULL, 0.1, 0.9, 1, 1e-3, 1, 0), EA_OK);
    hash[k] = ea_tensor_hash(p);
    assert_int_equal(ea_norm(p, &norm[k]), EA_OK);
    release((ea_tensor *[]){p, g, m}, 3);
  }
  ea_set_threads(1);
  for (int k = 1; k < 3; k++) {
    assert_true(hash[k] == hash[0]);
    assert_true(norm[k] == norm[0]);
  }
}

#define REFUSES(call, code, words)              \
  do {                                          \
    assert_int_equal(call, code);               \
    assert_non_null(strstr(ea_error(), words)); \
  } while (0)

static void refusals(void **state) {
  (void)state;
  ea_tensor *p = wave(4, 0), *g = wave(4, 0), *m = wave(3, 0), *d = vector(EA_F64, 4);
  double out;
  REFUSES(ea_sgd(NULL, g, m, NULL, 0.1, 0, 0, 0, 1, 0), EA_ERR_ARG, "p is missing");
  REFUSES(ea_sgd(p, g, m, NULL, 0.1, 0.9, 0, 0, 1, 0), EA_ERR_SHAPE, "m must have 4 elements");
  REFUSES(ea_sgd(p, g, NULL, NULL, 0.1, 0.9, 0, 0, 1, 0), EA_ERR_ARG, "m is missing");
  REFUSES(ea_sgd(p, g, NULL, p, 0.1, 0, 0, 0, 1, 0), EA_ERR_DTYPE, "decay_mask must be u8");
  REFUSES(ea_sgd(p, g, NULL, NULL, NAN, 0, 0, 0, 1, 0), EA_ERR_ARG, "lr must be in");
  REFUSES(ea_sgd(p, g, g, NULL, 0.1, 1.5, 0, 0, 1, 0), EA_ERR_ARG, "momentum must be in");
  REFUSES(ea_adam(p, g, p, m, NULL, 0.1, 0.9, 0.9, 0, 0, 0, 1, 1), EA_ERR_SHAPE, "v must have");
  REFUSES(ea_adam(p, g, p, p, NULL, 0.1, 1, 0.9, 0, 0, 0, 1, 1), EA_ERR_ARG, "beta1 must be in");
  REFUSES(ea_adam(p, g, p, p, NULL, 0.1, 0.9, 0.9, 0, 0, 0, 1, 0), EA_ERR_ARG, "counts from 1");
  REFUSES(ea_ema(p, d, 0.9), EA_ERR_DTYPE, "p must be f32, but is f64");
  REFUSES(ea_ema(p, g, 1.5), EA_ERR_ARG, "decay must be in");
  REFUSES(ea_norm(d, &out), EA_ERR_DTYPE, "t must be f32");
  REFUSES(ea_norm(p, NULL), EA_ERR_ARG, "out is missing");
  ea_tensor *every_other = NULL;
  assert_int_equal(ea_tensor_narrow(p, 0, 0, 2, 2, &every_other), EA_OK);
  REFUSES(ea_norm(every_other, &out), EA_ERR_SHAPE, "must be contiguous");
  assert_float_equal(values(p)[0], 0, 0); /* refusals write nothing */
  release((ea_tensor *[]){p, g, m, d, every_other}, 5);
}

static void norm_allocates_nothing(void **state) {
  (void)state;
  ea_tensor *t = wave(LONG, 0);
  double out = -1;
  int64_t count = ea_memory_count();
  assert_int_equal(ea_norm(t, &out), EA_OK);
  assert_int_equal(ea_memory_count(), count);
  ea_tensor_release(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sgd_by_hand),
      cmocka_unit_test(sgd_nesterov_and_plain),
      cmocka_unit_test(sgd_against_scalar),
      cmocka_unit_test(adam_by_hand),
      cmocka_unit_test(adam_against_scalar),
      cmocka_unit_test(ema_by_hand),
      cmocka_unit_test(norm_by_hand),
      cmocka_unit_test(same_bytes_for_any_threads),
      cmocka_unit_test(refusals),
      cmocka_unit_test(norm_allocates_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
