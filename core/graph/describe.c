/* SPDX-License-Identifier: GPL-3.0-or-later
 * describe.c - what a captured graph computes, as the text that model.c reads. The format is in
 * edgeai.h under "models".
 */
#include <math.h>

#include "../base/text.h"
#include "graph.h"

enum { MOST_CONSTANT = 1024 }; /* elements of a leaf without a name that is written out */

typedef struct writer {
  ea_text text;
  const ea_graph *g;
  const ea_archive *names;
  int *number; /* of each value: as the text counts inputs and outputs; of a leaf: its place in
                  `names`, EA_NEVER for a constant */
} writer;

static void put(writer *w, const char *s) { ea_text_add(&w->text, s, strlen(s)); }
static void comma(writer *w, int i) {
  if (i) put(w, ",");
}

static void put_number(writer *w, double v) {
  if (isfinite(v)) ea_text_format(&w->text, "%.17g", v);
  else put(w, isnan(v) ? "\"nan\"" : v > 0 ? "\"inf\"" : "\"-inf\"");
}

static void put_shape(writer *w, const ea_tensor *t) {
  ea_text_format(&w->text, "\"dtype\":\"%s\",\"size\":[", ea_dtype_name(t->dtype));
  for (int d = 0; d < t->ndim; d++) {
    comma(w, d);
    ea_text_format(&w->text, "%lld", (long long)t->size[d]);
  }
  put(w, "]");
}

/* ---- names and numbers ---- */

/* Leaves are known by their memory: the archive may hold other views of it. */
static int place_of(const ea_archive *names, const ea_tensor *t) {
  for (int i = 0; i < ea_archive_count(names); i++) {
    const ea_tensor *n = ea_archive_tensor(names, i);
    if (n->storage == t->storage && n->offset == t->offset && n->dtype == t->dtype &&
        ea_tensor_same_shape(n, t))
      return i;
  }
  return EA_NEVER;
}

static void number_values(writer *w) {
  const ea_graph *g = w->g;
  int next = 0;
  for (int v = 0; v < g->nvalue; v++) {
    w->number[v] = EA_NEVER;
    if (g->value[v].input) w->number[v] = next++;
    if (g->value[v].leaf) w->number[v] = place_of(w->names, g->value[v].tensor);
  }
  for (int i = 0; i < g->nnode; i++)
    for (int j = 0; j < g->node[i].call.op->nout; j++) w->number[g->node[i].out[j]] = next++;
}

/* ---- parts ---- */

static void put_inputs(writer *w) {
  put(w, "\"inputs\":[");
  for (int v = 0, i = 0; v < w->g->nvalue; v++) {
    if (!w->g->value[v].input) continue;
    comma(w, i++);
    put(w, "{");
    put_shape(w, w->g->value[v].tensor);
    put(w, "}");
  }
  put(w, "]");
}

static void put_tensors(writer *w) {
  put(w, ",\"tensors\":{");
  for (int v = 0, i = 0; v < w->g->nvalue; v++) {
    if (!w->g->value[v].leaf || w->number[v] < 0) continue;
    comma(w, i++);
    ea_text_json(&w->text, ea_archive_name(w->names, w->number[v]));
    ea_text_format(&w->text, ":\"%s\"", ea_dtype_name(w->g->value[v].tensor->dtype));
  }
  put(w, "}");
}

static int put_constant(writer *w, const ea_gnode *n, const ea_tensor *t) {
  if (ea_tensor_count(t) > MOST_CONSTANT)
    return ea_call_fail(&n->call, EA_ERR_UNSUPPORTED,
                        "the graph reads a tensor %s that has no name to find it by in a file; "
                        "make it a parameter or buffer",
                        ea_shape_text(t));
  ea_tensor *wide;
  EA_TRY(ea_tensor_clone(t, EA_F64, &wide));
  put(w, "{");
  put_shape(w, t);
  put(w, ",\"values\":[");
  for (int64_t i = 0; i < ea_tensor_count(wide); i++) {
    comma(w, i > 0);
    put_number(w, ea_f64(wide)[i]);
  }
  put(w, "]}");
  ea_tensor_release(wide);
  return EA_OK;
}

static int put_operands(writer *w, const ea_gnode *n) {
  put(w, "\"in\":[");
  for (int i = 0; i < n->call.nin; i++) {
    const ea_value *v = &w->g->value[n->in[i]];
    int number = w->number[n->in[i]];
    comma(w, i);
    if (!v->leaf) ea_text_format(&w->text, "%d", number);
    else if (number >= 0) ea_text_json(&w->text, ea_archive_name(w->names, number));
    else EA_TRY(put_constant(w, n, v->tensor));
  }
  put(w, "]");
  return EA_OK;
}

static void put_attrs(writer *w, const ea_call *c) {
  const char *s = c->op->attrs ? c->op->attrs : "";
  ea_schema_item item;
  put(w, ",\"attrs\":{");
  for (int k = 0; (s = ea_schema_next(s, &item)); k++) {
    comma(w, k);
    ea_text_format(&w->text, "\"%.*s\":", item.name_length, item.name);
    if (item.is_list) {
      put(w, "[");
      for (int i = k; i < c->nattr; i++) {
        comma(w, i > k);
        put_number(w, c->attr[i]);
      }
      put(w, "]");
    } else if (item.kind == 't') {
      ea_text_format(&w->text, "\"%s\"", ea_dtype_name((int)c->attr[k]));
    } else {
      put_number(w, c->attr[k]);
    }
  }
  put(w, "}");
}

static int put_nodes(writer *w) {
  put(w, ",\"nodes\":[");
  for (int i = 0; i < w->g->nnode; i++) {
    const ea_gnode *n = &w->g->node[i];
    if (n->custom)
      return ea_fail(EA_ERR_UNSUPPORTED, "an op whose gradient is written outside the library "
                                         "(ea.custom) cannot be described in a file");
    comma(w, i);
    ea_text_format(&w->text, "{\"op\":\"%s\",", n->call.op->name);
    EA_TRY(put_operands(w, n));
    put_attrs(w, &n->call);
    put(w, "}");
  }
  put(w, "]");
  return EA_OK;
}

static int put_outputs(writer *w, int nout, ea_tensor *const *out) {
  put(w, ",\"outputs\":[");
  for (int i = 0; i < nout; i++) {
    int v = 0;
    while (v < w->g->nvalue && w->g->value[v].tensor != out[i]) v++;
    if (v == w->g->nvalue || w->g->value[v].leaf || w->number[v] < 0)
      return ea_fail(EA_ERR_ARG, "output %d was not computed by this graph", i);
    comma(w, i);
    ea_text_format(&w->text, "%d", w->number[v]);
  }
  put(w, "]}");
  return EA_OK;
}

int ea_graph_describe(const ea_graph *g, int nout, ea_tensor *const *out, const ea_archive *names,
                      char **json) {
  if (!g || nout < 1 || !out)
    return ea_fail(EA_ERR_ARG, "a graph and at least one output were expected");
  writer w = {.g = g, .names = names};
  w.number = ea_alloc((size_t)EA_MAX(g->nvalue, 1) * sizeof *w.number);
  if (!w.number) return EA_ERR_MEMORY;
  number_values(&w);
  put(&w, "{\"version\":1,");
  put_inputs(&w);
  put_tensors(&w);
  int status = put_nodes(&w);
  if (!status) status = put_outputs(&w, nout, out);
  if (!status) status = w.text.status;
  ea_free(w.number);
  if (status) {
    ea_text_free(&w.text);
    return status;
  }
  *json = w.text.data;
  return EA_OK;
}
