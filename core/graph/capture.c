/* SPDX-License-Identifier: GPL-3.0-or-later
 * capture.c - recording ops into a graph instead of running them.
 */
#include "graph.h"

static ea_graph *current;

ea_graph *ea_capturing(void) { return current; }
int ea_graph_capturing(void) { return current != NULL; }

int ea_graph_begin(ea_graph **out) {
  if (current)
    return ea_fail(EA_ERR_ARG, "a graph is being captured already; captures cannot be nested");
  ea_graph *g = ea_alloc_zero(sizeof *g);
  if (!g) return EA_ERR_MEMORY;
  g->loss = EA_NEVER;
  current = g;
  *out = g;
  return EA_OK;
}

void ea_graph_free(ea_graph *g) {
  if (!g) return;
  if (current == g) current = NULL;
  for (int i = 0; i < g->nnode; i++) {
    ea_call_clear(&g->node[i].call);
    for (int k = 0; k < EA_MAX_IN; k++) ea_tensor_release(g->node[i].temp[k]);
    if (g->node[i].custom) ea_custom_forget(g->node[i].custom);
  }
  for (int v = 0; v < g->nvalue; v++) {
    ea_tensor_release(g->value[v].grad);
    ea_tensor_release(g->value[v].tensor);
  }
  ea_free(g->node);
  ea_free(g->value);
  ea_free(g->scratch.data);
  ea_storage_release(g->arena);
  ea_free(g);
}

void ea_graph_abort(ea_graph *g) { ea_graph_free(g); }

/* ---- values ---- */

static int grow(void **list, int count, int *most, size_t item) {
  if (count < *most) return EA_OK;
  int more = *most ? 2 * *most : 128;
  void *p = ea_alloc_zero((size_t)more * item);
  if (!p) return EA_ERR_MEMORY;
  if (count) memcpy(p, *list, (size_t)count * item);
  ea_free(*list);
  *list = p;
  *most = more;
  return EA_OK;
}

/* Takes a new reference to t. Returns the value's number or an error. */
static int add_value(ea_graph *g, ea_tensor *t, int producer, int output) {
  EA_TRY(grow((void **)&g->value, g->nvalue, &g->most_value, sizeof *g->value));
  int v = g->nvalue++;
  g->value[v] = (ea_value){.tensor = ea_tensor_retain(t),
                           .producer = producer,
                           .output = output,
                           .data_of = v,
                           .grad_of = v};
  return v;
}

int ea_graph_input(ea_graph *g, int dtype, int ndim, const int64_t *size, ea_tensor **out) {
  if (g->closed) return ea_fail(EA_ERR_ARG, "the graph is captured already: no more inputs");
  ea_tensor *t;
  EA_TRY(ea_tensor_new_symbolic(dtype, ndim, size, &t));
  int v = add_value(g, t, EA_NEVER, 0);
  if (v < 0) {
    ea_tensor_release(t);
    return v;
  }
  g->value[v].input = 1;
  t->output = v;
  *out = t;
  return EA_OK;
}

/* The value of a tensor met in the capture; leaves are added when first met. */
static int value_of(ea_graph *g, ea_tensor *t) {
  if (!t->storage) {
    if (t->output < g->nvalue && g->value[t->output].tensor == t) return t->output;
    return ea_fail(EA_ERR_ARG, "a placeholder of another graph is used in this capture");
  }
  for (int v = 0; v < g->nvalue; v++)
    if (g->value[v].tensor == t) return v;
  if (t->node)
    return ea_fail(EA_ERR_ARG,
                   "a captured function uses the result of %s computed outside of it; "
                   "pass it as an input, or :detach() it",
                   t->node->call.op->name);
  if (!ea_tensor_contiguous(t))
    return ea_fail(EA_ERR_SHAPE, "a captured function uses a tensor from outside that is not "
                                 "contiguous; :clone() it first");
  int v = add_value(g, t, EA_NEVER, 0);
  if (v < 0) return v;
  g->value[v].leaf = 1;
  g->value[v].wants_grad = t->requires_grad; /* without gradients, its nodes do not ask for it */
  return v;
}

/* ---- nodes ---- */

static int make_outputs(ea_graph *g, ea_gnode *n, int number, int wants_grad, ea_tensor **out) {
  ea_call *c = &n->call;
  int visible = n->custom ? c->nout : c->op->nout;
  for (int j = 0; j < c->nout; j++) {
    ea_tensor *t;
    EA_TRY(ea_tensor_new_symbolic(c->shape[j].dtype, c->shape[j].ndim, c->shape[j].size, &t));
    int v = add_value(g, t, number, j);
    if (v < 0) {
      ea_tensor_release(t);
      return v;
    }
    n->out[j] = t->output = v;
    c->out[j] = t;
    int is_float = t->dtype == EA_F32 || t->dtype == EA_F64 || t->dtype == EA_BF16;
    g->value[v].wants_grad = wants_grad && j < visible && is_float;
    t->requires_grad = g->value[v].wants_grad;
    if (j < visible) out[j] = t;
    else ea_tensor_release(t); /* the value holds it */
  }
  return EA_OK;
}

int ea_capture_call(ea_graph *g, const ea_call *call, int custom, ea_tensor **out) {
  EA_TRY(grow((void **)&g->node, g->nnode, &g->most_node, sizeof *g->node));
  ea_gnode *n = &g->node[g->nnode];
  memset(n, 0, sizeof *n);
  n->call = *call;
  n->custom = custom;
  int wants_grad = 0;
  for (int i = 0; i < call->nin; i++) {
    int v = value_of(g, call->in[i]);
    if (v < 0) return v;
    n->in[i] = v;
    wants_grad |= g->value[v].wants_grad;
  }
  n->alias = (call->op->flags & EA_OP_ALIAS) != 0;
  if (!ea_grad_enabled() || call->op->flags & EA_OP_NO_GRAD || (!call->op->backward && !n->alias))
    wants_grad = 0;
  ea_tensor *made[EA_MAX_OUT] = {0};
  int status = make_outputs(g, n, g->nnode, wants_grad, made);
  if (status) {
    for (int j = 0; j < EA_MAX_OUT; j++) ea_tensor_release(made[j]);
    return status;
  }
  g->nnode++;
  memcpy(out, made, (size_t)(custom ? call->nout : call->op->nout) * sizeof *out);
  return EA_OK;
}

int ea_graph_end(ea_graph *g, int nout, ea_tensor *const *out, ea_tensor *loss) {
  if (g != current || g->closed) return ea_fail(EA_ERR_ARG, "this graph is not being captured");
  current = NULL; /* whatever happens now, the capture is over */
  for (int i = 0; i < nout; i++) {
    int v = value_of(g, out[i]);
    if (v < 0) return v;
    g->value[v].keep = 1;
  }
  if (loss) {
    g->loss = value_of(g, loss);
    if (g->loss < 0) return g->loss;
    if (ea_tensor_count(loss) != 1)
      return ea_fail(EA_ERR_SHAPE,
                     "the loss of a captured function must be a single number, got %s",
                     ea_shape_text(loss));
    if (!g->value[g->loss].wants_grad)
      return ea_fail(EA_ERR_ARG, "the loss of this captured function depends on nothing that "
                                 "requires a gradient");
    g->value[g->loss].keep = 1;
  }
  EA_TRY(ea_graph_plan(g));
  g->closed = 1;
  return EA_OK;
}
