/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuzz_model.c - libFuzzer target: models out of files. A text that begins with { is the metadata
 * `edgeai.graph` beside some weights that are there; anything else a safetensors file. What is
 * taken for a model is captured into a graph, which asks every op's shape rule, and, unless it is
 * large, run.
 */
#include "base/base.h"
#include "tensor/formats.h"
#include "tensor/tensor.h"
#include "fuzz.h"

enum { MOST_TENSORS = 64, MOST_BYTES = 1 << 22 };

/* No single input may have much memory: that is then refused as on a machine that has little. */
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
  return bytes > MOST_BYTES * 4 ? NULL : __real_aligned_alloc(alignment, bytes);
}

static void fill(ea_tensor *t) {
  for (int64_t i = 0, n = ea_tensor_count(t); i < n; i++) {
    double v = t->dtype == EA_I32 ? (double)(i % 5) : 0.25 * (double)(i % 9) - 1;
    int64_t index[EA_MAX_DIM], rest = i;
    for (int d = t->ndim - 1; d >= 0; d--) {
      index[d] = rest % t->size[d];
      rest /= t->size[d];
    }
    ea_tensor_set(t, index, v);
  }
}

static void add(ea_archive *a, const char *name, int dtype, int ndim, const int64_t *size) {
  ea_tensor *t;
  if (ea_tensor_new(dtype, ndim, size, &t)) abort();
  fill(t);
  if (ea_archive_add(a, name, t)) abort();
  ea_tensor_release(t);
}

/* Weights that the seeds (tests/fuzz/seeds.lua) speak of. */
static int archive_of(const char *graph, ea_archive **out) {
  EA_TRY(ea_archive_new(out));
  add(*out, "conv", EA_F32, 4, (const int64_t[]){8, 4, 3, 3});
  add(*out, "matrix", EA_F32, 2, (const int64_t[]){4, 6});
  add(*out, "vector", EA_F32, 1, (const int64_t[]){4});
  add(*out, "wide", EA_F64, 2, (const int64_t[]){3, 4});
  add(*out, "index", EA_I32, 1, (const int64_t[]){5});
  add(*out, "bytes", EA_U8, 2, (const int64_t[]){3, 4});
  return ea_archive_set_meta(*out, "edgeai.graph", graph);
}

static int add_inputs(const ea_model *m, ea_graph *g, ea_tensor **in) {
  for (int i = 0; i < ea_model_inputs(m); i++) {
    int64_t size[EA_MAX_DIM];
    int dtype, ndim = ea_model_input_shape(m, i, &dtype, size);
    EA_TRY(ndim);
    EA_TRY(ea_graph_input(g, dtype, ndim, size, &in[i]));
  }
  return EA_OK;
}

static int record(const ea_model *m, ea_graph *g, ea_tensor **in, ea_tensor **out) {
  EA_TRY(add_inputs(m, g, in));
  EA_TRY(ea_model_apply(m, ea_model_inputs(m), in, out));
  return EA_OK;
}

static void run(ea_graph *g, const ea_model *m, ea_tensor **in, ea_tensor **out) {
  double bytes = (double)ea_graph_bytes(g);
  for (int n = 0; n < ea_graph_nodes(g); n++) bytes += ea_graph_node_bytes(g, n, 0);
  if (bytes > MOST_BYTES || ea_graph_flops(g, 0) > 1e7) return;
  for (int i = 0; i < ea_model_inputs(m); i++) fill(in[i]);
  if (ea_graph_forward(g, 0)) return;
  for (int i = 0; i < ea_model_outputs(m); i++)
    if (ea_tensor_hash(out[i]) == 1) abort();
}

static void use_model(const ea_model *m) {
  ea_tensor *in[MOST_TENSORS] = {0}, *out[MOST_TENSORS] = {0};
  ea_graph *g;
  if (ea_model_inputs(m) > MOST_TENSORS || ea_model_outputs(m) > MOST_TENSORS) return;
  if (ea_graph_begin(&g)) return;
  if (record(m, g, in, out)) {
    ea_graph_abort(g);
  } else {
    if (ea_graph_end(g, ea_model_outputs(m), out, NULL) == EA_OK) run(g, m, in, out);
    ea_graph_free(g);
  }
  for (int i = 0; i < MOST_TENSORS; i++) {
    ea_tensor_release(in[i]);
    ea_tensor_release(out[i]);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  ea_archive *a = NULL;
  ea_model *m = NULL;
  int status;
  if (bytes > 0 && data[0] == '{') {
    char *graph = ea_alloc(bytes + 1);
    memcpy(graph, data, bytes);
    graph[bytes] = 0;
    status = archive_of(graph, &a);
    ea_free(graph);
  } else {
    ea_source s;
    ea_source_memory(data, bytes, "fuzz", &s);
    status = ea_safetensors_parse(&s, &a);
  }
  if (status == EA_OK) status = ea_model_new(a, &m);
  if (status < 0 && !*ea_error()) abort();
  if (m) use_model(m); /* ops keep what they made for a shape: leaks are the sanitizer's to find */
  ea_model_free(m);
  ea_archive_free(a);
  return 0;
}
