/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuse.c - what of a captured graph needs no work or memory of its own: nodes that another node
 * does along, values and gradients that are another's memory. plan.c then lays out what is left.
 */
#include "graph.h"

static int count_consumers(const ea_graph *g, int v) {
  int count = 0;
  for (int i = 0; i < g->nnode; i++)
    for (int k = 0; k < g->node[i].call.nin; k++) count += g->node[i].in[k] == v;
  return count;
}

/* relu(batch_norm(x)), the inner value used by nothing else: batch_norm writes the ReLU'd values
 * and its backward takes the gradient behind the ReLU. */
static void fuse_relu(ea_graph *g) {
  for (int i = 0; i < g->nnode; i++) {
    ea_gnode *n = &g->node[i];
    if (!ea_graph_is_op(n, "relu")) continue;
    ea_value *inner = &g->value[n->in[0]], *outer = &g->value[n->out[0]];
    if (inner->producer == EA_NEVER || inner->keep) continue;
    ea_gnode *norm = &g->node[inner->producer];
    if (!ea_graph_is_op(norm, "batch_norm") || count_consumers(g, n->in[0]) != 1) continue;
    norm->call.fused_relu = 1;
    n->fused = 1;
    outer->data_of = n->in[0];
    if (inner->has_grad) inner->grad_of = n->out[0];
  }
}

static int needs_gradient(const ea_graph *g, const ea_gnode *n, int first) {
  for (int k = first; k < n->call.nin; k++)
    if (g->value[n->in[k]].wants_grad) return 1;
  return 0;
}

/* batch_norm(conv2d(x, w)) in evaluation mode, the inner value used by nothing else and no gradient
 * wanted but x's: the convolution does it along. */
static void fuse_norm(ea_graph *g) {
  for (int i = 0; i < g->nnode; i++) {
    ea_gnode *n = &g->node[i];
    if (!ea_graph_is_op(n, "batch_norm") || n->call.attr[0] != 0) continue;
    ea_value *inner = &g->value[n->in[0]], *outer = &g->value[n->out[0]];
    if (inner->producer == EA_NEVER || inner->keep || inner->tensor->dtype == EA_F64) continue;
    ea_gnode *conv = &g->node[inner->producer];
    if (!ea_graph_is_op(conv, "conv2d") || count_consumers(g, n->in[0]) != 1) continue;
    if (n->backward && (needs_gradient(g, n, 1) || needs_gradient(g, conv, 1))) continue;
    int known = 1; /* are the parameters, when the convolution runs? */
    for (int k = 1; k < n->call.nin; k++) known &= g->value[n->in[k]].producer < inner->producer;
    if (!known) continue;
    conv->call.norm = &n->call;
    n->fused = 1;
    outer->data_of = n->in[0];
    if (inner->has_grad) inner->grad_of = n->out[0];
  }
}

/* Is v read by convolutions alone, as their input? */
static int feeds_convolutions(const ea_graph *g, int v) {
  for (int i = 0; i < g->nnode; i++)
    for (int k = 0; k < g->node[i].call.nin; k++)
      if (g->node[i].in[k] == v && (k || !ea_graph_is_op(&g->node[i], "conv2d"))) return 0;
  return !g->value[v].keep;
}

/* conv2d(batch_norm(x), w), with a ReLU between or not: the convolution reads x through it, and
 * what the batch_norm makes needs no memory (it is x's, as far as anyone can tell). */
static void defer_norms(ea_graph *g) {
  for (int i = 0; i < g->nnode; i++) {
    ea_gnode *n = &g->node[i];
    if (!ea_graph_is_op(n, "batch_norm") || n->fused ||
        g->value[n->in[0]].tensor->dtype == EA_F64 || g->value[n->in[0]].tensor->ndim != 4)
      continue;
    int v = n->out[0];
    if (n->call.fused_relu)
      for (int k = i + 1; k < g->nnode; k++)
        if (ea_graph_is_op(&g->node[k], "relu") && g->node[k].in[0] == n->out[0])
          v = g->node[k].out[0];
    if (!feeds_convolutions(g, v)) continue;
    n->call.deferred = 1;
    g->value[n->out[0]].data_of = n->in[0];
    for (int k = i + 1; k < g->nnode; k++)
      if (ea_graph_is_op(&g->node[k], "conv2d") && g->node[k].in[0] == v)
        g->node[k].call.through = &n->call;
  }
}

/* moments(x) beside batch_norm(x) in evaluation mode: in backward the latter reads x anyway, after
 * all that gives the former a gradient has run. */
static void lend_moments(ea_graph *g) {
  for (int i = 0; i < g->nnode; i++) {
    ea_gnode *n = &g->node[i];
    ea_value *x = &g->value[n->in[0]];
    if (!ea_graph_is_op(n, "moments") || !n->backward || x->tensor->dtype == EA_F64) continue;
    for (int k = 0; k < i && !n->lent; k++) {
      ea_gnode *norm = &g->node[k];
      if (!ea_graph_is_op(norm, "batch_norm") || norm->in[0] != n->in[0] ||
          norm->call.attr[0] != 0 || !norm->backward || norm->fused || norm->call.moments)
        continue;
      norm->call.moments = &n->call;
      n->lent = k + 1;
      x->uses--;
    }
  }
}

/* A reshape's output is its input's memory, and (if that gets no other contribution) its input's
 * gradient is its output's memory. */
static void alias_reshapes(ea_graph *g) {
  for (int i = 0; i < g->nnode; i++) {
    ea_gnode *n = &g->node[i];
    if (!n->alias) continue;
    ea_value *in = &g->value[n->in[0]], *out = &g->value[n->out[0]];
    out->data_of = n->in[0];
    if (n->backward && in->uses == 1 && !in->leaf) in->grad_of = n->out[0];
  }
}

/* ---- residual connections ---- */

/* An add of two different values of one shape. */
static int is_plain_add(const ea_graph *g, const ea_gnode *n) {
  return ea_graph_is_op(n, "add") && n->in[0] != n->in[1] &&
         ea_tensor_same_shape(g->value[n->in[0]].tensor, g->value[n->in[1]].tensor);
}

/* Can the convolution that makes in[k] of an add write the sum at once? The other value must be
 * there by then. */
static int writes_sum(const ea_graph *g, const ea_gnode *n, int k) {
  const ea_value *inner = &g->value[n->in[k]], *other = &g->value[n->in[1 - k]];
  return inner->producer != EA_NEVER && !inner->keep && inner->producer > other->producer &&
         ea_graph_is_op(&g->node[inner->producer], "conv2d") && count_consumers(g, n->in[k]) == 1;
}

static void fuse_residual(ea_graph *g) {
  for (int i = 0; i < g->nnode; i++) {
    ea_gnode *n = &g->node[i];
    if (!is_plain_add(g, n)) continue;
    int k = writes_sum(g, n, 1) ? 1 : writes_sum(g, n, 0) ? 0 : EA_NEVER;
    if (k == EA_NEVER) continue;
    g->node[g->value[n->in[k]].producer].call.residual = g->value[n->in[1 - k]].tensor;
    g->value[n->out[0]].data_of = n->in[k];
    n->done_forward = 1;
  }
}

/* The least node that reads v's gradient: its producer, if that is plain. */
static int gradient_reader(const ea_graph *g, int v) {
  int producer = g->value[v].producer;
  if (producer == EA_NEVER) return EA_NEVER;
  const ea_gnode *n = &g->node[producer];
  return n->alias || n->fused || ea_graph_is_op(n, "add") ? EA_NEVER : producer;
}

/* Other consumers of v that add to its gradient: all before node `limit` in the graph, so that they
 * run after it in backward? */
static int others_come_before(const ea_graph *g, int v, int but, int limit) {
  for (int i = 0; i < g->nnode; i++)
    for (int k = 0; k < g->node[i].call.nin; k++)
      if (i != but && g->node[i].in[k] == v && g->node[i].backward && !g->node[i].lent &&
          i >= limit)
        return 0;
  return 1;
}

/* The gradient of a sum is the gradient of both terms: each may be the very memory, if what adds
 * further contributions to one does so after the other's was read. */
static void share_gradients(ea_graph *g) {
  for (int i = 0; i < g->nnode; i++) {
    ea_gnode *n = &g->node[i];
    if (!n->backward || !is_plain_add(g, n)) continue;
    for (int k = 0; k < 2; k++) {
      ea_value *v = &g->value[n->in[k]], *other = &g->value[n->in[1 - k]];
      if (!v->wants_grad || v->leaf || v->grad_of != n->in[k]) continue;
      if (v->producer != EA_NEVER && g->node[v->producer].fused) continue; /* a ReLU may cut it */
      int limit = i;
      if (other->wants_grad && v->uses > 1) {
        if (other->uses > 1 && n->shared) continue;
        limit = gradient_reader(g, n->in[1 - k]);
      }
      if (!others_come_before(g, n->in[k], i, limit)) continue;
      v->grad_of = n->out[0];
      n->shared |= 1u << k;
    }
  }
}

void ea_graph_fuse(ea_graph *g) {
  fuse_relu(g);
  fuse_norm(g);
  lend_moments(g);
  defer_norms(g);
  alias_reshapes(g);
  fuse_residual(g);
  share_gradients(g);
  ea_graph_fuse_norms(g);
}
