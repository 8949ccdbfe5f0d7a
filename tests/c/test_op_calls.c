/* SPDX-License-Identifier: GPL-3.0-or-later
 * test_op_calls.c - what a kernel can ask of its call: a list of attributes, an output of another
 * shape, a hidden output, scratch memory, the step, whether a gradient will be asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../core/edgeai_op.h"

/* ---- an op: y {n} = gain (x {n, m} . weights) + step; hidden: the rows' sums ----------------- */

static int seen_needs_backward, seen_hidden;

static int weigh_shape(ea_call *c) {
  const ea_tensor *x = ea_call_in(c, 0);
  if (ea_call_check_dtype(c, 0, EA_F32) < 0) return EA_ERR_DTYPE;
  if (ea_call_check_ndim(c, 0, 2) < 0) return EA_ERR_SHAPE;
  if (ea_call_attrs(c) - 1 != ea_tensor_size(x, 1))
    return ea_call_fail(c, EA_ERR_ARG, "expected %d weights, got %d", (int)ea_tensor_size(x, 1),
                        ea_call_attrs(c) - 1);
  int64_t n = ea_tensor_size(x, 0);
  ea_call_output(c, 0, EA_F32, 1, &n);
  return ea_call_output(c, 1, EA_F32, 1, &n); /* hidden */
}

static int weigh_forward(ea_call *c) {
  const ea_tensor *x = ea_call_in(c, 0);
  int64_t n = ea_tensor_size(x, 0), m = ea_tensor_size(x, 1);
  double *row = ea_call_scratch(c, (size_t)m * sizeof *row);
  if (!row) return EA_ERR_MEMORY;
  assert_int_equal((uintptr_t)row % 64, 0);
  float *y = ea_tensor_data(ea_call_out(c, 0)), *sum = ea_tensor_data(ea_call_out(c, 1));
  seen_needs_backward = ea_call_needs_backward(c);
  for (int64_t i = 0; i < n; i++) {
    double total = 0, plain = 0;
    ea_tensor_read(x, i * m, m, row);
    for (int64_t k = 0; k < m; k++) {
      total += row[k] * ea_call_attr(c, 1 + (int)k);
      plain += row[k];
    }
    y[i] = (float)(ea_call_attr(c, 0) * total + (double)ea_call_step(c));
    if (seen_needs_backward) sum[i] = (float)plain;
  }
  return EA_OK;
}

static int weigh_backward(ea_call *c) {
  const float *g = ea_tensor_data(ea_call_gout(c, 0)), *sum = ea_tensor_data(ea_call_out(c, 1));
  float *gx = ea_tensor_data(ea_call_gin(c, 0));
  int m = ea_call_attrs(c) - 1;
  assert_null(ea_call_gout(c, 1)); /* nothing flows into what is hidden */
  seen_hidden = sum[0] == 3 && sum[1] == 7;
  for (int64_t i = 0; i < ea_tensor_count(ea_call_gin(c, 0)); i++)
    gx[i] = (float)(ea_call_attr(c, 0) * ea_call_attr(c, 1 + (int)(i % m)) * g[i / m]);
  return EA_OK;
}

static const ea_op weigh = {.name = "test_weigh",
                            .nin_least = 1,
                            .nin_most = 1,
                            .nout = 1,
                            .nhidden = 1,
                            .attrs = "gain:f=1 weights:L",
                            .flags = EA_OP_RANDOM,
                            .need_out = 2,
                            .shape = weigh_shape,
                            .forward = weigh_forward,
                            .backward = weigh_backward};

static int number;

static int add_op(void **state) {
  (void)state;
  const ea_op *ops[] = {&weigh};
  return ea_ops_add(1, ops, &number);
}

static ea_tensor *input(void) {
  ea_tensor *x;
  assert_int_equal(ea_tensor_new(EA_F32, 2, (int64_t[]){2, 2}, &x), EA_OK);
  memcpy(ea_tensor_data(x), (float[]){1, 2, 3, 4}, 4 * sizeof(float));
  return x;
}

static const double attrs[] = {2, 1, -3}; /* gain, weights */

static void assert_values(const ea_tensor *t, const float *want, int n) {
  assert_int_equal(ea_tensor_count(t), n);
  assert_memory_equal(ea_tensor_data(t), want, (size_t)n * sizeof *want);
}

static void asks_its_call(void **state) {
  (void)state;
  ea_tensor *x = input(), *y, *loss;
  assert_int_equal(ea_tensor_stride(x, 0), 2);
  assert_int_equal(ea_tensor_stride(x, 1), 1);
  assert_int_equal(ea_tensor_bytes(x), 4 * ea_dtype_size(EA_F32));
  assert_int_equal(ea_dtype_size(99), 0);
  ea_set_step(5);
  assert_int_equal(ea_apply(number, 1, &x, 3, attrs, &y), EA_OK);
  assert_values(y, (float[]){2 * (1 - 6) + 5, 2 * (3 - 12) + 5}, 2);
  assert_int_equal(seen_needs_backward, 0);
  assert_true(ea_tensor_is_leaf(y));
  ea_tensor_release(y);

  ea_set_step(0);
  assert_int_equal(ea_tensor_set_requires_grad(x, 1), EA_OK);
  assert_int_equal(ea_apply(number, 1, &x, 3, attrs, &y), EA_OK);
  assert_int_equal(seen_needs_backward, 1);
  assert_true(ea_tensor_is_leaf(x));
  assert_false(ea_tensor_is_leaf(y));
  assert_int_equal(ea_apply(ea_op_find("sum"), 1, &y, 0, NULL, &loss), EA_OK);
  ea_backward_run *run;
  assert_int_equal(ea_backward(loss, NULL, &run), EA_OK);
  assert_int_equal(seen_hidden, 1);
  assert_values(ea_tensor_grad(x), (float[]){2, -6, 2, -6}, 4);
  ea_tensor_release(loss);
  ea_tensor_release(y);
  ea_tensor_release(x);
}

static void step_of_a_graph(void **state) {
  (void)state;
  ea_graph *g;
  ea_tensor *x, *y, *values = input();
  assert_int_equal(ea_graph_begin(&g), EA_OK);
  assert_int_equal(ea_graph_input(g, EA_F32, 2, (int64_t[]){2, 2}, &x), EA_OK);
  assert_int_equal(ea_apply(number, 1, &x, 3, attrs, &y), EA_OK);
  assert_int_equal(ea_graph_end(g, 1, &y, NULL), EA_OK);
  assert_int_equal(ea_tensor_copy(x, values), EA_OK);
  for (int step = 0; step < 3; step++) {
    assert_int_equal(ea_graph_forward(g, (uint64_t)step), EA_OK);
    assert_values(y, (float[]){(float)(step - 10), (float)(step - 18)}, 2);
  }
  ea_tensor_release(values);
  ea_tensor_release(x);
  ea_tensor_release(y);
  ea_graph_free(g);
}

static void refuses_in_its_own_words(void **state) {
  (void)state;
  ea_tensor *x = input(), *wide, *y = NULL;
  assert_int_equal(ea_apply(number, 1, &x, 2, attrs, &y), EA_ERR_ARG);
  assert_string_equal(ea_error(), "test_weigh: expected 2 weights, got 1");
  assert_int_equal(ea_tensor_clone(x, EA_F64, &wide), EA_OK);
  assert_int_equal(ea_apply(number, 1, &wide, 3, attrs, &y), EA_ERR_DTYPE);
  assert_string_equal(ea_error(), "test_weigh: the input must be f32, got {2, 2} f64");
  assert_null(y);
  ea_tensor_release(wide);
  ea_tensor_release(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(asks_its_call),
      cmocka_unit_test(step_of_a_graph),
      cmocka_unit_test(refuses_in_its_own_words),
  };
  return cmocka_run_group_tests(tests, add_op, NULL);
}
