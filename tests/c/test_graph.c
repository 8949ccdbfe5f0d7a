/* SPDX-License-Identifier: GPL-3.0-or-later
 * test_graph.c - eager passes and captured graphs from C: every allocation fails once and nothing
 * leaks, runs that break off, the same bytes for any number of threads.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../core/edgeai.h"

/* ---- a small network with everything in it --------------------------------------------------- */

enum { N = 4, SIDE = 6, C = 3, O = 8, CLASSES = 5, LEAVES = 7, CUSTOM = 1 };
enum { CONV, CONV_BIAS, SCALE, SHIFT, HEAD, MEAN, VAR }; /* the first five are trained */

typedef struct model {
  ea_tensor *leaf[LEAVES], *x, *label;
} model;

static ea_tensor *make(int dtype, int ndim, const int64_t *size) {
  ea_tensor *t = NULL;
  assert_int_equal(ea_tensor_new(dtype, ndim, size, &t), EA_OK);
  return t;
}

static model make_model(void) {
  static const int64_t size[LEAVES][4] = {{O, C, 3, 3}, {O}, {O}, {O}, {CLASSES, O}, {O}, {O}};
  static const int ndim[LEAVES] = {4, 1, 1, 1, 2, 1, 1};
  model m;
  for (int i = 0; i < LEAVES; i++) {
    m.leaf[i] = make(EA_F32, ndim[i], size[i]);
    assert_int_equal(ea_random_normal(m.leaf[i], 1, (uint64_t)i, 0, i == SCALE, 0.3), EA_OK);
    if (i < MEAN) assert_int_equal(ea_tensor_set_requires_grad(m.leaf[i], 1), EA_OK);
  }
  ea_tensor_fill(m.leaf[MEAN], 0);
  ea_tensor_fill(m.leaf[VAR], 1);
  m.x = make(EA_F32, 4, (int64_t[]){N, SIDE, SIDE, C});
  m.label = make(EA_I32, 1, (int64_t[]){N});
  assert_int_equal(ea_random_normal(m.x, 2, 0, 0, 0, 1), EA_OK);
  for (int i = 0; i < N; i++) ((int32_t *)ea_tensor_data(m.label))[i] = i % CLASSES;
  return m;
}

static void free_model(model *m) {
  for (int i = 0; i < LEAVES; i++) ea_tensor_release(m->leaf[i]);
  ea_tensor_release(m->x);
  ea_tensor_release(m->label);
}

static int apply(const char *name, int nin, ea_tensor *const *in, int nattr, const double *attr,
                 ea_tensor **out) {
  ea_tensor *before = *out;
  int status = ea_apply(ea_op_find(name), nin, in, nattr, attr, out);
  if (status < 0) assert_ptr_equal(*out, before); /* untouched */
  return status;
}

/* The ops in turn; each takes the result before it as its first input. A custom op in between
 * doubles. Gives the loss and (a reshape beside its way) the features. */
static int build(const model *m, ea_tensor *x, ea_tensor *label, ea_tensor **loss,
                 ea_tensor **features) {
  ea_tensor *const *w = m->leaf;
  ea_tensor *t[10] = {x};
  int n = 1, s = EA_OK;
#define STEP(name, attrs, ...)                                           \
  if (!s) {                                                              \
    ea_tensor *in[] = {t[n - 1], __VA_ARGS__};                           \
    double attr[] = attrs;                                               \
    s = apply(name, (int)(sizeof in / sizeof *in) - (in[1] == NULL), in, \
              (int)(sizeof attr / sizeof *attr), attr, &t[n]);           \
    if (!s) n++;                                                         \
  }
#define A(...) {__VA_ARGS__}
  STEP("conv2d", A(1, 1), w[CONV], w[CONV_BIAS])
  STEP("batch_norm", A(1), w[SCALE], w[SHIFT], w[MEAN], w[VAR])
  STEP("relu", A(), NULL)
  if (!s) {
    ea_tensor *prototype = NULL;
    int64_t size[4] = {N, SIDE, SIDE, O};
    s = ea_tensor_new(EA_F32, 4, size, &prototype);
    if (!s && !ea_graph_capturing()) s = ea_tensor_copy(prototype, t[n - 1]);
    if (!s) s = ea_custom(CUSTOM, 1, &t[n - 1], 1, &prototype, &t[n]);
    if (!s) n++;
    ea_tensor_release(prototype);
  }
  STEP("global_avg_pool", A(), NULL)
  STEP("add", A(), t[n - 1])
  int at = n - 1;
  STEP("linear", A(), w[HEAD])
  STEP("cross_entropy", A(0, 0.1), label)
  if (!s) {
    *features = NULL;
    s = apply("reshape", 1, &t[at], 2, (double[]){2, -1}, features);
  }
  if (!s) {
    *loss = t[n - 1];
    ea_tensor_retain(*loss);
  }
  for (int i = 1; i < n; i++) ea_tensor_release(t[i]);
  return s;
}

/* ---- eager ----------------------------------------------------------------------------------- */

static int eager_pass(const model *m, uint64_t *hash) {
  ea_tensor *loss = NULL, *features = NULL;
  int s = build(m, m->x, m->label, &loss, &features);
  if (s) return s;
  if (hash) *hash = ea_tensor_hash(loss);
  ea_backward_run *run = NULL;
  s = ea_backward(loss, NULL, &run);
  while (s > 0) {
    assert_int_equal(s, CUSTOM);
    int give = ea_backward_give(run, 0, ea_backward_output_grad(run, 0));
    if (give < 0) {
      ea_backward_free(run);
      s = give;
    } else {
      s = ea_backward_resume(run);
    }
  }
  ea_tensor_release(loss);
  ea_tensor_release(features);
  return s;
}

static uint64_t hash_gradients(const model *m) {
  uint64_t h = 0;
  for (int i = 0; i < MEAN; i++) {
    assert_non_null(ea_tensor_grad(m->leaf[i]));
    h = h * 31 + ea_tensor_hash(ea_tensor_grad(m->leaf[i]));
  }
  return h;
}

static void reset(const model *m) {
  for (int i = 0; i < MEAN; i++) ea_tensor_set_grad(m->leaf[i], NULL);
  ea_tensor_fill(m->leaf[MEAN], 0);
  ea_tensor_fill(m->leaf[VAR], 1);
  while (ea_custom_forgotten()) continue;
}

/* ---- captured -------------------------------------------------------------------------------- */

static int serve(ea_graph *g, int backward) {
  ea_tensor *from = NULL, *to = NULL;
  assert_int_equal(ea_graph_custom_tensor(g, backward ? 2 : 0, 0, &from), EA_OK);
  assert_int_equal(ea_graph_custom_tensor(g, backward ? 3 : 1, 0, &to), EA_OK);
  assert_true(ea_graph_custom_tensor(g, 0, 1, &to) < 0);
  return ea_tensor_copy(to, from);
}

static int run_graph(ea_graph *g, int accumulate) {
  int s = ea_graph_forward(g, 0);
  while (s > 0) {
    assert_int_equal(serve(g, 0), EA_OK);
    s = ea_graph_forward(g, 0);
  }
  if (!s) s = ea_graph_backward(g, accumulate);
  while (s > 0) {
    assert_int_equal(serve(g, 1), EA_OK);
    s = ea_graph_backward(g, accumulate);
  }
  return s;
}

/* Captures the model; *out: the outputs, on success. */
static int capture(const model *m, ea_graph **out, ea_tensor **loss, ea_tensor **features) {
  ea_graph *g = NULL;
  int s = ea_graph_begin(&g);
  if (s) return s;
  ea_tensor *x = NULL, *label = NULL;
  s = ea_graph_input(g, EA_F32, 4, (int64_t[]){N, SIDE, SIDE, C}, &x);
  if (!s) s = ea_graph_input(g, EA_I32, 1, (int64_t[]){N}, &label);
  if (!s) s = build(m, x, label, loss, features);
  if (!s) s = ea_graph_end(g, 2, (ea_tensor *[]){*loss, *features}, *loss);
  if (!s) {
    assert_int_equal(ea_tensor_copy(x, m->x), EA_OK);
    assert_int_equal(ea_tensor_copy(label, m->label), EA_OK);
    *out = g;
  } else {
    if (*loss) ea_tensor_release(*loss);
    if (*features) ea_tensor_release(*features);
    ea_graph_free(g);
  }
  ea_tensor_release(x);
  ea_tensor_release(label);
  return s;
}

static int captured_pass(const model *m, uint64_t *hash) {
  ea_graph *g = NULL;
  ea_tensor *loss = NULL, *features = NULL;
  int s = capture(m, &g, &loss, &features);
  if (s) return s;
  s = run_graph(g, 0);
  if (hash && !s) *hash = ea_tensor_hash(loss);
  ea_graph_free(g); /* before its tensors */
  assert_int_equal(ea_tensor_count(features), N * O);
  ea_tensor_release(features);
  ea_tensor_release(loss);
  return s;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void fail_everywhere(int (*pass)(const model *, uint64_t *)) {
  model m = make_model();
  assert_int_equal(pass(&m, NULL), EA_OK); /* fills caches that stay */
  uint64_t want = hash_gradients(&m), hash = 0;
  reset(&m);
  int64_t live = ea_memory_live();
  int64_t n = 1;
  for (;; n++) {
    ea_memory_fail_at(n);
    int s = pass(&m, &hash);
    ea_memory_fail_at(0);
    if (s == EA_OK) break;
    assert_int_equal(s, EA_ERR_MEMORY);
    assert_non_null(strstr(ea_error(), "memory"));
    assert_int_equal(ea_graph_capturing(), 0);
    reset(&m);
    assert_int_equal(ea_memory_live(), live);
  }
  assert_true(n > 30);
  assert_true(hash_gradients(&m) == want); /* failures left no trace */
  reset(&m);
  assert_int_equal(ea_memory_live(), live);
  free_model(&m);
}

static void eager_without_memory(void **state) {
  (void)state;
  fail_everywhere(eager_pass);
}

static void captured_without_memory(void **state) {
  (void)state;
  fail_everywhere(captured_pass);
}

static void threads_do_not_change_results(void **state) {
  (void)state;
  model m = make_model();
  for (int captured = 0; captured < 2; captured++) {
    uint64_t want = 0, want_loss = 0, loss = 0;
    for (int n = 1; n <= 8; n++) {
      assert_int_equal(ea_set_threads(n), EA_OK);
      assert_int_equal((captured ? captured_pass : eager_pass)(&m, &loss), EA_OK);
      uint64_t h = hash_gradients(&m);
      if (n == 1) want = h, want_loss = loss;
      assert_true(h == want && loss == want_loss);
      reset(&m);
    }
  }
  ea_set_threads(1);
  free_model(&m);
}

static void passes_can_be_given_up(void **state) {
  (void)state;
  model m = make_model();
  assert_int_equal(eager_pass(&m, NULL), EA_OK);
  reset(&m);
  int64_t live = ea_memory_live();
  ea_tensor *loss = NULL, *features = NULL;
  ea_backward_run *run = NULL;
  assert_int_equal(build(&m, m.x, m.label, &loss, &features), EA_OK);
  assert_int_equal(ea_backward(loss, NULL, &run), CUSTOM);
  assert_null(ea_backward_output_grad(run, 1));
  assert_true(ea_backward_give(run, 1, loss) < 0);
  assert_true(ea_backward_give(run, 0, loss) < 0); /* not its shape */
  assert_true(ea_backward_give(run, 0, NULL) < 0);
  assert_int_equal(ea_backward_give(run, 0, ea_backward_output_grad(run, 0)), EA_OK);
  assert_int_equal(ea_backward_give(run, 0, ea_backward_output_grad(run, 0)), EA_OK);
  ea_backward_free(run);
  assert_int_equal(ea_backward(loss, NULL, &run), EA_ERR_ARG); /* part of the tape is spent */
  ea_tensor_release(loss);
  ea_tensor_release(features);
  reset(&m);
  assert_int_equal(ea_memory_live(), live);
  free_model(&m);
}

static void interrupted_runs_start_anew(void **state) {
  (void)state;
  model m = make_model();
  ea_graph *g = NULL;
  ea_tensor *loss = NULL, *features = NULL, *t = NULL;
  assert_int_equal(capture(&m, &g, &loss, &features), EA_OK);
  assert_int_equal(ea_graph_backward(g, 0), EA_ERR_ARG);
  assert_int_equal(run_graph(g, 0), EA_OK);
  uint64_t want = hash_gradients(&m);
  assert_int_equal(ea_graph_backward(g, 0), EA_ERR_ARG); /* activations are gone */
  ea_interrupt_raise(SIGINT);
  assert_int_equal(ea_graph_forward(g, 0), EA_ERR_INTERRUPTED);
  assert_int_equal(eager_pass(&m, NULL), EA_ERR_INTERRUPTED);
  ea_interrupt_clear();
  assert_int_equal(ea_graph_backward(g, 0), EA_ERR_ARG);
  assert_int_equal(ea_graph_forward(g, 0), CUSTOM);
  assert_int_equal(ea_graph_backward(g, 0), EA_ERR_ARG); /* still waits */
  ea_graph_cancel(g);
  assert_true(ea_graph_custom_tensor(g, 0, 0, &t) < 0);
  assert_int_equal(run_graph(g, 0), EA_OK);
  assert_true(hash_gradients(&m) == want);
  int64_t count = ea_memory_count();
  assert_int_equal(run_graph(g, 0), EA_OK);
  assert_int_equal(ea_memory_count(), count); /* runs allocate nothing */
  assert_true(hash_gradients(&m) == want);
  ea_graph_free(g);
  ea_tensor_release(loss);
  ea_tensor_release(features);
  free_model(&m);
}

static void captures_refuse_what_is_not_theirs(void **state) {
  (void)state;
  model m = make_model();
  ea_graph *g = NULL, *other = NULL;
  ea_tensor *x = NULL, *y = NULL, *old = NULL;
  assert_int_equal(ea_graph_begin(&g), EA_OK);
  assert_int_equal(ea_graph_begin(&other), EA_ERR_ARG);
  assert_int_equal(ea_graph_input(g, EA_F32, 1, (int64_t[]){3}, &old), EA_OK);
  assert_true(ea_tensor_symbolic(old));
  assert_int_equal(ea_graph_forward(g, 0), EA_ERR_ARG);
  ea_graph_free(g);
  assert_int_equal(ea_graph_capturing(), 0);
  assert_true(apply("relu", 1, &old, 0, NULL, &y) < 0);
  double value;
  assert_true(ea_tensor_get(old, (int64_t[]){0}, &value) < 0);
  assert_int_equal(ea_graph_begin(&g), EA_OK);
  assert_int_equal(ea_graph_input(g, EA_F32, 1, (int64_t[]){3}, &x), EA_OK);
  assert_true(apply("add", 2, (ea_tensor *[]){x, old}, 0, NULL, &y) < 0);
  assert_int_equal(apply("relu", 1, &x, 0, NULL, &y), EA_OK);
  assert_int_equal(ea_backward(y, NULL, NULL), EA_ERR_ARG);
  assert_int_equal(ea_graph_end(g, 1, &y, y), EA_ERR_SHAPE); /* no single number */
  assert_int_equal(ea_graph_capturing(), 0);
  ea_graph_free(g);
  ea_tensor_release(x);
  ea_tensor_release(y);
  ea_tensor_release(old);
  free_model(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(eager_without_memory),
      cmocka_unit_test(captured_without_memory),
      cmocka_unit_test(threads_do_not_change_results),
      cmocka_unit_test(passes_can_be_given_up),
      cmocka_unit_test(interrupted_runs_start_anew),
      cmocka_unit_test(captures_refuse_what_is_not_theirs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
