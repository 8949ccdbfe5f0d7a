/* SPDX-License-Identifier: GPL-3.0-or-later
 * test_no_memory.c - every public function that asks for memory, with each of its allocations
 * refused in turn: it must say so, leave its outputs alone and leak nothing. `make lint` finds in
 * the compiled library which functions these are, and fails where one has no case here.
 */
#include "files.h"
#include "base/base.h"

static ea_tensor *matrix, *weight, *image, *square, *label, *images, *class;
static ea_archive *archive, *net;
static ea_model *model;

static char nothing; /* what outputs hold before, and must hold after a failure */
#define UNTOUCHED ((void *)&nothing)

#define TRY(function) static int try_##function(void *unused)
#define RETURN_IF(status, out)          \
  if ((status) < 0) {                   \
    assert_ptr_equal((out), UNTOUCHED); \
    return status;                      \
  }

/* Whose status is all there is. */
#define DOES(function, ...)       \
  TRY(function) {                 \
    (void)unused;                 \
    return function(__VA_ARGS__); \
  }

/* The last parameter of which is a thing of that type to be freed. */
#define MAKES(type, free_it, function, ...)    \
  TRY(function) {                              \
    (void)unused;                              \
    type *made = UNTOUCHED;                    \
    int status = function(__VA_ARGS__, &made); \
    RETURN_IF(status, made)                    \
    free_it(made);                             \
    return EA_OK;                              \
  }
#define TENSOR(...) MAKES(ea_tensor, ea_tensor_release, __VA_ARGS__)

/* ---- tensors ---- */

TENSOR(ea_tensor_new, EA_F32, 2, ((int64_t[]){4, 6}))
TENSOR(ea_tensor_narrow, matrix, 0, 1, 2, 1)
TENSOR(ea_tensor_select, matrix, 0, 1)
TENSOR(ea_tensor_reshape, matrix, 1, (int64_t[]){24})
TENSOR(ea_tensor_permute, matrix, (int[]){1, 0})
TENSOR(ea_tensor_expand, matrix, 3, (int64_t[]){2, 4, 6})
TENSOR(ea_tensor_clone, matrix, EA_F64)
TENSOR(ea_tensor_detach, matrix)

TRY(ea_tensor_hash) {
  (void)unused;
  ea_tensor *turned; /* not contiguous: the hash is of a copy */
  if (ea_tensor_permute(matrix, (int[]){1, 0}, &turned)) return EA_ERR_MEMORY;
  uint64_t hash = ea_tensor_hash(turned);
  ea_tensor_release(turned);
  return hash ? EA_OK : EA_ERR_MEMORY;
}

TRY(ea_svd) {
  (void)unused;
  ea_tensor *u = UNTOUCHED, *s = UNTOUCHED, *v = UNTOUCHED;
  int status = ea_svd(matrix, &u, &s, &v);
  RETURN_IF(status, u)
  ea_tensor_release(u);
  ea_tensor_release(s);
  ea_tensor_release(v);
  return EA_OK;
}

TRY(ea_eigh) {
  (void)unused;
  ea_tensor *w = UNTOUCHED, *v = UNTOUCHED;
  int status = ea_eigh(square, &w, &v);
  RETURN_IF(status, w)
  ea_tensor_release(w);
  ea_tensor_release(v);
  return EA_OK;
}

/* ---- ops, gradients, graphs ---- */

enum { CUSTOM = 9 };

static int apply(const char *op, int nin, ea_tensor *const *in, ea_tensor **out) {
  return ea_apply(ea_op_find(op), nin, in, 0, NULL, out);
}

TRY(ea_apply) {
  (void)unused;
  ea_tensor *y = UNTOUCHED;
  int status = apply("conv2d", 2, (ea_tensor *[]){image, weight}, &y);
  RETURN_IF(status, y)
  ea_tensor_release(y);
  return EA_OK;
}

/* sum(custom(x w^T)), where the custom op gives back what it got. */
static int loss_of(ea_tensor *x, ea_tensor **loss) {
  ea_tensor *h, *y;
  EA_TRY(apply("linear", 2, (ea_tensor *[]){x, matrix}, &h));
  ea_tensor *prototype = h;
  int status = ea_graph_capturing() ? EA_OK : ea_tensor_clone(h, EA_F32, &prototype);
  if (!status) status = ea_custom(CUSTOM, 1, &h, 1, &prototype, &y);
  if (prototype && prototype != h) ea_tensor_release(prototype);
  ea_tensor_release(h);
  EA_TRY(status);
  status = apply("sum", 1, &y, loss);
  ea_tensor_release(y);
  return status;
}

TRY(ea_custom) {
  (void)unused;
  ea_tensor *loss;
  EA_TRY(loss_of(matrix, &loss));
  ea_tensor_release(loss);
  while (ea_custom_forgotten()) continue;
  return EA_OK;
}

TRY(ea_backward_give) {
  (void)unused;
  ea_tensor *loss;
  ea_backward_run *run = NULL;
  int status = loss_of(matrix, &loss);
  if (!status) {
    status = ea_backward(loss, NULL, &run);
    if (status == CUSTOM) {
      status = ea_backward_give(run, 0, ea_backward_output_grad(run, 0));
      if (status < 0) ea_backward_free(run);
      else status = ea_backward_resume(run);
    }
    ea_tensor_release(loss);
  }
  ea_tensor_set_grad(matrix, NULL);
  while (ea_custom_forgotten()) continue;
  return status;
}
#define try_ea_backward try_ea_backward_give
#define try_ea_backward_resume try_ea_backward_give

TRY(ea_graph_begin) {
  (void)unused;
  ea_graph *g = UNTOUCHED;
  int status = ea_graph_begin(&g);
  RETURN_IF(status, g)
  ea_graph_abort(g);
  return EA_OK;
}

TRY(ea_graph_input) {
  (void)unused;
  ea_graph *g;
  ea_tensor *x;
  EA_TRY(ea_graph_begin(&g));
  int status = ea_graph_input(g, EA_F32, 2, (int64_t[]){3, 6}, &x);
  if (!status) ea_tensor_release(x);
  ea_graph_abort(g);
  return status;
}

/* Captures an op, and has its description where `described` is not NULL. */
static int capture(const char *op, ea_tensor *second, int ndim, const int64_t *size,
                   char **described) {
  ea_graph *g;
  ea_tensor *x, *y = NULL;
  EA_TRY(ea_graph_begin(&g));
  int status = ea_graph_input(g, EA_F32, ndim, size, &x);
  if (!status) {
    status = apply(op, 2, (ea_tensor *[]){x, second}, &y);
    ea_tensor_release(x);
  }
  if (!status && described) status = ea_graph_describe(g, 1, &y, archive, described);
  if (!status) status = ea_graph_end(g, 1, &y, NULL);
  if (!status) status = ea_graph_forward(g, 0);
  ea_graph_free(g);
  if (y) ea_tensor_release(y);
  return status;
}

TRY(ea_graph_end) {
  (void)unused;
  return capture("conv2d", weight, 4, (int64_t[]){2, 8, 8, 3}, NULL);
}

TRY(ea_graph_describe) {
  (void)unused;
  char *json = NULL;
  int status = capture("linear", matrix, 2, (int64_t[]){3, 6}, &json);
  ea_buffer_free(json);
  return status;
}

MAKES(ea_model, ea_model_free, ea_model_new, net)
TENSOR(ea_model_apply, model, 1, &matrix)

TRY(ea_plugin_load) {
  (void)unused;
  int first, count, status = ea_plugin_load("no-such-plugin.so", NULL, &first, &count);
  return status == EA_ERR_IO ? EA_OK : status;
}

/* ---- files ---- */

MAKES(ea_archive, ea_archive_free, ea_safetensors_load, scratch("a.safetensors"))
MAKES(ea_archive, ea_archive_free, ea_npz_load, scratch("a.npz"))
TENSOR(ea_npy_load, scratch("a.npy"))
TENSOR(ea_idx_load, scratch("a.idx"))
TENSOR(ea_png_load, scratch("a.png"), 4)
TENSOR(ea_jpeg_load, "tests/fuzz/seeds/jpeg/rgb.jpg", 3)
DOES(ea_safetensors_save, scratch("a.safetensors"), archive)
DOES(ea_npz_save, scratch("a.npz"), archive)
DOES(ea_npy_save, scratch("a.npy"), matrix)
DOES(ea_png_save, scratch("a.png"), class)
DOES(ea_file_write, scratch("a.txt"), "text", 4)
DOES(ea_make_folder, scratch("one/two"))
MAKES(char, ea_buffer_free, ea_list_folder, folder)
MAKES(char, ea_buffer_free, ea_real_path, folder)
MAKES(ea_json, ea_json_free, ea_json_parse, "[1, {\"a\": \"b\"}]", 15)

TRY(ea_file_read) {
  (void)unused;
  char *data = UNTOUCHED;
  size_t bytes;
  int status = ea_file_read(scratch("a.txt"), 100, &data, &bytes);
  RETURN_IF(status, data)
  ea_buffer_free(data);
  return EA_OK;
}

TRY(ea_cifar_load) {
  (void)unused;
  ea_tensor *x = UNTOUCHED, *y = UNTOUCHED;
  int status = ea_cifar_load(scratch("a.bin"), 1, &x, &y);
  RETURN_IF(status, x)
  ea_tensor_release(x);
  ea_tensor_release(y);
  return EA_OK;
}

TRY(ea_archive_new) {
  (void)unused;
  ea_archive *a = UNTOUCHED;
  int status = ea_archive_new(&a);
  RETURN_IF(status, a)
  ea_archive_free(a);
  return EA_OK;
}

TRY(ea_archive_add) {
  (void)unused;
  ea_archive *a;
  EA_TRY(ea_archive_new(&a));
  int status = ea_archive_add(a, "name", matrix);
  ea_archive_free(a);
  return status;
}

TRY(ea_archive_set_meta) {
  (void)unused;
  ea_archive *a;
  EA_TRY(ea_archive_new(&a));
  int status = ea_archive_set_meta(a, "key", "value");
  ea_archive_free(a);
  return status;
}

/* ---- data and communities ---- */

TRY(ea_loader_new) {
  (void)unused;
  ea_loader *l = UNTOUCHED;
  const double mean[3] = {0.5, 0.5, 0.5}, std[3] = {0.2, 0.2, 0.2};
  int status = ea_loader_new(images, label, NULL, 2, mean, std, NULL, 1, 0, 1, &l);
  RETURN_IF(status, l)
  ea_loader_free(l);
  return EA_OK;
}

#define PARTITION(function, ...)                          \
  TRY(function) {                                         \
    (void)unused;                                         \
    ea_partition p = {.membership = UNTOUCHED};           \
    int status = function(square, 1, 1, __VA_ARGS__, &p); \
    RETURN_IF(status, p.membership)                       \
    ea_tensor_release(p.membership);                      \
    return EA_OK;                                         \
  }
PARTITION(ea_louvain, 2, 10)
PARTITION(ea_leiden, 2, 10, 10)
TENSOR(ea_graph_layout, square, 1, 5)

static double number;
DOES(ea_modularity, square, label, 1, &number)
DOES(ea_nmi, label, label, &number)
DOES(ea_adjusted_rand, label, label, &number)

/* ---- what they work on ---- */

static void make_net(void) {
  char *json;
  assert_int_equal(ea_archive_new(&archive), EA_OK);
  assert_int_equal(ea_archive_add(archive, "matrix", matrix), EA_OK);
  assert_int_equal(ea_archive_set_meta(archive, "key", "value"), EA_OK);
  assert_int_equal(capture("linear", matrix, 2, (int64_t[]){3, 6}, &json), EA_OK);
  assert_int_equal(ea_archive_new(&net), EA_OK);
  assert_int_equal(ea_archive_add(net, "matrix", matrix), EA_OK);
  assert_int_equal(ea_archive_set_meta(net, "edgeai.graph", json), EA_OK);
  assert_int_equal(ea_model_new(net, &model), EA_OK);
  ea_buffer_free(json);
}

static int make_all(void **state) {
  if (make_scratch(state)) return -1;
  matrix = tensor_of(EA_F32, 2, (int64_t[]){4, 6});
  weight = tensor_of(EA_F32, 4, (int64_t[]){5, 3, 3, 3});
  image = tensor_of(EA_F32, 4, (int64_t[]){2, 8, 8, 3});
  square = tensor_of(EA_F32, 2, (int64_t[]){4, 4});
  images = tensor_of(EA_U8, 4, (int64_t[]){4, 8, 8, 3});
  class = tensor_of(EA_U8, 3, (int64_t[]){9, 7, 3});
  label = tensor_of(EA_I32, 1, (int64_t[]){4});
  for (int i = 0; i < 16; i++) /* two pairs */
    ((float *)ea_tensor_data(square))[i] = i / 4 == i % 4 ? 0 : i / 8 == i % 4 / 2 ? 3 : 1;
  for (int i = 0; i < 4; i++) ((int32_t *)ea_tensor_data(label))[i] = i / 2;
  assert_int_equal(ea_tensor_set_requires_grad(matrix, 1), EA_OK);
  make_net();
  static char cifar[2 * 3073];
  const char idx[] = "\0\0\10\1\0\0\0\2ab";
  assert_int_equal(ea_file_write(scratch("a.bin"), cifar, sizeof cifar), EA_OK);
  assert_int_equal(ea_file_write(scratch("a.idx"), idx, sizeof idx - 1), EA_OK);
  return 0;
}

static int free_all(void **state) {
  ea_tensor *all[] = {matrix, weight, image, square, images, class, label};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) ea_tensor_release(all[i]);
  ea_archive_free(archive);
  ea_archive_free(net);
  ea_model_free(model);
  return remove_scratch(state);
}

/* ---- the table: writers first, for the readers ---- */

#define CASE(function) \
  { #function, try_##function }
static const struct {
  const char *name;
  attempt try;
} cases[] = {
    CASE(ea_tensor_new),
    CASE(ea_tensor_narrow),
    CASE(ea_tensor_select),
    CASE(ea_tensor_reshape),
    CASE(ea_tensor_permute),
    CASE(ea_tensor_expand),
    CASE(ea_tensor_clone),
    CASE(ea_tensor_detach),
    CASE(ea_tensor_hash),
    CASE(ea_svd),
    CASE(ea_eigh),
    CASE(ea_apply),
    CASE(ea_custom),
    CASE(ea_backward),
    CASE(ea_backward_give),
    CASE(ea_backward_resume),
    CASE(ea_graph_begin),
    CASE(ea_graph_input),
    CASE(ea_graph_end),
    CASE(ea_graph_describe),
    CASE(ea_model_new),
    CASE(ea_model_apply),
    CASE(ea_plugin_load),
    CASE(ea_safetensors_save),
    CASE(ea_npz_save),
    CASE(ea_npy_save),
    CASE(ea_png_save),
    CASE(ea_file_write),
    CASE(ea_make_folder),
    CASE(ea_list_folder),
    CASE(ea_real_path),
    CASE(ea_json_parse),
    CASE(ea_file_read),
    CASE(ea_safetensors_load),
    CASE(ea_npz_load),
    CASE(ea_npy_load),
    CASE(ea_idx_load),
    CASE(ea_png_load),
    CASE(ea_jpeg_load),
    CASE(ea_cifar_load),
    CASE(ea_archive_new),
    CASE(ea_archive_add),
    CASE(ea_archive_set_meta),
    CASE(ea_loader_new),
    CASE(ea_louvain),
    CASE(ea_leiden),
    CASE(ea_graph_layout),
    CASE(ea_modularity),
    CASE(ea_nmi),
    CASE(ea_adjusted_rand),
};

static void each_refused_in_turn(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    print_message("%s\n", cases[i].name);
    torture_memory(cases[i].try, NULL);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(each_refused_in_turn)};
  return cmocka_run_group_tests(tests, make_all, free_all);
}
