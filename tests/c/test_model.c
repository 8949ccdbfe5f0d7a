/* SPDX-License-Identifier: GPL-3.0-or-later
 * test_model.c - a captured graph described in a file and run from it: the same numbers, every
 * allocation fails once, and texts that lie.
 */
#include "files.h"

enum { SIDE = 5, C = 3, O = 4, OUTPUTS = 3 };

static int apply(const char *name, int nin, ea_tensor *const *in, int nattr, const double *attr,
                 ea_tensor **out) {
  return ea_apply(ea_op_find(name), nin, in, nattr, attr, out);
}

typedef struct network {
  ea_tensor *weight, *bias, *scale, *input;
} network;

static network make_network(void) {
  network n;
  n.weight = tensor_of(EA_F32, 4, (int64_t[]){O, C, 3, 3});
  n.bias = tensor_of(EA_F32, 1, (int64_t[]){O});
  n.scale = tensor_of(EA_F32, 1, (int64_t[]){O});
  n.input = tensor_of(EA_F32, 4, (int64_t[]){1, SIDE, SIDE, C});
  assert_int_equal(ea_random_normal(n.weight, 1, 1, 0, 0, 0.2), EA_OK);
  assert_int_equal(ea_random_normal(n.input, 1, 2, 0, 0, 1), EA_OK);
  return n;
}

static void free_network(network *n) {
  ea_tensor_release(n->weight);
  ea_tensor_release(n->bias);
  ea_tensor_release(n->scale);
  ea_tensor_release(n->input);
}

/* conv, clamp from below (its high is infinite), times a tensor without a name, pool; then the 3
 * largest (values and indices) and all as bf16. */
static int build(const network *n, ea_tensor *x, ea_tensor **out) {
  ea_tensor *t[4] = {0}, *top[2] = {0}, *half = NULL;
  int s = apply("conv2d", 3, (ea_tensor *[]){x, n->weight, n->bias}, 2, (double[]){1, 1}, &t[0]);
  if (!s) s = apply("clamp", 1, &t[0], 1, (double[]){-0.5}, &t[1]);
  if (!s) s = apply("mul", 2, (ea_tensor *[]){t[1], n->scale}, 0, NULL, &t[2]);
  if (!s) s = apply("global_avg_pool", 1, &t[2], 0, NULL, &t[3]);
  if (!s) s = apply("topk", 1, &t[3], 2, (double[]){3, -1}, top);
  if (!s) s = apply("cast", 1, &t[3], 1, (double[]){EA_BF16}, &half);
  for (int i = 0; i < 4; i++) ea_tensor_release(t[i]);
  if (s) {
    ea_tensor_release(top[0]);
    ea_tensor_release(top[1]);
    return s;
  }
  out[0] = top[0];
  out[1] = top[1];
  out[2] = half;
  return EA_OK;
}

static void release(ea_tensor **out, int n) {
  for (int i = 0; i < n; i++) ea_tensor_release(out[i]);
}

/* The network's text; `names` has all but the scale. */
static int describe(const network *n, const ea_archive *names, char **json) {
  ea_graph *g;
  int s = ea_graph_begin(&g);
  if (s) return s;
  ea_tensor *x = NULL, *out[OUTPUTS] = {0};
  s = ea_graph_input(g, EA_F32, 4, (int64_t[]){1, SIDE, SIDE, C}, &x);
  if (!s) s = build(n, x, out);
  if (!s) s = ea_graph_describe(g, OUTPUTS, out, names, json);
  release(out, OUTPUTS);
  ea_tensor_release(x);
  ea_graph_abort(g);
  return s;
}

static int make_file(const network *n, ea_archive **out) {
  ea_archive *a;
  char *json = NULL;
  int s = ea_archive_new(&a);
  if (s) return s;
  s = ea_archive_add(a, "weight", n->weight);
  if (!s) s = ea_archive_add(a, "bias", n->bias);
  if (!s) s = describe(n, a, &json);
  if (!s) s = ea_archive_set_meta(a, "edgeai.graph", json);
  ea_buffer_free(json);
  if (s) ea_archive_free(a);
  else *out = a;
  return s;
}

static ea_archive *file_of(const network *n) {
  ea_archive *a = NULL;
  if (make_file(n, &a)) fail_msg("%s", ea_error());
  return a;
}

/* ---- what it computes ------------------------------------------------------------------------ */

static void assert_computes(const ea_archive *file, const network *n, int batch) {
  ea_model *m = NULL;
  if (ea_model_new(file, &m)) fail_msg("%s", ea_error());
  assert_int_equal(ea_model_inputs(m), 1);
  assert_int_equal(ea_model_outputs(m), OUTPUTS);
  ea_tensor *x = tensor_of(EA_F32, 4, (int64_t[]){batch, SIDE, SIDE, C});
  assert_int_equal(ea_random_normal(x, 7, 0, 0, 0, 1), EA_OK);
  ea_tensor *want[OUTPUTS], *got[OUTPUTS];
  assert_int_equal(build(n, x, want), EA_OK);
  if (ea_model_apply(m, 1, &x, got)) fail_msg("%s", ea_error());
  for (int i = 0; i < OUTPUTS; i++) assert_same_tensor(want[i], got[i]);
  release(got, OUTPUTS);

  ea_graph *g; /* and into a graph, which then allocates nothing */
  ea_tensor *in;
  assert_int_equal(ea_graph_begin(&g), EA_OK);
  assert_int_equal(ea_graph_input(g, EA_F32, 4, (int64_t[]){batch, SIDE, SIDE, C}, &in), EA_OK);
  if (ea_model_apply(m, 1, &in, got)) fail_msg("%s", ea_error());
  assert_int_equal(ea_graph_end(g, OUTPUTS, got, NULL), EA_OK);
  ea_model_free(m); /* the graph keeps what it needs */
  assert_int_equal(ea_tensor_copy(in, x), EA_OK);
  int64_t count = ea_memory_count();
  assert_int_equal(ea_graph_forward(g, 0), EA_OK);
  assert_int_equal(ea_memory_count(), count);
  for (int i = 0; i < OUTPUTS; i++) assert_same_tensor(want[i], got[i]);
  release(got, OUTPUTS);
  release(want, OUTPUTS);
  ea_tensor_release(in);
  ea_tensor_release(x);
  ea_graph_free(g);
}

static void computes_the_same(void **state) {
  (void)state;
  network warm = make_network(); /* the first run fills caches */
  ea_archive *file = file_of(&warm), *back;
  assert_computes(file, &warm, 1);
  assert_computes(file, &warm, 6);
  ea_archive_free(file);
  free_network(&warm);
  int64_t live = ea_memory_live();
  network n = make_network();
  file = file_of(&n);
  assert_computes(file, &n, 1);
  assert_int_equal(ea_safetensors_save(scratch("m.safetensors"), file), EA_OK);
  ea_archive_free(file);
  assert_int_equal(ea_safetensors_load(scratch("m.safetensors"), &back), EA_OK);
  assert_computes(back, &n, 1);
  assert_computes(back, &n, 6);
  ea_archive_free(back);
  free_network(&n);
  assert_int_equal(ea_memory_live(), live);
}

static void knows_its_input(void **state) {
  (void)state;
  network n = make_network();
  ea_archive *file = file_of(&n);
  ea_model *m;
  assert_int_equal(ea_model_new(file, &m), EA_OK);
  ea_archive_free(file); /* the model keeps its tensors */
  int dtype = -1;
  int64_t size[EA_MAX_DIM];
  assert_int_equal(ea_model_input_shape(m, 0, &dtype, size), 4);
  assert_int_equal(dtype, EA_F32);
  assert_int_equal(size[0], 1);
  assert_int_equal(size[3], C);
  assert_int_equal(ea_model_input_shape(m, 1, &dtype, size), EA_ERR_ARG);
  assert_error_has("there is no input 1; the model has 1");
  ea_tensor *out[OUTPUTS], *none = NULL, *narrow;
  assert_int_equal(ea_model_apply(m, 0, NULL, out), EA_ERR_ARG);
  assert_error_has("the model takes 1 tensors, got 0");
  assert_int_equal(ea_model_apply(m, 1, &none, out), EA_ERR_ARG);
  assert_int_equal(ea_tensor_narrow(n.input, 3, 0, 2, 1, &narrow), EA_OK);
  assert_int_equal(ea_model_apply(m, 1, &narrow, out), EA_ERR_SHAPE);
  assert_error_has("node 0 of the model: conv2d: ");
  ea_tensor_release(narrow);
  ea_model_free(m);
  free_network(&n);
}

/* Weights that were stored as bf16 are read as what the text says. */
static void converts_weights(void **state) {
  (void)state;
  network n = make_network();
  ea_archive *file = file_of(&n), *small;
  ea_tensor *half, *wide;
  assert_int_equal(ea_archive_new(&small), EA_OK);
  assert_int_equal(ea_tensor_clone(n.weight, EA_BF16, &half), EA_OK);
  assert_int_equal(ea_tensor_clone(half, EA_F32, &wide), EA_OK);
  assert_int_equal(ea_archive_add(small, "weight", half), EA_OK);
  assert_int_equal(ea_archive_add(small, "bias", n.bias), EA_OK);
  const char *text = ea_archive_meta(file, "edgeai.graph");
  assert_int_equal(ea_archive_set_meta(small, "edgeai.graph", text), EA_OK);
  assert_int_equal(ea_tensor_copy(n.weight, wide), EA_OK);
  assert_computes(small, &n, 2);
  ea_tensor_release(half);
  ea_tensor_release(wide);
  ea_archive_free(small);
  ea_archive_free(file);
  free_network(&n);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int describe_once(void *context) {
  ea_archive *file;
  int s = make_file(context, &file);
  if (!s) ea_archive_free(file);
  return s;
}

typedef struct run {
  network n;
  ea_archive *file;
} run;

static int run_once(void *context) {
  run *r = context;
  ea_model *m;
  ea_tensor *out[OUTPUTS];
  int s = ea_model_new(r->file, &m);
  if (s) return s;
  s = ea_model_apply(m, 1, &r->n.input, out);
  if (!s) release(out, OUTPUTS);
  ea_model_free(m);
  return s;
}

static void survives_no_memory(void **state) {
  (void)state;
  run r = {.n = make_network()};
  torture_memory(describe_once, &r.n);
  r.file = file_of(&r.n);
  torture_memory(run_once, &r);
  ea_archive_free(r.file);
  free_network(&r.n);
}

/* ---- texts that lie -------------------------------------------------------------------------- */

#define INPUT "\"version\":1,\"inputs\":[{\"dtype\":\"f32\",\"size\":[1,2]}],"
#define HEAD INPUT "\"tensors\":{\"bias\":\"f32\"},"
#define OUT ",\"outputs\":[1]}"
#define NODE(text) "{" HEAD "\"nodes\":[{" text "}]" OUT

static void refuses_lies(void **state) {
  (void)state;
  static const struct {
    const char *text, *sentence;
  } lies[] = {
      {"", "not valid JSON"},
      {"[]", "\"version\": 1"},
      {"{\"version\":2}", "a newer edgeai may have written it"},
      {"{\"version\":1}", "expected a list \"inputs\""},
      {"{\"version\":1,\"inputs\":[3]}", "there is no element type here"},
      {"{\"version\":1,\"inputs\":[{\"dtype\":\"f31\",\"size\":[]}]}", "no element type \"f31\""},
      {"{\"version\":1,\"inputs\":[{\"dtype\":\"f32\",\"size\":[-1]}]}", "out of place"},
      {"{\"version\":1,\"inputs\":[{\"dtype\":\"f32\",\"size\":[1.5]}]}", "out of place"},
      {"{\"version\":1,\"inputs\":[{\"dtype\":\"f32\",\"size\":[1,1,1,1,1,1,1,1,1]}]}",
       "at most 8"},
      {"{" INPUT "\"nodes\":[]}", "expected an object \"tensors\""},
      {"{" INPUT "\"tensors\":{\"gone\":\"f32\"}}", "the file has no tensor \"gone\""},
      {"{" INPUT "\"tensors\":{\"bias\":\"f99\"}}", "no element type \"f99\""},
      {"{" HEAD "\"nodes\":{}}", "expected a list \"nodes\""},
      {"{" HEAD "\"nodes\":[]}", "expected a list \"outputs\""},
      {"{" HEAD "\"nodes\":[],\"outputs\":[]}", "no outputs"},
      {"{" HEAD "\"nodes\":[],\"outputs\":[1]}", "out of place"},
      {NODE("\"op\":\"relu\""), "node 0: a node needs"},
      {NODE("\"op\":\"nothing\",\"in\":[0]"), "there is no op \"nothing\""},
      {NODE("\"op\":\"relu\",\"in\":[1]"), "out of place"}, /* its own output */
      {NODE("\"op\":\"relu\",\"in\":[null]"), "out of place"},
      {NODE("\"op\":\"relu\",\"in\":[\"weight\"]"), "does not list \"weight\""},
      {NODE("\"op\":\"relu\",\"in\":[{}]"), "no element type"},
      {NODE("\"op\":\"relu\",\"in\":[{\"dtype\":\"f32\",\"size\":[1099511627776],\"values\":[1]}]"),
       "as many values"},
      {NODE("\"op\":\"relu\",\"in\":[{\"dtype\":\"f32\",\"size\":[1],\"values\":[\"1\"]}]"),
       "expected a number"},
      {NODE("\"op\":\"relu\",\"in\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"), "at most 16"},
      {NODE("\"op\":\"relu\",\"in\":[0],\"attrs\":{\"low\":1}"), "relu has an unknown attribute"},
      {NODE("\"op\":\"affine\",\"in\":[0],\"attrs\":{\"scale\":[]}"), "expected a number"},
      {NODE("\"op\":\"cast\",\"in\":[0],\"attrs\":{\"dtype\":\"f8\"}"), "no element type \"f8\""},
      {NODE("\"op\":\"reshape\",\"in\":[0],\"attrs\":{\"size\":3}"), "a list of attributes"},
      {NODE(
           "\"op\":\"reshape\",\"in\":[0],\"attrs\":{\"size\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
           "1,1,1,1,1,1,1,1,1,1]}"),
       "too many attributes"},
  };
  network n = make_network();
  ea_archive *file = file_of(&n);
  int64_t live = ea_memory_live();
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
    ea_model *m = NULL;
    assert_int_equal(ea_archive_set_meta(file, "edgeai.graph", lies[i].text), EA_OK);
    if (ea_model_new(file, &m) != EA_ERR_FORMAT) fail_msg("taken: %s", lies[i].text);
    assert_error_has(lies[i].sentence);
    assert_error_has("edgeai.graph: ");
    assert_null(m);
  }
  /* What only running finds out is the op's sentence. */
  static const char *const wrong[] = {
      NODE("\"op\":\"relu\",\"in\":[]"),
      NODE("\"op\":\"reshape\",\"in\":[0],\"attrs\":{\"size\":[1e300]}"),
      NODE("\"op\":\"expand\",\"in\":[0],\"attrs\":{\"size\":[140737488355328,2]}"),
      NODE("\"op\":\"linear\",\"in\":[0,\"bias\"]"),
  };
  ea_tensor *x = tensor_of(EA_F32, 2, (int64_t[]){1, 2}), *y = NULL;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    ea_model *m;
    assert_int_equal(ea_archive_set_meta(file, "edgeai.graph", wrong[i]), EA_OK);
    if (ea_model_new(file, &m)) fail_msg("%s: %s", wrong[i], ea_error());
    assert_true(ea_model_apply(m, 1, &x, &y) < 0);
    assert_error_has("node 0 of the model: ");
    assert_null(y);
    ea_model_free(m);
  }
  ea_tensor_release(x);
  assert_true(ea_memory_live() <= live + 4096); /* but for the archive's longer text */
  ea_archive_free(file);
  free_network(&n);
}

static void asks_for_a_text(void **state) {
  (void)state;
  ea_archive *file;
  ea_model *m;
  assert_int_equal(ea_archive_new(&file), EA_OK);
  assert_null(ea_archive_meta(file, "edgeai.graph"));
  assert_int_equal(ea_archive_find(file, "weight"), -1);
  assert_int_equal(ea_model_new(file, &m), EA_ERR_FORMAT);
  assert_error_has("the file has no metadata `edgeai.graph`");
  ea_archive_free(file);
}

/* ---- what cannot be described ---------------------------------------------------------------- */

static void describes_only_what_a_file_can_hold(void **state) {
  (void)state;
  network n = make_network();
  ea_archive *names;
  ea_graph *g;
  ea_tensor *x, *y, *other = tensor_of(EA_F32, 1, (int64_t[]){2000});
  char *json = NULL;
  assert_int_equal(ea_archive_new(&names), EA_OK);
  assert_int_equal(ea_graph_describe(NULL, 1, &other, names, &json), EA_ERR_ARG);

  assert_int_equal(ea_graph_begin(&g), EA_OK);
  assert_int_equal(ea_graph_input(g, EA_F32, 1, (int64_t[]){2000}, &x), EA_OK);
  assert_int_equal(apply("add", 2, (ea_tensor *[]){x, other}, 0, NULL, &y), EA_OK);
  assert_int_equal(ea_graph_describe(g, 1, &y, names, &json), EA_ERR_UNSUPPORTED);
  assert_error_has("add: the graph reads a tensor {2000} f32 that has no name");
  assert_int_equal(ea_archive_add(names, "other", other), EA_OK);
  assert_int_equal(ea_graph_describe(g, 1, &y, names, &json), EA_OK);
  assert_non_null(strstr(json, "\"in\":[0,\"other\"]"));
  ea_buffer_free(json);
  json = NULL;
  assert_int_equal(ea_graph_describe(g, 1, &other, names, &json), EA_ERR_ARG);
  assert_error_has("output 0 was not computed by this graph");
  ea_tensor_release(y);

  assert_int_equal(ea_custom(1, 1, &x, 1, &x, &y), EA_OK);
  assert_int_equal(ea_graph_describe(g, 1, &y, names, &json), EA_ERR_UNSUPPORTED);
  assert_error_has("ea.custom");
  assert_null(json);
  ea_tensor_release(y);
  ea_tensor_release(x);
  ea_graph_abort(g);
  while (ea_custom_forgotten()) continue;
  ea_tensor_release(other);
  ea_archive_free(names);
  free_network(&n);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(computes_the_same),
      cmocka_unit_test(knows_its_input),
      cmocka_unit_test(converts_weights),
      cmocka_unit_test(survives_no_memory),
      cmocka_unit_test(refuses_lies),
      cmocka_unit_test(asks_for_a_text),
      cmocka_unit_test(describes_only_what_a_file_can_hold),
  };
  return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
