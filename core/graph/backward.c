/* SPDX-License-Identifier: GPL-3.0-or-later
 * backward.c - the eager backward pass: from a root through the tape, newest node first.
 */
#include <stdlib.h>

#include "node.h"

struct ea_backward_run {
  ea_node **node; /* newest first; retained */
  int count, most;
  int at; /* the node to do next, or the custom one that is waited for */
  int waiting;
  ea_tensor *given[EA_MAX_IN]; /* input gradients of the custom node */
};

/* ---- collecting ---- */

static int push(ea_backward_run *r, ea_node *n) {
  if (r->count == r->most) {
    int most = r->most ? 2 * r->most : 256;
    ea_node **more = ea_alloc((size_t)most * sizeof *more);
    if (!more) return EA_ERR_MEMORY;
    if (r->count) memcpy(more, r->node, (size_t)r->count * sizeof *more);
    ea_free(r->node);
    r->node = more;
    r->most = most;
  }
  r->node[r->count++] = n;
  n->refs++;
  return EA_OK;
}

static int newest_first(const void *a, const void *b) {
  uint64_t x = (*(ea_node *const *)a)->order, y = (*(ea_node *const *)b)->order;
  return x < y ? 1 : x > y ? -1 : 0;
}

static int collect(ea_backward_run *r, ea_node *root) {
  static uint64_t mark;
  mark++;
  root->mark = mark;
  EA_TRY(push(r, root));
  for (int k = 0; k < r->count; k++) {
    ea_node *n = r->node[k];
    if (n->spent)
      return ea_fail(EA_ERR_ARG,
                     "backward: the gradient of this %s was already taken and its tape "
                     "freed; compute the value again",
                     n->call.op->name);
    for (int i = 0; i < n->call.nin; i++) {
      ea_node *p = n->parent[i];
      if (!p || p->mark == mark) continue;
      p->mark = mark;
      EA_TRY(push(r, p));
    }
  }
  qsort(r->node, (size_t)r->count, sizeof *r->node, newest_first);
  return EA_OK;
}

/* ---- passing gradients on ---- */

/* Adds `g` (reference taken over) to *sum. */
static int add_into(ea_tensor **sum, ea_tensor *g) {
  if (!*sum) {
    *sum = g;
    return EA_OK;
  }
  int status = EA_OK;
  if ((*sum)->storage->refs > 1) { /* shared with another gradient: leave that alone */
    ea_tensor *own;
    status = ea_tensor_clone(*sum, (*sum)->dtype, &own);
    if (!status) {
      ea_tensor_release(*sum);
      *sum = own;
    }
  }
  if (!status) ea_accumulate(*sum, g);
  ea_tensor_release(g);
  return status;
}

static int add_to_leaf(ea_tensor *leaf, ea_tensor *g) {
  int status = EA_OK;
  if (leaf->grad) {
    ea_accumulate(leaf->grad, g);
  } else if (g->storage->refs == 1) {
    leaf->grad = ea_tensor_retain(g);
  } else {
    status = ea_tensor_clone(g, g->dtype, &leaf->grad);
  }
  ea_tensor_release(g);
  return status;
}

/* Passes the input gradients of n on; takes the references in gin. */
static int pass_on(ea_node *n, ea_tensor **gin) {
  int status = EA_OK;
  for (int i = 0; i < n->call.nin; i++) {
    ea_tensor *g = gin[i];
    gin[i] = NULL;
    if (!g) continue;
    if (status) ea_tensor_release(g);
    else if (n->parent[i]) status = add_into(&n->parent[i]->call.gout[n->parent_output[i]], g);
    else if (n->leaf[i]) status = add_to_leaf(n->leaf[i], g);
    else ea_tensor_release(g);
  }
  return status;
}

static void finish_node(ea_node *n) {
  n->spent = 1;
  ea_node_drop_saved(n);
}

/* Did a gradient flow into any output? Not so behind a custom op that gave none. */
static int is_reached(const ea_node *n) {
  for (int j = 0; j < n->call.nout; j++)
    if (n->call.gout[j]) return 1;
  return 0;
}

static int check_unchanged(const ea_node *n) {
  const ea_call *c = &n->call;
  int same = 1;
  for (int i = 0; i < c->nin; i++)
    same &= !c->in[i]->storage || c->in[i]->storage->version == n->version_in[i];
  for (int j = 0; j < c->nout; j++)
    same &= !c->out[j]->storage || c->out[j]->storage->version == n->version_out[j];
  return same ? EA_OK
              : ea_call_fail(c, EA_ERR_ARG,
                             "a tensor that its gradient needs was changed in place "
                             "since; :clone() it before changing it");
}

static int run_node(ea_node *n) {
  ea_call *c = &n->call;
  EA_TRY(check_unchanged(n));
  ea_tensor *gin[EA_MAX_IN] = {0};
  int status = EA_OK;
  if (c->op->flags & EA_OP_ALIAS) {
    status = ea_tensor_reshape(c->gout[0], c->in[0]->ndim, c->in[0]->size, &gin[0]);
  } else {
    for (int i = 0; i < c->nin && !status; i++)
      if (n->parent[i] || n->leaf[i])
        status = ea_tensor_new(c->in[i]->dtype, c->in[i]->ndim, c->in[i]->size, &gin[i]);
    memcpy(c->gin, gin, sizeof gin);
    c->accumulate = 0;
    if (!status) status = ea_call_run(c, c->op->backward);
    memset(c->gin, 0, sizeof c->gin);
  }
  if (status) {
    for (int i = 0; i < c->nin; i++) ea_tensor_release(gin[i]);
    return status;
  }
  return pass_on(n, gin);
}

static int advance(ea_backward_run *r) {
  for (; r->at < r->count; r->at++) {
    ea_node *n = r->node[r->at];
    EA_TRY(ea_interrupt_check());
    if (n->custom && is_reached(n)) {
      r->waiting = 1;
      return n->custom;
    }
    if (is_reached(n)) EA_TRY(run_node(n));
    finish_node(n);
  }
  return EA_OK;
}

/* ---- the interface ---- */

static int start(ea_backward_run *r, ea_tensor *root, ea_tensor *grad) {
  ea_tensor *g;
  if (grad) {
    EA_TRY(ea_tensor_clone(grad, root->dtype, &g));
  } else {
    EA_TRY(ea_tensor_new(root->dtype, root->ndim, root->size, &g));
    ea_tensor_fill(g, 1);
  }
  if (!root->node) return add_to_leaf(root, g);
  int status = collect(r, root->node);
  if (status) ea_tensor_release(g);
  else status = add_into(&root->node->call.gout[root->output], g);
  return status;
}

int ea_backward(ea_tensor *root, ea_tensor *grad, ea_backward_run **run) {
  if (!root->storage)
    return ea_fail(EA_ERR_ARG, "backward: this value is being captured into a graph; run the "
                               "graph's backward instead");
  if (!root->requires_grad)
    return ea_fail(EA_ERR_ARG, "backward: nothing this value was computed from requires a "
                               "gradient; call :require_grad() on a leaf first");
  if (!grad && ea_tensor_count(root) != 1)
    return ea_fail(EA_ERR_SHAPE,
                   "backward: expected a single number or a gradient of the value's "
                   "shape, got %s; reduce it with :sum() or :mean()",
                   ea_shape_text(root));
  if (grad && (!ea_tensor_same_shape(root, grad) || !grad->storage))
    return ea_fail(EA_ERR_SHAPE, "backward: the gradient %s does not have the value's shape %s",
                   ea_shape_text(grad), ea_shape_text(root));
  ea_backward_run *r = ea_alloc_zero(sizeof *r);
  if (!r) return EA_ERR_MEMORY;
  int status = start(r, root, grad);
  if (!status) status = advance(r);
  if (status > 0) *run = r;
  else ea_backward_free(r);
  return status;
}

ea_tensor *ea_backward_output_grad(ea_backward_run *r, int output) {
  if (!r->waiting || output < 0 || output >= EA_MAX_OUT) return NULL;
  return r->node[r->at]->call.gout[output];
}

int ea_backward_give(ea_backward_run *r, int input, ea_tensor *grad) {
  ea_node *n = r->waiting ? r->node[r->at] : NULL;
  if (!n || input < 0 || input >= n->call.nin)
    return ea_fail(EA_ERR_ARG, "custom backward: there is no input %d", input + 1);
  if (!n->parent[input] && !n->leaf[input]) return EA_OK;
  ea_tensor *want = n->call.in[input], *own;
  if (!grad || !grad->storage || !ea_tensor_same_shape(want, grad))
    return ea_fail(EA_ERR_SHAPE, "custom backward: the gradient of input %d must be %s, got %s",
                   input + 1, ea_shape_text(want), grad ? ea_shape_text(grad) : "nothing");
  EA_TRY(ea_tensor_clone(grad, want->dtype, &own));
  ea_tensor_release(r->given[input]);
  r->given[input] = own;
  return EA_OK;
}

int ea_backward_resume(ea_backward_run *r) {
  int status = EA_OK;
  if (r->waiting) {
    ea_node *n = r->node[r->at];
    status = pass_on(n, r->given);
    finish_node(n);
    r->waiting = 0;
    r->at++;
  }
  if (!status) status = advance(r);
  if (status <= 0) ea_backward_free(r);
  return status;
}

void ea_backward_free(ea_backward_run *r) {
  if (!r) return;
  for (int i = 0; i < EA_MAX_IN; i++) ea_tensor_release(r->given[i]);
  for (int k = 0; k < r->count; k++) {
    for (int j = 0; j < EA_MAX_OUT; j++) { /* left over where the run stopped early */
      ea_tensor_release(r->node[k]->call.gout[j]);
      r->node[k]->call.gout[j] = NULL;
    }
    ea_node_release(r->node[k]);
  }
  ea_free(r->node);
  ea_free(r);
}
