/* SPDX-License-Identifier: GPL-3.0-or-later
 * plan.c - liveness and memory layout of a captured graph.
 *
 * The schedule has 2n moments: node i runs forward at moment i and backward at 2n-1-i. A buffer
 * lives from the first moment that writes it to the last that reads it; buffers that never live
 * together share memory (largest first, each at the lowest free place).
 */
#include <stdlib.h>

#include "../ops/conv2d.h"
#include "graph.h"

static int forward_at(int i) { return i; }
static int backward_at(const ea_graph *g, int i) { return 2 * g->nnode - 1 - i; }
static int end_of_time(const ea_graph *g) { return 2 * g->nnode; }

/* ---- which nodes run backward ---- */

static void find_backward(ea_graph *g) {
  if (g->loss == EA_NEVER) return;
  g->value[g->loss].has_grad = 1;
  for (int i = g->nnode - 1; i >= 0; i--) {
    ea_gnode *n = &g->node[i];
    int reached = 0;
    for (int j = 0; j < n->call.nout; j++)
      reached |= g->value[n->out[j]].has_grad && g->value[n->out[j]].wants_grad;
    if (!reached) continue;
    for (int k = 0; k < n->call.nin; k++) {
      ea_value *v = &g->value[n->in[k]];
      if (!v->wants_grad) continue;
      v->has_grad = 1;
      v->uses++;
      n->backward = 1;
    }
    n->call.needs_backward = n->backward;
  }
}

/* ---- liveness ---- */

typedef struct {
  int first, last;
} lifetime;

static void live(lifetime *l, int moment) {
  if (l->first < 0 || moment < l->first) l->first = moment;
  if (moment > l->last) l->last = moment;
}

static unsigned needed_inputs(const ea_graph *g, const ea_gnode *n) {
  if (n->custom) return ~0u; /* its backward may read all it was given */
  return ea_op_needed_inputs(n->call.op, g->value[n->in[0]].wants_grad,
                             n->call.nin > 1 && g->value[n->in[1]].wants_grad);
}

/* A convolution that reads through a batch_norm needs what that computed and was given. */
static void lend_norm(const ea_graph *g, const ea_gnode *n, int i, lifetime *l) {
  int value = n->in[0], last = n->backward ? backward_at(g, i) : forward_at(i);
  const ea_gnode *norm = &g->node[g->value[value].producer];
  if (norm->fused) norm = &g->node[g->value[norm->in[0]].producer]; /* a ReLU between */
  for (int k = 1; k < norm->call.nin; k++) live(&l[ea_graph_data_root(g, norm->in[k])], last);
  for (int j = 1; j < norm->call.nout; j++) live(&l[ea_graph_data_root(g, norm->out[j])], last);
}

/* Likewise one that makes the gradient of a batch_norm's input: that and the gradient behind it. */
static const ea_gnode *waiting_norm(const ea_graph *g, const ea_gnode *n) {
  for (int i = 0; i < g->nnode; i++)
    if (n->call.along[EA_ALONG_GRAD] == &g->node[i].call) return &g->node[i];
  return NULL;
}

static void data_lifetimes(const ea_graph *g, lifetime *l) {
  for (int i = 0; i < g->nnode; i++) {
    const ea_gnode *n = &g->node[i];
    unsigned need_in = needed_inputs(g, n);
    unsigned need_out = n->custom || n->call.norm ? ~0u : n->call.op->need_out;
    for (int k = 0; k < n->call.nin; k++) {
      lifetime *v = &l[ea_graph_data_root(g, n->in[k])];
      live(v, forward_at(i));
      if (n->backward && !n->fused && need_in >> k & 1) live(v, backward_at(g, i));
    }
    for (int j = 0; j < n->call.nout; j++) {
      lifetime *v = &l[ea_graph_data_root(g, n->out[j])];
      live(v, forward_at(i));
      if (n->backward && !n->fused && need_out >> j & 1) live(v, backward_at(g, i));
      if (n->lent) live(v, backward_at(g, n->lent - 1));
    }
    if (n->call.through) lend_norm(g, n, i, l);
    const ea_gnode *norm = waiting_norm(g, n);
    if (norm) live(&l[ea_graph_data_root(g, norm->in[0])], backward_at(g, i));
  }
  for (int v = 0; v < g->nvalue; v++)
    if (g->value[v].keep) live(&l[ea_graph_data_root(g, v)], end_of_time(g));
}

static void grad_lifetimes(const ea_graph *g, lifetime *l) {
  for (int i = 0; i < g->nnode; i++) {
    const ea_gnode *n = &g->node[i];
    if (!n->backward) continue;
    int at = backward_at(g, n->lent ? n->lent - 1 : i);
    for (int k = 0; k < n->call.nin; k++)
      if (g->value[n->in[k]].wants_grad) live(&l[ea_graph_grad_root(g, n->in[k])], at);
    for (int j = 0; j < n->call.nout; j++)
      if (g->value[n->out[j]].has_grad) live(&l[ea_graph_grad_root(g, n->out[j])], at);
    const ea_gnode *norm = waiting_norm(g, n);
    if (norm) live(&l[ea_graph_grad_root(g, norm->out[0])], at);
  }
  if (g->loss != EA_NEVER) live(&l[ea_graph_grad_root(g, g->loss)], g->nnode);
}

/* ---- layout ---- */

static int largest_first(const void *a, const void *b) {
  const ea_buffer *x = a, *y = b;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
  return x->first != y->first ? (x->first < y->first ? -1 : 1) : x->last - y->last;
}

static int lowest_first(const void *a, const void *b) {
  const ea_buffer *x = *(ea_buffer *const *)a, *y = *(ea_buffer *const *)b;
  return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Gives every buffer its offset; returns the bytes of the whole. `busy` is room for n pointers. */
static int64_t lay_out(ea_buffer *b, int n, ea_buffer **busy) {
  int64_t total = 0;
  qsort(b, (size_t)n, sizeof *b, largest_first);
  for (int i = 0; i < n; i++) {
    int nbusy = 0;
    for (int k = 0; k < i; k++)
      if (b[k].first <= b[i].last && b[i].first <= b[k].last) busy[nbusy++] = &b[k];
    qsort(busy, (size_t)nbusy, sizeof *busy, lowest_first);
    int64_t at = 0;
    for (int k = 0; k < nbusy; k++) {
      if (busy[k]->offset >= at + b[i].bytes) break;
      at = EA_MAX(at, busy[k]->offset + busy[k]->bytes);
    }
    b[i].offset = at;
    total = EA_MAX(total, at + b[i].bytes);
  }
  return total;
}

static int64_t padded(int64_t bytes) { return (bytes + 63) & ~(int64_t)63; }

/* ---- putting it together ---- */

static int make_gradients(ea_graph *g) {
  for (int v = 0; v < g->nvalue; v++) {
    ea_value *x = &g->value[v];
    if (!x->has_grad || !x->wants_grad) continue;
    if (!x->leaf) {
      EA_TRY(ea_tensor_new_symbolic(x->tensor->dtype, x->tensor->ndim, x->tensor->size, &x->grad));
    } else {
      if (!x->tensor->grad) {
        EA_TRY(ea_tensor_new(x->tensor->dtype, x->tensor->ndim, x->tensor->size, &x->tensor->grad));
        ea_tensor_fill(x->tensor->grad, 0);
      }
      x->grad = ea_tensor_retain(x->tensor->grad);
    }
  }
  return EA_OK;
}

/* Second and later contributions to one gradient need a place to land, unless the op adds. Adds
 * their number to *count. */
static int make_temps(ea_graph *g, size_t *count) {
  for (int i = 0; i < g->nnode; i++) {
    ea_gnode *n = &g->node[i];
    if (!n->backward || n->fused || n->alias || n->call.op->flags & EA_OP_ACCUMULATES) continue;
    for (int k = 0; k < n->call.nin; k++) {
      ea_value *v = &g->value[n->in[k]];
      if (!v->wants_grad || (v->uses < 2 && !v->leaf)) continue;
      EA_TRY(
          ea_tensor_new_symbolic(v->tensor->dtype, v->tensor->ndim, v->tensor->size, &n->temp[k]));
      ++*count;
    }
  }
  return EA_OK;
}

static void add_buffer(ea_buffer *b, int *n, ea_tensor *t, int first, int last) {
  b[(*n)++] = (ea_buffer){padded(ea_tensor_bytes(t)), 0, first, last, t};
}

static int list_buffers(ea_graph *g, ea_buffer *b, lifetime *data, lifetime *grad) {
  int n = 0;
  for (int v = 0; v < g->nvalue; v++) {
    ea_value *x = &g->value[v];
    if (x->input) add_buffer(b, &n, x->tensor, 0, end_of_time(g));
    else if (!x->leaf && x->data_of == v) add_buffer(b, &n, x->tensor, data[v].first, data[v].last);
    if (x->grad && !x->leaf && x->grad_of == v)
      add_buffer(b, &n, x->grad, grad[v].first, grad[v].last);
  }
  for (int i = 0; i < g->nnode; i++)
    for (int k = 0; k < EA_MAX_IN; k++)
      if (g->node[i].temp[k])
        add_buffer(b, &n, g->node[i].temp[k], backward_at(g, i), backward_at(g, i));
  return n;
}

static void place(ea_tensor *t, ea_storage *s, int64_t offset_bytes) {
  ea_storage_retain(s);
  t->storage = s;
  t->offset = offset_bytes / ea_dtype_size(t->dtype);
}

static void place_aliases(ea_graph *g) {
  for (int v = 0; v < g->nvalue; v++) {
    ea_value *x = &g->value[v];
    if (!x->tensor->storage) {
      ea_tensor *root = g->value[ea_graph_data_root(g, v)].tensor;
      ea_storage_retain(root->storage);
      x->tensor->storage = root->storage;
      x->tensor->offset = root->offset;
    }
    if (x->grad && !x->grad->storage) {
      ea_tensor *root = g->value[ea_graph_grad_root(g, v)].grad;
      ea_storage_retain(root->storage);
      x->grad->storage = root->storage;
      x->grad->offset = root->offset;
    }
    x->tensor->output = 0;
    if (!x->leaf) x->tensor->requires_grad = 0; /* read from outside, it is plain data */
  }
}

static int plan_with(ea_graph *g, lifetime *data, lifetime *grad, ea_buffer *b, ea_buffer **busy) {
  for (int v = 0; v < g->nvalue; v++) data[v] = grad[v] = (lifetime){-1, -1};
  data_lifetimes(g, data);
  grad_lifetimes(g, grad);
  int n = list_buffers(g, b, data, grad);
  g->planned = lay_out(b, n, busy);
  EA_TRY(ea_storage_new(g->planned, &g->arena));
  for (int i = 0; i < n; i++) place(b[i].tensor, g->arena, b[i].offset);
  place_aliases(g);
  return EA_OK;
}

static int prepare_calls(ea_graph *g) {
  for (int i = 0; i < g->nnode; i++) {
    ea_gnode *n = &g->node[i];
    ea_call *c = &n->call;
    c->scratch = &g->scratch;
    for (int k = 0; k < c->nin; k++) {
      c->in[k] = g->value[n->in[k]].tensor;
      int wanted =
          n->backward && g->value[n->in[k]].wants_grad && !(n->shared >> k & 1) && !n->lent;
      c->gin[k] = !wanted ? NULL : n->temp[k] ? n->temp[k] : g->value[n->in[k]].grad;
    }
    for (int j = 0; j < c->nout; j++) {
      c->out[j] = g->value[n->out[j]].tensor;
      c->gout[j] = n->backward ? g->value[n->out[j]].grad : NULL;
    }
    if (c->op->prepare && !n->fused) EA_TRY(c->op->prepare(c));
  }
  return EA_OK;
}

int ea_graph_plan(ea_graph *g) {
  find_backward(g);
  ea_graph_fuse(g);
  EA_TRY(make_gradients(g));
  size_t most = 2 * (size_t)g->nvalue + 1;
  EA_TRY(make_temps(g, &most));
  lifetime *times = ea_alloc(2 * (size_t)(g->nvalue + 1) * sizeof *times);
  ea_buffer *b = ea_alloc(most * sizeof *b);
  ea_buffer **busy = ea_alloc(most * sizeof *busy);
  int status = EA_ERR_MEMORY;
  if (times && b && busy) status = plan_with(g, times, times + g->nvalue, b, busy);
  ea_free(times);
  ea_free(b);
  ea_free(busy);
  EA_TRY(status);
  for (int v = 0; v < g->nvalue; v++) {
    if (!g->value[v].leaf) continue;
    g->outside += ea_tensor_bytes(g->value[v].tensor);
    if (g->value[v].grad) g->outside += ea_tensor_bytes(g->value[v].grad);
  }
  return prepare_calls(g);
}
