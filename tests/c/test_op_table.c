/* SPDX-License-Identifier: GPL-3.0-or-later
 * test_op_table.c - ops from outside, written against edgeai_op.h alone: they run eagerly, with
 * gradients and in captured graphs in every type; wrong ones are refused; taken away, their name is
 * free and what holds them works on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../core/edgeai_op.h"

/* ---- an op: y = scale x^2, and the same of any number of inputs, summed ---------------------- */

enum { BLOCK = 64 };

static int square_shape(ea_call *c) {
  for (int i = 0; i < ea_call_inputs(c); i++)
    if (ea_call_check_float(c, i) < 0 || ea_call_check_ndim(c, i, 2) < 0) return EA_ERR_SHAPE;
  if (ea_call_check_same_dtype(c) < 0) return EA_ERR_DTYPE;
  if (ea_call_attr(c, 0) < 0)
    return ea_call_fail(c, EA_ERR_ARG, "scale must not be negative, got %g", ea_call_attr(c, 0));
  return ea_call_output_like(c, 0, ea_call_in(c, 0));
}

static void square_range(void *arg, int64_t begin, int64_t end) {
  ea_call *c = arg;
  double sum[BLOCK], x[BLOCK];
  for (int64_t n; begin < end; begin += n) {
    n = end - begin < BLOCK ? end - begin : BLOCK;
    memset(sum, 0, sizeof sum);
    for (int k = 0; k < ea_call_inputs(c); k++) {
      ea_tensor_read(ea_call_in(c, k), begin, n, x);
      for (int64_t i = 0; i < n; i++) sum[i] += ea_call_attr(c, 0) * x[i] * x[i];
    }
    ea_tensor_write(ea_call_out(c, 0), begin, n, sum);
  }
}

static int square_forward(ea_call *c) {
  ea_parallel_range(ea_tensor_count(ea_call_out(c, 0)), 1000, square_range, c);
  return EA_OK;
}

static void square_dx_range(void *arg, int64_t begin, int64_t end) {
  ea_call *c = arg;
  double x[BLOCK], g[BLOCK], before[BLOCK];
  for (int64_t n; begin < end; begin += n) {
    n = end - begin < BLOCK ? end - begin : BLOCK;
    ea_tensor_read(ea_call_gout(c, 0), begin, n, g);
    for (int k = 0; k < ea_call_inputs(c); k++) {
      if (!ea_call_gin(c, k)) continue;
      ea_tensor_read(ea_call_in(c, k), begin, n, x);
      for (int64_t i = 0; i < n; i++) x[i] *= 2 * ea_call_attr(c, 0) * g[i];
      if (ea_call_accumulates(c, k)) {
        ea_tensor_read(ea_call_gin(c, k), begin, n, before);
        for (int64_t i = 0; i < n; i++) x[i] += before[i];
      }
      ea_tensor_write(ea_call_gin(c, k), begin, n, x);
    }
  }
}

static int square_backward(ea_call *c) {
  ea_parallel_range(ea_tensor_count(ea_call_gout(c, 0)), 1000, square_dx_range, c);
  return EA_OK;
}

static const ea_op square = {.name = "test_square",
                             .nin_least = 1,
                             .nin_most = 3,
                             .nout = 1,
                             .attrs = "scale:f=1",
                             .flags = EA_OP_ACCUMULATES,
                             .need_in = 7,
                             .shape = square_shape,
                             .forward = square_forward,
                             .backward = square_backward};

static int add_square(void) {
  const ea_op *ops[] = {&square};
  int number = -1;
  assert_int_equal(ea_ops_add(1, ops, &number), EA_OK);
  return number;
}

static ea_tensor *filled(int dtype, double value) {
  ea_tensor *t = NULL;
  assert_int_equal(ea_tensor_new(dtype, 2, (int64_t[]){30, 50}, &t), EA_OK);
  assert_int_equal(ea_tensor_fill(t, value), EA_OK);
  return t;
}

static void assert_all(const ea_tensor *t, double value) {
  for (int64_t i = 0; i < 30; i++)
    for (int64_t j = 0; j < 50; j++) {
      double got;
      assert_int_equal(ea_tensor_get(t, (int64_t[]){i, j}, &got), EA_OK);
      assert_true(got == value);
    }
}

/* ---- it runs --------------------------------------------------------------------------------- */

static void runs_eagerly_in_every_type(void **state) {
  (void)state;
  int64_t live = ea_memory_live();
  int before = ea_op_count(), op = add_square();
  assert_int_equal(op, before);
  assert_int_equal(ea_op_count(), before + 1);
  assert_string_equal(ea_op_name(op), "test_square");
  assert_int_equal(ea_op_find("test_square"), op);
  for (int dtype = EA_F32; dtype <= EA_BF16; dtype++) {
    ea_tensor *x = filled(dtype, 3), *y = NULL, *seed = filled(dtype, 1);
    assert_int_equal(ea_tensor_set_requires_grad(x, 1), EA_OK);
    assert_int_equal(ea_apply(op, 2, (ea_tensor *[]){x, x}, 1, (double[]){0.5}, &y), EA_OK);
    assert_all(y, 9);
    assert_int_equal(ea_tensor_dtype(y), dtype);
    ea_backward_run *run = NULL;
    assert_int_equal(ea_backward(y, seed, &run), EA_OK);
    assert_all(ea_tensor_grad(x), 6);
    ea_tensor_release(x);
    ea_tensor_release(y);
    ea_tensor_release(seed);
  }
  ea_tensor *x = filled(EA_I32, 3), *y = NULL;
  assert_int_equal(ea_apply(op, 1, &x, 0, NULL, &y), EA_ERR_SHAPE);
  assert_non_null(strstr(ea_error(), "test_square: the input must be f32, bf16 or f64"));
  ea_tensor_release(x);
  x = filled(EA_F32, 3);
  assert_int_equal(ea_apply(op, 1, &x, 1, (double[]){-1}, &y), EA_ERR_ARG);
  assert_string_equal(ea_error(), "test_square: scale must not be negative, got -1");
  ea_tensor_release(x);
  assert_int_equal(ea_op_remove(op), EA_OK);
  assert_int_equal(ea_op_count(), before);
  assert_int_equal(ea_memory_live(), live);
}

static void runs_in_a_graph_that_outlives_its_name(void **state) {
  (void)state;
  int64_t live = ea_memory_live();
  int op = add_square();
  ea_tensor *w = filled(EA_F32, 3), *y = NULL, *loss = NULL;
  assert_int_equal(ea_tensor_set_requires_grad(w, 1), EA_OK);
  ea_graph *g = NULL;
  assert_int_equal(ea_graph_begin(&g), EA_OK);
  assert_int_equal(ea_apply(op, 3, (ea_tensor *[]){w, w, w}, 0, NULL, &y), EA_OK);
  assert_int_equal(ea_apply(ea_op_find("sum"), 1, &y, 0, NULL, &loss), EA_OK);
  assert_int_equal(ea_graph_end(g, 1, &loss, loss), EA_OK);
  assert_int_equal(ea_op_remove(op), EA_OK);
  assert_int_equal(ea_op_find("test_square"), -1);
  assert_null(ea_op_name(op));
  for (int accumulate = 0; accumulate <= 1; accumulate++) {
    assert_int_equal(ea_graph_forward(g, 0), EA_OK);
    double value;
    assert_int_equal(ea_tensor_get(loss, (int64_t[]){0}, &value), EA_OK);
    assert_true(value == 27 * 1500);
    assert_int_equal(ea_graph_backward(g, accumulate), EA_OK);
    assert_all(ea_tensor_grad(w), accumulate ? 36 : 18);
  }
  ea_graph_free(g);
  ea_tensor_release(y);
  ea_tensor_release(loss);
  ea_tensor_release(w);
  assert_int_equal(ea_memory_live(), live);
}

static void reads_and_writes_every_type(void **state) {
  (void)state;
  for (int dtype = EA_F32; dtype <= EA_I8; dtype++) {
    ea_tensor *t = NULL;
    assert_int_equal(ea_tensor_new(dtype, 1, (int64_t[]){5}, &t), EA_OK);
    ea_tensor_fill(t, 7);
    ea_tensor_write(t, 1, 3, (double[]){2.5, -1000.25, 3e9});
    double v[5];
    ea_tensor_read(t, 0, 5, v);
    assert_true(v[0] == 7 && v[4] == 7);
    static const double want[][3] = {
        {2.5, -1000.25, 3e9},   {2.5, -1000.25, 3e9}, {2.5, -1000, 3003121664},
        {2, -1000, 2147483647}, {2, 0, 255},          {2, -128, 127}};
    for (int i = 0; i < 3; i++) assert_true(v[i + 1] == want[dtype][i]);
    ea_tensor_release(t);
  }
}

/* ---- what is refused ------------------------------------------------------------------------- */

#define REFUSED(words, ...)                                    \
  do {                                                         \
    ea_op wrong = square;                                      \
    __VA_ARGS__;                                               \
    const ea_op *ops[] = {&square, &wrong};                    \
    int number = -7, count = ea_op_count();                    \
    assert_int_equal(ea_ops_add(2, ops, &number), EA_ERR_ARG); \
    assert_non_null(strstr(ea_error(), words));                \
    assert_int_equal(number, -7);                              \
    assert_int_equal(ea_op_count(), count);                    \
  } while (0)

static void wrong_ops_are_refused(void **state) {
  (void)state;
  REFUSED("there is an op of that name", wrong.name = "relu");
  REFUSED("there is an op of that name", (void)wrong);
  REFUSED("without a name", wrong.name = NULL);
  REFUSED("a name is made of", wrong.name = "Test");
  REFUSED("a name is made of", wrong.name = "");
  REFUSED("a name is made of", wrong.name = "9a");
  REFUSED("a name is made of", wrong.name = "a b");
  REFUSED("a name is made of",
          wrong.name = "a123456789012345678901234567890123456789012345678901234567890123");
  REFUSED("nin_least", wrong.name = "b"; wrong.nin_least = 0);
  REFUSED("nin_least", wrong.name = "b"; wrong.nin_most = EA_MAX_IN + 1);
  REFUSED("nin_least", wrong.name = "b"; wrong.nin_least = 4);
  REFUSED("nout", wrong.name = "b"; wrong.nout = 0);
  REFUSED("nout", wrong.name = "b"; wrong.nhidden = EA_MAX_OUT);
  REFUSED("nout", wrong.name = "b"; wrong.nhidden = -1);
  REFUSED("attrs is missing", wrong.name = "b"; wrong.attrs = NULL);
  REFUSED("attrs must be like", wrong.name = "b"; wrong.attrs = "scale");
  REFUSED("attrs must be like", wrong.name = "b"; wrong.attrs = "scale:");
  REFUSED("attrs must be like", wrong.name = "b"; wrong.attrs = "scale:q=1");
  REFUSED("default must be a number", wrong.name = "b"; wrong.attrs = "scale:f=one");
  REFUSED("separated by blanks", wrong.name = "b"; wrong.attrs = "scale:f=1,shift:f=1");
  REFUSED("must be the last", wrong.name = "b"; wrong.attrs = "axes:X shift:f=1");
  REFUSED("more than EA_MAX_ATTR", wrong.name = "b";
          wrong.attrs = "a:f b:f c:f d:f e:f f:f g:f h:f i:f j:f k:f l:f m:f n:f o:f p:f q:f r:f "
                        "s:f t:f u:f v:f w:f "
                        "x:f y:f");
  REFUSED("shape and forward", wrong.name = "b"; wrong.shape = NULL);
  REFUSED("shape and forward", wrong.name = "b"; wrong.forward = NULL);
  REFUSED("a backward or EA_OP_NO_GRAD", wrong.name = "b"; wrong.backward = NULL);
  REFUSED("a backward or EA_OP_NO_GRAD", wrong.name = "b"; wrong.flags = EA_OP_NO_GRAD);
  REFUSED("a flag", wrong.name = "b"; wrong.flags = EA_OP_ALIAS);
  REFUSED("a flag", wrong.name = "b"; wrong.flags = 64);
  REFUSED("need_in", wrong.name = "b"; wrong.need_in = 8);
  REFUSED("need_out", wrong.name = "b"; wrong.need_out = 2);
  int number;
  assert_int_equal(ea_ops_add(0, NULL, &number), EA_ERR_ARG);
}

static void the_table_has_room_and_gives_it_back(void **state) {
  (void)state;
  enum { MOST = 256 };
  static char names[MOST + 1][8];
  static ea_op ops[MOST + 1];
  int before = ea_op_count(), first = 0, number = 0;
  for (int i = 0; i <= MOST; i++) {
    names[i][0] = 'z';
    for (int k = 0, v = i; k < 4; k++, v /= 10) names[i][4 - k] = (char)('0' + v % 10);
    ops[i] = square;
    ops[i].name = names[i];
  }
  for (int i = 0; i < MOST; i++) {
    const ea_op *one[] = {&ops[i]};
    assert_int_equal(ea_ops_add(1, one, &number), EA_OK);
    assert_int_equal(number, before + i);
  }
  const ea_op *three[] = {&ops[MOST], &ops[1], &ops[2]};
  assert_int_equal(ea_ops_add(1, three, &number), EA_ERR_UNSUPPORTED);
  for (int i = 1; i <= 3; i++) assert_int_equal(ea_op_remove(before + i), EA_OK);
  assert_int_equal(ea_op_remove(before + 1), EA_ERR_ARG);
  assert_int_equal(ea_ops_add(3, three, &first), EA_OK);
  assert_int_equal(first, before + 1);
  for (int i = 0; i < MOST; i++) assert_int_equal(ea_op_remove(before + i), EA_OK);
  assert_int_equal(ea_op_count(), before);
  assert_int_equal(ea_op_remove(0), EA_ERR_ARG);
  assert_int_equal(ea_op_remove(-1), EA_ERR_ARG);
}

static void libraries_that_are_none_are_refused(void **state) {
  (void)state;
  int first = -7, count = -7;
  assert_int_equal(ea_plugin_load("/nonexistent/x.so", NULL, &first, &count), EA_ERR_IO);
  assert_non_null(strstr(ea_error(), "cannot load /nonexistent/x.so"));
  assert_int_equal(ea_plugin_load("Makefile", NULL, &first, &count), EA_ERR_IO);
  assert_non_null(strstr(ea_error(), "invalid ELF header"));
  assert_int_equal(ea_plugin_load("libm.so.6", NULL, &first, &count), EA_ERR_IO); /* no search */
  assert_int_equal(first, -7);
  assert_int_equal(count, -7);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(runs_eagerly_in_every_type),
      cmocka_unit_test(runs_in_a_graph_that_outlives_its_name),
      cmocka_unit_test(reads_and_writes_every_type),
      cmocka_unit_test(wrong_ops_are_refused),
      cmocka_unit_test(the_table_has_room_and_gives_it_back),
      cmocka_unit_test(libraries_that_are_none_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
