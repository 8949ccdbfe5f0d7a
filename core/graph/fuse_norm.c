/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuse_norm.c - which parts of batch_norms the convolutions beside them do along, on images that
 * are in the cache (core/ops/conv2d_along.c): where, in the order of the schedule, the one works
 * right behind the other and on its memory.
 */
#include "../ops/conv2d.h"
#include "graph.h"

static int is_norm(const ea_graph *g, const ea_gnode *n) {
  const ea_tensor *x = g->value[n->in[0]].tensor;
  return ea_graph_is_op(n, "batch_norm") && !n->fused && x->dtype != EA_F64 && x->ndim == 4;
}

static int trains(const ea_graph *g, const ea_gnode *n) {
  return is_norm(g, n) && n->call.attr[0] != 0;
}

static int is_conv(const ea_gnode *n) {
  return ea_graph_is_op(n, "conv2d") && !n->fused && !n->call.norm;
}

static ea_gnode *next_forward(ea_graph *g, int i) {
  for (i++; i < g->nnode; i++)
    if (!g->node[i].fused && !g->node[i].done_forward) return &g->node[i];
  return NULL;
}

/* Does an add pass nothing on but memory that both share? */
static int only_shares(const ea_graph *g, const ea_gnode *n) {
  unsigned wanted = 0;
  for (int k = 0; k < n->call.nin; k++)
    wanted |= (unsigned)(g->value[n->in[k]].wants_grad != 0) << k;
  return ea_graph_is_op(n, "add") && (n->shared & wanted) == wanted;
}

static ea_gnode *next_backward(ea_graph *g, int i) {
  for (i--; i >= 0; i--) {
    ea_gnode *n = &g->node[i];
    if (n->backward && !n->fused && !only_shares(g, n)) return n;
  }
  return NULL;
}

static int same_size(const ea_graph *g, int a, int b) {
  return ea_tensor_same_shape(g->value[a].tensor, g->value[b].tensor);
}

static void gather_moments(ea_graph *g, int i) {
  ea_gnode *conv = &g->node[i], *norm = next_forward(g, i);
  if (norm && trains(g, norm) && same_size(g, conv->out[0], norm->in[0]) &&
      ea_graph_data_root(g, conv->out[0]) == ea_graph_data_root(g, norm->in[0]))
    conv->call.along[EA_ALONG_MOMENTS] = &norm->call;
}

static void gather_sums(ea_graph *g, int i) {
  ea_gnode *conv = &g->node[i], *norm = next_backward(g, i);
  if (norm && trains(g, norm) && conv->call.through == &norm->call &&
      g->value[conv->in[0]].wants_grad &&
      ea_graph_grad_root(g, conv->in[0]) == ea_graph_grad_root(g, norm->out[0]))
    conv->call.along[EA_ALONG_SUMS] = &norm->call;
}

/* Where the gradient that the norm makes is the first of its value, it is made in place. */
static void let_wait(ea_graph *g, int i) {
  ea_gnode *norm = &g->node[i], *conv = next_backward(g, i);
  ea_value *x = &g->value[norm->in[0]];
  if (!conv || !is_conv(conv) || norm->call.moments || !x->wants_grad || x->leaf ||
      !same_size(g, conv->out[0], norm->in[0]) ||
      ea_graph_grad_root(g, conv->out[0]) != ea_graph_grad_root(g, norm->in[0]))
    return;
  norm->call.grad_waits = 1;
  conv->call.along[EA_ALONG_GRAD] = &norm->call;
  if (x->uses == 1 && x->grad_of == norm->in[0]) x->grad_of = ea_graph_grad_root(g, norm->out[0]);
}

void ea_graph_fuse_norms(ea_graph *g) {
  for (int i = 0; i < g->nnode; i++) {
    ea_gnode *n = &g->node[i];
    if (is_conv(n)) gather_moments(g, i);
    if (is_conv(n) && n->backward) gather_sums(g, i);
    if (is_norm(g, n) && n->backward) let_wait(g, i);
  }
}
