/* SPDX-License-Identifier: GPL-3.0-or-later
 * execute.c - running a captured graph, and what can be asked of it.
 */
#include "graph.h"

enum { FORWARD = 0, BACKWARD = 1 };

/* ---- forward ---- */

/* A leaf may have moved since the last run (into a flat buffer): what aliases it goes along. */
static void follow_leaves(ea_graph *g) {
  for (int v = 0; v < g->nvalue; v++) {
    ea_tensor *t = g->value[v].tensor, *from = g->value[g->value[v].data_of].tensor;
    if (t->storage != from->storage) {
      ea_storage_retain(from->storage);
      ea_storage_release(t->storage);
      t->storage = from->storage;
    }
    t->offset = from->offset; /* an alias's alias comes later: values are in order of making */
  }
}

static int run_forward(ea_graph *g) {
  for (; g->at < g->nnode; g->at++) {
    ea_gnode *n = &g->node[g->at];
    if (n->fused || n->alias || n->done_forward) continue;
    EA_TRY(ea_interrupt_check());
    if (n->custom) {
      g->waiting = 1;
      return n->custom;
    }
    n->call.step = g->step;
    double start = g->profile ? ea_clock() : 0;
    int status = ea_call_run(&n->call, n->call.op->forward);
    if (g->profile) n->seconds[FORWARD] += ea_clock() - start;
    if (status) return status;
  }
  g->ran_forward = 1;
  return EA_OK;
}

static int need_closed(const ea_graph *g) {
  return g->closed ? EA_OK : ea_fail(EA_ERR_ARG, "the graph is still being captured");
}

int ea_graph_forward(ea_graph *g, uint64_t step) {
  EA_TRY(need_closed(g));
  if (g->waiting && g->direction == FORWARD) {
    g->waiting = 0;
    g->at++;
  } else {
    g->waiting = 0;
    g->at = 0;
    g->step = step;
    g->direction = FORWARD;
    g->ran_forward = 0;
    follow_leaves(g);
    g->arena->version++; /* tapes may know the outputs of the run before */
  }
  int status = run_forward(g);
  if (status < 0) g->waiting = 0;
  return status;
}

/* ---- backward ---- */

/* A leaf may have another gradient than at the last run, or none: then ours takes its place. */
static void find_gradients(ea_graph *g, int accumulate) {
  for (int v = 0; v < g->nvalue; v++) {
    ea_value *x = &g->value[v];
    ea_tensor *t = x->tensor;
    if (!x->leaf || !x->grad || t->grad == x->grad) continue;
    if (t->grad) {
      ea_tensor_release(x->grad);
      x->grad = ea_tensor_retain(t->grad);
    } else {
      t->grad = ea_tensor_retain(x->grad);
      if (accumulate) ea_tensor_fill(x->grad, 0);
    }
  }
}

/* Is this contribution to v the first of this pass? Leaves that accumulate have one already. */
static int is_first(const ea_graph *g, const ea_value *v) {
  return v->written == 0 && !(v->leaf && g->accumulate);
}

/* Where an op that overwrites must not: its gradient lands in temp and is added. */
static void aim(ea_graph *g, ea_gnode *n) {
  ea_call *c = &n->call;
  c->accumulate = 0;
  for (int k = 0; k < c->nin; k++) {
    ea_value *v = &g->value[n->in[k]];
    if (n->shared >> k & 1) v->written++; /* it is there already */
    if (!c->gin[k]) continue;
    int first = is_first(g, v);
    c->gin[k] = n->temp[k] && !first ? n->temp[k] : v->grad;
    if (n->temp[k]) continue;
    if (!first) c->accumulate |= 1u << k;
    v->written++;
  }
}

/* After the kernel: add what landed in temps. One value may be several inputs of the node (x*x). */
static void land(ea_graph *g, ea_gnode *n) {
  ea_call *c = &n->call;
  for (int k = 0; k < c->nin; k++) {
    if (!c->gin[k] || !n->temp[k]) continue;
    ea_value *v = &g->value[n->in[k]];
    if (c->gin[k] == n->temp[k]) ea_accumulate(v->grad, n->temp[k]);
    v->written++;
  }
}

/* A node that takes the same value twice must not write it twice in one go. */
static void separate_twins(ea_gnode *n) {
  ea_call *c = &n->call;
  for (int k = 1; k < c->nin; k++)
    for (int m = 0; m < k; m++)
      if (c->gin[k] && n->in[k] == n->in[m] && n->temp[k]) c->gin[k] = n->temp[k];
}

static void pass_alias(ea_graph *g, ea_gnode *n) {
  ea_value *in = &g->value[n->in[0]], *out = &g->value[n->out[0]];
  if (in->grad->storage != out->grad->storage || ea_ptr(in->grad) != ea_ptr(out->grad)) {
    if (is_first(g, in))
      memcpy(ea_ptr(in->grad), ea_ptr(out->grad), (size_t)ea_tensor_bytes(in->grad));
    else ea_accumulate(in->grad, out->grad);
  }
  in->written++;
}

static int run_backward(ea_graph *g) {
  for (; g->at >= 0; g->at--) {
    ea_gnode *n = &g->node[g->at];
    if (!n->backward || n->fused) {
      if (n->fused && n->backward) g->value[n->in[0]].written++;
      continue;
    }
    if (n->lent) continue;
    EA_TRY(ea_interrupt_check());
    if (n->alias) {
      pass_alias(g, n);
      continue;
    }
    aim(g, n);
    separate_twins(n);
    if (n->custom) {
      g->waiting = 1;
      return n->custom;
    }
    double start = g->profile ? ea_clock() : 0;
    int status = ea_call_run(&n->call, n->call.op->backward);
    if (!status) land(g, n);
    if (g->profile) n->seconds[BACKWARD] += ea_clock() - start;
    if (status) return status;
  }
  return EA_OK;
}

static void begin_backward(ea_graph *g, int accumulate) {
  g->direction = BACKWARD;
  g->waiting = 0;
  g->at = g->nnode - 1;
  g->accumulate = accumulate;
  find_gradients(g, accumulate);
  for (int v = 0; v < g->nvalue; v++) g->value[v].written = 0;
  ea_value *loss = &g->value[g->loss];
  double there = 0;
  if (loss->leaf && accumulate) ea_tensor_get(loss->grad, (int64_t[EA_MAX_DIM]){0}, &there);
  ea_tensor_fill(loss->grad, there + 1);
  loss->written = 1;
}

int ea_graph_backward(ea_graph *g, int accumulate) {
  EA_TRY(need_closed(g));
  if (g->loss == EA_NEVER)
    return ea_fail(EA_ERR_ARG, "this graph was captured without a loss: it has no backward");
  if (g->waiting && g->direction == BACKWARD) {
    g->waiting = 0;
    land(g, &g->node[g->at]);
    g->at--;
  } else {
    if (!g->ran_forward) return ea_fail(EA_ERR_ARG, "backward: run the graph forward first");
    begin_backward(g, accumulate);
  }
  int status = run_backward(g);
  if (status < 0) g->waiting = 0;
  if (status <= 0) g->ran_forward = 0; /* backward reuses the memory of activations */
  return status;
}

void ea_graph_cancel(ea_graph *g) { g->waiting = g->ran_forward = 0; }

int ea_graph_custom_tensor(ea_graph *g, int what, int i, ea_tensor **borrowed) {
  if (!g->waiting) return ea_fail(EA_ERR_ARG, "the graph does not wait at a custom node");
  ea_call *c = &g->node[g->at].call;
  int inputs = what == 0 || what == 3;
  if (what < 0 || what > 3 || i < 0 || i >= (inputs ? c->nin : c->nout))
    return ea_fail(EA_ERR_ARG, "custom node: there is no such tensor");
  *borrowed = what == 0 ? c->in[i] : what == 1 ? c->out[i] : what == 2 ? c->gout[i] : c->gin[i];
  return EA_OK;
}

/* ---- questions ---- */

int64_t ea_graph_bytes(const ea_graph *g) { return g->planned; }
int64_t ea_graph_peak(const ea_graph *g) {
  size_t own = sizeof *g + (size_t)g->most_node * sizeof *g->node +
               (size_t)g->most_value * sizeof *g->value + (size_t)g->nvalue * sizeof(ea_tensor);
  return g->planned + g->outside + (int64_t)(g->scratch.bytes + own);
}
int ea_graph_nodes(const ea_graph *g) { return g->nnode; }

static const ea_gnode *node_at(const ea_graph *g, int i) {
  return i >= 0 && i < g->nnode ? &g->node[i] : NULL;
}

const char *ea_graph_node_op(const ea_graph *g, int i) {
  return node_at(g, i) ? g->node[i].call.op->name : NULL;
}
ea_tensor *ea_graph_node_output(const ea_graph *g, int i) {
  return node_at(g, i) ? g->value[g->node[i].out[0]].tensor : NULL;
}
int ea_graph_node_fused(const ea_graph *g, int i) {
  return node_at(g, i) ? g->node[i].fused || g->node[i].done_forward : 0;
}
double ea_graph_node_seconds(const ea_graph *g, int i, int backward) {
  return node_at(g, i) ? g->node[i].seconds[backward != 0] : 0;
}
double ea_graph_node_flops(const ea_graph *g, int i, int backward) {
  const ea_gnode *n = node_at(g, i);
  if (!n || !n->call.op->flops || (backward && !n->backward)) return 0;
  const ea_call *c = &n->call;
  int passes = backward ? (c->gin[0] != NULL) + (c->gin[1] != NULL) : 1;
  return passes * c->op->flops(c);
}

static double bytes_of(const ea_tensor *t) { return t ? (double)ea_tensor_bytes(t) : 0; }

double ea_graph_node_bytes(const ea_graph *g, int i, int backward) {
  const ea_gnode *n = node_at(g, i);
  if (!n || n->alias || (backward && !n->backward)) return 0;
  const ea_call *c = &n->call;
  double sum = 0;
  for (int k = 0; k < c->nin; k++) {
    if (!backward || c->op->need_in >> k & 1) sum += bytes_of(c->in[k]);
    if (backward) sum += bytes_of(c->gin[k]);
  }
  for (int j = 0; j < c->nout; j++) {
    if (j == 0 && c->deferred) continue;
    if (backward ? c->op->need_out >> j & 1 : j < c->op->nout || c->needs_backward)
      sum += bytes_of(c->out[j]);
    if (backward) sum += bytes_of(c->gout[j]);
  }
  return sum;
}

double ea_graph_flops(const ea_graph *g, int backward) {
  double sum = 0;
  for (int i = 0; i < g->nnode; i++) sum += ea_graph_node_flops(g, i, backward);
  return sum;
}

int ea_graph_profile(ea_graph *g, int on) {
  g->profile = on != 0;
  for (int i = 0; i < g->nnode; i++) g->node[i].seconds[0] = g->node[i].seconds[1] = 0;
  return EA_OK;
}
