/* SPDX-License-Identifier: GPL-3.0-or-later
 * model.c - running what a file's `edgeai.graph` describes: the format is in edgeai.h under
 * "models"; describe.c writes it. The text comes from outside: nothing in it is believed.
 */
#include <math.h>

#include "../base/file.h"
#include "node.h"

enum { KEPT = INT32_MAX };

typedef struct mnode {
  int op, nin, nattr, first; /* first: the number of its first output */
  int in[EA_MAX_IN];         /* a value's number, or -1 - k: held[k] */
  double attr[EA_MAX_ATTR];
} mnode;

typedef struct minput {
  int dtype, ndim;
  int64_t size[EA_MAX_DIM];
} minput;

struct ea_model {
  ea_tensor **held; /* weights and constants */
  int nheld, most_held;
  minput *input;
  int ninput;
  mnode *node;
  int nnode;
  int *output;
  int noutput;
  int *last; /* of each value: the node that reads it last, KEPT: an output */
  int nvalue;
};

/* ---- reading JSON ---- */

enum { NUMBER = 2, STRING = 3, ARRAY = 4, OBJECT = 5 };

/* The member of an object, NULL if there is none or it is of another type. */
static const ea_json *member(const ea_json *v, const char *key, int type) {
  if (ea_json_type(v) != OBJECT) return NULL;
  for (int64_t i = 0; i < ea_json_count(v); i++)
    if (strcmp(ea_json_key(v, i), key) == 0)
      return ea_json_type(ea_json_item(v, i)) == type ? ea_json_item(v, i) : NULL;
  return NULL;
}

static int read_number(const ea_json *v, double *out) {
  const char *s = ea_json_string(v, NULL);
  if (ea_json_type(v) == NUMBER) *out = ea_json_number(v);
  else if (s && strcmp(s, "inf") == 0) *out = INFINITY;
  else if (s && strcmp(s, "-inf") == 0) *out = -INFINITY;
  else if (s && strcmp(s, "nan") == 0) *out = NAN;
  else return ea_fail(EA_ERR_FORMAT, "expected a number, \"inf\", \"-inf\" or \"nan\"");
  return EA_OK;
}

/* A whole number in [least, most]. */
static int read_whole(const ea_json *v, int64_t least, int64_t most, int64_t *out) {
  double x = ea_json_type(v) == NUMBER ? ea_json_number(v) : NAN;
  if (!(x >= (double)least && x <= (double)most) || x != floor(x))
    return ea_fail(EA_ERR_FORMAT, "a number is out of place");
  *out = (int64_t)x;
  return EA_OK;
}

static int read_dtype(const ea_json *v, int *out) {
  const char *name = ea_json_string(v, NULL);
  for (int d = 0; name && ea_dtype_name(d); d++)
    if (strcmp(ea_dtype_name(d), name) == 0) {
      *out = d;
      return EA_OK;
    }
  return ea_fail(EA_ERR_FORMAT, "there is no element type %s", name ? ea_quote(name) : "here");
}

static int read_shape(const ea_json *v, minput *out) {
  const ea_json *size = member(v, "size", ARRAY);
  EA_TRY(read_dtype(member(v, "dtype", STRING), &out->dtype));
  if (!size || ea_json_count(size) > EA_MAX_DIM)
    return ea_fail(EA_ERR_FORMAT, "expected \"size\" with at most 8 numbers");
  out->ndim = (int)ea_json_count(size);
  for (int d = 0; d < out->ndim; d++)
    EA_TRY(read_whole(ea_json_item(size, d), 0, (int64_t)1 << 47, &out->size[d]));
  return EA_OK;
}

/* Room for the items of an array (which must be there) at *list; the number of items. */
static int room_for(const ea_json *array, const char *what, size_t item, void *list, int *count) {
  if (!array || ea_json_count(array) > 1 << 24)
    return ea_fail(EA_ERR_FORMAT, "expected a list \"%s\"", what);
  void *p = ea_alloc_zero((size_t)EA_MAX(ea_json_count(array), 1) * item);
  if (!p) return EA_ERR_MEMORY;
  memcpy(list, &p, sizeof p);
  *count = (int)ea_json_count(array);
  return EA_OK;
}

/* ---- what is held ---- */

/* Takes over a reference; its place. */
static int hold(ea_model *m, ea_tensor *t) {
  if (m->nheld == m->most_held) {
    int most = m->most_held ? 2 * m->most_held : 64;
    ea_tensor **wider = ea_alloc((size_t)most * sizeof *wider);
    if (!wider) {
      ea_tensor_release(t);
      return EA_ERR_MEMORY;
    }
    if (m->nheld) memcpy(wider, m->held, (size_t)m->nheld * sizeof *wider);
    ea_free(m->held);
    m->held = wider;
    m->most_held = most;
  }
  m->held[m->nheld] = t;
  return m->nheld++;
}

/* Holds the named tensors; place[i]: where the file's i-th tensor is held, or -1. */
static int hold_tensors(ea_model *m, const ea_archive *file, const ea_json *tensors, int *place) {
  if (!tensors) return ea_fail(EA_ERR_FORMAT, "expected an object \"tensors\"");
  for (int i = 0; i < ea_archive_count(file); i++) place[i] = -1;
  for (int64_t i = 0; i < ea_json_count(tensors); i++) {
    const char *name = ea_json_key(tensors, i);
    int at = ea_archive_find(file, name), dtype = 0;
    if (at < 0) return ea_fail(EA_ERR_FORMAT, "the file has no tensor %s", ea_quote(name));
    EA_TRY(read_dtype(ea_json_item(tensors, i), &dtype));
    ea_tensor *t = ea_archive_tensor(file, at);
    if (t->dtype == dtype && ea_tensor_contiguous(t)) ea_tensor_retain(t);
    else EA_TRY(ea_tensor_clone(t, dtype, &t));
    EA_TRY(place[at] = hold(m, t));
  }
  return EA_OK;
}

static int hold_constant(ea_model *m, const ea_json *v) {
  const ea_json *values = member(v, "values", ARRAY);
  minput shape = {0};
  EA_TRY(read_shape(v, &shape));
  EA_TRY(ea_check_sizes(shape.ndim, shape.size));
  int64_t n = 1;
  for (int d = 0; d < shape.ndim; d++) n *= shape.size[d];
  if (!values || ea_json_count(values) != n)
    return ea_fail(EA_ERR_FORMAT, "a constant has not as many values as its size says");
  ea_tensor *wide, *t = NULL;
  EA_TRY(ea_tensor_new(EA_F64, shape.ndim, shape.size, &wide));
  int status = EA_OK;
  for (int64_t i = 0; i < n && !status; i++)
    status = read_number(ea_json_item(values, i), &ea_f64(wide)[i]);
  if (!status) status = ea_tensor_clone(wide, shape.dtype, &t);
  ea_tensor_release(wide);
  return status ? status : hold(m, t);
}

/* ---- nodes ---- */

static int read_operand(ea_model *m, const ea_archive *file, const int *place, const ea_json *v,
                        int *out) {
  const char *name = ea_json_string(v, NULL);
  int k;
  if (name) {
    int at = ea_archive_find(file, name);
    k = at < 0 ? -1 : place[at];
    if (k < 0) return ea_fail(EA_ERR_FORMAT, "\"tensors\" does not list %s", ea_quote(name));
  } else if (ea_json_type(v) == OBJECT) {
    k = hold_constant(m, v);
    if (k < 0) return k;
  } else {
    int64_t number = 0;
    EA_TRY(read_whole(v, 0, m->nvalue - 1, &number)); /* only what was computed before */
    *out = (int)number;
    return EA_OK;
  }
  *out = -1 - k;
  return EA_OK;
}

static int read_attr_list(mnode *n, int k, const ea_json *v) {
  if (v && ea_json_type(v) != ARRAY) return ea_fail(EA_ERR_FORMAT, "expected a list of attributes");
  n->nattr = k + (int)EA_MIN(ea_json_count(v), EA_MAX_ATTR + 1);
  if (n->nattr > EA_MAX_ATTR)
    return ea_fail(EA_ERR_FORMAT, "%s has too many attributes", ea_op_name(n->op));
  for (int i = k; i < n->nattr; i++) EA_TRY(read_number(ea_json_item(v, i - k), &n->attr[i]));
  return EA_OK;
}

/* Attributes by name into the op's order. */
static int read_attrs(mnode *n, const ea_json *attrs) {
  const char *s = ea_op_attrs(n->op);
  ea_schema_item item;
  int64_t used = 0;
  n->nattr = 0;
  while (s && (s = ea_schema_next(s, &item))) {
    const ea_json *v = NULL;
    for (int64_t i = 0; i < ea_json_count(attrs); i++) {
      const char *key = ea_json_key(attrs, i);
      if (strncmp(key, item.name, (size_t)item.name_length) == 0 && !key[item.name_length])
        v = ea_json_item(attrs, i);
    }
    used += v != NULL;
    if (item.is_list) {
      EA_TRY(read_attr_list(n, n->nattr, v));
      break;
    }
    double *a = &n->attr[n->nattr++];
    if (v && item.kind == 't') {
      int dtype = 0;
      EA_TRY(read_dtype(v, &dtype));
      *a = dtype;
    } else if (v) {
      EA_TRY(read_number(v, a));
    } else if (item.has_default) {
      *a = item.value;
    } else {
      return ea_fail(EA_ERR_FORMAT, "%s lacks an attribute", ea_op_name(n->op));
    }
  }
  if (used != ea_json_count(attrs))
    return ea_fail(EA_ERR_FORMAT, "%s has an unknown attribute", ea_op_name(n->op));
  return EA_OK;
}

static int read_node(ea_model *m, const ea_archive *file, const int *place, const ea_json *v,
                     mnode *n) {
  const char *op = ea_json_string(member(v, "op", STRING), NULL);
  const ea_json *in = member(v, "in", ARRAY), *attrs = member(v, "attrs", OBJECT);
  if (!op || !in || ea_json_count(in) > EA_MAX_IN)
    return ea_fail(EA_ERR_FORMAT, "a node needs \"op\" and \"in\", a list of at most 16");
  n->op = ea_op_find(op);
  if (n->op < 0) return ea_fail(EA_ERR_FORMAT, "there is no op %s in this version", ea_quote(op));
  n->nin = (int)ea_json_count(in);
  for (int i = 0; i < n->nin; i++)
    EA_TRY(read_operand(m, file, place, ea_json_item(in, i), &n->in[i]));
  EA_TRY(read_attrs(n, attrs));
  n->first = m->nvalue;
  m->nvalue += ea_op_outputs(n->op);
  return EA_OK;
}

static int find_last_uses(ea_model *m) {
  m->last = ea_alloc((size_t)EA_MAX(m->nvalue, 1) * sizeof *m->last);
  if (!m->last) return EA_ERR_MEMORY;
  for (int v = 0; v < m->ninput; v++) m->last[v] = KEPT; /* the caller's */
  for (int i = 0; i < m->nnode; i++) {
    const mnode *n = &m->node[i];
    for (int j = 0; j < ea_op_outputs(n->op); j++) m->last[n->first + j] = i;
    for (int k = 0; k < n->nin; k++)
      if (n->in[k] >= m->ninput) m->last[n->in[k]] = i;
  }
  for (int i = 0; i < m->noutput; i++) m->last[m->output[i]] = KEPT;
  return EA_OK;
}

static int read_model(ea_model *m, const ea_archive *file, const ea_json *v, int *place) {
  const ea_json *version = member(v, "version", NUMBER), *inputs = member(v, "inputs", ARRAY);
  const ea_json *nodes = member(v, "nodes", ARRAY), *outputs = member(v, "outputs", ARRAY);
  if (ea_json_number(version) != 1)
    return ea_fail(EA_ERR_FORMAT, "expected \"version\": 1; a newer edgeai may have written it");
  EA_TRY(room_for(inputs, "inputs", sizeof *m->input, &m->input, &m->ninput));
  for (int i = 0; i < m->ninput; i++) EA_TRY(read_shape(ea_json_item(inputs, i), &m->input[i]));
  m->nvalue = m->ninput;
  EA_TRY(hold_tensors(m, file, member(v, "tensors", OBJECT), place));
  EA_TRY(room_for(nodes, "nodes", sizeof *m->node, &m->node, &m->nnode));
  for (int i = 0; i < m->nnode; i++) {
    int status = read_node(m, file, place, ea_json_item(nodes, i), &m->node[i]);
    if (status < 0) return ea_fail_within(status, "node %d", i);
  }
  EA_TRY(room_for(outputs, "outputs", sizeof *m->output, &m->output, &m->noutput));
  if (m->noutput == 0) return ea_fail(EA_ERR_FORMAT, "it has no outputs");
  for (int i = 0; i < m->noutput; i++) {
    int64_t number = 0;
    EA_TRY(read_whole(ea_json_item(outputs, i), 0, m->nvalue - 1, &number));
    m->output[i] = (int)number;
  }
  return find_last_uses(m);
}

/* ---- the door ---- */

void ea_model_free(ea_model *m) {
  if (!m) return;
  for (int i = 0; i < m->nheld; i++) ea_tensor_release(m->held[i]);
  ea_free(m->held);
  ea_free(m->input);
  ea_free(m->node);
  ea_free(m->output);
  ea_free(m->last);
  ea_free(m);
}

int ea_model_new(const ea_archive *file, ea_model **out) {
  const char *text = ea_archive_meta(file, "edgeai.graph");
  if (!text)
    return ea_fail(EA_ERR_FORMAT,
                   "the file has no metadata `edgeai.graph`, which says how to "
                   "compute with its tensors; net:save writes it for networks that know their "
                   "input, or with { input = {1, 28, 28, 1} }");
  ea_json *json;
  int status = ea_json_parse(text, strlen(text), &json);
  if (status) return ea_fail_within(status, "edgeai.graph");
  ea_model *m = ea_alloc_zero(sizeof *m);
  int *place = ea_alloc((size_t)EA_MAX(ea_archive_count(file), 1) * sizeof *place);
  status = m && place ? read_model(m, file, json, place) : EA_ERR_MEMORY;
  ea_free(place);
  ea_json_free(json);
  if (status) {
    ea_model_free(m);
    return ea_fail_within(status, "edgeai.graph");
  }
  *out = m;
  return EA_OK;
}

int ea_model_inputs(const ea_model *m) { return m ? m->ninput : 0; }
int ea_model_outputs(const ea_model *m) { return m ? m->noutput : 0; }

int ea_model_input_shape(const ea_model *m, int i, int *dtype, int64_t *size) {
  if (!m || i < 0 || i >= m->ninput)
    return ea_fail(EA_ERR_ARG, "there is no input %d; the model has %d", i, ea_model_inputs(m));
  const minput *in = &m->input[i];
  *dtype = in->dtype;
  for (int d = 0; d < in->ndim; d++) size[d] = in->size[d];
  return in->ndim;
}

static int run_node(const ea_model *m, int i, ea_tensor **value) {
  const mnode *n = &m->node[i];
  ea_tensor *in[EA_MAX_IN];
  for (int k = 0; k < n->nin; k++) in[k] = n->in[k] < 0 ? m->held[-1 - n->in[k]] : value[n->in[k]];
  int status = ea_apply(n->op, n->nin, in, n->nattr, n->attr, &value[n->first]);
  if (status < 0) return ea_fail_within(status, "node %d of the model", i);
  for (int k = -ea_op_outputs(n->op); k < n->nin; k++) { /* its outputs, if nobody reads them */
    int v = k < 0 ? n->first - 1 - k : n->in[k];
    if (v < 0 || m->last[v] != i) continue;
    ea_tensor_release(value[v]);
    value[v] = NULL;
  }
  return EA_OK;
}

int ea_model_apply(const ea_model *m, int nin, ea_tensor *const *in, ea_tensor **out) {
  if (!m || nin != m->ninput)
    return ea_fail(EA_ERR_ARG, "the model takes %d tensors, got %d", ea_model_inputs(m), nin);
  ea_tensor **value = ea_alloc_zero((size_t)EA_MAX(m->nvalue, 1) * sizeof *value);
  if (!value) return EA_ERR_MEMORY;
  for (int i = 0; i < nin; i++) value[i] = in[i];
  int status = EA_OK;
  for (int i = 0; i < nin; i++)
    if (!in[i]) status = ea_fail(EA_ERR_ARG, "input %d of the model is missing", i);
  for (int i = 0; i < m->nnode && !status; i++) status = run_node(m, i, value);
  for (int i = 0; i < m->noutput && !status; i++) out[i] = ea_tensor_retain(value[m->output[i]]);
  for (int v = m->ninput; v < m->nvalue; v++) ea_tensor_release(value[v]);
  ea_free(value);
  return status;
}
